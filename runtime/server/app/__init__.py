"""The web application: routes, safety, counters; all inspect by `inspection.inspect_and_record`."""
