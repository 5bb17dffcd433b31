"""Results on disk: runs and references, atomic, checksummed, self-describing, resumable."""
