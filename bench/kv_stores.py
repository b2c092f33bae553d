"""The key-value stores that the benchmarks compare, each with its best fair setting behind the same few calls.

A store has `get`, `put`, `contains`, `count`, `many(pairs)`, `keys()`, `items()`, `prefix(start)`, `bulk(pairs)` (the
fastest way to store much: cached, or one transaction; all in the file at its end), `checkpoint()`, `put_file`,
`get_to_file` and `close`, as far as the library can. `get` and the like are the library's own bound methods where
possible, so that nothing of ours is timed. `cache_kb` is the page cache, where there is one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from typing import Any

MAP_BYTES = 1 << 36  # of LMDB: an address range, not memory
NEEDS = {
    "ours": "",
    "sqlite3": "",
    "file": "",
    "R6": "kohakuvault==0.6.0",
    "R11": "kohakuvault==1.1.0",
    "diskcache": "diskcache",
    "sqlitedict": "sqlitedict",
    "lmdb": "lmdb",
    "lmdb, 1 txn": "lmdb",
}


def open_store(library: str, folder: str, **options: Any) -> Any:
    return OPENERS[library](folder, **options)


class KohakuVault:
    """Ours, and the older implementation, whose calls have the same names."""

    def __init__(self, folder: str, cache_kb: int = 65536) -> None:
        from kohakuvault import KVault

        self.kv: Any = KVault(os.path.join(folder, "kv.db"), **self.options(cache_kb))
        self.get: Callable[[bytes], bytes] = self.kv.__getitem__
        self.put = self.kv.put
        self.contains = self.kv.__contains__
        self.count: Callable[[], int] = lambda: len(self.kv)
        self.many = getattr(self.kv, "put_many", None)
        self.get_many = getattr(self.kv, "get_many", None)
        self.put_file = self.kv.put_file
        self.get_to_file = self.kv.get_to_file
        self.items = self.kv.items
        self.checkpoint = self.kv.checkpoint
        self.close = self.kv.close

    def options(self, cache_kb: int) -> dict[str, Any]:
        return {"cache_kb": cache_kb}

    def keys(self) -> Iterable[bytes]:
        return iter(self.kv.keys())

    def prefix(self, start: bytes) -> Iterable[bytes]:
        return iter(self.kv.keys(prefix=start))

    def bulk(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        put = self.kv.put
        with self.kv.cache(64 << 20):
            for key, value in pairs:
                put(key, value)


class KohakuVault6(KohakuVault):
    """Version 0.6.0: `keys` stops after 10,000 unless told otherwise, `items` always does."""

    def keys(self) -> Iterable[bytes]:
        return iter(self.kv.keys(limit=1 << 40))


class KohakuVault11(KohakuVault):
    """Version 1.1.0, whose readers have page caches of their own."""

    def options(self, cache_kb: int) -> dict[str, Any]:
        return {"cache_kb": cache_kb, "reader_cache_kb": min(cache_kb, 8192)}


class Sqlite3:
    """Python's own module: WAL, NORMAL, a checkpoint each 16 MiB, the same page size as ours."""

    def __init__(self, folder: str, cache_kb: int = 65536) -> None:
        import sqlite3

        self.db = sqlite3.connect(os.path.join(folder, "t.db"), isolation_level=None, cached_statements=50)
        for pragma in ("page_size=8192", "journal_mode=WAL", "synchronous=NORMAL", "secure_delete=OFF"):
            self.db.execute(f"pragma {pragma}")
        self.db.execute("pragma wal_autocheckpoint=2048")
        self.db.execute(f"pragma cache_size=-{cache_kb}")
        self.db.execute("create table t(key blob primary key not null, value blob not null)")
        self.execute = self.db.execute
        self.close = self.db.close

    def get(self, key: bytes) -> bytes:
        return self.execute("select value from t where key = ?", (key,)).fetchone()[0]

    def put(self, key: bytes, value: bytes) -> None:
        self.execute("insert into t values (?, ?) on conflict(key) do update set value = excluded.value", (key, value))

    def contains(self, key: bytes) -> bool:
        return self.execute("select 1 from t where key = ?", (key,)).fetchone() is not None

    def count(self) -> int:
        return self.execute("select count(*) from t").fetchone()[0]

    def many(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        self.execute("begin immediate")
        self.db.executemany("insert into t values (?, ?) on conflict(key) do update set value = excluded.value", pairs)
        self.execute("commit")

    bulk = many

    def keys(self) -> Iterable[bytes]:
        return (key for (key,) in self.execute("select key from t order by key"))

    def items(self) -> Iterable[tuple[bytes, bytes]]:
        return self.execute("select key, value from t order by key")

    def prefix(self, start: bytes) -> Iterable[bytes]:
        rows = self.execute("select key from t where key >= ? and key < ? order by key", (start, start + b"\xff"))
        return (key for (key,) in rows)

    def checkpoint(self) -> None:
        self.execute("pragma wal_checkpoint").fetchone()


class Lmdb:
    """sync=False, so that a power cut may cost the last commits, like ours. A read is a transaction of its own."""

    def __init__(self, folder: str, cache_kb: int = 0) -> None:
        import lmdb

        self.env = lmdb.open(folder, map_size=MAP_BYTES, sync=False, writemap=False, max_readers=8)
        self.count: Callable[[], int] = lambda: self.env.stat()["entries"]
        self.checkpoint: Callable[[], None] = lambda: self.env.sync(True)
        self.close = self.env.close

    def get(self, key: bytes) -> bytes:
        with self.env.begin() as txn:
            return txn.get(key)

    def contains(self, key: bytes) -> bool:
        with self.env.begin() as txn:
            return txn.get(key) is not None

    def put(self, key: bytes, value: bytes) -> None:
        with self.env.begin(write=True) as txn:
            txn.put(key, value)

    def many(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        with self.env.begin(write=True) as txn, txn.cursor() as cursor:
            cursor.putmulti(pairs)

    bulk = many

    def keys(self) -> Iterable[bytes]:
        return iter(self.env.begin().cursor().iternext(values=False))

    def items(self) -> Iterable[tuple[bytes, bytes]]:
        return iter(self.env.begin().cursor())

    def prefix(self, start: bytes) -> Iterable[bytes]:
        with self.env.begin() as txn, txn.cursor() as cursor:
            if cursor.set_range(start):
                for key in cursor.iternext(values=False):
                    if not key.startswith(start):
                        return
                    yield key


class LmdbOneTransaction(Lmdb):
    """Reads in one transaction that stays open, which never sees what is committed afterwards."""

    def __init__(self, folder: str, cache_kb: int = 0) -> None:
        super().__init__(folder, cache_kb)
        self.kept: Any = None

    def get(self, key: bytes) -> bytes:
        if self.kept is None:
            self.kept = self.env.begin()
            self.get = self.kept.get  # type: ignore[method-assign]
        return self.kept.get(key)


class Diskcache:
    """No eviction and no statistics; values stay in the database up to its own limit."""

    def __init__(self, folder: str, cache_kb: int = 65536) -> None:
        import diskcache

        self.cache = diskcache.Cache(
            folder, eviction_policy="none", cull_limit=0, size_limit=1 << 40, sqlite_cache_size=cache_kb // 4
        )
        self.get = self.cache.__getitem__
        self.put = self.cache.set
        self.contains = self.cache.__contains__
        self.count: Callable[[], int] = lambda: len(self.cache)
        self.close = self.cache.close

    def many(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        with self.cache.transact():
            for key, value in pairs:
                self.put(key, value)

    bulk = many

    def checkpoint(self) -> None:
        self.cache._sql("pragma wal_checkpoint").fetchall()

    def put_file(self, key: bytes, reader: Any, size: int | None = None) -> None:
        self.cache.set(key, reader, read=True)

    def get_to_file(self, key: bytes, writer: Any) -> None:
        with self.cache.get(key, read=True) as source:
            shutil.copyfileobj(source, writer, 1 << 20)


class Sqlitedict:
    """Its own thread does the writing; identity instead of pickle."""

    def __init__(self, folder: str, cache_kb: int = 65536) -> None:
        import sqlitedict

        self.table = sqlitedict.SqliteDict(
            os.path.join(folder, "s.db"), autocommit=True, journal_mode="WAL", encode=bytes, decode=bytes
        )
        self.get = self.table.__getitem__
        self.put = self.table.__setitem__
        self.contains = self.table.__contains__
        self.count: Callable[[], int] = lambda: len(self.table)
        self.close = self.table.close


class File:
    """A plain file a value: what a stream costs at least."""

    def __init__(self, folder: str, cache_kb: int = 0) -> None:
        self.folder = folder

    def path(self, key: bytes) -> str:
        return os.path.join(self.folder, key.decode())

    def put_file(self, key: bytes, reader: Any, size: int | None = None) -> None:
        with open(self.path(key), "wb") as out:
            shutil.copyfileobj(reader, out, 1 << 20)

    def get_to_file(self, key: bytes, writer: Any) -> None:
        with open(self.path(key), "rb") as source:
            shutil.copyfileobj(source, writer, 1 << 20)

    def close(self) -> None:
        pass


OPENERS: dict[str, Callable[..., Any]] = {
    "ours": KohakuVault,
    "R6": KohakuVault6,
    "R11": KohakuVault11,
    "sqlite3": Sqlite3,
    "lmdb": Lmdb,
    "lmdb, 1 txn": LmdbOneTransaction,
    "diskcache": Diskcache,
    "sqlitedict": Sqlitedict,
    "file": File,
}
