"""Where results go: messages through a disk outbox, and live values for a PLC; never in the verdict's way."""
