"""Damaged files through every command that reads: a line and a code, never a traceback."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from kohakuvault import ColumnVault, KVault
from program import call

READERS = [
    ["info"],
    ["stats"],
    ["ls", "-l"],
    ["ls", "--json"],
    ["get", "text"],
    ["cat", "large", "--range", "1000:2000"],
    ["columns"],
    ["head", "numbers", "records", "texts"],
    ["verify"],
    ["export", "-"],
    ["export", "-", "--format", "csv", "--column", "numbers"],
]


@pytest.fixture
def sound(path: Path) -> bytes:
    with KVault(path, page_size=512) as kv:
        kv.update({"text": b"words", b"\xff": b"", "large": bytes(range(256)) * 2000})
        columns = ColumnVault(kv)
        columns.create_column("numbers", "i64").extend(range(300))
        columns.create_column("records", "msgpack").extend([{"n": i} for i in range(300)])
        columns.create_column("texts", "str").extend(["t" * i for i in range(300)])
    return path.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_bytes_changed_anywhere(path: Path, sound: bytes, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(25):
        damaged = bytearray(sound)
        for _ in range(chance.choice([1, 1, 10])):
            damaged[chance.choice([chance.randrange(len(sound)), chance.randrange(4096)])] = chance.randrange(256)
        path.write_bytes(damaged)
        for command, *rest in READERS:
            ended = call(command, path, *rest)
            assert ended.code in (0, 1, 2, 3, 5), (command, ended)
            assert (ended.code == 0) == (ended.err == "") or (command, ended.code) == ("verify", 5), (command, ended)
            assert ended.err.count("\n") <= 1, (command, ended)


@pytest.mark.slow
def test_a_file_that_is_cut_short(path: Path, sound: bytes) -> None:
    for size in range(0, len(sound), len(sound) // 40):
        path.write_bytes(sound[:size])
        for command, *rest in READERS:
            ended = call(command, path, *rest)
            assert ended.code in (0, 1, 2, 3, 5), (command, ended)
            assert ended.err.count("\n") <= 1, (command, ended)
