"""How publishers lay their files out: each function yields the pictures and the problems below a root."""
