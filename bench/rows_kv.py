"""Rows 1 to 6: the key-value store beside others. Keys and values are the same for all; see `kv_stores.py`."""

from __future__ import annotations

import io
import random
import threading
from collections.abc import Callable, Iterator
from itertools import count as count_from
from itertools import cycle, islice
from typing import Any

from kv_stores import NEEDS, open_store
from measure import Contender, Row, Settings, timed

BODIES = [random.Random(i).randbytes(1 << 20) for i in range(2)]
PREFIX_KEYS = 100
STREAMED = 64  # MiB in one operation of `Streamer`


def key_of(number: int) -> bytes:
    return b"key%09d" % number


def value_of(number: int, version: int, size: int) -> bytes:
    """Return a value that no other key or version has; a version changes its every 4,000 bytes, so every page."""
    start = (number * 7919 + version * 104_729) % (len(BODIES[0]) - size)
    return (b"%08d%08d" % (number, version) + BODIES[version % 2][start : start + size])[:size]


def pairs_of(count: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    return ((key_of(i), value_of(i, 0, size)) for i in range(count))


def fill(store: Any, keys: int, size: int) -> None:
    """Store `keys` values in transactions of about 16 MiB."""
    pairs = pairs_of(keys, size)
    step = max(1, (16 << 20) // max(size, 1000))
    while batch := list(islice(pairs, step)):
        store.bulk(batch) if hasattr(store, "bulk") else [store.put(*pair) for pair in batch]
    assert store.count() == keys


class Writer:
    """Values written again and again under random keys out of `keys`; afterwards some are read and compared."""

    def __init__(self, folder: str, library: str, keys: int, size: int, way: str) -> None:
        self.store = open_store(library, folder)
        self.keys, self.size, self.version = keys, size, 0
        self.dice = random.Random(5)
        self.seen: dict[bytes, bytes] = {}
        self.pairs: list[tuple[bytes, bytes]] = []
        self.run = getattr(self, way)

    def prepare(self, count: int) -> None:
        self.check()
        self.version += 1
        numbers = [self.dice.randrange(self.keys) for _ in range(count)]
        self.pairs = [(key_of(i), value_of(i, self.version, self.size)) for i in numbers]

    def check(self) -> None:
        self.seen.update(self.pairs)
        assert self.store.count() == len(self.seen)
        for key, _ in self.pairs[:20] + self.pairs[-20:]:
            assert self.store.get(key) == self.seen[key], key

    def one_by_one(self, count: int) -> None:
        put = self.store.put
        for key, value in self.pairs:
            put(key, value)

    def many(self, count: int) -> None:
        for start in range(0, count, 1000):
            self.store.many(self.pairs[start : start + 1000])

    def bulk(self, count: int) -> None:
        self.store.bulk(self.pairs)

    def bulk_and_checkpoint(self, count: int) -> None:
        self.store.bulk(self.pairs)
        self.store.checkpoint()

    def close(self) -> None:
        self.check()
        self.store.close()


class Reader:
    """Values read at random out of `keys` that fit, or do not fit, into the page cache."""

    def __init__(
        self, folder: str, library: str, keys: int, size: int, way: str = "get", cache_kb: int = 65536
    ) -> None:
        self.store = open_store(library, folder, cache_kb=cache_kb)
        fill(self.store, keys, size)
        self.store.checkpoint() if hasattr(self.store, "checkpoint") else None
        self.size, self.total = size, keys
        dice = random.Random(7)
        # As many as there are, so that a working set that is to be large is.
        self.numbers = [dice.randrange(keys) for _ in range(max(keys, 4096))]
        self.keys = cycle([key_of(i) for i in self.numbers])
        self.absent = cycle([b"absent%09d" % i for i in self.numbers])
        self.run = getattr(self, way)

    def prepare(self, count: int) -> None:
        for i in self.numbers[:3]:
            assert self.store.get(key_of(i)) == value_of(i, 0, self.size)

    def get(self, count: int) -> None:
        get, bytes_read = self.store.get, 0
        for key in islice(self.keys, count):
            bytes_read += len(get(key))
        assert bytes_read == count * self.size

    def hit(self, count: int) -> None:
        contains = self.store.contains
        assert all(contains(key) for key in islice(self.keys, count))

    def miss(self, count: int) -> None:
        contains = self.store.contains
        assert not any(contains(key) for key in islice(self.absent, count))

    def length(self, count: int) -> None:
        length = self.store.count
        assert all(length() == self.total for _ in range(count))

    def get_many(self, count: int) -> None:
        for _ in range(-(-count // 100)):
            assert sum(map(len, self.store.get_many(list(islice(self.keys, 100))))) == 100 * self.size

    def prefix(self, count: int) -> None:
        for number in islice(cycle(self.numbers), count):
            start = key_of(number)[:-2]
            found = list(self.store.prefix(start))
            assert len(found) == PREFIX_KEYS, (start, len(found))

    def close(self) -> None:
        self.store.close()


class Walker:
    """Keys or items from the first to the last, over and over; a slice goes on where the one before stopped."""

    def __init__(self, folder: str, library: str, keys: int, size: int, way: str) -> None:
        self.store = open_store(library, folder)
        fill(self.store, keys, size)
        self.total, self.begin = keys, getattr(self.store, way)
        self.at, self.walk = 0, iter(self.begin())

    def run(self, count: int) -> None:
        left = count
        while left:
            got = sum(1 for _ in islice(self.walk, left))
            self.at += got
            if got < left:
                assert self.at == self.total, self.at
                self.at, self.walk = 0, iter(self.begin())
            left -= got

    def close(self) -> None:
        self.walk = iter(())
        self.store.close()


class Blank(io.RawIOBase):
    """A reader of so many bytes, a MiB again and again; a writer that counts, and compares the beginnings."""

    def __init__(self, size: int) -> None:
        self.left, self.got = size, 0
        self.body = BODIES[0]

    def read(self, size: int = -1) -> bytes:
        part = min(len(self.body), size, self.left)
        self.left -= part
        return self.body if part == len(self.body) else self.body[:part]

    def write(self, data: Any) -> int:
        count = memoryview(data).nbytes
        assert bytes(memoryview(data)[:8]) == self.body[self.got % len(self.body) :][:8]
        self.got += count
        return count


class Gated(Blank):
    """The same, that lets no more through than it was allowed: so a large value can be moved slice by slice."""

    def __init__(self, size: int, gate: threading.Semaphore, passed: threading.Semaphore) -> None:
        super().__init__(size)
        self.gate, self.passed = gate, passed

    def read(self, size: int = -1) -> bytes:
        if self.left:
            self.gate.acquire()
        data = super().read(size)
        if data:
            self.passed.release()
        return data

    def write(self, data: Any) -> int:
        self.gate.acquire()
        count = super().write(data)
        self.passed.release()
        return count


class Streamer:
    """Values of `size` MiB in or out, 1 MiB at a time, over and over; two keys, so that what is written replaces.

    An operation is 64 MiB, so that a slice has its share of checkpoints. A thread does the work, since a library takes
    a whole file at once; what the end of a value costs is in the slice after it.
    """

    def __init__(self, folder: str, library: str, size: int, way: str) -> None:
        self.store = open_store(library, folder)
        self.size = size << 20
        self.gate, self.passed = threading.Semaphore(0), threading.Semaphore(0)
        self.failure: list[BaseException] = []
        self.store.put_file(key_of(0), Blank(self.size), size=self.size)
        threading.Thread(target=self.work, args=(getattr(self, way),), daemon=True).start()

    def work(self, move: Callable[[int], None]) -> None:
        try:
            for turn in count_from(0):
                move(turn)
        except BaseException as exc:
            self.failure.append(exc)
            self.passed.release(1 << 20)

    def put_file(self, turn: int) -> None:
        self.store.put_file(key_of(turn % 2), Gated(self.size, self.gate, self.passed), size=self.size)

    def get_to_file(self, turn: int) -> None:
        sink = Gated(0, self.gate, self.passed)
        self.store.get_to_file(key_of(0), sink)
        assert sink.got == self.size

    def run(self, count: int) -> None:
        self.gate.release(count * STREAMED)
        for _ in range(count * STREAMED):
            self.passed.acquire()
        assert not self.failure, self.failure


def between(factory: str, libraries: dict[str, float | None], *, burst: int = 1, **options: Any) -> dict[str, Any]:
    """The arguments of a row in which ours and the others do the same: what is measured, and the goals."""

    def contender(library: str) -> Contender:
        return Contender(library, "rows_kv", factory, {"library": library, **options}, NEEDS[library])

    measure: Callable[..., Any] = timed(contender("ours"), [contender(library) for library in libraries], burst)
    return {"measure": measure, "goals": {name: goal for name, goal in libraries.items() if goal is not None}}


def rows(settings: Settings) -> list[Row]:
    small, large, million = settings.sized(100_000), settings.sized(8_000), settings.sized(1_000_000)
    everybody = dict.fromkeys(["sqlite3", "R6", "R11", "diskcache", "sqlitedict", "lmdb"])

    def writing(way: str, size: int, **goals: float | None) -> dict[str, Any]:
        return between("Writer", goals, keys=large if size > 1000 else small, size=size, way=way)

    def reading(size: int, keys: int, libraries: dict[str, float | None], **options: Any) -> dict[str, Any]:
        return between("Reader", libraries, keys=keys, size=size, **options)

    def streaming(way: str, **goals: float | None) -> dict[str, Any]:
        size = max(2, settings.sized(512) // STREAMED) * STREAMED  # SQLite holds no blob of 1 GB: R has its limit there
        return between("Streamer", goals, burst=size // STREAMED, size=size, way=way)

    short = "bulk_and_checkpoint"
    scanned = {"sqlite3": None, "lmdb": 0.7, "R11": 2.5}
    beside = {"lmdb": 1.0, "sqlite3": 1.0, "R6": None, "R11": None, "diskcache": None}
    cold = {"sqlite3": 0.95, "R6": 1.15, "R11": 1.15}
    return [
        Row(
            "1",
            "put 16 KiB, cache 64 MiB, flush, checkpoint",
            **writing(short, 16384, sqlite3=1.4, R6=2, R11=2, diskcache=2, lmdb=None),
        ),
        Row(
            "2",
            "put one by one, 100 B",
            **writing(
                "one_by_one", 100, **{**everybody, "sqlite3": 1, "R6": 2.5, "R11": 2.5, "diskcache": 2, "sqlitedict": 4}
            ),
        ),
        Row(
            "2",
            "put one by one, 16 KiB",
            **writing(
                "one_by_one",
                16384,
                **{**everybody, "sqlite3": 1, "R6": 2, "R11": 2, "diskcache": 1.4, "sqlitedict": 1.8},
            ),
        ),
        Row("2", "put_many of 1,000, 100 B", **writing("many", 100, sqlite3=1, R11=1, lmdb=None)),
        Row("2", "cached put and flush, 100 B", **writing("bulk", 100, sqlite3=1, R6=None, R11=1, lmdb=None)),
        *(
            Row(
                "3",
                f"get hot, random, {size} B",
                **reading(
                    size,
                    settings.sized(2000),
                    {"lmdb": goal, "lmdb, 1 txn": None, "R6": 10, "R11": 10, "diskcache": 30},
                ),
            )
            for size, goal in ((100, 1.3), (1024, 2.5), (16384, 4))
        ),
        Row("3", "get, working set larger than the cache, 1 KiB", **reading(1024, small, beside, cache_kb=16384)),
        Row("3", "in, hit", **reading(100, small, {"lmdb": 1.0, "R11": None, "sqlite3": None}, way="hit")),
        Row("3", "in, miss", **reading(100, small, {"lmdb": 1.0, "R11": None, "sqlite3": None}, way="miss")),
        Row("3", "len", **reading(100, small, {"lmdb": None, "R11": None}, way="length")),
        Row("3", "get_many of 100, 100 B", **reading(100, small, {"R11": None}, way="get_many")),
        Row("4", "get cold, random 16 KiB", **reading(16384, settings.sized(16_000), cold, cache_kb=8192)),
        Row("5", "iterate keys, a million", **between("Walker", scanned, keys=million, size=100, way="keys")),
        Row("5", "iterate items, a million", **between("Walker", scanned, keys=million, size=100, way="items")),
        Row(
            "5",
            "keys of a prefix, 100",
            **reading(
                100, max(200, small // 200 * 200), {"sqlite3": 0.7, "lmdb": 0.7, "R6": 4, "R11": 4}, way="prefix"
            ),
        ),
        Row(
            "6",
            "stream in, values of 512 MiB, each 64 MiB",
            **streaming("put_file", R6=2, R11=2, diskcache=None, file=None),
        ),
        Row(
            "6",
            "stream out, values of 512 MiB, each 64 MiB",
            **streaming("get_to_file", R6=1, R11=1, diskcache=None, file=0.5),
        ),
    ]
