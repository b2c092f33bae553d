"""Every operation with calls to the disk going wrong: an exception with words, and nothing is lost or half done.

The VFS of `tests/c/fault_vfs.c` is loaded into this process, where it lies under the engine's. An operation is
run undisturbed first; then a call of some kind, chosen by dice, fails, is short, torn or busy. `KVTEST_FAULTS`
says how many faults of each operation are tried (8; 200 in a campaign), `KVTEST_SEED` how the dice fall.
"""

from __future__ import annotations

import ctypes
import gc
import io
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from kohakuvault import KohakuVaultError, KVault

LIBRARY = Path(__file__).parents[2] / "build" / "debug" / "tests" / "c" / "libkvfault.so"
CALLS, HOWS = 11, 5  # enum fault_call, enum fault_how
SHORT, BUSY = 3, 2
FAULTS = int(os.environ.get("KVTEST_FAULTS", "8"))
SEED = int(os.environ.get("KVTEST_SEED", "1"))

SMALL = {b"k%02d" % i: b"%d" % i * 50 for i in range(30)}
LARGE = bytes(range(256)) * 1200
FILLED = {**SMALL, b"large": LARGE}

pytestmark = pytest.mark.skipif(not LIBRARY.exists(), reason=f"{LIBRARY} is not built")


@pytest.fixture(scope="module")
def vfs() -> Iterator[ctypes.CDLL]:
    loaded = ctypes.CDLL(str(LIBRARY))
    loaded.fault_vfs_applies.restype = ctypes.c_bool
    loaded.fault_vfs_count.restype = loaded.fault_vfs_open_files.restype = ctypes.c_long
    loaded.fault_vfs_arm.argtypes = [ctypes.c_int, ctypes.c_long, ctypes.c_int, ctypes.c_bool]
    gc.collect()
    loaded.fault_vfs_install()
    yield loaded
    gc.collect()
    loaded.fault_vfs_remove()


# ---- the operations ----


def put_pending(kv: KVault) -> None:
    kv.enable_cache(cap_bytes=1 << 20, flush_threshold=1 << 19)
    kv["pending"] = b"p" * 1000
    del kv["k03"]


def write_stream(kv: KVault) -> None:
    with kv.open("large", "wb") as stream:
        for _ in range(4):
            stream.write(LARGE)


def append(kv: KVault) -> None:
    with kv.open("large", "ab") as stream:
        stream.write(LARGE)


def read_stream(kv: KVault) -> None:
    with kv.open("large", "rb") as stream:
        assert stream.read(1000) == LARGE[:1000]
        stream.seek(260_000)
        assert stream.read() == LARGE[260_000:]


def get_to_file(kv: KVault) -> None:
    into = io.BytesIO()
    kv.get_to_file("large", into)
    assert into.getvalue() == LARGE


def transaction(kv: KVault) -> None:
    with kv.transaction():
        kv["outer"] = LARGE
        with suppress(ZeroDivisionError), kv.transaction():
            kv["undone"] = b"1"
            raise ZeroDivisionError
        with kv.transaction():
            kv["inner"] = b"2"


def snapshot(kv: KVault) -> None:
    with kv.snapshot() as then:
        kv["new"] = b"1"
        assert "new" not in then
        assert then["large"] == LARGE


def cache_context(kv: KVault) -> None:
    with kv.cache():
        kv["cached"] = b"c" * 1000


def lock_cache(kv: KVault) -> None:
    with kv.lock_cache():
        kv["locked"] = b"l" * 1000


def read_all(kv: KVault) -> None:
    assert dict(kv.items()) == FILLED
    assert [bytes(key) for key in reversed(kv)] == sorted(FILLED, reverse=True)
    assert kv.get_many(["k01", "absent", "large"]) == [SMALL[b"k01"], None, LARGE]
    assert len(kv) == len(FILLED)
    assert kv.read("large", 260_000, 100) == LARGE[260_000:260_100]


def verify(kv: KVault) -> None:
    problems = kv.verify()
    if problems:  # an answer too, where the disk gave wrong bytes
        raise KohakuVaultError(str(problems))


def look(kv: KVault) -> None:
    assert kv["k05"] == SMALL[b"k05"]
    assert kv.get("absent") is None
    assert "k06" in kv
    assert kv.size("large") == len(LARGE)
    assert kv.stats()


