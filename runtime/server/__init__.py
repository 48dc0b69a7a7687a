"""The inspection server of one line: protocol, application, work, storage and page."""
