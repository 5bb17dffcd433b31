"""What a user can mend, and how strangers' words are made fit to be shown."""

LONGEST = 300  # characters of a line that a plugin or a stranger wrote


class BenchError(Exception):
    """A mistake that the user can mend: shown as one line, without a traceback, with exit code 2."""


def one_line(text: str) -> str:
    r"""Text as one line of at most 300 characters, without control characters, which could move a terminal's cursor.

    >>> one_line("no \x1b[31mluck\n  today")
    'no [31mluck today'
    """
    shown = "".join(character for character in " ".join(text.split()) if character.isprintable())
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}..."
