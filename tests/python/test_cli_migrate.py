"""`kohakuvault migrate`: files that the older implementation's published package wrote."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import older_content
import pytest
from kohakuvault import ColumnVault, KVault, Vault
from program import Program, both_ways, call

DATA = Path(__file__).parents[2] / "tests" / "data" / "older-0.6.0.kv"
CACHE = Path(__file__).parents[2] / "build" / "older"


@pytest.fixture
def older(folder: Path) -> Path:
    """A copy of the file that version 0.6.0 wrote."""
    return Path(shutil.copy(DATA, folder / "older.db"))


def sums(folder: Path, *but: str) -> dict[str, str]:
    """Return a sum for each file of a folder."""
    return {
        it.name: hashlib.sha256(it.read_bytes()).hexdigest()
        for it in folder.iterdir()
        if it.is_file() and it.name not in but
    }


def check_tables(path: Path) -> None:
    with Vault(path) as vault:
        assert vault.tables() == ["Media_2", "kvault"]
        assert dict(vault.kv()) == older_content.TABLES["kv"]
        assert dict(vault.kv("Media_2")) == older_content.TABLES["Media_2"]
        assert vault.verify() == []


def check_columns(path: Path) -> None:
    with ColumnVault(path) as columns:
        assert {name: dtype for name, dtype, _ in columns.list_columns()} == older_content.dtypes()
        for name, values in older_content.expected().items():
            assert list(columns[name]) == values, name
        assert math.copysign(1, columns["floats"][-2]) == -1


# ---- the kept file ----


@both_ways
def test_the_kept_file_comes_over_whole(older: Path, folder: Path, run: Program) -> None:
    before = sums(folder)
    dest = folder / "new.kv"
    told = run("migrate", older, dest)
    assert (told.code, told.err) == (0, "")
    assert told.lines[:2] == ['table "kvault": 4 keys', 'table "Media_2": 100 keys']
    assert sums(folder, "new.kv") == before, "the original, or something beside it, has changed"
    check_tables(dest)
    check_columns(dest)


def test_it_can_be_told_in_json(older: Path, folder: Path) -> None:
    told = call("migrate", older, folder / "new.kv", "--json").json()
    assert told["tables"] == [
        {"table": "kvault", "from_table": "kv", "keys": 4},
        {"table": "Media_2", "from_table": "Media_2", "keys": 100},
    ]
    assert {"column": "records", "dtype": "msgpack", "length": 40} in told["columns"]
    assert len(told["columns"]) == len(older_content.dtypes())
    assert told["not_migrated"] == []


def test_a_table_kvault_keeps_its_name_and_so_does_kv_then(older: Path, folder: Path) -> None:
    with sqlite3.connect(older) as db:
        db.execute("create table KVault (key blob primary key not null, value blob not null)")
        db.execute("insert into KVault values (x'61', x'62')")
    db.close()
    assert call("migrate", older, folder / "new.kv").code == 0
    with Vault(folder / "new.kv") as vault:
        assert vault.tables() == ["KVault", "Media_2", "kv"]
        assert dict(vault.kv()) == {b"a": b"b"}


def test_a_destination_that_is_there_is_refused(older: Path, folder: Path) -> None:
    dest = folder / "new.kv"
    dest.write_bytes(b"something")
    assert call("migrate", older, dest) == (2, b"", f"kohakuvault: {dest} is already there; migrate makes a new file\n")
    assert dest.read_bytes() == b"something"


def test_a_file_of_ours_is_refused(path: Path, folder: Path) -> None:
    KVault(path).close()
    ended = call("migrate", path, folder / "new.kv")
    assert (ended.code, ended.err) == (2, f"kohakuvault: {path} has the format of this version already\n")


def test_a_missing_file_and_one_that_is_no_database_are_refused(folder: Path) -> None:
    assert call("migrate", folder / "absent", folder / "new.kv").code == 3
    (folder / "text").write_bytes(b"not a database")
    ended = call("migrate", folder / "text", folder / "new.kv")
    assert (ended.code, ended.err) == (5, f"kohakuvault: {folder / 'text'} is no SQLite file\n")
    assert not (folder / "new.kv").exists()


def test_a_database_without_anything_of_ours_is_refused(path: Path, folder: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("create table kohakuvault_meta (key text, value text)")
    db.close()
    ended = call("migrate", path, folder / "new.kv")
    assert (ended.code, ended.err) == (
        2,
        f"kohakuvault: {path} holds no tables of keys and values, and no columns\n",
    )


def test_other_tables_are_named_and_the_rest_comes_over(older: Path, folder: Path) -> None:
    with sqlite3.connect(older) as db:
        db.execute("create table notes (id integer primary key, words text)")
    db.close()
    ended = call("migrate", older, folder / "new.kv")
    assert ended.code == 1
    assert ended.err == 'kohakuvault: not migrated: the table "notes", which has no columns key and value\n'
    check_tables(folder / "new.kv")


def test_a_table_that_cannot_have_its_name_is_refused_before_anything_is_made(older: Path, folder: Path) -> None:
    with sqlite3.connect(older) as db:
        db.execute('create table "two words" (key blob primary key not null, value blob not null)')
    db.close()
    ended = call("migrate", older, folder / "new.kv")
    assert ended.code == 2
    assert ended.err == 'kohakuvault: table name "two words" is not an identifier of letters, digits and _\n'
    assert sorted(it.name for it in folder.iterdir()) == ["older.db"]


def test_a_value_that_is_no_bytes_is_refused(older: Path, folder: Path) -> None:
    with sqlite3.connect(older) as db:
        db.execute("insert into kv values (x'7a', 'text')")
    db.close()
    ended = call("migrate", older, folder / "new.kv")
    assert ended.code == 5
    assert 'of the table "kv" holds something other than bytes' in ended.err
    assert sorted(it.name for it in folder.iterdir()) == ["older.db"]


@pytest.mark.slow
def test_a_large_value_comes_over_as_a_stream(older: Path, folder: Path) -> None:
    large = os.urandom(1 << 20) * 17
    with sqlite3.connect(older) as db:
        db.execute("insert into kv values (?, ?)", (b"large", large))
    db.close()
    assert call("migrate", older, folder / "new.kv").code == 0
    with KVault(folder / "new.kv") as kv:
        assert kv["large"] == large


def test_a_change_that_was_broken_off_is_not_read_as_done(older: Path, folder: Path) -> None:
    torn = folder / "torn.db"
    db = sqlite3.connect(older, isolation_level=None)
    db.execute("pragma journal_mode = delete")
    db.execute("pragma cache_size = 5")
    db.execute("begin immediate")
    db.execute("update kv set value = zeroblob(50000)")
    db.execute("update Media_2 set value = zeroblob(5000)")
    shutil.copy(older, torn)
    shutil.copy(f"{older}-journal", f"{torn}-journal")
    db.execute("rollback")
    db.close()
    before = sums(folder)
    ended = call("migrate", torn, folder / "new.kv")
    assert ended.code == 1
    assert ended.err.startswith(f"kohakuvault: {torn} was left amid a change, by its journal {torn}-journal: ")
    assert ended.err.count("\n") == 1
    assert sums(folder) == before


@pytest.mark.slow
def test_any_damage_is_an_error_in_a_line_or_a_whole_copy(older: Path, folder: Path) -> None:
    sound = older.read_bytes()
    dest = folder / "new.kv"
    for at in range(0, len(sound), 997):
        older.write_bytes(sound[:at] + bytes([sound[at] ^ 0x55]) + sound[at + 1 :])
        ended = call("migrate", older, dest)
        assert ended.code in (0, 1, 2, 3, 5), at
        assert dest.exists() == (ended.code == 0 or "not migrated" in ended.err), at
        assert ended.code == 0 or ended.err.startswith("kohakuvault: ")
        dest.unlink(missing_ok=True)
        assert [it.name for it in folder.iterdir()] == ["older.db"]


DAMAGES = {
    "update col_meta set length = 1 << 40 where name = 'integers'": "chunk 6 ends after 128 bytes of 256",
    "update col_meta set length = -1 where name = 'integers'": "its entry in col_meta holds (-1, 1, 8, 256)",
    "update col_meta set length = 'many' where name = 'integers'": "its entry in col_meta holds ('many', 1, 8, 256)",
    "update col_meta set max_chunk_bytes = 12 where name = 'integers'": "chunks of 12 bytes do not hold whole",
    "update col_meta set elem_size = 4 where name = 'integers'": "its elements have 4 bytes, those of i64 have 8",
    "update col_meta set dtype = 'decimal' where name = 'integers'": "Unknown dtype",
    "update col_chunks set data = x'00' where col_id = 1 and chunk_idx = 2": "chunk 2 ends after 1 bytes of 256",
    "delete from col_chunks where col_id = 1 and chunk_idx = 1": "chunk 1 is missing",
    "update col_chunks set data = 7 where col_id = 1 and chunk_idx = 1": "chunk 1 is missing",
    "update col_chunks set data = x'00' where chunk_idx = 1 and col_id = "
    "(select col_id from col_meta where name = 'records_data')": "at bytes 0 to 50 of chunk 1, which has 1",
    "update col_meta set elem_size = 4 where name = 'records_idx'": "entries of its index have 4 bytes",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_column_is_named_and_the_rest_comes_over(older: Path, folder: Path, damage: str) -> None:
    with sqlite3.connect(older) as db:
        db.execute(damage)
    db.close()
    ended = call("migrate", older, folder / "new.kv")
    assert ended.code == 1
    assert ended.err.startswith("kohakuvault: not migrated: the column ")
    assert DAMAGES[damage] in ended.err
    assert ended.err.count("\n") == 1
    check_tables(folder / "new.kv")
    with ColumnVault(folder / "new.kv") as columns:
        assert len(columns) == len(older_content.dtypes()) - 1
        assert list(columns["floats"]) == older_content.expected()["floats"]


# ---- files that the published packages make now ----


@functools.cache
def install(version: str, folder: Path) -> str:
    """Install the published package into a folder of its own; return why it could not be, or nothing."""
    part = folder.with_name(f"{folder.name}.{os.getpid()}")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--retries", "1", "--no-deps"]
    command = [*pip, "--only-binary", ":all:", "--target", str(part), f"kohakuvault=={version}"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if ended.returncode:
        shutil.rmtree(part, ignore_errors=True)
        return (ended.stderr.strip() or "pip failed").splitlines()[-1]
    part.rename(folder)
    return ""


def package(version: str) -> Path:
    """Return a folder with the published package, installed there on first use."""
    folder = CACHE / f"{version}-{sys.implementation.cache_tag}"
    if not folder.exists() and (reason := install(version, folder)):
        pytest.skip(f"kohakuvault {version} could not be installed: {reason}")
    return folder


def make(version: str, script: str | Path, *arguments: str | Path) -> str:
    """Run a script with a published package; return what it prints."""
    words = [str(script)] if isinstance(script, Path) else ["-c", script]
    environment = {**os.environ, "PYTHONPATH": str(package(version)), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, *words, *map(str, arguments)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr[-500:]
    return ended.stdout


@pytest.mark.slow
def test_a_file_that_0_6_0_makes_now(folder: Path) -> None:
    older = folder / "older.db"
    make("0.6.0", Path(older_content.__file__), older)
    before = sums(folder)
    ended = call("migrate", older, folder / "new.kv")
    assert (ended.code, ended.err) == (0, "")
    assert sums(folder, "new.kv") == before
    check_tables(folder / "new.kv")
    check_columns(folder / "new.kv")


@pytest.mark.slow
def test_commits_that_are_still_in_the_log_come_over(folder: Path) -> None:
    older = folder / "older.db"
    make("0.6.0", Path(older_content.__file__), older, "--leave-open")
    assert (folder / "older.db-wal").stat().st_size > 0
    before = sums(folder, "older.db-shm")
    assert call("migrate", older, folder / "new.kv").code == 0
    assert sums(folder, "older.db-shm", "new.kv") == before
    check_tables(folder / "new.kv")
    check_columns(folder / "new.kv")


OF_1_1_0 = """
import json, sys, kohakuvault
kv = kohakuvault.KVault(sys.argv[1])
kv["plain"] = b"bytes"
kv[b"\\x00\\xff"] = bytes(range(256))
columns = kohakuvault.ColumnVault(kv)
columns.create_column("numbers", "i64").extend([1, 2, 3])
columns.create_column("records", "msgpack").append({"id": 1})
kv.close()
"""


@pytest.mark.slow
def test_of_1_1_0_the_tables_come_over_and_the_columns_are_named(folder: Path) -> None:
    pytest.importorskip("numpy", reason="the older package wants NumPy")
    older = folder / "older.db"
    make("1.1.0", OF_1_1_0, older)
    before = sums(folder)
    ended = call("migrate", older, folder / "new.kv", "--json")
    assert ended.code == 1
    words = 'the column "{}", which has the layout of a version from 1.0 on'
    assert json.loads(ended.out)["not_migrated"] == [words.format("numbers"), words.format("records")]
    assert ended.err.splitlines() == [
        f"kohakuvault: not migrated: {words.format(name)}" for name in ("numbers", "records")
    ]
    assert sums(folder, "new.kv") == before
    with KVault(folder / "new.kv") as kv:
        assert dict(kv) == {b"plain": b"bytes", b"\x00\xff": bytes(range(256))}
