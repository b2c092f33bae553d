"""The exceptions of kohakuvault, each also the Python exception that one would catch anyway."""

from __future__ import annotations


class KohakuVaultError(Exception):
    """Any failure of kohakuvault.

    Attributes
    ----------
    sqlite_code : int
        The extended SQLite result; 0 where SQLite was not asked.
    """

    sqlite_code: int = 0


class NotFound(KohakuVaultError, KeyError):
    """There is no such key, table or column.

    Attributes
    ----------
    key : object
        What was looked for, as it was given.
    """

    def __init__(self, key: object = None, words: str | None = None) -> None:
        super().__init__(key)
        self.key = key
        self.words = words

    def __str__(self) -> str:
        return self.words or f"there is no key {self.key!r}"


class DatabaseBusy(KohakuVaultError):
    """Somebody else held the file for longer than this handle waits; the words name who and how long."""


class InvalidArgument(KohakuVaultError, ValueError):
    """An argument out of range; the words hold the value and the limit."""


class WrongType(InvalidArgument, TypeError):
    """An argument of a wrong type."""


class IoError(KohakuVaultError, OSError):
    """The disk, the file system or a stream failed; `errno` is set where the system told one."""


class CorruptData(KohakuVaultError):
    """The file is damaged, or is not ours."""


class ClosedHandle(KohakuVaultError, ValueError):
    """The handle or stream is closed."""


class ReadOnly(KohakuVaultError):
    """A write through a handle that may only read."""


class ForkedHandle(KohakuVaultError):
    """The handle or stream belongs to the process that this one was forked from."""


class SchemaError(KohakuVaultError, ValueError):
    """A value breaks the schema of its column or packer; the words name the place in it and the rule."""


_SQLITE_BUSY, _SQLITE_LOCKED = 5, 6
_SQLITE_READONLY = 8
_SQLITE_CORRUPT, _SQLITE_NOTADB = 11, 26


def _of_sqlite(exc: BaseException) -> KohakuVaultError:
    """Translate an exception of `sqlite3`, which is not imported for it."""
    code = getattr(exc, "sqlite_errorcode", 0)
    kind: type[KohakuVaultError] = IoError
    if code & 0xFF in (_SQLITE_BUSY, _SQLITE_LOCKED) or "is locked" in str(exc):
        kind = DatabaseBusy
    elif code & 0xFF == _SQLITE_READONLY:
        kind = ReadOnly
    elif code & 0xFF in (_SQLITE_CORRUPT, _SQLITE_NOTADB):
        kind = CorruptData
    ours = kind(str(exc))
    if code:
        ours.sqlite_code = code
    return ours


def _translate(exc: BaseException, key: object) -> KohakuVaultError:
    if isinstance(exc, KeyError):
        return NotFound(key if key is not None or not exc.args else exc.args[0])
    if type(exc).__module__ == "sqlite3":
        return _of_sqlite(exc)
    if isinstance(exc, OSError):
        return IoError(*exc.args)
    if isinstance(exc, TypeError):
        return WrongType(str(exc))
    if isinstance(exc, (ValueError, OverflowError)):
        return InvalidArgument(str(exc))
    return KohakuVaultError(str(exc) or type(exc).__name__)


def map_exception(exc: BaseException, *, key: object = None) -> KohakuVaultError:
    """Turn any exception into one of ours.

    Parameters
    ----------
    exc : BaseException
        One of ours comes back as it is.
    key : object, optional
        The `.key` of a `NotFound`; without it, what the `KeyError` holds.

    Returns
    -------
    KohakuVaultError
        To be raised by the caller; `exc` is its `__cause__`.
    """
    if isinstance(exc, KohakuVaultError):
        return exc
    ours = _translate(exc, key)
    ours.__cause__ = exc
    return ours
