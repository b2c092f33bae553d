"""A random history of calls on columns gives what lists give, with everything that a vault knows among the steps."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import hypothesis.strategies as st
import pytest
from conftest import RAM
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from kohakuvault import ColumnVault, KVault

NAMES = ["numbers", "texts"]
DTYPES = {"numbers": "i32", "texts": "str"}
# Around the borders: a tail of 1 KiB, a chunk of 4 KiB, an element that lies in pieces.
VALUES = {
    "numbers": st.integers(-(2**31), 2**31 - 1),
    "texts": st.one_of(
        st.text(max_size=8),
        st.builds(
            lambda size, letter: letter * size,
            st.sampled_from([100, 1000, 4075, 4076, 4077, 5000, 300_000]),
            st.sampled_from("aü"),
        ),
    ),
}
COUNTS = st.sampled_from([0, 1, 2, 10, 300, 1100])
INDICES = st.integers(-40, 40)
BOUNDS = st.one_of(st.none(), st.integers(-60, 60))
STEPS = st.sampled_from([None, 1, 2, 3, 70, -1, -2, -70])

OTHER_PROCESS = """
import pickle, sys
from kohakuvault import ColumnVault
while True:
    path, name, call, arguments = pickle.load(sys.stdin.buffer)
    with ColumnVault(path) as columns:
        getattr(columns[name], call)(*arguments)
        pickle.dump(columns[name][:], sys.stdout.buffer)
    sys.stdout.buffer.flush()
