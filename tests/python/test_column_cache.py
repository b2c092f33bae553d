"""Elements given out again from memory: never old ones, whoever wrote meanwhile, and never more than allowed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from kohakuvault import ColumnVault, KVault

COUNT = 20_000

WRITER = """
import sys
from kohakuvault import ColumnVault

columns = ColumnVault(sys.argv[1])
column = columns["x"]
for number in range(int(sys.argv[2])):
    column[7] = number
    if number % 3 == 0:
        column.append(number)
    print(number, len(column), flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(params=["i64", "msgpack"])
def column(kv: KVault, request: pytest.FixtureRequest) -> object:
    column = ColumnVault(kv).create_column("x", request.param)
    column.extend(range(COUNT))
    return column


def warm(column) -> None:  # type: ignore[no-untyped-def]
    for _ in range(4):
        for at in range(0, len(column), 500):
            assert isinstance(column[at], int)


@pytest.mark.parametrize(
    "change",
    [
        lambda column, model: (column.append(-1), model.append(-1)),
        lambda column, model: (column.__setitem__(3, -1), model.__setitem__(3, -1)),
        lambda column, model: (column.__setitem__(-1, -1), model.__setitem__(-1, -1)),
        lambda column, model: (column.insert(5, -1), model.insert(5, -1)),
        lambda column, model: (column.__delitem__(5), model.__delitem__(5)),
        lambda column, model: (column.__delitem__(slice(None, None, 2)), model.__delitem__(slice(None, None, 2))),
        lambda column, model: (column.pop(), model.pop()),
        lambda column, model: (column.extend([-1] * 9000), model.extend([-1] * 9000)),
        lambda column, model: (column.reverse(), model.reverse()),
        lambda column, model: (column.clear(), model.clear()),
    ],
)
def test_every_write_is_seen_at_once(column, change) -> None:  # type: ignore[no-untyped-def]
    model = list(range(COUNT))
    for _ in range(3):
        warm(column)
        change(column, model)
        assert len(column) == len(model)
        places = [*range(0, len(model), 617), *range(len(model))[-3:], *range(min(10, len(model)))]
        for at in places:
            assert column[at] == model[at]
            assert column[at - len(model)] == model[at]
            assert column[at : at + 100] == model[at : at + 100]
        with pytest.raises(IndexError):
            column[len(model)]


def test_appends_that_are_pending_are_seen(kv: KVault, column) -> None:  # type: ignore[no-untyped-def]
    warm(column)
    with kv.cache():
        for number in range(300):
            column.append(COUNT + number)
            assert len(column) == COUNT + number + 1
            assert column[-1] == COUNT + number
            assert column[-2:] == [COUNT + number - 1, COUNT + number]
    assert column[-1] == COUNT + 299


def test_a_rollback_is_seen(kv: KVault, column) -> None:  # type: ignore[no-untyped-def]
    warm(column)
    kv._handle.begin()
    column[7] = -1
    column.append(-2)
    assert (column[7], column[-1], len(column)) == (-1, -2, COUNT + 1)
    kv._handle.rollback()
    for _ in range(3):
        assert (column[7], column[-1], len(column)) == (7, COUNT - 1, COUNT)


def test_another_handle_on_the_same_column(kv: KVault, column) -> None:  # type: ignore[no-untyped-def]
    other = ColumnVault(kv)["x"]
    warm(column)
    for number in range(100):
        other[number] = -number
        other.append(number)
        assert column[number] == -number
        assert column[-1] == number


def test_a_column_that_is_deleted_gives_nothing_out(kv: KVault, column) -> None:  # type: ignore[no-untyped-def]
    warm(column)
    columns = ColumnVault(kv)
    columns.delete_column("x")
    columns.create_column("x", "i64").extend([1, 2, 3])
    for _ in range(3):
        with pytest.raises(KeyError):
            column[0]
        with pytest.raises(KeyError):
            len(column)


def test_another_processs_commits_are_seen(path: Path, column) -> None:  # type: ignore[no-untyped-def]
    rounds = 150
    warm(column)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(rounds)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdin
        assert writer.stdout
        for line in writer.stdout:
            number, length = map(int, line.split())
            for _ in range(4):
                assert column[7] >= number
                assert len(column) >= length
                assert column[100:103] == [100, 101, 102]
            writer.stdin.write("\n")
            writer.stdin.flush()
    assert column[7] == rounds - 1


def test_random_reads_and_writes_agree_with_a_list(kv: KVault, column) -> None:  # type: ignore[no-untyped-def]
    model = list(range(COUNT))
    choose = random.Random(7)
    for _ in range(3000):
        at = choose.randrange(len(model))
        what = choose.random()
        if what < 0.02:
            column[at] = model[at] = -at
        elif what < 0.03:
            column.append(at)
            model.append(at)
        elif what < 0.035:
            assert column.pop(at) == model.pop(at)
        elif what < 0.2:
            assert column[at : at + 50] == model[at : at + 50]
        else:
            assert column[at] == model[at]
    assert list(column) == model


def test_it_stays_within_its_half_of_cache_kb(path: Path) -> None:
    with KVault(path, cache_kb=2048) as kv:
        columns = ColumnVault(kv)
        numbers, texts = columns.create_column("numbers", "i64"), columns.create_column("texts", "bytes")
        numbers.extend(range(500_000))
        texts.extend(os.urandom(100) for _ in range(30_000))
        for _ in range(3):
            for at in range(0, 30_000, 37):
                assert numbers[at * 16] == at * 16
                assert len(texts[at]) == 100
        assert 0 < kv.stats()["cache_bytes_used"] <= 2048 * 1024


def test_the_newest_elements_which_lie_in_no_chunk(column) -> None:  # type: ignore[no-untyped-def]
    newest = []
    for number in range(1, 20):
        column.append(number)
        newest.append(number)
        for _ in range(4):
            assert column[-1] == number
            assert column[COUNT:] == newest
        column[-1] = newest[-1] = -number
        for _ in range(4):
            assert column[-1] == -number
            assert column[COUNT:] == newest
