"""What a user can mend, what checks find, and how strangers' words are made fit to be shown."""

import errno
from dataclasses import asdict, dataclass
from typing import Any

LONGEST = 300  # characters of a line that a plugin or a stranger wrote
_ADVICE = {  # about faults of the system, by number
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EACCES: "use a folder that you may write to",
    errno.EPERM: "use a folder that you may write to",
    errno.EROFS: "use a folder that you may write to",
    errno.EMFILE: "allow more open files with `ulimit -n`, or use fewer --workers",
    errno.ENFILE: "allow more open files with `ulimit -n`, or use fewer --workers",
    errno.EAGAIN: "allow more processes with `ulimit -u`, or use fewer --workers",
    errno.ENOMEM: "free some memory, allow more with `ulimit -v`, or use fewer --workers",
}
_ADVICE_ON = {  # by what the message has, where there is no number
    "temporary directory": "name a folder that you may write to in the variable TMPDIR",
    "AF_UNIX path too long": "name a folder with a shorter name, as /tmp is, in the variable TMPDIR",
    "allocate memory": _ADVICE[errno.ENOMEM],
    "failed to map segment": _ADVICE[errno.ENOMEM],  # of a library
}
_DIRECTIONS = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)])


class BenchError(Exception):
    """A mistake that the user can mend: shown as one line, without a traceback, with exit code 2."""


class WorkerError(Exception):
    """A child could not do what it was asked.

    `kind` is "error" (it raised), "died", "time" or "memory" (killed); `traceback` is the child's, if it lived to tell.
    """

    def __init__(self, reason: str, traceback: str = "", kind: str = "error") -> None:
        super().__init__(reason)
        self.traceback, self.kind = traceback, kind


def described(problem: BaseException) -> str:
    """What kind of problem, what it says, and what somebody has noted beside it.

    >>> described(ValueError())
    'ValueError: no reason given'
    """
    return "; ".join([f"{type(problem).__name__}: {str(problem) or 'no reason given'}", *getattr(problem, "__notes__", [])])


def one_line(text: str) -> str:
    r"""Text as one line of at most 300 characters, without control characters, which could move a terminal's cursor.

    >>> one_line("no \x1b[31mluck\n  today")
    'no [31mluck today'
    """
    shown = "".join(character for character in " ".join(text.split()) if character.isprintable())
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}..."


def advice(problem: BaseException) -> str:
    """What a user can do about a fault of the system; "" if nothing is known.

    >>> advice(OSError(errno.EMFILE, "Too many open files"))
    'allow more open files with `ulimit -n`, or use fewer --workers'
    """
    number = errno.ENOMEM if isinstance(problem, MemoryError) else getattr(problem, "errno", None)
    texts = (remedy for text, remedy in _ADVICE_ON.items() if text in str(problem))
    return next(texts, _ADVICE.get(number or 0, ""))


def in_reading_order(text: str) -> str:
    r"""Text without the characters that reverse what stands after them, up to the end of the sentence that it is put into.

    >>> in_reading_order("a\u202eb\u2066c")
    'abc'
    """
    return text.translate(_DIRECTIONS)


@dataclass(frozen=True)
class CheckResult:
    """One point of `bench verify` or `bench doctor`: what was looked at, what was seen, and if that is wrong, what to do."""

    point: str
    seen: str
    problem: str = ""  # "" if all is well
    remedy: str = ""

    @property
    def well(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problem

    def lines(self) -> list[str]:
        """For a terminal."""
        first = f"{'ok  ' if self.well else 'FAIL'}  {self.point}: {self.problem or self.seen}"
        return [first, f"      {self.remedy}"] if self.remedy and not self.well else [first]

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {"ok": self.well, **asdict(self)}
