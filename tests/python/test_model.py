"""A random history of calls gives what a dict gives, with reopening, flushes, rollbacks, other
processes and crashes among the steps."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
import pytest
from conftest import RAM
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from kohakuvault import KVault

KEYS = st.one_of(
    st.sampled_from([b"", b"a", b"ab", b"\xff", b"\xff\xff", b"\xff\xffz", b"b\x00", b"b"]),
    st.binary(max_size=4),
)
# Around the borders: the read buffer of the extension, an inline value, a whole piece.
VALUES = st.one_of(
    st.binary(max_size=20),
    st.builds(
        lambda size, byte: bytes([byte]) * size,
        st.sampled_from([16_384, 16_385, 262_144, 262_145, 600_000]),
        st.integers(0, 255),
    ),
)


class Machine(RuleBasedStateMachine):
    """`model` is what the vault holds; `undo` has the model before each open transaction."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="kvault-", dir=RAM if RAM.is_dir() else None))
        self.kv = KVault(self.folder / "m.db")
        self.model: dict[bytes, bytes] = {}
        self.undo: list[dict[bytes, bytes]] = []
        self.snapshots: list[tuple[KVault, dict[bytes, bytes]]] = []

    def teardown(self) -> None:
        if not hasattr(self, "kv"):
            return
        try:
            while self.undo:
                self.roll_back()
            for seen, _ in self.snapshots:
                seen.close()
            assert self.kv.verify() == []
            self.kv.close()
            with KVault(self.folder / "m.db") as again:
                assert dict(again) == self.model
        finally:
            shutil.rmtree(self.folder)

    # ---- the mapping ----

    @rule(key=KEYS, value=VALUES)
    def put(self, key: bytes, value: bytes) -> None:
        self.kv[key] = value
        self.model[key] = value

    @rule(key=KEYS)
    def delete(self, key: bytes) -> None:
        assert self.kv.delete(key) == (self.model.pop(key, None) is not None)

    @rule(key=KEYS)
    def pop(self, key: bytes) -> None:
        assert self.kv.pop(key, None) == self.model.pop(key, None)

    @precondition(lambda self: self.model)
    @rule()
    def popitem(self) -> None:
        last = max(self.model)
        assert self.kv.popitem() == (last, self.model.pop(last))

    @rule(key=KEYS, value=VALUES)
    def setdefault(self, key: bytes, value: bytes) -> None:
        assert self.kv.setdefault(key, value) == self.model.setdefault(key, value)

    @rule(pairs=st.lists(st.tuples(KEYS, VALUES), max_size=8))
    def put_many(self, pairs: list[tuple[bytes, bytes]]) -> None:
        self.kv.put_many(pairs)
        self.model.update(pairs)

    @rule(keys=st.lists(KEYS, max_size=8))
    def delete_many(self, keys: list[bytes]) -> None:
        assert self.kv.delete_many(keys) == sum(self.model.pop(key, None) is not None for key in set(keys))

    @rule()
    def clear(self) -> None:
        self.kv.clear()
        self.model.clear()

    @rule(keys=st.lists(KEYS, max_size=5))
    def get_many(self, keys: list[bytes]) -> None:
        assert self.kv.get_many(keys) == [self.model.get(key) for key in keys]

    @rule(prefix=KEYS, start=KEYS, stop=KEYS, reverse=st.booleans(), limit=st.none() | st.integers(0, 3))
    def scan(self, prefix: bytes, start: bytes, stop: bytes, reverse: bool, limit: int | None) -> None:
        inside = (key for key in self.model if key.startswith(prefix) and start <= key < stop)
        expected = [(key, self.model[key]) for key in sorted(inside, reverse=reverse)][:limit]
        view = self.kv.items(prefix, start=start, stop=stop, reverse=reverse, limit=limit)
        assert list(view) == expected
        assert list(reversed(view)) == expected[::-1]

    # ---- streams ----

    @rule(key=KEYS, value=VALUES, keep=st.booleans())
    def write_stream(self, key: bytes, value: bytes, keep: bool) -> None:
        stream = self.kv.open(key, "wb")
        stream.write(value)
        if keep:
            stream.close()
            self.model[key] = value
        else:
            stream.abort()

    @rule(key=KEYS, value=VALUES)
    def append(self, key: bytes, value: bytes) -> None:
        with self.kv.open(key, "ab") as stream:
            stream.write(value)
        self.model[key] = self.model.get(key, b"") + value

    @rule(key=KEYS, offset=st.integers(0, 700_000), length=st.integers(0, 300_000))
    def read_range(self, key: bytes, offset: int, length: int) -> None:
        if key in self.model:
            assert self.kv.read(key, offset, length) == self.model[key][offset : offset + length]

    # ---- the file ----

    @rule(cap=st.sampled_from([50, 20_000, 1 << 20]))
    def enable_cache(self, cap: int) -> None:
        self.kv.enable_cache(cap_bytes=cap)

    @rule()
    def disable_cache(self) -> None:
        self.kv.disable_cache()

    @rule()
    def flush(self) -> None:
        self.kv.flush_cache()

    @rule()
    def begin_transaction(self) -> None:
        if len(self.undo) < 3:
            self.kv._handle.begin()
            self.undo.append(dict(self.model))

    @precondition(lambda self: self.undo)
    @rule()
    def commit(self) -> None:
        self.kv._handle.commit()
        self.undo.pop()

    @precondition(lambda self: self.undo)
    @rule()
    def roll_back(self) -> None:
        self.kv._handle.rollback()
        self.model = self.undo.pop()

    @precondition(lambda self: not self.undo and len(self.snapshots) < 2)
    @rule()
    def snapshot(self) -> None:
        self.snapshots.append((self.kv.snapshot(), dict(self.model)))

    @precondition(lambda self: self.snapshots)
    @rule()
    def end_snapshot(self) -> None:
        seen, model = self.snapshots.pop()
        assert dict(seen) == model
        assert len(seen) == len(model)
        seen.close()

    @precondition(lambda self: not self.undo and not self.snapshots)
    @rule()
    def reopen(self) -> None:
        self.kv.close()
        self.kv = KVault(self.folder / "m.db")

    # ---- other processes ----

    def in_child(self, work: Callable[[], None]) -> int:
        """Run `work` in a forked process, on the same handle; return its exit code, negative for a signal."""
        child = os.fork()
        if child == 0:
            code = 1
            try:
                work()
                code = 0
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    @precondition(lambda self: not self.undo and not self.snapshots)
    @rule(pairs=st.lists(st.tuples(KEYS, VALUES), max_size=4), gone=st.lists(KEYS, max_size=2))
    def another_process_writes(self, pairs: list[tuple[bytes, bytes]], gone: list[bytes]) -> None:
        def work() -> None:
            self.kv.put_many(pairs)
            self.kv.delete_many(gone)
            self.kv.close()

        self.kv.flush_cache()  # else what is pending here would win over what is written there
        assert self.in_child(work) == 0
        self.model.update(pairs)
        for key in gone:
            self.model.pop(key, None)

    @precondition(lambda self: not self.undo and not self.snapshots)
    @rule(pairs=st.lists(st.tuples(KEYS, VALUES), max_size=3), lost=st.lists(st.tuples(KEYS, VALUES), max_size=3))
    def a_process_crashes(self, pairs: list[tuple[bytes, bytes]], lost: list[tuple[bytes, bytes]]) -> None:
        def work() -> None:
            self.kv.put_many(pairs)
            self.kv.flush_cache()
            stream = self.kv.open("stream", "wb")
            stream.write(bytes(9_000_000))
            self.kv._handle.begin()
            self.kv.put_many(lost)
            self.kv.clear()
            os.kill(os.getpid(), signal.SIGKILL)

        self.kv.flush_cache()
        assert self.in_child(work) == -signal.SIGKILL
        self.model.update(pairs)

    @rule()
    def checkpoint(self) -> None:
        if not self.undo:
            self.kv.checkpoint()

    @invariant()
    def agrees(self) -> None:
        if hasattr(self, "kv"):
            assert len(self.kv) == len(self.model)
            assert list(self.kv) == sorted(self.model)
            assert self.kv == self.model


# Without `explain`, which after a failure goes on for longer than everything else together.
Machine.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
)
test_it_behaves_like_a_dict = pytest.mark.slow(Machine.TestCase)
