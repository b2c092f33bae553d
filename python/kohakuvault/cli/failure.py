"""What the program ends with: one line on stderr and an exit code, never a traceback."""

from __future__ import annotations

from ..errors import CorruptData, DatabaseBusy, InvalidArgument, KohakuVaultError, NotFound
from .keytext import to_text

FAILED, USAGE, NOT_FOUND, BUSY, DAMAGED, INTERRUPTED = 1, 2, 3, 4, 5, 130
CODES = [(NotFound, NOT_FOUND), (DatabaseBusy, BUSY), (CorruptData, DAMAGED), (InvalidArgument, USAGE)]


class Failure(Exception):
    """The words and the code that the program ends with."""

    def __init__(self, words: str, code: int = FAILED) -> None:
        super().__init__(words)
        self.code = code


def one_line(text: str) -> str:
    """Return words that may hold anything a file or a user put there as one printable line."""
    words = " ".join(text.split("\n"))
    return words if words.isprintable() else to_text(words.encode("utf-8", "surrogateescape"))


def of(exc: BaseException) -> Failure:
    """Return what an exception of ours, or of the system, amounts to."""
    if isinstance(exc, Failure):
        return exc
    if isinstance(exc, NotFound) and exc.words is None and isinstance(exc.key, bytes):
        return Failure(f'there is no key "{to_text(exc.key)}"', NOT_FOUND)
    if isinstance(exc, OSError) and exc.strerror and not isinstance(exc, KohakuVaultError):
        words = exc.strerror if exc.filename is None else f"{exc.filename}: {exc.strerror}"
        return Failure(one_line(words), NOT_FOUND if isinstance(exc, FileNotFoundError) else FAILED)
    code = next((code for kind, code in CODES if isinstance(exc, kind)), FAILED)
    return Failure(one_line(str(exc) or type(exc).__name__), code)
