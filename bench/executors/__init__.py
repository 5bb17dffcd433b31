"""Where chunks are computed."""
