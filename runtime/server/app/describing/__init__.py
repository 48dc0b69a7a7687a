"""What the server promises, for programs and for people."""
