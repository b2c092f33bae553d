"""A file of the older implementation, read-only, by its tables.

    kv, or any name      key BLOB, value BLOB
    col_meta             a row for each fixed-size column; two, NAME_data and NAME_idx, for one of any size
    col_chunks           the bytes of each row of col_meta, cut at its max_chunk_bytes

The index NAME_idx is a fixed-size column of triples of int32: the chunk of NAME_data that an element lies in,
and its first byte and end there. Files of the versions from 1.0 on keep their columns in kvault_col_* instead; those
are not read. Nothing is believed: what does not fit is `CorruptData` that says what, and no more than a few chunks
are in memory.
"""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from ..errors import CorruptData, InvalidArgument, IoError

TYPE_CHECKING = False  # see cache.py
if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

OUR_APPLICATION_ID = 0x4B564C54
INDEX_DTYPE, TRIPLE = "adaptive_idx", struct.Struct("<iii")
ROW_BYTES_MAX = 16 << 20  # a larger value is given out as a stream
CHUNKS_KEPT = 4
KNOWN = {"kohakuvault_meta", "col_meta", "col_chunks", "kvault_col_format", "kvault_col_columns"}


class OlderColumn(NamedTuple):
    """A column: `positions` is None where its elements have one size."""

    name: str
    dtype: str
    length: int
    data: Stored
    positions: Stored | None


class Stored(NamedTuple):
    """A row of col_meta: where its bytes are, and how they are cut."""

    id: int
    element_bytes: int
    chunk_bytes: int


