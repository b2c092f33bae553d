"""`ColumnVault`, `Column` and `VarSizeColumn`: lists that live in the file."""

from __future__ import annotations

import sys
from collections.abc import Mapping, MutableSequence, Sequence
from itertools import islice
from weakref import WeakValueDictionary

from . import _kvault
from .cache import Transaction, WriteCache
from .errors import InvalidArgument, NotFound, WrongType
from .vault import FileHandle, Vault

TYPE_CHECKING = False  # see cache.py
if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, TypeAlias

    import numpy as np
    from typing_extensions import Self

    from .kv import KVault

    Pack: TypeAlias = Callable[[Any], Any]
    Unpack: TypeAlias = Callable[[bytes], Any]

BATCH_VALUES = 4096  # of extend() with an iterator, and of what is read at a time

NUMPY_TYPES = {
    "i8": "int8",
    "i16": "<i2",
    "i32": "<i4",
    "i64": "<i8",
    "u8": "uint8",
    "u16": "<u2",
    "u32": "<u4",
    "u64": "<u8",
    "f32": "<f4",
    "f64": "<f8",
    "bool": "?",
}


def _is_buffer(values: object) -> bool:
    try:
        memoryview(values).release()  # type: ignore[arg-type]
    except TypeError:
        return False
    return True