OPERATIONS: dict[str, tuple[Callable[[KVault], object] | None, Callable[[KVault], object]]] = {
    "put": (None, lambda kv: kv.put("new", b"n" * 3000)),
    "put in pieces": (None, lambda kv: kv.put("k05", LARGE)),
    "replace pieces": (None, lambda kv: kv.put("large", b"small")),
    "delete": (None, lambda kv: kv.delete("k05")),
    "pop": (None, lambda kv: kv.pop("large")),
    "popitem": (None, lambda kv: kv.popitem()),
    "setdefault": (None, lambda kv: kv.setdefault("new", b"d" * 2000)),
    "update": (None, lambda kv: kv.update([(b"u%d" % i, LARGE if i == 7 else b"u") for i in range(20)])),
    "delete_many": (None, lambda kv: kv.delete_many(["k01", "absent", "large"])),
    "clear": (None, lambda kv: kv.clear()),
    "put_file": (None, lambda kv: kv.put_file("large", io.BytesIO(LARGE * 3))),
    "flush": (put_pending, lambda kv: kv.flush_cache()),
    "write with pending": (put_pending, write_stream),
    "close with pending": (put_pending, lambda kv: kv.close()),
    "cache": (None, cache_context),
    "lock_cache": (put_pending, lock_cache),
    "write a stream": (None, write_stream),
    "append": (None, append),
    "read a stream": (None, read_stream),
    "get_to_file": (None, get_to_file),
    "read all": (None, read_all),
    "look": (None, look),
    "transaction": (None, transaction),
    "transaction with pending": (put_pending, transaction),
    "snapshot": (None, snapshot),
    "checkpoint": (None, lambda kv: kv.checkpoint()),
    "verify": (None, verify),
    "close": (None, lambda kv: kv.close()),
}


# ---- one run ----


def failure_of(action: Callable[[], object]) -> KohakuVaultError | None:
    try:
        action()
    except KohakuVaultError as error:
        return error
    return None


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("faults") / "template.db"
    with KVault(path) as kv:
        kv.update(list(FILLED.items()))
    return path


class Run:
    """A vault with the filled contents, on which one operation is played."""

    def __init__(self, template: Path, path: Path, name: str) -> None:
        for part in ("", "-wal", "-shm"):
            Path(f"{path}{part}").unlink(missing_ok=True)
        shutil.copyfile(template, path)
        self.path = path
        self.prepare, self.play = OPERATIONS[name]
        self.kv = KVault(path, retries=0)
        if self.prepare:
            self.prepare(self.kv)

    def contents(self) -> dict[bytes, bytes]:
        """What the handle holds; a closed one is opened again."""
        if self.kv.vault.closed:
            self.kv = KVault(self.path)
        return dict(self.kv.items())

    def end(self) -> None:
        """The vault can be used, closes, and is found as it was."""
        self.kv["afterwards"] = b"well"
        want = self.contents()
        self.kv.close()
        with KVault(self.path) as found:
            assert found.verify() == []
            assert dict(found.items()) == want


def list_faults(vfs: ctypes.CDLL, counts: list[int]) -> list[tuple[int, int, int, bool]]:
    return [
        (call, nth, how, stays)
        for call in range(CALLS)
        for how in range(HOWS)
        if vfs.fault_vfs_applies(call, how)
        for nth in range(1, counts[call] + 1)
        for stays in ((False,) if how in (SHORT, BUSY) else (False, True))
    ]


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_fault_is_an_exception_with_words_and_harms_nothing(
    vfs: ctypes.CDLL, template: Path, path: Path, name: str
) -> None:
    run = Run(template, path, name)
    before = run.contents()
    run.kv.close()
    run = Run(template, path, name)
    vfs.fault_vfs_disarm()  # counting begins
    run.play(run.kv)
    faults = list_faults(vfs, [vfs.fault_vfs_count(call) for call in range(CALLS)])
    after = run.contents()
    run.end()

    dice = random.Random(f"{SEED} {name}")
    for fault in dice.sample(faults, min(FAULTS, len(faults))):
        run = Run(template, path, name)
        vfs.fault_vfs_arm(*fault)
        failure = failure_of(lambda run=run: run.play(run.kv))
        vfs.fault_vfs_disarm()
        assert failure is None or len(str(failure)) > 10, fault
        now = run.contents()
        assert now == after or (failure is not None and now == before), (fault, failure)
        run.end()
        gc.collect()
        assert vfs.fault_vfs_open_files() == 0, fault


def test_opening_fails_with_words_and_leaves_the_file(vfs: ctypes.CDLL, template: Path, path: Path) -> None:
    shutil.copyfile(template, path)
    vfs.fault_vfs_disarm()
    KVault(path).close()
    faults = list_faults(vfs, [vfs.fault_vfs_count(call) for call in range(CALLS)])
    for fault in random.Random(SEED).sample(faults, min(FAULTS, len(faults))):
        vfs.fault_vfs_arm(*fault)
        failure = failure_of(
            lambda: KVault(path, retries=0).close()
        )  # one that cannot close is closed by the collector
        vfs.fault_vfs_disarm()
        assert failure is None or len(str(failure)) > 10, fault
        gc.collect()
        with KVault(path) as found:
            assert found.verify() == []
            assert dict(found.items()) == FILLED