"""


class Machine(RuleBasedStateMachine):
    """`model` is what the columns hold; `undo` has the model before each open transaction."""

    other: ClassVar[subprocess.Popen[bytes]]

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="kvault-", dir=RAM if RAM.is_dir() else None))
        self.model: dict[str, list[Any]] = {name: [] for name in NAMES}
        self.keys = 0
        self.undo: list[tuple[dict[str, list[Any]], int]] = []
        self.snapshots: list[tuple[ColumnVault, dict[str, list[Any]]]] = []
        self.locked: Any = None
        self.open()

    def open(self) -> None:
        self.kv = KVault(self.folder / "m.db")
        self.columns = ColumnVault(self.kv, max_chunk_bytes=4096)
        self.column = {name: self.columns.ensure(name, dtype) for name, dtype in DTYPES.items()}
        self.cached = False

    def teardown(self) -> None:
        if not hasattr(self, "kv"):
            return
        try:
            while self.undo:
                self.roll_back()
            self.unlock()
            for seen, _ in self.snapshots:
                seen.close()
            assert self.kv.verify() == []
            self.kv.close()
            with ColumnVault(self.folder / "m.db") as again:
                assert {name: again[name][:] for name in NAMES} == self.model
        finally:
            shutil.rmtree(self.folder)

    def values(self, name: str, data: st.DataObject, count: int) -> list[Any]:
        few = [data.draw(VALUES[name]) for _ in range(min(count, 3))]
        if name == "texts" and count > 10:
            few = [text[:1000] for text in few]
        return [few[i % len(few)] for i in range(count)]

    # ---- a list ----

    @rule(name=st.sampled_from(NAMES), data=st.data())
    def append(self, name: str, data: st.DataObject) -> None:
        value = data.draw(VALUES[name])
        self.column[name].append(value)
        self.model[name].append(value)

    @rule(name=st.sampled_from(NAMES), data=st.data(), count=COUNTS, lazy=st.booleans())
    def extend(self, name: str, data: st.DataObject, count: int, lazy: bool) -> None:
        values = self.values(name, data, count)
        self.column[name].extend(iter(values) if lazy else values)
        self.model[name].extend(values)

    @precondition(lambda self: not self.locked)
    @rule(name=st.sampled_from(NAMES), data=st.data(), index=INDICES)
    def insert(self, name: str, data: st.DataObject, index: int) -> None:
        value = data.draw(VALUES[name])
        self.column[name].insert(index, value)
        self.model[name].insert(index, value)

    @precondition(lambda self: not self.locked)
    @rule(name=st.sampled_from(NAMES), data=st.data(), index=INDICES)
    def replace(self, name: str, data: st.DataObject, index: int) -> None:
        value = data.draw(VALUES[name])
        if -len(self.model[name]) <= index < len(self.model[name]):
            self.model[name][index] = value
            self.column[name][index] = value
        else:
            with pytest.raises(IndexError):
                self.column[name][index] = value

    @precondition(lambda self: not self.locked)
    @rule(name=st.sampled_from(NAMES), index=INDICES, pop=st.booleans())
    def remove(self, name: str, index: int, pop: bool) -> None:
        column, model = self.column[name], self.model[name]
        if not -len(model) <= index < len(model):
            with pytest.raises(IndexError):
                column.pop(index)
        elif pop:
            assert column.pop(index) == model.pop(index)
        else:
            del column[index]
            del model[index]

    @precondition(lambda self: not self.locked)
    @rule(name=st.sampled_from(NAMES), start=BOUNDS, stop=BOUNDS, step=STEPS, data=st.data())
    def replace_slice(self, name: str, start: Any, stop: Any, step: Any, data: st.DataObject) -> None:
        count = len(self.model[name][start:stop:step])
        values = self.values(name, data, count)
        self.column[name][start:stop:step] = values
        if count:
            self.model[name][start:stop:step] = values
        with pytest.raises(ValueError, match="length mismatch"):
            self.column[name][start:stop:step] = [*values, *self.values(name, data, 1)]

    @precondition(lambda self: not self.locked)
    @rule(name=st.sampled_from(NAMES), start=BOUNDS, stop=BOUNDS, step=STEPS)
    def delete_slice(self, name: str, start: Any, stop: Any, step: Any) -> None:
        del self.column[name][start:stop:step]
        del self.model[name][start:stop:step]

    @precondition(lambda self: not self.locked)
    @rule(name=st.sampled_from(NAMES), what=st.sampled_from(["reverse", "clear", "compact"]))
    def whole(self, name: str, what: str) -> None:
        getattr(self.column[name], what)()
        if what == "reverse":
            self.model[name].reverse()
        if what == "clear" and self.model[name]:
            self.model[name].clear()

    @rule(name=st.sampled_from(NAMES), start=BOUNDS, stop=BOUNDS, step=STEPS, index=INDICES)
    def read(self, name: str, start: Any, stop: Any, step: Any, index: int) -> None:
        column, model = self.column[name], self.model[name]
        for _ in range(3):  # from the file, then from memory
            assert column[start:stop:step] == model[start:stop:step]
            assert len(column) == len(model)
            if -len(model) <= index < len(model):
                assert column[index] == model[index]
                assert column.take([index, -1]) == [model[index], model[-1]]

    @rule(name=st.sampled_from(NAMES))
    def walk(self, name: str) -> None:
        assert list(self.column[name]) == self.model[name]
        assert list(reversed(self.column[name])) == self.model[name][::-1]

    # ---- the vault ----

    @rule()
    def put(self) -> None:
        """A blob, whose number the columns can be compared with after a crash."""
        self.keys += 1
        self.kv[f"{self.keys:06}"] = b"x"

    @precondition(lambda self: not self.undo and not self.locked)
    @rule()
    def switch_cache(self) -> None:
        if self.cached:
            self.kv.disable_cache()
        else:
            self.kv.enable_cache(cap_bytes=64 << 20, flush_threshold=1 << 18)
        self.cached = not self.cached

    @precondition(lambda self: not self.locked)
    @rule()
    def flush(self) -> None:
        self.kv.flush_cache()

    @precondition(lambda self: not self.undo and not self.locked)
    @rule()
    def lock(self) -> None:
        self.locked = self.columns.lock_cache()
        self.locked.__enter__()

    @precondition(lambda self: self.locked)
    @rule()
    def unlock(self) -> None:
        if self.locked:
            locked, self.locked = self.locked, None
            locked.__exit__(None, None, None)

    @precondition(lambda self: not self.undo and not self.locked)
    @rule()
    def reopen(self) -> None:
        self.kv.close()
        for seen, _ in self.snapshots:
            seen.close()
        self.snapshots.clear()
        self.open()

    @precondition(lambda self: len(self.undo) < 3 and not self.locked)
    @rule()
    def begin_transaction(self) -> None:
        self.kv._handle.begin()
        self.undo.append(({name: list(values) for name, values in self.model.items()}, self.keys))

    @precondition(lambda self: self.undo)
    @rule()
    def commit(self) -> None:
        self.kv._handle.commit()
        self.undo.pop()

    @precondition(lambda self: self.undo)
    @rule()
    def roll_back(self) -> None:
        self.kv._handle.rollback()
        self.model, self.keys = self.undo.pop()

    @precondition(lambda self: not self.undo and not self.locked and len(self.snapshots) < 2)
    @rule()
    def snapshot(self) -> None:
        self.snapshots.append((self.columns.snapshot(), {name: list(self.model[name]) for name in NAMES}))

    @rule()
    def read_snapshots(self) -> None:
        for seen, model in self.snapshots:
            assert {name: seen[name][:] for name in NAMES} == model

    @precondition(lambda self: not self.undo and not self.locked)
    @rule(
        name=st.sampled_from(NAMES),
        data=st.data(),
        call=st.sampled_from(["append", "extend", "insert", "pop", "clear", "reverse"]),
    )
    def in_another_process(self, name: str, data: st.DataObject, call: str) -> None:
        self.kv.flush_cache()  # what is pending is ours alone, and comes behind
        arguments: tuple[Any, ...] = ()
        if call == "append":
            arguments = (data.draw(VALUES[name]),)
        elif call == "extend":
            arguments = (self.values(name, data, 5),)
        elif call == "insert":
            arguments = (data.draw(INDICES), data.draw(VALUES[name]))
        elif call == "pop" and not self.model[name]:
            return
        assert self.other.stdin
        assert self.other.stdout
        pickle.dump((self.folder / "m.db", name, call, arguments), self.other.stdin)
        self.other.stdin.flush()
        seen = pickle.load(self.other.stdout)
        getattr(self.model[name], call)(*arguments)
        assert seen == self.model[name]

    @invariant()
    def lengths_agree(self) -> None:
        if hasattr(self, "column"):
            assert {name: len(self.column[name]) for name in NAMES} == {name: len(self.model[name]) for name in NAMES}
            assert self.columns.list_columns() == [(n, DTYPES[n], len(self.model[n])) for n in NAMES]
            assert len(self.kv) == self.keys


def test_a_history_of_columns() -> None:
    Machine.other = subprocess.Popen(
        [sys.executable, "-c", OTHER_PROCESS], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        from hypothesis.stateful import run_state_machine_as_test

        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=60,
                stateful_step_count=40,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.generate, Phase.shrink],
            ),
        )
    finally:
        assert Machine.other.stdin
        with suppress(OSError):
            Machine.other.stdin.close()
        Machine.other.kill()
        Machine.other.wait()
