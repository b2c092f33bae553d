"""One open file: `Vault`, and what every handle on a file can do."""

from __future__ import annotations

import os

from . import _kvault
from .cache import Transaction, WriteCache
from .errors import InvalidArgument, IoError, WrongType

TYPE_CHECKING = False  # see cache.py
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Any, TypeVar

    from typing_extensions import Self

    from .columns import ColumnVault
    from .kv import KVault

    Opened = TypeVar("Opened", bound="FileHandle")

MEMORY = ":memory:"
WAIT_SECONDS_MAX = 86400


class Problem(tuple[str, str]):
    """A finding of `verify()`: where, and what."""

    __slots__ = ()

    @property
    def where(self) -> str:
        return self[0]

    @property
    def what(self) -> str:
        return self[1]


def text_path(path: str | os.PathLike[str]) -> str:
    """Return a path as text, and refuse what is none."""
    try:
        text = os.fsdecode(path)
    except TypeError:
        raise WrongType(f"a path is str or os.PathLike, not {type(path).__name__}") from None
    if not text or "\0" in text:
        raise InvalidArgument(f"{text!r} is no path")
    return text


def _make_folder(folder: str, path: str) -> None:
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as exc:
        raise IoError(exc.errno, f'cannot make the folder of "{path}": {exc.strerror}') from exc


def _wait_ms(retries: int | None, backoff_base: float | None) -> int:
    """Return how long a call waits for others: 5 s, or the sum of the back-offs asked for."""
    if retries is None and backoff_base is None:
        return 5000
    retries = 4 if retries is None else retries
    backoff_base = 0.02 if backoff_base is None else backoff_base
    if not 0 <= retries <= 64:
        raise InvalidArgument(f"retries is {retries}, want 0 to 64")
    if not backoff_base >= 0:
        raise InvalidArgument(f"backoff_base is {backoff_base} s, want 0 and more")
    wait = backoff_base * float(2**retries - 1)
    if wait > WAIT_SECONDS_MAX:
        raise InvalidArgument(f"{retries} retries from {backoff_base} s wait {wait:.3g} s, limit {WAIT_SECONDS_MAX}")
    return round(wait * 1000)


def open_file(
    path: str | os.PathLike[str],
    *,
    retries: int | None = None,
    backoff_base: float | None = None,
    enable_wal: bool | None = None,
    page_size: int | None = None,
    mmap_size: int | None = None,
    cache_kb: int | None = None,
    read_only: bool = False,
    durability: str | None = None,
) -> _kvault.Handle:
    """Open a file as `Vault` describes."""
    text = text_path(path)
    if text != MEMORY and not read_only:
        _make_folder(os.path.dirname(text) or ".", text)
    return _kvault.Handle(
        text,
        page_size,
        mmap_size,
        None if cache_kb is None else cache_kb * 1024,
        enable_wal,
        durability,
        read_only,
        _wait_ms(retries, backoff_base),
    )


def reopen(kind: Callable[..., Opened], path: str, options: Mapping[str, Any]) -> Opened:
    """Open again what was pickled."""
    return kind(path, **options)


class FileHandle(WriteCache):
    """What every handle on a file can do with the whole file: the base of `Vault` and `KVault`.

    All calls may be made from any thread. Those that write wait for other writers, then raise
    `DatabaseBusy`; after `close()` all raise `ClosedHandle`, which is a `ValueError`.
    """

    _handle: _kvault.Handle

    # ---- transactions ----

    def transaction(self) -> Transaction:
        """Begin a transaction over everything in the file, as a context.

        It commits at the end of the `with` block and rolls back after an exception. It belongs to this
        thread (don't `await` inside): its reads see its writes, other threads' writes wait, their reads see
        the state before. Inside another one it is a savepoint.
        """
        return Transaction(self._handle)

    # ---- the whole file ----

    def checkpoint(self) -> None:
        """Move what was committed from the WAL into the file; best effort beside readers."""
        self._handle.checkpoint()

    def optimize(self) -> None:
        """Let SQLite refresh its statistics."""
        self._handle.optimize()

    def backup(self, dest: str | os.PathLike[str], *, progress: Callable[[int, int], object] | None = None) -> None:
        """Copy one snapshot of the file to `dest`, by way of a temporary file beside it, synced and renamed.

        Parameters
        ----------
        dest : str or os.PathLike
            Replaced if it is there. One with a ``-wal`` beside it, or open in this process, is refused.
        progress : callable, optional
            Told the pages done and in total; an exception stops the copy and leaves `dest` as it was.
        """
        self._handle.backup(text_path(dest), progress)

    def verify(self) -> list[Problem]:
        """Check everything: SQLite's integrity check, every checksum, pieces against owners. Empty when clean.

        Reads the whole file.
        """
        return [Problem(found) for found in self._handle.verify()]

    def stats(self) -> dict[str, int]:
        """Return figures of the file and its engine: sizes, what is pending, and counts since it opened."""
        return self._handle.stats()

    @property
    def path(self) -> str:
        """The absolute path, or ``":memory:"``."""
        return self._handle.path

    @property
    def read_only(self) -> bool:
        """Whether writing is refused."""
        return self._handle.read_only

    @property
    def closed(self) -> bool:
        """Whether the handle is closed."""
        return self._handle.closed

    def close(self) -> None:
        """Flush what is pending and end this handle with all that was made from it; closing again does nothing.

        The last handle closes the file. A flush that fails raises and leaves the handle open.
        """
        self._handle.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _prepare_pickle(self) -> str:
        """Flush, and return the path that another process finds the same file at."""
        if self._handle.path == MEMORY:
            raise WrongType("cannot pickle a vault in memory: there is no file to open again")
        if self._handle.is_snapshot:
            raise WrongType("cannot pickle a snapshot: another process cannot see its instant")
        if self._handle.depth:
            raise WrongType("cannot pickle a vault inside a transaction, which belongs to this thread")
        if not self._handle.read_only:
            self._handle.flush()
        return self._handle.path


