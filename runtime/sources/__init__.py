"""Where pictures come from besides HTTP: a watched folder, a camera."""
