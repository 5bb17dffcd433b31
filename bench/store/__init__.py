"""Results on disk: runs and references, atomic, checksummed, self-describing, resumable."""

DEFAULT = "bench-results"  # the folder, if nobody names another
SHIPPED, _ = REFERENCES = ("shipped", "train")  # what comes with the package where it fits, or all trained here
