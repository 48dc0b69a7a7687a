"""Sources and sinks of a running server: read from its configuration file, kept going, shown."""
