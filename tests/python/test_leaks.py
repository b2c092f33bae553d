"""Nothing that a call takes is kept: references, blocks of Python's heap, and the process's memory stay flat.

On a debug build of Python the references are counted; on any other its blocks alone.
"""

from __future__ import annotations

import gc
import io
import pickle
import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from kohakuvault import ColumnVault, KohakuVaultError, KVault, Vault

KEY = b"k" * 10_000
VALUE = b"v" * 100_000
LARGE = b"l" * 600_000
# What warms up does so for a while; a leak is one a turn, in every round.
ROUNDS, TURNS, SLACK = 4, 150, 60


class Unreadable:
    def read(self, size: int) -> bytes:
        raise ZeroDivisionError


def failing(call: Callable[[], object]) -> None:
    with suppress(LookupError, TypeError, ValueError, OSError, ZeroDivisionError, KohakuVaultError):
        call()
        raise AssertionError("it did not fail")


def mapping(kv: KVault) -> None:
    kv[KEY] = VALUE
    assert KEY in kv
    assert kv.get(KEY) == kv[KEY] == kv.setdefault(KEY, b"") == VALUE
    assert kv.get("missing", VALUE) is VALUE
    assert kv.pop(KEY) == VALUE
    kv.update({KEY: VALUE}, b=LARGE)
    assert kv.popitem() == (KEY, VALUE)
    del kv["b"]
    assert len(kv) == 0
    kv.clear()


def batches(kv: KVault) -> None:
    kv.put_many((b"%d" % i, VALUE[:100]) for i in range(10))
    assert kv.get_many([b"1", "2", "missing"], default=VALUE)[2] is VALUE
    assert kv.delete_many(str(i) for i in range(10)) == 10


def scans(kv: KVault) -> None:
    kv.update({"a": b"1", "b": VALUE})
    assert list(kv.items("b")) == [(b"b", VALUE)]
    assert list(reversed(kv.keys(limit=2))) == [b"b", b"a"]
    assert kv.keys() & {b"a"} == {b"a"}
    next(iter(kv.values()))
    assert kv == {b"a": b"1", b"b": VALUE}
    kv.clear()


def streams(kv: KVault) -> None:
    kv.put_file("f", io.BytesIO(LARGE))
    with kv.open("f", "ab") as stream:
        stream.write(VALUE)
    with kv.open("f") as stream:
        assert stream.seek(-1, 2)
        assert stream.read() == VALUE[-1:]
    kv.get_to_file("f", io.BytesIO())
    stream = kv.open("g", "wb")
    stream.write(VALUE)
    stream.abort()
    kv.open("h", "wb").write(VALUE)
    kv.clear()


def contexts(kv: KVault) -> None:
    with kv.cache(), suppress(ZeroDivisionError):
        kv["a"] = VALUE
        raise ZeroDivisionError
    with suppress(ZeroDivisionError), kv.transaction(), kv.transaction():
        kv["b"] = VALUE
        raise ZeroDivisionError
    with kv.lock_cache():
        kv["c"] = VALUE
    with kv.snapshot() as seen:
        assert len(seen) == 2
    kv.clear()


def failures(kv: KVault) -> None:
    for call in (
        lambda: kv["missing"],
        lambda: kv.pop(KEY),
        lambda: kv.popitem(),
        lambda: kv.put(5, b""),
        lambda: kv.put(KEY, 5),
        lambda: kv.put(b"x" * 70_000, VALUE),
        lambda: kv.put_many([(KEY, VALUE), (KEY, 5)]),
        lambda: kv.get_many([KEY, 5]),
        lambda: kv.update([(1, 2, 3)]),
        lambda: kv.keys(5),
        lambda: kv.open("missing"),
        lambda: kv.put_file("a", Unreadable()),
        lambda: kv.read("missing"),
        lambda: KVault("/dev/null/no"),
        lambda: KVault(kv, page_size=1),
    ):
        failing(call)


def handles(kv: KVault) -> None:
    with KVault(kv, table="other") as other, Vault(kv.path) as vault:
        other["a"] = vault.kv().get("a") or b"1"
        kv.stats()
        kv.verify()
        repr(kv)
    pickle.loads(pickle.dumps(kv)).close()
    kv.cycle = kv.items()
    KVault(kv.path).cycle = kv.cycle


def columns(kv: KVault) -> None:
    vault = ColumnVault(kv)
    numbers, records = vault.ensure("numbers", "f64"), vault.ensure("records", "msgpack")
    own = vault.ensure("own", "own", pack=bytes, unpack=bytearray)
    numbers.extend([1.5] * 300)
    records.extend({"id": i, "name": "x" * i} for i in range(20))
    own += [b"a", b"b"]
    for column in (numbers, records, own):
        for _ in range(3):
            assert column[0] == column[:2][0] == next(iter(column)) == column.take([0])[0]
        column[1] = column[0]
        column.insert(0, column.pop())
        del column[::2]
        assert list(reversed(column))
        walk = iter(column)
        next(walk)
        column.append(column[0])
    with vault.cache():
        numbers.append(2.5)
        records.append({"id": -1})
    for call in (
        lambda: numbers[1_000_000],
        lambda: numbers.append("x"),
        lambda: numbers["x"],
        lambda: records.append(object()),
        lambda: records.remove(5),
        lambda: own.append("x"),
        lambda: numbers.__setitem__(slice(0, 2), [1.0]),
        lambda: numbers.extend([1.0, "x"]),
        lambda: vault["missing"],
        lambda: vault.ensure("numbers", "i64"),
    ):
        failing(call)
    numbers.cycle = vault.cycle = walk
    own.clear()
    vault.rename_column("records", "renamed")
    assert vault.delete_column("renamed")
    numbers.clear()


OPERATIONS = [mapping, batches, scans, streams, contexts, failures, handles, columns]


def counts() -> tuple[int, int]:
    gc.collect()
    return getattr(sys, "gettotalrefcount", lambda: 0)(), sys.getallocatedblocks()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_references_and_blocks_stay_flat(kv: KVault, operation: Callable[[KVault], None]) -> None:
    grown = []
    for _ in range(ROUNDS):
        before = counts()
        for _ in range(TURNS):
            operation(kv)
        grown.append([b - a for a, b in zip(before, counts(), strict=True)])
    references, blocks = map(min, zip(*grown, strict=True))
    assert references < SLACK
    assert blocks < SLACK


def run_all(path: str, turns: int) -> int:
    """Run every operation `turns` times and return the KiB that the second half added."""
    with KVault(path) as kv:
        half = 0
        for turn in range(turns):
            if turn == turns // 2:
                half = resident_kib()
            for operation in OPERATIONS:
                operation(kv)
        return resident_kib() - half


def resident_kib() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024


@pytest.mark.slow
def test_the_process_does_not_grow(path: Path) -> None:
    # In a process of its own, whose heap nobody else has used; a key kept would add 2 MB, a value 20 MB.
    script = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_leaks; "
    script += f"print(test_leaks.run_all({str(path)!r}, 400))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=280)
    assert int(done.stdout) < 1500
