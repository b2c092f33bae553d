"""Writing processes are killed at random moments: nothing acknowledged is lost, and what is there is a prefix.

Two writers, each with numbered entries of its own, say after each step how far they have come. They write one by one,
through the cache, in transactions or as streams. Both are killed, the file is opened and verified, and each history
must be there without a gap up to what was said. `KVTEST_KILLS` says how often (6), `KVTEST_SEED` how the dice fall.
"""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from kohakuvault import KVault

KILLS = int(os.environ.get("KVTEST_KILLS", "6"))
SEED = int(os.environ.get("KVTEST_SEED", "1"))
WAYS = ("plain", "cached", "transactions", "streams")


def value_of(writer: int, number: int) -> bytes:
    """Size and bytes follow from the name: a few lie in pieces."""
    seed = hashlib.sha256(b"%d %d" % (writer, number)).digest()
    return seed * (9000 + seed[1] * 30 if seed[0] < 16 else 1 + seed[1] % 100)


def write(path: str, writer: int, number: int, way: str) -> None:
    """Write without end, and tell each step that is acknowledged: as a program of its own."""
    kv = KVault(path)
    count = 1 if way in ("plain", "streams") else 5
    if way == "cached":
        kv.enable_cache()
    while True:
        entries = [(f"w{writer}-{number + i:08}", value_of(writer, number + i)) for i in range(count)]
        if way == "transactions":
            with kv.transaction():
                for key, value in entries:
                    kv[key] = value
        elif way == "streams":
            for key, value in entries:
                with kv.open(key, "wb") as stream:
                    stream.write(value)
        else:
            for key, value in entries:
                kv[key] = value
            kv.flush_cache()
        number += count
        os.write(1, b"%d\n" % number)


def length_of(kv: KVault, writer: int) -> int:
    """How far the history goes; a gap or a wrong byte fails."""
    number = 0
    for key, value in kv.items(b"w%d-" % writer):
        assert key == b"w%d-%08d" % (writer, number)
        assert value == value_of(writer, number)
        number += 1
    return number


def test_nothing_acknowledged_is_lost(path: Path) -> None:
    dice = random.Random(SEED)
    lengths = [0, 0]
    KVault(path).close()
    for _ in range(KILLS):
        ways = [dice.choice(WAYS) for _ in lengths]
        writers = [
            subprocess.Popen(
                [sys.executable, __file__, str(path), str(writer), str(lengths[writer]), way],
                stdout=subprocess.PIPE,
            )
            for writer, way in enumerate(ways)
        ]
        told = [process.stdout.readline() for process in writers if process.stdout]  # they have begun
        assert all(told), "one ended by itself"
        time.sleep(dice.random() * 0.1)
        for process in writers:
            process.kill()
        told = [first + process.communicate()[0] for first, process in zip(told, writers, strict=True)]
        with KVault(path) as kv:
            assert kv.verify() == []
            for writer, numbers in enumerate(told):
                now = length_of(kv, writer)
                assert now >= int(numbers.split()[-1]), ways
                lengths[writer] = now


if __name__ == "__main__":
    write(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
