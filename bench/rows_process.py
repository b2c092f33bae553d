"""Rows 16 to 18: threads beside processes, the time to begin, and how large files and memory get."""

from __future__ import annotations

import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from kv_stores import NEEDS, open_store
from measure import Contender, Result, Row, Settings, Unavailable, environment, timed, workers
from rows_kv import Blank, Reader, fill, key_of, value_of

# ---- row 16 ----


class Threads:
    """`Reader`'s work, split over so many threads."""

    parallel = True

    def __init__(self, threads: int, folder: str, keys: int, size: int, way: str, cache_kb: int = 65536) -> None:
        self.reader = Reader(folder, "ours", keys, size, "get", cache_kb)
        self.size, self.way, self.threads = size, way, threads
        self.pool = ThreadPoolExecutor(threads)
        self.parts = [[key_of(i) for i in self.reader.numbers[part::threads]] for part in range(threads)]

    def run(self, count: int) -> None:
        each = -(-count // self.threads)
        jobs = [self.pool.submit(read_part, self.reader.store, part, each, self.size, self.way) for part in self.parts]
        for job in jobs:
            job.result()

    def close(self) -> None:
        self.pool.shutdown()
        self.reader.close()


def read_part(store: Any, keys: list[bytes], count: int, size: int, way: str) -> None:
    """Read `count` values under random keys, by the call that `way` names."""
    start = random.randrange(len(keys))
    got, left = 0, count
    while left > 0:
        part = keys[start : start + min(left, 1000)]
        start = (start + len(part)) % len(keys)
        left -= len(part)
        if way == "get_many":
            got += sum(map(len, store.get_many(part)))
        elif way == "stream":
            sinks = [Sink() for _ in part]
            for key, sink in zip(part, sinks, strict=True):
                store.get_to_file(key, sink)
            got += sum(sink.got for sink in sinks)
        else:
            get = store.get
            for key in part:
                got += len(get(key))
    assert got == count * size, (got, count, size)


class Sink:
    got = 0

    def write(self, data: Any) -> int:
        self.got += len(data)
        return len(data)


class Processes:
    """The same, split over so many processes."""

    parallel = True

    def __init__(self, processes: int, folder: str, keys: int, size: int, way: str, cache_kb: int = 65536) -> None:
        reader = Reader(folder, "ours", keys, size, "get", cache_kb)
        reader.close()
        self.pipes: list[Connection] = []
        self.children = []
        context = multiprocessing.get_context("spawn")
        for part in range(processes):
            ours, theirs = context.Pipe()
            mine = [key_of(i) for i in reader.numbers[part::processes]]
            arguments = (theirs, folder, mine, size, way, cache_kb)
            child = context.Process(target=read_when_told, args=arguments, daemon=True)
            child.start()
            self.pipes.append(ours)
            self.children.append(child)
        for pipe in self.pipes:
            assert pipe.recv() == "ready"

    def run(self, count: int) -> None:
        for pipe in self.pipes:
            pipe.send(-(-count // len(self.pipes)))
        for pipe in self.pipes:
            assert pipe.recv() == "done"

    def close(self) -> None:
        for pipe, child in zip(self.pipes, self.children, strict=True):
            pipe.send(0)
            child.join()


def read_when_told(pipe: Connection, folder: str, keys: list[bytes], size: int, way: str, cache_kb: int) -> None:
    store = open_store("ours", folder, cache_kb=cache_kb)
    pipe.send("ready")
    while count := pipe.recv():
        read_part(store, keys, count, size, way)
        pipe.send("done")
    store.close()


class BesideAWriter:
    """Values read while a process of its own writes others, as fast as it can, in this slice alone."""

    parallel = True

    def __init__(self, library: str, folder: str, keys: int, size: int) -> None:
        self.store = open_store(library, folder)
        fill(self.store, keys, size)
        self.keys = [key_of(i) for i in range(keys)]
        random.Random(3).shuffle(self.keys)
        self.size = size
        context = multiprocessing.get_context("spawn")
        self.go, self.end = context.Event(), context.Event()
        self.go.set()
        arguments = (self.go, self.end, library, folder, size)
        self.child = context.Process(target=write_when_told, args=arguments, daemon=True)
        self.child.start()
        while not self.store.contains(b"written000000"):
            time.sleep(0.01)
        self.go.clear()

    def prepare(self, count: int) -> None:
        self.go.set()

    def run(self, count: int) -> None:
        read_part(self.store, self.keys, count, self.size, "get")
        self.go.clear()

    def close(self) -> None:
        self.end.set()
        self.go.set()
        self.child.join()
        assert self.child.exitcode == 0
        self.store.close()


def write_when_told(go: Any, end: Any, library: str, folder: str, size: int) -> None:
    # The other process has set up the file; opening it again is no part of what is compared.
    put = open_store("ours", folder).put if library == "ours" else sqlite_writer(folder)
    number = 0
    while not end.is_set():
        go.wait()
        put(b"written%06d" % (number % 1000), value_of(number, number, size))
        number += 1


def sqlite_writer(folder: str) -> Callable[[bytes, bytes], None]:
    import sqlite3

    db = sqlite3.connect(os.path.join(folder, "t.db"), isolation_level=None, timeout=60)
    db.execute("pragma synchronous=NORMAL")

    def put(key: bytes, value: bytes) -> None:
        db.execute("insert or replace into t values (?, ?)", (key, value))

    return put


def threads_beside(settings: Settings, way: str, size: int, cache_kb: int, other: str) -> Callable[..., list[Result]]:
    """Two threads together, compared with one, or with two processes."""
    options = {"keys": settings.sized(min(20_000, (320 << 20) // size)), "size": size, "way": way, "cache_kb": cache_kb}
    ours = Contender("two threads", "rows_process", "Threads", {"threads": 2, **options})
    if other == "one thread":
        return timed(ours, [Contender(other, "rows_process", "Threads", {"threads": 1, **options})])
    return timed(ours, [Contender(other, "rows_process", "Processes", {"processes": 2, **options})])


def beside_a_writer(settings: Settings) -> Callable[..., list[Result]]:
    options = {"keys": settings.sized(20_000), "size": 1024}
    ours, peer = (
        Contender(library, "rows_process", "BesideAWriter", {"library": library, **options})
        for library in ("ours", "sqlite3")
    )
    return timed(ours, [peer])


# ---- row 17 ----

OPEN = {
    "ours": "kv = KVault(sys.argv[1]); value = kv[b'key000000001']",
    "R6": "kv = KVault(sys.argv[1]); value = kv[b'key000000001']",
    "R11": "kv = KVault(sys.argv[1]); value = kv[b'key000000001']",
    "lmdb": "env = lmdb.open(sys.argv[1]); value = env.begin().get(b'key000000001')",
    "sqlite3": "db = sqlite3.connect(sys.argv[1]); value = "
    "db.execute('select value from t where key = ?', (b'key000000001',)).fetchone()[0]",
    "diskcache": "kv = diskcache.Cache(sys.argv[1]); value = kv[b'key000000001']",
}
IMPORTS = {"ours": "from kohakuvault import KVault", "R6": "from kohakuvault import KVault"}
IMPORTS["R11"] = IMPORTS["R6"]
FILES = {"ours": "kv.db", "R6": "kv.db", "R11": "kv.db", "sqlite3": "t.db", "lmdb": "", "diskcache": ""}


def seconds_of(library: str, what: str, folder: str) -> float:
    """Run a fresh process and return how long it says that the import, or the opening and a first get, took."""
    imported = IMPORTS.get(library, f"import {library}")
    first, second = (imported, "") if what == "import" else ("", OPEN[library])
    script = f"import sys, time\n{'' if first else imported}\nbegan = time.perf_counter()\n{first or second}\n"
    script += "took = time.perf_counter() - began\n"
    if second:
        script += "assert len(value) == 100\n"
    script += "print(took)"
    done = subprocess.run(
        [sys.executable, "-c", script, os.path.join(folder, FILES[library])],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": ":".join(environment(NEEDS[library]))},
    )
    return float(done.stdout)


def beginnings(libraries: list[str], what: str) -> Callable[[Settings], list[Result]]:
    def measure(settings: Settings) -> list[Result]:
        with tempfile.TemporaryDirectory(dir=settings.folder) as place:
            times: dict[str, list[float]] = {}
            absent = []
            for library in libraries:
                try:
                    make_file(library, place)
                    times[library] = []
                except Unavailable as exc:
                    absent.append(Result(library, note=str(exc)))
            for _ in range(settings.pairs + 1):
                for library, seen in times.items():
                    seen.append(seconds_of(library, what, os.path.join(place, library)))
        # The first round reads the libraries into the system's cache.
        ours = times["ours"][1:]
        results = []
        for library, seen in times.items():
            ratios = [theirs / mine for theirs, mine in zip(seen[1:], ours, strict=True)]
            low, ratio, high = statistics.quantiles(ratios, n=4)
            value = statistics.median(seen[1:]) * 1e3
            results.append(
                Result(library, value, pairs=len(ours))
                if library == "ours"
                else Result(library, value, ratio, low, high, len(ours))
            )
        return results + absent

    return measure


def make_file(library: str, place: str) -> None:
    """Let a process that has the library make a small store."""
    folder = os.path.join(place, library)
    os.makedirs(folder, exist_ok=True)
    script = "import sys; sys.path.insert(0, sys.argv[3]); import kv_stores, rows_kv\n"
    script += "store = kv_stores.open_store(sys.argv[1], sys.argv[2]); rows_kv.fill(store, 100, 100); store.close()"
    subprocess.run(
        [sys.executable, "-c", script, library, folder, str(Path(__file__).parent)],
        check=True,
        env={**os.environ, "PYTHONPATH": ":".join(environment(NEEDS[library]))},
    )


# ---- row 18, and the memory of row 6 ----


class Sized:
    """How many bytes the files have per byte of values, after a checkpoint and a close."""

    def __init__(self, library: str, folder: str, keys: int, size: int) -> None:
        store = open_store(library, folder)
        fill(store, keys, size)
        store.checkpoint()
        store.close()
        self.per_byte = sum(it.stat().st_size for it in Path(folder).rglob("*") if it.is_file()) / (keys * size)

    def run(self, count: int) -> None:
        pass

    def file_per_payload(self) -> float:
        return self.per_byte


class Growth:
    """How many MiB a process grows by while a large value goes in and out as a stream."""

    def __init__(self, library: str, folder: str, size: int) -> None:
        self.store = open_store(library, folder)
        self.store.put(b"warm", bytes(1 << 20))
        self.size = size

    def run(self, count: int) -> None:
        pass

    def mib(self) -> float:
        before = peak_kib()
        self.store.put_file(b"large", Blank(self.size))
        sink = Blank(0)
        self.store.get_to_file(b"large", sink)
        assert sink.got == self.size
        return (peak_kib() - before) / 1024

    def close(self) -> None:
        self.store.close()


def peak_kib() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def asked(factory: str, question: str, libraries: list[str], **options: Any) -> Callable[[Settings], list[Result]]:
    """Return a measurement that asks each contender once; the ratio is theirs to ours."""

    def measure(settings: Settings) -> list[Result]:
        contenders, absent = [], []
        for library in libraries:
            try:
                environment(NEEDS[library])
                options_of = {"library": library, **options}
                contenders.append(Contender(library, "rows_process", factory, options_of, NEEDS[library]))
            except Unavailable as exc:
                absent.append(Result(library, note=str(exc)))
        with workers(contenders, settings) as started:
            values = [worker.call(question) for worker in started]
        ours = values[0] or 1e-9
        results = [Result(it.name, value, value / ours, pairs=1) for it, value in zip(contenders, values, strict=True)]
        return [Result(results[0].name, values[0], pairs=1), *results[1:], *absent]

    return measure


def rows(settings: Settings) -> list[Row]:
    def threads(way: str, size: int, cache_kb: int, other: str, goal: float) -> dict[str, Any]:
        return {"measure": threads_beside(settings, way, size, cache_kb, other), "goals": {other: goal}}

    opened = ["ours", "sqlite3", "lmdb", "R6", "R11", "diskcache"]
    sized = asked("Sized", "file_per_payload", ["ours", "sqlite3", "R6", "R11"], keys=settings.sized(8000), size=16384)
    growth = asked("Growth", "mib", ["ours", "R6", "R11"], size=max(64, settings.sized(512)) << 20)
    return [
        Row("6", "memory growth while 512 MiB stream in and out", growth, unit="MiB"),
        Row("16", "hits in the cache, 100 B", **threads("get", 100, 65536, "one thread", 0.9)),
        Row("16", "get from SQLite, 16 KiB", **threads("get", 16384, 1024, "two processes", 0.85)),
        Row("16", "get_many, 1 KiB", **threads("get_many", 1024, 4096, "two processes", 0.85)),
        Row("16", "streams out, 300 KiB", **threads("stream", 300_000, 65536, "two processes", 0.85)),
        Row("16", "get beside a writing process, 1 KiB", beside_a_writer(settings), goals={"sqlite3": 0.9}),
        Row("17", "import", beginnings(opened, "import"), unit="ms"),
        Row("17", "open and first get", beginnings(opened, "open"), unit="ms", goals={"sqlite3": 0.83}),
        Row("18", "file / payload, 16 KiB", sized, unit="x"),
    ]
