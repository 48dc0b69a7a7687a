"""What the server and its engine child say to each other: lines of JSON, and frames in shared memory."""
