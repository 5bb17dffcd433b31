"""Results on disk: runs and references, atomic, checksummed, self-describing, resumable."""

DEFAULT = "bench-results"  # the folder, if nobody names another
