"""What a frozen backbone says of an image, computed once and kept on disk."""
