"""`KVault`: key -> bytes, as a mapping."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping

from . import _kvault
from .errors import InvalidArgument, WrongType
from .files import ValueFile, chunks_of, write_whole
from .vault import FileHandle, Vault, reopen
from .views import Items, Keys, Range, Values

TYPE_CHECKING = False  # see cache.py
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from typing_extensions import Buffer, Self

    from .files import Mode
    from .views import Key

CHUNK_BYTES_MAX = 1 << 30
VALUE_BYTES_MAX = 1 << 40
BATCH_PAIRS, BATCH_BYTES = 1024, 8 << 20  # of update() with an iterator


def _checked_chunk_size(size: int) -> int:
    if not 1 <= size <= CHUNK_BYTES_MAX:
        raise InvalidArgument(f"chunk_size is {size}, want 1 to {CHUNK_BYTES_MAX}")
    return size


def _value_size(value: Buffer) -> int:
    """Return how many bytes a value has."""
    try:
        return memoryview(value).nbytes
    except TypeError:
        raise WrongType(f"a value is bytes-like, not {type(value).__name__}") from None


def _batches(pairs: Iterable[tuple[Key, Buffer]]) -> Iterator[list[tuple[Key, Buffer]]]:
    """Cut an iterator of pairs into lists of bounded size."""
    batch: list[tuple[Key, Buffer]] = []
    size = 0
    for key, value in pairs:
        batch.append((key, value))
        size += _value_size(value)
        if len(batch) == BATCH_PAIRS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class KVault(_kvault.Store, FileHandle, MutableMapping[bytes, bytes]):  # type: ignore[misc]
    """A table of a file as a dictionary: keys in byte order, values of any size.

    Keys are bytes-like or str (UTF-8), up to 65,535 bytes, and come back as bytes. Values are any
    C-contiguous buffer, up to 1 TiB, and come back as bytes. A wrong type is a TypeError, for
    lookups too. Every write is one transaction, unless the write cache is on or a transaction is open.

    Parameters
    ----------
    path : str, os.PathLike, Vault or KVault
        A file, or a handle on one: then this shares its engine, takes no options of the file, and ends with it.
    table : str
        An identifier of letters, digits and ``_``, compared without case; made if it is missing.
    chunk_size : int
        Bytes that `put_file` and `get_to_file` move at a time.
    **options
        Those of `Vault`.

    Raises
    ------
    InvalidArgument
        If an option is out of range, or contradicts the file as it is already open in this process.
    CorruptData
        If the file is damaged or of another kind; it is left untouched.
    """

    vault: Vault
    chunk_size: int

    def __new__(
        cls,
        path: str | os.PathLike[str] | Vault | KVault,
        *,
        table: str = "kvault",
        chunk_size: int = 1 << 20,
        **options: Any,
    ) -> Self:
        _checked_chunk_size(chunk_size)
        if isinstance(path, FileHandle):
            if options:
                raise InvalidArgument(f"{', '.join(options)}: a handle that is shared keeps its own options")
            vault = path if isinstance(path, Vault) else path.vault
            return cls._over(vault, path._handle.dup(), table, chunk_size)
        vault = Vault(path, **options)
        return cls._over(vault, vault._handle, table, chunk_size)

    @classmethod
    def _over(cls, vault: Vault, handle: _kvault.Handle, table: str, chunk_size: int) -> Self:
        if "\0" in table:
            raise InvalidArgument(f"{table!r} is no name of a table")
        # The default is left to the core, which finds the table of a file that names it otherwise.
        self = super().__new__(cls, handle, None if table == "kvault" else table)
        self.vault = vault
        self._handle = handle
        self.chunk_size = chunk_size
        return self

    # ---- reading ----

    def keys(
        self,
        prefix: Key | None = None,
        *,
        start: Key | None = None,
        stop: Key | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Keys:
        """Return a view of the keys of a range; lazy, complete and in bounded memory.

        Parameters
        ----------
        prefix : str or bytes-like, optional
            Only keys that begin so.
        start, stop : str or bytes-like, optional
            First key, included, and end, excluded.
        reverse : bool
            From the last key to the first.
        limit : int, optional
            At most so many keys.

        Returns
        -------
        Keys
            With `len`, `in`, `reversed` and set operations. A key that is there throughout an iteration comes exactly
            once, whatever is written meanwhile.
        """
        return Keys(self, Range(prefix, start, stop, reverse, limit))

    def values(
        self,
        prefix: Key | None = None,
        *,
        start: Key | None = None,
        stop: Key | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Values:
        """Return a view of the values of a range, as `keys` does."""
        return Values(self, Range(prefix, start, stop, reverse, limit))

    def items(
        self,
        prefix: Key | None = None,
        *,
        start: Key | None = None,
        stop: Key | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Items:
        """Return a view of the (key, value) pairs of a range, as `keys` does."""
        return Items(self, Range(prefix, start, stop, reverse, limit))

    def __reversed__(self) -> Iterator[bytes]:
        return self.scan("k", None, None, None, True, None)

    def __eq__(self, other: object) -> bool:
        """Compare with any mapping; two vaults are read side by side, in bounded memory."""
        if self is other:
            return True
        if not isinstance(other, Mapping):
            return NotImplemented
        if len(self) != len(other):
            return False
        if isinstance(other, KVault):
            return all(mine == theirs for mine, theirs in zip(self.items(), other.items(), strict=False))
        return all(key in other and other[key] == value for key, value in self.items())

    # ---- writing ----

    def update(self, other: Any = (), /, **named: Buffer) -> None:
        """Store all pairs of a mapping or an iterable.

        A dict, list or tuple is one transaction: all or none. Anything else goes in by batches of one
        transaction each, and a failure keeps those before.
        """
        pairs = other.items() if isinstance(other, Mapping) else other
        if not isinstance(other, Mapping) and hasattr(other, "keys"):
            pairs = ((key, other[key]) for key in other.keys())  # noqa: SIM118 - what dict.update() asks for
        if isinstance(other, (dict, list, tuple)):
            self.put_many([*pairs, *named.items()])
            return
        for batch in _batches(pairs):
            self.put_many(batch)
        if named:
            self.put_many(named.items())

    def __ior__(self, other: Any) -> Self:
        self.update(other)
        return self

    # ---- streams ----

    def open(self, key: Key, mode: Mode = "rb") -> ValueFile:
        """Open a value as a raw binary file; see `ValueFile`.

        Raises
        ------
        NotFound
            If there is no such key to read.
        DatabaseBusy
            If the value is already open for appending.
        """
        return ValueFile(self, key, mode)

    def put_file(self, key: Key, reader: Any, *, size: int | None = None, chunk_size: int | None = None) -> int:
        """Store what a reader gives; the old value stays until the new one is complete.

        Parameters
        ----------
        key : str or bytes-like
        reader : binary file, socket or bytes-like
            Read to its end, or `size` bytes of it; pipes too.
        size : int, optional
            How many bytes there are; a reader that ends before is an error.
        chunk_size : int, optional
            Bytes asked for at a time; that of the handle if not given.

        Returns
        -------
        int
            Bytes stored.

        Raises
        ------
        IoError
            If the reader is short or gives more than it was asked for. What it raises itself comes through.
            The old value stays in both cases.
        """
        if size is not None and not 0 <= size <= VALUE_BYTES_MAX:
            raise InvalidArgument(f"size is {size}, want None or 0 to {VALUE_BYTES_MAX}")
        step = self.chunk_size if chunk_size is None else _checked_chunk_size(chunk_size)
        stored = 0
        with self.open(key, "wb") as stream:
            for chunk in chunks_of(reader, size, step):
                stored += stream.write(chunk)
        return stored

    def get_to_file(self, key: Key, writer: Any, *, chunk_size: int | None = None) -> int:
        """Write a value to a binary file or socket, `chunk_size` bytes at a time; return how many.

        Raises
        ------
        NotFound
            If there is no such key; the writer is not touched.
        """
        step = self.chunk_size if chunk_size is None else _checked_chunk_size(chunk_size)
        written = 0
        with self.open(key) as stream:
            while chunk := stream.read(step):
                write_whole(writer, chunk)
                written += len(chunk)
        return written

    # ---- the handle ----

    def snapshot(self) -> Self:
        """Return a read-only handle of this class that sees everything as it is now, until it is closed.

        It keeps the WAL from shrinking while it is open.
        """
        vault = self.vault._over(self._handle.snapshot(), self.vault._options)
        return self._over(vault, vault._handle, self.table, self.chunk_size)

    def __reduce__(self) -> tuple[Any, ...]:
        options = {**self.vault._options, "table": self.table, "chunk_size": self.chunk_size}
        return reopen, (type(self), self._prepare_pickle(), options)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path!r} table {self.table!r}{' closed' if self.closed else ''}>"
