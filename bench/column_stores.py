"""The lists on disk, and in memory, that the benchmarks compare, behind the same few calls.

A list has `extend`, `append`, `get(i)`, `slice(i, j)`, `iterate()`, `length()`, `clear()` and, as far as the library
can, `array()` (all of it as a NumPy array), `replace(i, value)`, `delete(i)`, `insert(i, value)`, `cached()` (a
context in which appends gather) and `close()`. `get` and the like are the library's own bound methods where possible.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

NEEDS = {
    "ours": "",
    "R6": "kohakuvault==0.6.0",
    "R11": "kohakuvault==1.1.0",
    "h5py": "h5py",
    "zarr": "zarr",
    "sqlite3": "",
    "list": "",
    "array": "",
    "memmap": "",
}
NUMPY = {"f64": "<f8", "i64": "<i8"}


def open_list(library: str, folder: str, dtype: str) -> Any:
    return OPENERS[library](folder, dtype)


class KohakuVault:
    """Ours, and the older implementation, whose calls have the same names."""

    def __init__(self, folder: str, dtype: str) -> None:
        from kohakuvault import ColumnVault, KVault

        self.kv: Any = KVault(os.path.join(folder, "columns.db"))
        self.columns: Any = ColumnVault(self.kv)
        self.dtype, self.number = dtype, 0
        self.clear()

    def clear(self) -> None:
        """Begin a new column: emptying an old one costs the older implementation more than the work itself."""
        if self.number:
            self.columns.delete_column(f"c{self.number}")
        self.number += 1
        self.column: Any = self.columns.create_column(f"c{self.number}", self.dtype)
        self.append: Callable[[Any], None] = self.column.append
        self.extend = self.column.extend
        self.get = self.column.__getitem__
        self.replace = self.column.__setitem__
        self.delete = self.column.__delitem__
        self.insert = self.column.insert
        self.length: Callable[[], int] = lambda: len(self.column)
        self.iterate: Callable[[], Iterable[Any]] = lambda: iter(self.column)

    def extend_array(self, values: Any) -> None:
        """Version 0.6.0 knows no arrays, 1.1.0 has a call of its own for them."""
        if hasattr(self.column, "append_array"):
            self.column.append_array(values)
        else:
            self.column.extend(values if hasattr(self.column, "to_numpy") else values.tolist())

    def slice(self, start: int, stop: int) -> list[Any]:
        part: list[Any] = self.column[start:stop]
        return part

    def array(self) -> Any:
        if hasattr(self.column, "to_numpy"):
            return self.column.to_numpy()
        return self.column.read_array(copy=True)

    def cached(self) -> Any:
        return self.column.cache()

    def close(self) -> None:
        self.kv.close()


class Hdf5:
    """A resizable dataset in chunks of 64 KiB."""

    def __init__(self, folder: str, dtype: str) -> None:
        import h5py

        self.file = h5py.File(os.path.join(folder, "t.h5"), "w")
        self.dtype, self.number = NUMPY[dtype], 0
        self.clear()

    def clear(self) -> None:
        if self.number:
            del self.file[f"c{self.number}"]
        self.number += 1
        self.data = self.file.create_dataset(
            f"c{self.number}", shape=(0,), maxshape=(None,), chunks=(8192,), dtype=self.dtype
        )
        self.get = self.data.__getitem__

    def extend(self, values: Any) -> None:
        size = len(self.data)
        self.data.resize((size + len(values),))
        self.data[size:] = values

    extend_array = extend

    def append(self, value: Any) -> None:
        self.extend([value])

    def length(self) -> int:
        return len(self.data)

    def slice(self, start: int, stop: int) -> list[Any]:
        part: list[Any] = self.data[start:stop].tolist()
        return part

    def array(self) -> Any:
        return self.data[:]

    def iterate(self) -> Iterable[Any]:
        return iter(self.data[:].tolist())

    def close(self) -> None:
        self.file.close()


class Zarr:
    """An array in a folder, without compression, in chunks of 512 KiB."""

    def __init__(self, folder: str, dtype: str) -> None:
        import zarr

        self.zarr, self.folder, self.dtype, self.number = zarr, folder, NUMPY[dtype], 0
        self.clear()

    def clear(self) -> None:
        self.number += 1
        self.data: Any = self.zarr.create_array(
            os.path.join(self.folder, f"c{self.number}"),
            shape=(0,),
            chunks=(65536,),
            dtype=self.dtype,
            compressors=None,
        )

    def extend_array(self, values: Any) -> None:
        self.data.append(values)

    def length(self) -> int:
        return int(self.data.shape[0])

    def array(self) -> Any:
        return self.data[:]

    def close(self) -> None:
        pass


class SqliteRows:
    """An element is a row of a table of Python's own module: WAL, NORMAL, a checkpoint each 16 MiB."""

    def __init__(self, folder: str, dtype: str) -> None:
        import sqlite3

        self.db = sqlite3.connect(os.path.join(folder, "rows.db"), isolation_level=None, cached_statements=50)
        for pragma in ("page_size=8192", "journal_mode=WAL", "synchronous=NORMAL", "secure_delete=OFF"):
            self.db.execute(f"pragma {pragma}")
        self.db.execute("pragma wal_autocheckpoint=2048")
        self.clear()

    def clear(self) -> None:
        self.db.execute("drop table if exists t")
        self.db.execute("create table t(n integer primary key, value)")
        self.size = 0

    def append(self, value: Any) -> None:
        self.db.execute("insert into t values (?, ?)", (self.size, value))
        self.size += 1

    def extend(self, values: Any) -> None:
        self.db.execute("begin")
        self.db.executemany("insert into t values (?, ?)", enumerate(values, self.size))
        self.db.execute("commit")
        self.size += len(values)

    def length(self) -> int:
        return self.size

    def get(self, at: int) -> Any:
        return self.db.execute("select value from t where n = ?", (at,)).fetchone()[0]

    def slice(self, start: int, stop: int) -> list[Any]:
        rows = self.db.execute("select value from t where n >= ? and n < ? order by n", (start, stop))
        return [row[0] for row in rows]

    def iterate(self) -> Iterable[Any]:
        return (row[0] for row in self.db.execute("select value from t order by n"))

    def replace(self, at: int, value: Any) -> None:
        self.db.execute("update t set value = ? where n = ?", (value, at))

    def close(self) -> None:
        self.db.close()


