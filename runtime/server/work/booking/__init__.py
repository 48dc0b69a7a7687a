"""Who waits, and who lies with the child; it knows nothing of processes and sockets."""
