"""Pages that hold their pictures and charts, and ask nothing of any server."""