class Memory:
    """A list of Python's."""

    def __init__(self, folder: str, dtype: str) -> None:
        self.clear()

    def clear(self) -> None:
        self.values: list[Any] = []
        self.append, self.extend, self.get = self.values.append, self.values.extend, self.values.__getitem__
        self.cached = nullcontext
        self.length: Callable[[], int] = lambda: len(self.values)
        self.iterate: Callable[[], Iterable[Any]] = lambda: iter(self.values)

    def slice(self, start: int, stop: int) -> list[Any]:
        return self.values[start:stop]

    def close(self) -> None:
        pass


class Array(Memory):
    """An array of the standard library: a slice is made a list."""

    def clear(self) -> None:
        from array import array

        self.values: Any = array("d")
        self.extend = self.values.extend
        self.length = lambda: len(self.values)

    def slice(self, start: int, stop: int) -> list[Any]:
        part: list[Any] = self.values[start:stop].tolist()
        return part


class Memmap:
    """A plain file of numbers, mapped; `array` copies it."""

    def __init__(self, folder: str, dtype: str) -> None:
        self.path, self.dtype = os.path.join(folder, "numbers"), NUMPY[dtype]

    def clear(self) -> None:
        pass

    def extend_array(self, values: Any) -> None:
        values.tofile(self.path)
        self.size = len(values)

    def length(self) -> int:
        return self.size

    def array(self) -> Any:
        import numpy as np

        return np.array(np.memmap(self.path, dtype=self.dtype, mode="r"))

    def close(self) -> None:
        pass


OPENERS: dict[str, Callable[[str, str], Any]] = {
    "ours": KohakuVault,
    "R6": KohakuVault,
    "R11": KohakuVault,
    "h5py": Hdf5,
    "zarr": Zarr,
    "sqlite3": SqliteRows,
    "list": Memory,
    "array": Array,
    "memmap": Memmap,
}