class OlderFile:
    """One open file, as a context; the file and its log are never written to."""

    def __init__(self, path: Path) -> None:
        # Where there is no log nobody is writing, and SQLite is told to make none either. Where there is one it counts:
        # a WAL holds commits; a journal that would have to be played back into the file is an error.
        log_is_there = any(os.path.exists(f"{path}{suffix}") for suffix in ("-wal", "-journal"))
        uri = path.absolute().as_uri() + "?mode=ro" + ("" if log_is_there else "&immutable=1")
        self._db = sqlite3.connect(uri, uri=True, isolation_level=None)
        self._path = path

    def __enter__(self) -> Self:
        self._db.execute("BEGIN")  # one state of the file for all that is read
        try:
            (application,) = self._db.execute("PRAGMA application_id").fetchone()
        except sqlite3.OperationalError as exc:
            if not os.path.exists(f"{self._path}-journal"):
                raise
            raise IoError(
                f"{self._path} was left amid a change, by its journal {self._path}-journal: {exc}; "
                "open it, or a copy of both, with the program that wrote it"
            ) from exc
        if application == OUR_APPLICATION_ID:
            raise InvalidArgument(f"{self._path} has the format of this version already")
        self._names = [name for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._db.close()

    # ---- tables of keys and values ----

    def tables(self) -> list[str]:
        """Return the names of the tables of keys and values."""
        return [name for name in self._names if name not in KNOWN and self._is_of_keys(name)]

    def _is_of_keys(self, table: str) -> bool:
        rows = self._db.execute("SELECT name, upper(type) FROM pragma_table_info(?)", (table,)).fetchall()
        return rows == [("key", "BLOB"), ("value", "BLOB")]

    def count(self, table: str) -> int:
        return int(self._db.execute(f"SELECT count(*) FROM {_quoted(table)}").fetchone()[0])

    def pairs(self, table: str) -> Iterator[tuple[bytes, bytes | IO[bytes]]]:
        """Yield every key with its value; with a stream, to be read before the next, where the value is large."""
        query = f"SELECT rowid, key, length(value), CASE WHEN length(value) <= ? THEN value END FROM {_quoted(table)}"
        for row, key, size, value in self._db.execute(query, (ROW_BYTES_MAX,)):
            if (
                not isinstance(key, bytes)
                or not (value is None or isinstance(value, bytes))
                or not isinstance(size, int)
            ):
                raise CorruptData(f'row {row} of the table "{table}" holds something other than bytes')
            yield key, self._large(table, row) if value is None else value

    def _large(self, table: str, row: int) -> bytes | IO[bytes]:
        if hasattr(self._db, "blobopen"):  # Python 3.11
            blob: IO[bytes] = self._db.blobopen(table, "value", row, readonly=True)
            return blob
        value = self._db.execute(f"SELECT value FROM {_quoted(table)} WHERE rowid = ?", (row,)).fetchone()[0]
        return bytes(value)

    # ---- columns ----

    def columns(self) -> list[OlderColumn]:
        """Return the columns that can be read."""
        if "col_meta" not in self._names:
            return []
        query = "SELECT name, dtype, length, col_id, elem_size, max_chunk_bytes FROM col_meta ORDER BY col_id"
        rows = {name: (dtype, length, Stored(*stored)) for name, dtype, length, *stored in self._db.execute(query)}
        found = []
        for name, (dtype, length, stored) in rows.items():
            base = name.removesuffix("_data")
            index = rows.get(base + "_idx")
            if dtype == INDEX_DTYPE:
                continue
            if base != name and index is not None and index[0] == INDEX_DTYPE:
                found.append(OlderColumn(base, dtype, index[1], stored, index[2]))
            else:
                found.append(OlderColumn(name, dtype, length, stored, None))
        return found

    def unread(self) -> list[str]:
        """Return what is in the file and cannot be read here, in words."""
        found = []
        if "kvault_col_columns" in self._names:
            names = self._db.execute("SELECT name FROM kvault_col_columns ORDER BY name")
            found += [f'the column "{name}", which has the layout of a version from 1.0 on' for (name,) in names]
        known = KNOWN | set(self.tables())
        others = sorted(
            name for name in self._names if name not in known and not name.startswith(("sqlite_", "kvault_col_"))
        )
        return found + [f'the table "{name}", which has no columns key and value' for name in others]

    def blocks(self, column: OlderColumn) -> Iterator[bytes]:
        """Yield the elements of a fixed-size column, packed, a chunk at a time."""
        return self._cut(column.data, column.length)

    def _cut(self, stored: Stored, length: int) -> Iterator[bytes]:
        numbers = (length, *stored)
        if not all(isinstance(it, int) and it >= 0 for it in numbers) or not stored.element_bytes:
            raise CorruptData(f"its entry in col_meta holds {numbers}")
        if not stored.chunk_bytes or stored.chunk_bytes % stored.element_bytes:
            raise CorruptData(
                f"chunks of {stored.chunk_bytes} bytes do not hold whole elements of {stored.element_bytes}"
            )
        rest, number = length * stored.element_bytes, 0
        while rest:
            take = min(rest, stored.chunk_bytes)
            block = self._chunk(stored.id, number)[:take]
            if len(block) < take:
                raise CorruptData(f"chunk {number} ends after {len(block)} bytes of {take}")
            yield block
            rest, number = rest - take, number + 1

    def _chunk(self, column: int, number: int) -> bytes:
        query = "SELECT data FROM col_chunks WHERE col_id = ? AND chunk_idx = ?"
        row = self._db.execute(query, (column, number)).fetchone()
        if row is None or not isinstance(row[0], bytes):
            raise CorruptData(f"chunk {number} is missing")
        return row[0]

    def elements(self, column: OlderColumn) -> Iterator[bytes]:
        """Yield the elements of a column of any size, in order."""
        assert column.positions is not None
        chunks: dict[int, bytes] = {}
        if column.positions.element_bytes != TRIPLE.size:
            raise CorruptData(f"entries of its index have {column.positions.element_bytes} bytes")
        triples = (it for block in self._cut(column.positions, column.length) for it in TRIPLE.iter_unpack(block))
        for position, (number, start, end) in enumerate(triples):
            if number not in chunks:
                if len(chunks) == CHUNKS_KEPT:
                    del chunks[next(iter(chunks))]
                chunks[number] = self._chunk(column.data.id, number)
            if not 0 <= start <= end <= len(chunks[number]):
                raise CorruptData(
                    f"element {position} is said to be at bytes {start} to {end} of "
                    f"chunk {number}, which has {len(chunks[number])}"
                )
            yield chunks[number][start:end]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
