"""What a user can mend."""


class BenchError(Exception):
    """A mistake that the user can mend: shown as one line, without a traceback, with exit code 2."""
