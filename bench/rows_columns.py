"""Rows 7 to 10, and the sizes of columns in row 18: lists on disk beside others. See `column_stores.py`."""

from __future__ import annotations

import os
import random
from itertools import cycle, islice
from typing import Any

from column_stores import NEEDS, open_list
from measure import Contender, Result, Row, Settings, timed, workers

BLOCK = 100_000  # numbers a call of extend
OPERATION = 1000  # numbers an operation of extend, iterate, array


def numbers_of(count: int, dtype: str = "f64") -> Any:
    import numpy as np

    dice = np.random.default_rng(0)
    return dice.random(count) if dtype == "f64" else dice.integers(-(1 << 62), 1 << 62, count)


def bytes_of(number: int, size: int) -> bytes:
    return random.Random(number).randbytes(size)


class Growing:
    """Numbers added to a column that begins empty in each slice; an operation is a thousand, or one append."""

    def __init__(self, folder: str, library: str, way: str, dtype: str = "f64") -> None:
        self.column = open_list(library, folder, dtype)
        self.block = numbers_of(BLOCK, dtype)
        self.values = self.block.tolist()
        self.run = getattr(self, way)
        self.expected = 0

    def prepare(self, count: int) -> None:
        self.check()
        self.column.clear()
        self.expected = 0

    def array(self, count: int) -> None:
        self._extend(count, self.column.extend_array, self.block)

    def list(self, count: int) -> None:
        self._extend(count, self.column.extend, self.values)

    def _extend(self, count: int, extend: Any, block: Any) -> None:
        left = count * OPERATION
        while left:
            part = min(left, BLOCK)
            extend(block[:part])
            left -= part
        self.expected = count * OPERATION

    def append(self, count: int) -> None:
        append = self.column.append
        for value in islice(cycle(self.values), count):
            append(value)
        self.expected = count

    def append_cached(self, count: int) -> None:
        append = self.column.append
        with self.column.cached():
            for value in islice(cycle(self.values), count):
                append(value)
        self.expected = count

    def check(self) -> None:
        assert self.column.length() == self.expected
        for at in range(0, self.expected, max(1, self.expected // 5)) if hasattr(self.column, "get") else ():
            assert self.column.get(at) == self.values[at % BLOCK]

    def close(self) -> None:
        self.check()
        self.column.close()


class Reading:
    """A column of numbers that is read: at random, by slices of 100, from front to back, as one array."""

    def __init__(self, folder: str, library: str, way: str, size: int) -> None:
        self.column = open_list(library, folder, "f64")
        self.numbers = numbers_of(size)
        (self.column.extend_array if hasattr(self.column, "extend_array") else self.column.extend)(self.numbers)
        self.values = self.numbers.tolist()
        self.places = [random.Random(5).randrange(size - 100) for _ in range(20_000)]
        self.run = getattr(self, way)

    def random(self, count: int) -> None:
        get, values = self.column.get, self.values
        assert get(self.places[0]) == values[self.places[0]]
        for at in islice(cycle(self.places), count):
            get(at)

    def slices(self, count: int) -> None:
        part, values = self.column.slice, self.values
        assert part(self.places[0], self.places[0] + 100) == values[self.places[0] : self.places[0] + 100]
        for at in islice(cycle(self.places), count):
            part(at, at + 100)

    def iterate(self, count: int) -> None:
        left = count * OPERATION
        while left > 0:
            for _ in islice(self.column.iterate(), left):
                pass
            left -= len(self.values)

    def array(self, count: int) -> None:
        """An operation is the whole column."""
        for _ in range(count):
            array = self.column.array()
            assert len(array) == len(self.values)
        assert array[-1] == self.values[-1]

    def close(self) -> None:
        self.column.close()


class Records:
    """A column of bytes of one size: appended, read, and edited in the middle."""

    def __init__(self, folder: str, library: str, way: str, size: int, count: int) -> None:
        self.column = open_list(library, folder, "bytes")
        self.pool = [bytes_of(i, size) for i in range(997)]
        self.dice = random.Random(9)
        self.way, self.count, self.version = way, count, 0
        if not way.startswith(("append", "extend")):
            self.column.extend([self.pool[i % 997] for i in range(count)])
        self.run = getattr(self, way)

    def prepare(self, count: int) -> None:
        if self.way in ("append", "extend"):
            self.column.clear()
        elif self.way == "delete":  # as long as it was, also with what this slice takes
            missing = max(self.count, 4 * count) - self.column.length()
            self.column.extend([self.pool[i % 997] for i in range(missing)])
        self.version += 1

    def append(self, count: int) -> None:
        append = self.column.append
        for value in islice(cycle(self.pool), count):
            append(value)
        assert self.column.length() == count

    def extend(self, count: int) -> None:
        left = count
        while left:
            part = min(left, len(self.pool))
            self.column.extend(self.pool[:part])
            left -= part
        assert self.column.length() == count

    def random(self, count: int) -> None:
        get = self.column.get
        assert get(5) == self.pool[5]
        for at in islice(cycle([self.dice.randrange(self.count) for _ in range(5000)]), count):
            get(at)

    def slices(self, count: int) -> None:
        assert self.column.slice(5, 7) == self.pool[5:7]
        for at in [self.dice.randrange(self.count - 100) for _ in range(count)]:
            self.column.slice(at, at + 100)

    def iterate(self, count: int) -> None:
        left = count
        while left > 0:
            left -= sum(1 for _ in islice(self.column.iterate(), left))

    def replace(self, count: int) -> None:
        for i in range(count):
            at = self.dice.randrange(self.count)
            value = self.pool[(self.version + i) % 997]
            self.column.replace(at, value)
        assert self.column.get(at) == value

    def delete(self, count: int) -> None:
        before = self.column.length()
        for _ in range(count):
            self.column.delete(before // 4)
        assert self.column.length() == before - count

    def insert(self, count: int) -> None:
        before = self.column.length()
        for i in range(count):
            self.column.insert(before // 2, self.pool[i % 997])
        assert self.column.length() == before + count

    def close(self) -> None:
        self.column.close()


class Dicts:
    """A column of small records as MessagePack: extended in blocks of a thousand, or read from front to back."""

    def __init__(self, folder: str, library: str, way: str) -> None:
        self.column = open_list(library, folder, "msgpack")
        self.block = [{"id": i, "name": f"user {i}", "score": i / 7, "tags": ["a", "b"]} for i in range(OPERATION)]
        if way == "iterate":
            self.column.extend(self.block)
        self.way, self.run = way, getattr(self, way)

    def prepare(self, count: int) -> None:
        if self.way == "extend":
            self.column.clear()

    def extend(self, count: int) -> None:
        for _ in range(count):
            self.column.extend(self.block)
        assert self.column.get(-1) == self.block[-1]

    def iterate(self, count: int) -> None:
        for _ in range(count):
            assert sum(1 for _ in self.column.iterate()) == OPERATION

    def close(self) -> None:
        self.column.close()


class Sized:
    """A column filled once; its size in the file is asked for."""

    def __init__(self, folder: str, library: str, dtype: str, way: str, count: int, size: int) -> None:
        self.folder, self.payload = folder, count * size
        column = open_list(library, folder, dtype)
        if way == "append_cached":
            with column.cached():
                for value in numbers_of(count).tolist():
                    column.append(value)
        else:
            column.extend([bytes_of(i % 997, size) for i in range(count)])
        column.close()

    def run(self, count: int) -> None:
        pass

    def ratio(self) -> float:
        return sum(entry.stat().st_size for entry in os.scandir(self.folder)) / self.payload


def contender(library: str, factory: str, options: dict[str, Any]) -> Contender:
    return Contender(library, "rows_columns", factory, {"library": library, **options}, NEEDS[library])


def row(number: str, work: str, factory: str, goals: dict[str, float | None], **options: Any) -> Row:
    """A row: ours beside the libraries that `goals` names."""
    peers = [contender(library, factory, options) for library in goals]
    wanted = {library: goal for library, goal in goals.items() if goal is not None}
    return Row(number, work, timed(contender("ours", factory, options), peers), goals=wanted)


def sizes(work: str, goal: float, peers: list[str], **options: Any) -> Row:
    """File / payload; the ratio is theirs to ours, so that above 1 we are smaller."""

    def measure(settings: Settings) -> list[Result]:
        contenders = [contender(library, "Sized", options) for library in ["ours", *peers]]
        with workers(contenders, settings) as started:
            ours, *others = [worker.call("ratio") for worker in started]
        note = f"goal {goal:g}"
        shown = [Result(name, value, value / ours) for name, value in zip(peers, others, strict=True)]
        return [Result("ours", ours, note=note), *shown]

    return Row("18", f"{work} (goal {goal:g})", measure, unit="x")


def rows(settings: Settings) -> list[Row]:
    million = settings.sized(1_000_000)
    shown = [
        row("7", "extend f64 from NumPy, a thousand", "Growing", {"R11": 1, "h5py": 1, "zarr": None}, way="array"),
        row("7", "extend f64 from a list, a thousand", "Growing", {"R6": 3, "R11": 3, "h5py": None}, way="list"),
        row("8", "append f64, no cache", "Growing", {"sqlite3": None, "R6": 5, "R11": 5}, way="append"),
        row("8", "append f64, cached", "Growing", {"R6": 6, "R11": None, "list": 0.25}, way="append_cached"),
        row(
            "9",
            "col[i], random, 1M f64",
            "Reading",
            {"list": 0.33, "R6": None, "R11": None, "h5py": None},
            way="random",
            size=million,
        ),
        row(
            "9",
            "col[i:i+100]",
            "Reading",
            {"array": 0.77, "R6": None, "R11": None, "h5py": None},
            way="slices",
            size=million,
        ),
        row("9", "iterate, a thousand", "Reading", {"list": None, "R11": None, "h5py": 1}, way="iterate", size=million),
        *(
            row(
                "9",
                f"to_numpy, {size // 125_000} MB",
                "Reading",
                {"memmap": 0.3, "R11": 1.4, "h5py": None, "zarr": None},
                way="array",
                size=settings.sized(size),
            )
            for size in (1_000_000, 10_000_000)
        ),
    ]
    for size, count in ((50, 100_000), (500, 40_000), (5000, 8000)):
        count = settings.sized(count) + 200
        appended = 5 if size < 5000 else 2.8
        edited = {"sqlite3": 0.5, "R6": 5, "R11": 5}
        deleted, inserted = {"R6": 5, "R11": 5}, {"R11": 5}  # 0.6.0 has no insert
        for work, goals, way in (
            ("append, no cache", {"sqlite3": 0.9, "R6": appended, "R11": appended}, "append"),
            ("extend", {"sqlite3": 1.3, "R6": 1.5, "R11": 1.5}, "extend"),
            ("get, random", {"sqlite3": 4, "R6": None, "R11": None}, "random"),
            ("slice of 100", {"sqlite3": 3, "R11": None}, "slices"),
            ("iterate", {"sqlite3": 1.5, "R11": None}, "iterate"),
            ("replace in place", edited, "replace"),
            ("delete in the middle", deleted, "delete"),
            ("insert in the middle", inserted, "insert"),
        ):
            shown.append(row("10", f"{size} B: {work}", "Records", goals, way=way, size=size, count=count))
    return [
        *shown,
        sizes("file / payload, 8-byte elements", 1.03, [], dtype="f64", way="append_cached", count=million, size=8),
        sizes(
            "file / payload, 50 B records",
            1.12,
            ["sqlite3"],
            dtype="bytes",
            way="extend",
            count=settings.sized(200_000),
            size=50,
        ),
    ]