class ColumnBase(_kvault.Column, WriteCache, MutableSequence):  # type: ignore[type-arg]
    """What `Column` and `VarSizeColumn` share: the whole protocol of a list."""

    columns: ColumnVault
    _codec: tuple[Pack | None, Unpack | None]
    __hash__ = None  # type: ignore[assignment]

    def __new__(cls, columns: ColumnVault, name: str, pack: Pack | None = None, unpack: Unpack | None = None) -> Self:
        handle = columns._handle.dup()
        self = super().__new__(cls, handle, name, pack, unpack)
        self._handle = handle
        self.columns = columns
        self._codec = (pack, unpack)
        return self

    # ---- writing ----

    def extend(self, values: Iterable[Any]) -> None:
        """Add values at the end.

        A list, a tuple or a buffer is all or nothing. An array or another buffer of the column's own type goes
        in as it lies in memory; of another kind, value by value and never lossily. Anything else that can be iterated
        goes in by batches of one transaction each, and a failure keeps those before.
        """
        if isinstance(values, (list, tuple)) or _is_buffer(values):
            self.append_all(values)
            return
        # What comes from this column is read up to where it ended when we began.
        values = islice(self, len(self)) if values is self else iter(values)
        while batch := list(islice(values, BATCH_VALUES)):
            self.append_all(batch)

    def __iadd__(self, values: Iterable[Any]) -> Self:
        self.extend(values)
        return self

    def remove(self, value: Any) -> None:
        """Remove the first element equal to `value`, in one transaction; ValueError if there is none."""
        with Transaction(self._handle):
            del self[self.index(value)]

    def reverse(self) -> None:
        """Reverse the order of the elements, in one transaction."""
        with Transaction(self._handle):
            low, high = 0, len(self)
            while high - low > 2 * BATCH_VALUES:
                first, last = self[low : low + BATCH_VALUES], self[high - BATCH_VALUES : high]
                self[low : low + BATCH_VALUES] = last[::-1]
                self[high - BATCH_VALUES : high] = first[::-1]
                low, high = low + BATCH_VALUES, high - BATCH_VALUES
            if low < high:
                self[low:high] = self[low:high][::-1]

    # ---- reading ----

    def index(self, value: Any, start: int = 0, stop: int = sys.maxsize) -> int:
        """Return the position of the first element equal to `value`; ValueError if there is none."""
        start, stop, _ = slice(start, stop).indices(len(self))
        for position, element in enumerate(self.iterate(start), start):
            if position >= stop:
                break
            if element is value or element == value:
                return position
        raise ValueError(f"{value!r} is not in column {self.name!r}")

    def count(self, value: Any) -> int:
        """Return how many elements are equal to `value`."""
        return sum(element is value or element == value for element in self)

    def __eq__(self, other: object) -> bool:
        """Compare with any sequence but text and bytes, element by element."""
        if self is other:
            return True
        if not isinstance(other, Sequence) or isinstance(other, (str, bytes, bytearray)):
            return NotImplemented
        if len(self) != len(other):
            return False
        return all(mine is theirs or mine == theirs for mine, theirs in zip(self, other, strict=False))

    def iter_batches(self, size: int = BATCH_VALUES, *, numpy: bool = False) -> Iterator[Any]:
        """Iterate over the elements in lists of `size`; in arrays with `numpy`.

        Raises
        ------
        InvalidArgument
            If `size` is not 1 or more.
        """
        if size < 1:
            raise InvalidArgument(f"size is {size}, want 1 or more")
        return self._batches(size, numpy)

    def _batches(self, size: int, numpy: bool) -> Iterator[Any]:
        start = 0
        while len(batch := self.to_numpy(start, start + size) if numpy else self[start : start + size]):
            yield batch
            start += len(batch)

    def to_numpy(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return the elements of a range as an array of their type.

        Parameters
        ----------
        start, stop : int
            As in a slice.

        Returns
        -------
        ndarray, shape (n,)
            A copy, read straight into its memory.

        Raises
        ------
        WrongType
            If the column does not hold numbers.
        """
        kind = NUMPY_TYPES.get(self.dtype)
        if kind is None:
            raise WrongType(f"column {self.name!r} holds {self.dtype}: an array takes numbers")
        import numpy as np

        start, stop, _ = slice(start, stop).indices(len(self))
        array = np.empty(max(stop - start, 0), kind)
        return array[: self.read_into(array.data, start)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise InvalidArgument(f"column {self.name!r} lies in a file: an array of it is a copy")
        array = self.to_numpy()
        return array if dtype is None else array.astype(dtype, copy=False)

    # ---- the handle ----

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen_column, (self.columns, self.name, *self._codec)

    def __repr__(self) -> str:
        try:
            return f"<{type(self).__name__} {self.name!r} {self.dtype}, {len(self)} elements>"
        except (NotFound, ValueError):
            return f"<{type(self).__name__} {self.dtype}, deleted or closed>"


class Column(ColumnBase):
    """A column whose elements all have the same size, as a list: numbers, fixed text and records.

    Made by `ColumnVault`. Every write is one transaction, unless the write cache is on or a transaction is
    open. Costs, n elements in the column: `len`, `append`, `[i]` do not grow with n; `insert` and
    `del [i]` touch one or two chunks. Any thread may use it. It follows a rename of its column; after a delete,
    by whatever process, it raises `NotFound`.
    """


class VarSizeColumn(ColumnBase):
    """A column whose elements have any size, as a list: text, bytes, records. See `Column`."""

    def fragmentation(self) -> float:
        """Return the share of the stored bytes that edits left unused, 0 to 1; `compact()` makes it 0."""
        slack = self.slack_bytes
        return slack / (self.nbytes + slack) if slack else 0.0


def _reopen_column(columns: ColumnVault, name: str, pack: Pack | None, unpack: Unpack | None) -> ColumnBase:
    column: ColumnBase = columns._open(name, pack, unpack)
    return column


def _reopen_columns(kind: type[ColumnVault], path: str, options: dict[str, Any], chunks: dict[str, int]) -> ColumnVault:
    return kind(Vault(path, **options), **chunks)


class ColumnVault(FileHandle, Mapping):  # type: ignore[type-arg]
    """The columns of a file by name: a mapping of names to `Column` and `VarSizeColumn`.

    Parameters
    ----------
    source : KVault, Vault, ColumnVault, str or os.PathLike
        A handle, whose file, engine and transactions are shared; or a file, opened with `options`.
    min_chunk_bytes, max_chunk_bytes : int
        Of the columns made here: bytes of a column's first chunk, and of those behind it.
    **options
        Those of `Vault`, for a file.

    Raises
    ------
    InvalidArgument
        If a number is out of range (1 to 16 MiB, min <= max).
    """

    vault: Vault
    __hash__ = object.__hash__

    def __init__(
        self,
        source: str | os.PathLike[str] | Vault | KVault | ColumnVault,
        *,
        min_chunk_bytes: int = 4096,
        max_chunk_bytes: int = 65536,
        **options: Any,
    ) -> None:
        limit = 16 << 20
        if not (1 <= min_chunk_bytes <= max_chunk_bytes <= limit):
            raise InvalidArgument(
                f"min_chunk_bytes is {min_chunk_bytes}, max_chunk_bytes {max_chunk_bytes}, "
                f"want 1 to {limit} and min <= max"
            )
        if isinstance(source, FileHandle):
            if options:
                raise InvalidArgument(f"{', '.join(options)}: a handle that is shared keeps its own options")
            self.vault = source if isinstance(source, Vault) else source.vault
            self._handle = source._handle.dup()
        else:
            self.vault = Vault(source, **options)
            self._handle = self.vault._handle
        self._chunks = {"min_chunk_bytes": min_chunk_bytes, "max_chunk_bytes": max_chunk_bytes}
        self._alive: WeakValueDictionary[int, ColumnBase] = WeakValueDictionary()

    # ---- making and opening ----

    def create_column(
        self,
        name: str,
        dtype: str,
        chunk_bytes: int | None = None,
        *,
        schema: Any = None,
        pack: Pack | None = None,
        unpack: Unpack | None = None,
    ) -> Any:
        """Make a column and return it.

        Parameters
        ----------
        name : str
            1 to 255 characters, without NUL.
        dtype : str
            A dtype of `DataPacker`; or any other text, with `pack` and `unpack`.
        chunk_bytes : int, optional
            Bytes of a chunk, instead of this vault's `max_chunk_bytes`.
        schema : dict or str, optional
            JSON Schema for ``msgpack``, CDDL for ``cbor``: kept in the file, every write is validated.
        pack, unpack : callable, optional
            For a dtype of your own: value -> bytes, and back. They are not kept in the file.

        Returns
        -------
        Column or VarSizeColumn

        Raises
        ------
        InvalidArgument
            If there is a column of this name, or an argument is wrong ("Unknown dtype").
        """
        if not self._create(name, dtype, chunk_bytes, schema, pack, unpack):
            raise InvalidArgument(f"there is a column {name!r} already")
        return self._open(name, pack, unpack)

    def ensure(
        self,
        name: str,
        dtype: str,
        chunk_bytes: int | None = None,
        *,
        schema: Any = None,
        pack: Pack | None = None,
        unpack: Unpack | None = None,
    ) -> Any:
        """Return the column of this name, made as `create_column` does if there is none.

        Raises
        ------
        InvalidArgument
            If there is one of another dtype, or with another schema than the one given.
        """
        if _kvault.column_find(self._handle, name) is None:
            self._create(name, dtype, chunk_bytes, schema, pack, unpack)
        column = self._open(name, pack, unpack)
        if not _kvault.same_dtype(column.dtype, dtype):
            raise InvalidArgument(f"column {name!r} holds {column.dtype}, got {dtype}")
        if schema is not None and column.schema != _kvault.schema_text(dtype, schema):
            raise InvalidArgument(f"column {name!r} has another schema")
        return column

    def _create(
        self, name: str, dtype: str, chunk_bytes: int | None, schema: Any, pack: Pack | None, unpack: Unpack | None
    ) -> bool:
        if (pack is None) != (unpack is None):
            raise InvalidArgument("pack and unpack go together")
        largest = self._chunks["max_chunk_bytes"] if chunk_bytes is None else chunk_bytes
        smallest = min(self._chunks["min_chunk_bytes"], largest)
        return _kvault.column_create(self._handle, name, dtype, smallest, largest, schema, pack is not None)

    def _open(self, name: str, pack: Pack | None = None, unpack: Unpack | None = None) -> Any:
        found = _kvault.column_find(self._handle, name)
        if found is None:
            raise NotFound(name, f"there is no column {name!r}")
        number, _, element_bytes = found
        column = self._alive.get(number)
        if column is None:
            kind = Column if element_bytes else VarSizeColumn
            # Another thread may have been faster; all get the same one.
            column = self._alive.setdefault(number, kind(self, name, pack, unpack))
        return column

    # ---- the mapping ----

    def __getitem__(self, name: str) -> Any:
        return self._open(name)

    def __contains__(self, name: object) -> bool:
        return _kvault.column_exists(self._handle, name)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, _, _ in self.list_columns()])

    def __len__(self) -> int:
        return len(self.list_columns())

    def __delitem__(self, name: str) -> None:
        if not self.delete_column(name):
            raise NotFound(name, f"there is no column {name!r}")

    def __eq__(self, other: object) -> bool:
        return self is other

    def list_columns(self) -> list[tuple[str, str, int]]:
        """Return (name, dtype, length) of each column, by name; pending elements count."""
        return _kvault.column_list(self._handle)

    def delete_column(self, name: str) -> bool:
        """Delete a column and all in it; False if there is none. Its handles raise `NotFound` from then on."""
        return _kvault.column_drop(self._handle, name)

    def rename_column(self, name: str, to: str) -> None:
        """Give a column another name; its handles follow.

        Raises
        ------
        NotFound
            If there is no such column.
        InvalidArgument
            If there is one of the new name.
        """
        _kvault.column_rename(self._handle, name, to)

    # ---- the handle ----

    def snapshot(self) -> Self:
        """Return a read-only handle of this class that sees everything as it is now, until it is closed."""
        vault = self.vault._over(self._handle.snapshot(), self.vault._options)
        return type(self)(vault, **self._chunks)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen_columns, (type(self), self._prepare_pickle(), self.vault._options, self._chunks)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path!r}{' closed' if self.closed else ''}>"
