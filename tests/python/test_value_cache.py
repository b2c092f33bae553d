"""Values given out again from memory: never an old one, whoever wrote meanwhile, and never more than allowed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from kohakuvault import KVault, Vault

WRITER = """
import sys
from kohakuvault import KVault

with KVault(sys.argv[1]) as kv:
    for number in range(int(sys.argv[2])):
        kv["k"] = str(number).encode()
        print(number, flush=True)
        sys.stdin.readline()
"""


def warm(kv: KVault, key: str | bytes) -> bytes:
    """Read until the value is given out from memory."""
    for _ in range(3):
        value = kv[key]
    assert kv[key] is value
    return value


def test_a_hot_value_is_the_same_object(kv: KVault) -> None:
    kv["k"] = b"v" * 100
    warm(kv, "k")
    assert kv.get(b"k") is kv["k"]


@pytest.mark.parametrize("change", ["put", "delete", "pop", "clear", "put_many", "delete_many", "popitem", "stream"])
def test_every_write_is_seen_at_once(kv: KVault, change: str) -> None:
    kv["k"] = b"old"
    warm(kv, "k")
    if change == "put":
        kv["k"] = b"new"
    elif change == "put_many":
        kv.put_many([("k", b"new")])
    elif change == "stream":
        kv.put_file("k", b"new")
    elif change in ("delete", "pop"):
        getattr(kv, change)("k")
    elif change == "delete_many":
        kv.delete_many(["k"])
    else:
        getattr(kv, change)()
    assert kv.get("k") == (b"new" if change in ("put", "put_many", "stream") else None)
    assert ("k" in kv) == (kv.get("k") is not None)


def test_an_absent_key_is_known_too_until_it_is_written(kv: KVault) -> None:
    for _ in range(3):
        assert kv.get("k") is None
        assert "k" not in kv
    kv["k"] = b"v"
    assert kv["k"] == b"v"
    assert "k" in kv


def test_the_write_cache_and_transactions_are_seen(kv: KVault) -> None:
    kv["k"] = b"1"
    warm(kv, "k")
    with kv.cache():
        kv["k"] = b"2"
        assert warm(kv, "k") == b"2"
        kv["k"] = b"3"
        assert kv["k"] == b"3"
    assert kv["k"] == b"3"
    warm(kv, "k")
    kv._handle.begin()
    kv["k"] = b"4"
    assert kv["k"] == b"4"
    kv._handle.rollback()
    assert kv["k"] == b"3"
    with kv.transaction():
        kv["k"] = b"5"
    assert kv["k"] == b"5"


def test_another_handle_and_another_table(path: Path) -> None:
    with Vault(path) as vault:
        one, same, other = vault.kv(), vault.kv(), vault.kv("other")
        one["k"] = b"1"
        other["k"] = b"other"
        assert warm(one, "k") == b"1"
        assert warm(other, "k") == b"other"
        same["k"] = b"2"
        assert one["k"] == b"2"
        assert other["k"] == b"other"


def test_a_snapshot_keeps_what_it_saw(kv: KVault) -> None:
    kv["k"] = b"1"
    warm(kv, "k")
    with kv.snapshot() as seen:
        kv["k"] = b"2"
        for _ in range(3):
            assert seen["k"] == b"1"
            assert kv["k"] == b"2"


def test_another_processs_commits_are_seen(kv: KVault, path: Path) -> None:
    """The writer says what it has committed; from then on nothing older may be read."""
    rounds = 300
    kv["k"] = b"0"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(rounds)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdin
        assert writer.stdout
        for line in writer.stdout:
            for _ in range(3):
                assert int(kv["k"]) >= int(line)
            writer.stdin.write("\n")
            writer.stdin.flush()
    assert kv["k"] == str(rounds - 1).encode()


def test_a_forked_child_does_not_see_what_was_pending(kv: KVault) -> None:
    kv["k"] = b"committed"
    kv.enable_cache()
    kv["k"] = b"pending"
    assert warm(kv, "k") == b"pending"
    child = os.fork()
    if child == 0:
        os._exit(0 if kv["k"] == b"committed" and kv["k"] == b"committed" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert kv["k"] == b"pending"


def test_it_stays_within_its_half_of_cache_kb(path: Path) -> None:
    with KVault(path, cache_kb=1024) as kv:
        kv.put_many((str(number), bytes(1000)) for number in range(2000))
        for _ in range(3):
            for number in range(2000):
                assert kv[str(number)] == bytes(1000)
        assert 0 < kv.stats()["cache_bytes_used"] <= 1024 * 1024


def test_after_a_close_nothing_is_given_out(kv: KVault) -> None:
    kv["k"] = b"v"
    warm(kv, "k")
    kv.close()
    with pytest.raises(ValueError, match="closed"):
        kv["k"]
    with pytest.raises(ValueError, match="closed"):
        "k" in kv  # noqa: B015
