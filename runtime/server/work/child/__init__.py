"""The child process that holds the engine; nothing here runs in the server's own process."""
