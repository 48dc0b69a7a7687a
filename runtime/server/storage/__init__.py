"""What the line's PC keeps: rows in SQLite, pictures in files, within the limits of its disk."""