class Vault(FileHandle):
    """One open file, for what concerns everything in it.

    A file opened twice in one process, by whatever handles, is one engine inside. A missing file and its
    folder are made, unless `read_only`.

    Parameters
    ----------
    path : str, os.PathLike
        ``":memory:"`` is a new vault in memory.
    retries, backoff_base : int, float, optional
        How long a call waits for other writers: the sum of so many back-offs, of which the first is
        `backoff_base` seconds and each the double of the one before. Neither given: 5 s.
    enable_wal : bool, optional
        True unless given; False: a rollback journal.
    page_size : int, optional
        Of a new file, in bytes; 8192 unless given.
    mmap_size : int, optional
        Bytes of the file to map; 0 unless given.
    cache_kb : int, optional
        The page and read caches of all connections together; 65536 unless given.
    read_only : bool
        Create nothing and refuse writes.
    durability : {"normal", "full"}, optional
        ``"normal"`` unless given: a commit survives the death of the process, a power cut keeps a prefix of the
        commits. ``"full"``: a commit survives a power cut too.

    Raises
    ------
    InvalidArgument
        If an option is out of range, or contradicts the file as it is already open in this process.
    CorruptData
        If the file is damaged or of another kind; it is left untouched.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        retries: int | None = None,
        backoff_base: float | None = None,
        enable_wal: bool | None = None,
        page_size: int | None = None,
        mmap_size: int | None = None,
        cache_kb: int | None = None,
        read_only: bool = False,
        durability: str | None = None,
    ) -> None:
        options: dict[str, Any] = {
            "retries": retries,
            "backoff_base": backoff_base,
            "enable_wal": enable_wal,
            "page_size": page_size,
            "mmap_size": mmap_size,
            "cache_kb": cache_kb,
            "read_only": read_only,
            "durability": durability,
        }
        self._handle = open_file(path, **options)
        self._options = options

    @classmethod
    def _over(cls, handle: _kvault.Handle, options: dict[str, Any]) -> Self:
        """Return a vault of a handle that is open already."""
        self = cls.__new__(cls)
        self._handle = handle
        self._options = options
        return self

    def kv(self, table: str = "kvault", *, chunk_size: int = 1 << 20) -> KVault:
        """Return the key-value store of a table, which is made if it is missing."""
        from .kv import KVault

        return KVault(self, table=table, chunk_size=chunk_size)

    def tables(self) -> list[str]:
        """Return the names of the tables that `kv` opens, sorted."""
        return self._handle.tables()

    def columns(self, *, min_chunk_bytes: int = 4096, max_chunk_bytes: int = 65536) -> ColumnVault:
        """Return the columns of the file; see `ColumnVault`."""
        from .columns import ColumnVault

        return ColumnVault(self, min_chunk_bytes=min_chunk_bytes, max_chunk_bytes=max_chunk_bytes)

    def snapshot(self) -> Self:
        """Return a read-only vault that sees everything as it is now, until it is closed."""
        return self._over(self._handle.snapshot(), self._options)

    def __reduce__(self) -> tuple[Any, ...]:
        return reopen, (type(self), self._prepare_pickle(), self._options)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path!r}{' closed' if self.closed else ''}>"
