"""Files of other programs and of the older implementation, read-only places, other journals, memory,
and files that were damaged, cut, or put in another's place."""

from __future__ import annotations

import gzip
import os
import random
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from kohakuvault import (
    CorruptData,
    DatabaseBusy,
    InvalidArgument,
    IoError,
    KohakuVaultError,
    KVault,
    ReadOnly,
    Vault,
)

DATA = Path(__file__).parents[1] / "data"
PEERS = Path(__file__).parents[2] / "bench" / ".peers"
NOBODY = 65534
APPLICATION_ID = 0x4B564C54


def sql(path: Path, *statements: str) -> list[tuple[object, ...]]:
    """Run statements as another program; return the rows of the last."""
    db = sqlite3.connect(path, isolation_level=None)
    try:
        for statement in statements:
            rows = db.execute(statement).fetchall()
    finally:
        db.close()
    return rows


def files_in(folder: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.is_file()}


def in_process(script: str, *arguments: object, uid: int = 0) -> str:
    """Run a script in a process of its own, as another user if one is named; return what it printed."""
    prelude = "import os, sys; from kohakuvault import *\n"
    if uid:
        prelude += f"os.setgroups([]); os.setgid({uid}); os.setuid({uid})\n"
    done = subprocess.run(
        [sys.executable, "-c", prelude + script, *map(str, arguments)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# ---- a new file ----


def test_a_new_file_says_whose_it_is(path: Path) -> None:
    KVault(path).close()
    assert sql(path, "pragma application_id") == [(APPLICATION_ID,)]
    assert sql(path, "pragma user_version") == [(1,)]
    assert sql(path, "pragma page_size") == [(8192,)]
    assert sql(path, "pragma journal_mode") == [("wal",)]


def test_the_page_size_is_that_of_a_new_file(path: Path) -> None:
    KVault(path, page_size=4096).close()
    with KVault(path, page_size=16384) as kv:
        assert kv.stats()["page_size"] == 4096


def test_the_last_close_leaves_one_file(folder: Path, path: Path) -> None:
    first, second = KVault(path), KVault(path)
    first["a"] = b"1"
    first.close()
    assert path.with_name("test.db-wal").exists()
    assert second["a"] == b"1"
    second.close()
    assert [entry.name for entry in folder.iterdir()] == ["test.db"]


# ---- files of other programs ----


@pytest.mark.parametrize(
    ("statements", "words"),
    [
        (["pragma application_id = 5", "create table t(a)"], "another program"),
        ([f"pragma application_id = {APPLICATION_ID}", "pragma user_version = 2", "create table t(a)"], "newer"),
    ],
)
def test_a_file_that_is_not_ours_is_refused_and_left_as_it_is(
    folder: Path, path: Path, statements: list[str], words: str
) -> None:
    sql(path, *statements)
    before = files_in(folder)
    for read_only in (False, True):
        with pytest.raises(KohakuVaultError, match=words) as caught:
            KVault(path, read_only=read_only)
        assert "test.db" in str(caught.value)
    assert files_in(folder) == before


@pytest.mark.parametrize(
    "statements",
    [
        ["create table t(a, b)", "create view kvault as select a as key, b as value from t"],
        ["create table kvault(id integer primary key, key text, value text)"],
        ["create table kvault(key blob primary key)"],
    ],
)
def test_something_else_by_our_tables_name_is_refused(path: Path, statements: list[str]) -> None:
    sql(path, *statements)
    before = sql(path, "select * from sqlite_master")
    for read_only in (False, True):
        with pytest.raises(KohakuVaultError, match="kvault"):
            KVault(path, read_only=read_only)
    assert sql(path, "select * from sqlite_master") == before


def test_a_feature_of_a_later_version_refuses_the_file_or_its_writing(path: Path) -> None:
    with KVault(path) as kv:
        kv["a"] = b"1"
    sql(path, "update kv_format set read_only_features = 1 << 40")
    before = path.read_bytes()
    with pytest.raises(ReadOnly, match=r"features .*only read"):
        KVault(path)
    assert path.read_bytes() == before
    with KVault(path, read_only=True) as kv:
        assert kv["a"] == b"1"
    sql(path, "update kv_format set refuse_features = 1 << 40")
    for read_only in (False, True):
        with pytest.raises(KohakuVaultError, match=r"features .*does not know"):
            KVault(path, read_only=read_only)


def test_a_plain_table_keeps_its_form(path: Path) -> None:
    sql(path, "create table notes(key blob primary key, value blob)", "create table other(x)")
    with KVault(path, table="notes") as kv:
        kv["a"] = bytes(1_000_000)
        with kv.open("b", "wb") as stream:
            stream.write(b"12345" * 100_000)
        kv.put_many([("c", b"1"), ("d", b"")])
        assert len(kv) == 4
        assert kv.verify() == []
    rows = sql(path, "select key, length(value) from notes order by key")
    assert rows == [(b"a", 1_000_000), (b"b", 500_000), (b"c", 1), (b"d", 0)]
    assert sql(path, "select sql from sqlite_master where name = 'notes'") == [
        ("CREATE TABLE notes(key blob primary key, value blob)",)
    ]


def test_a_plain_table_refuses_what_sqlite_cannot_hold(path: Path) -> None:
    sql(path, "create table kv(key blob primary key, value blob)")
    too_large = bytes(1_000_000_001)
    with KVault(path) as kv:
        for call in (lambda: kv.put("a", too_large), lambda: kv.put_many([("a", b""), ("b", too_large)])):
            with pytest.raises(InvalidArgument, match="1000000001 bytes, limit 1000000000"):
                call()
        assert len(kv) == 0


# ---- files of the older implementation ----

OLDER = {
    b"a": b"1",
    b"empty": b"",
    "花".encode(): b"flower",
    b"\xff\xff": bytes(range(256)),
    b"longer": b"0123456789" * 5000,
}


@pytest.mark.parametrize("version", ["0.6.0", "1.1.0"])
def test_a_file_of_the_older_implementation_opens(path: Path, version: str) -> None:
    path.write_bytes(gzip.decompress((DATA / f"older-{version}.db.gz").read_bytes()))
    with KVault(path, read_only=True) as kv:
        assert dict(kv) == OLDER
    with KVault(path) as kv:
        assert kv.table == "kv"
        assert list(kv) == sorted(OLDER)
        kv["new"] = b"2"
        del kv["a"]
        assert kv.verify() == []
    with KVault(path) as kv:
        assert (
            dict(kv) == {**OLDER, b"new": b"2"} | {}
            if False
            else dict(kv) == {key: value for key, value in {**OLDER, b"new": b"2"}.items() if key != b"a"}
        )


@pytest.mark.parametrize("version", ["0.6.0", "1.1.0"])
def test_the_older_implementation_reads_what_we_write_to_its_file(path: Path, version: str) -> None:
    peer = PEERS / f"kohakuvault-{version}"
    environment = {**os.environ, "PYTHONPATH": str(peer)}
    imported = [sys.executable, "-c", "import kohakuvault; print(kohakuvault.__file__)"]
    if str(peer) not in subprocess.run(imported, capture_output=True, text=True, env=environment).stdout:
        pytest.skip(f"kohakuvault {version} is not in {peer}, or not for this Python: bench/run puts it there")
    script = "import sys; from kohakuvault import KVault; kv = KVault(sys.argv[1]); "

    def run(code: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", script + code, str(path)],
            capture_output=True,
            text=True,
            env=environment,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    run("kv['theirs'] = b'1'; kv['both'] = b'1'; kv.close()")
    with KVault(path) as kv:
        assert dict(kv) == {b"theirs": b"1", b"both": b"1"}
        kv["both"] = b"2"
        kv["ours"] = b"3" * 300_000
    assert run("print(kv['both'], len(kv['ours']), sorted(kv.keys())); kv.close()") == (
        "b'2' 300000 [b'both', b'ours', b'theirs']"
    )


# ---- another program at the same time ----


def test_commits_of_another_program_are_seen_at_once(path: Path) -> None:
    with KVault(path) as kv:
        kv["a"] = b"1"
        assert (kv["a"], len(kv), list(kv)) == (b"1", 1, [b"a"])
        db = sqlite3.connect(path, isolation_level=None)
        for i in range(100):
            kv.put("a", b"%d" % i)
            db.execute("delete from kvault where key = x'61'")
            assert "a" not in kv
            assert len(kv) == 0
            assert kv.get("a") is None
        db.close()


@pytest.mark.parametrize("wal", [True, False])
def test_another_process_is_seen_at_once(path: Path, wal: bool) -> None:
    script = f"kv = KVault(sys.argv[1], enable_wal={wal}); kv['a'] = kv['a'] + b'+'; kv['b'] = b'1'; kv.close()"
    with KVault(path, enable_wal=wal) as kv:
        kv["a"] = b"1"
        for turn in range(3):
            assert (kv["a"], len(kv)) == (b"1" + b"+" * turn, 1)
            in_process(script, path)
            assert kv["a"] == b"1" + b"+" * (turn + 1)
            assert len(kv) == 2
            assert kv.pop("b") == b"1"


# ---- without WAL, in memory ----


def test_without_wal_a_snapshot_holds_off_commits(path: Path) -> None:
    with KVault(path, enable_wal=False, retries=1, backoff_base=0.05) as kv:
        kv["a"] = b"1"
        with kv.snapshot() as seen:
            assert seen["a"] == b"1"
            with pytest.raises(DatabaseBusy):
                kv["a"] = b"2"
            assert seen["a"] == b"1"
        kv["a"] = b"2"
        assert kv["a"] == b"2"
        assert sql(path, "pragma journal_mode") == [("delete",)]


def test_the_rest_works_without_wal(path: Path, folder: Path) -> None:
    with KVault(path, enable_wal=False) as kv:
        with kv.transaction():
            kv["a"] = b"1"
            kv.put_file("large", bytes(20_000_000))
        with kv.cache():
            kv["b"] = b"2"
        kv.backup(folder / "copy.db")
        kv.checkpoint()
        kv.optimize()
        assert kv.verify() == []
        assert kv.stats()["wal_bytes"] == 0
    with KVault(folder / "copy.db") as copied:
        assert list(copied) == [b"a", b"b", b"large"]


def test_a_snapshot_of_memory_is_a_copy() -> None:
    with KVault(":memory:") as kv:
        kv["a"] = b"1"
        kv["large"] = bytes(1_000_000)
        with kv.snapshot() as seen:
            kv["a"] = b"2"
            del kv["large"]
            assert (seen["a"], seen.size("large")) == (b"1", 1_000_000)
            with pytest.raises(ReadOnly):
                seen["a"] = b"3"
        assert dict(kv) == {b"a": b"2"}


def test_a_read_of_memory_waits_for_a_transaction() -> None:
    seen: list[bytes] = []
    with KVault(":memory:") as kv:
        kv["a"] = b"1"
        reader = threading.Thread(target=lambda: seen.append(kv["a"]))
        with kv.transaction():
            kv["a"] = b"2"
            reader.start()
            reader.join(0.2)
            assert seen == []
        reader.join(60)
        assert seen == [b"2"]


# ---- read-only places ----


def test_a_folder_that_cannot_be_written(folder: Path, path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user, whom the folder forbids to write")
    with KVault(path) as kv:
        kv["a"] = b"1"
    path.chmod(0o644)
    folder.chmod(0o755)
    read = "kv = KVault(sys.argv[1], read_only=True); print(kv['a'], len(kv)); kv.close()"
    assert in_process(read, path, uid=NOBODY) == "b'1' 1"
    write = """
try:
    KVault(sys.argv[1])["a"] = b"2"
except (ReadOnly, IoError) as exc:
    print(type(exc).__name__, "test.db" in str(exc))
"""
    assert in_process(write, path, uid=NOBODY).endswith("True")
    assert [entry.name for entry in folder.iterdir()] == ["test.db"]


def test_a_wal_that_cannot_be_opened_is_an_error_and_not_old_data(folder: Path, path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user, whom the folder forbids to write")
    folder.chmod(0o755)
    with KVault(path) as kv:
        kv["a"] = b"1"
        kv.checkpoint()
        kv["a"] = b"2"
        path.chmod(0o644)
        for other in ("-wal", "-shm"):
            path.with_name("test.db" + other).chmod(0o600)
        read = """
try:
    print(KVault(sys.argv[1], read_only=True)["a"])
except KohakuVaultError as exc:
    print("refused")
"""
        assert in_process(read, path, uid=NOBODY) == "refused"


def test_a_file_that_changes_where_no_log_can_be_is_an_error_and_not_old_data(folder: Path, path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user, whom the folder forbids to write")
    with KVault(path) as kv:
        kv["a"] = b"1"
    path.chmod(0o644)
    folder.chmod(0o755)
    script = f"""
import os, sys
from kohakuvault import *
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
kv = KVault(sys.argv[1], read_only=True)
print(kv["a"], flush=True)
sys.stdin.readline()
try:
    print(kv["a"])
except KohakuVaultError as exc:
    print("told", "test.db" in str(exc))
"""
    reader = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert reader.stdin is not None
    assert reader.stdout is not None
    assert reader.stdout.readline() == "b'1'\n"
    with KVault(path) as kv:
        kv["a"] = b"2"
    assert reader.communicate("\n", timeout=60)[0] == "told True\n"


def test_read_only_refuses_every_write_with_words(path: Path, folder: Path) -> None:
    with KVault(path) as kv:
        kv["a"] = b"1"
    with KVault(path, read_only=True) as kv:
        calls: list[Callable[[], object]] = [
            lambda: kv.put("a", b"2"),
            lambda: kv.delete("a"),
            lambda: kv.pop("a"),
            lambda: kv.popitem(),
            lambda: kv.setdefault("b", b""),
            lambda: kv.clear(),
            lambda: kv.put_many([("a", b"")]),
            lambda: kv.delete_many(["a"]),
            lambda: kv.update(a=b""),
            lambda: kv.put_file("a", b""),
            lambda: kv.open("a", "wb"),
            lambda: kv.open("a", "ab"),
            lambda: kv.transaction().__enter__(),
        ]
        for call in calls:
            with pytest.raises(ReadOnly, match="read-only"):
                call()
        assert kv["a"] == b"1"
        with kv.open("a") as stream, kv.snapshot() as seen:
            assert stream.read() == seen["a"] == b"1"
        kv.backup(folder / "copy.db")
        assert kv.verify() == []
    with Vault(path, read_only=True) as vault:
        assert vault.kv()["a"] == b"1"


# ---- damage ----


def read_or_refuse(path: Path, values: dict[bytes, bytes]) -> tuple[int, list[bytes]]:
    """Return how many values are told to be damaged, and the keys of those that came back changed."""
    refused, wrong = 0, []
    with KVault(path) as kv:
        for key, value in values.items():
            try:
                if (found := kv.get(key)) is not None and found != value:
                    wrong.append(key)
            except (CorruptData, IoError):
                refused += 1
        try:
            wrong += [key for key, value in kv.items() if values.get(key, value) != value]
        except (CorruptData, IoError):
            refused += 1
        refused += len(kv.verify())
    return refused, wrong


@pytest.mark.parametrize("cut", [100, 4096, 8192, 8193, 500_000])
def test_a_file_cut_short_is_refused_or_its_values_are(path: Path, cut: int) -> None:
    values = {b"%d" % i: os.urandom(20_000) for i in range(50)}
    with KVault(path) as kv:
        kv.update(values)
    path.write_bytes(path.read_bytes()[:cut])
    try:
        refused, wrong = read_or_refuse(path, values)
    except CorruptData:
        return
    assert refused
    assert wrong == []


def test_an_empty_file_is_a_new_one(path: Path) -> None:
    path.touch()
    with KVault(path) as kv:
        kv["a"] = b"1"
    with KVault(path, read_only=True) as kv:
        assert kv["a"] == b"1"


@pytest.mark.parametrize("seed", range(20))
def test_flipped_bytes_give_the_right_value_or_an_error(path: Path, seed: int) -> None:
    dice = random.Random(seed)
    values = {b"%03d" % i: dice.randbytes(dice.choice([0, 5, 100, 9000, 30_000])) for i in range(60)}
    values[b"large"] = dice.randbytes(600_000)
    with KVault(path, page_size=1024 if seed % 2 else 8192) as kv:
        kv.put_many(values.items())
    data = bytearray(path.read_bytes())
    for _ in range(dice.choice([1, 4, 200])):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    path.write_bytes(data)
    try:
        _, wrong = read_or_refuse(path, values)
    except (CorruptData, IoError):
        return
    assert wrong == []


def test_damage_is_told_with_its_place_and_sqlites_code(path: Path) -> None:
    with KVault(path) as kv:
        kv["small"] = b"\x5a" * 5000
    data = bytearray(path.read_bytes())
    data[data.index(b"\x5a" * 1000) + 7] ^= 1
    path.write_bytes(data)
    with KVault(path) as kv:
        with pytest.raises(CorruptData, match="small"):
            kv["small"]
        with pytest.raises(CorruptData):
            list(kv.values())
        assert list(kv) == [b"small"]
        (problem,) = kv.verify()
        assert "small" in problem.where
        kv["small"] = b"mended"
        assert kv.verify() == []
    path.write_bytes(b"\0" * 100_000)
    with pytest.raises(CorruptData) as caught:
        KVault(path)
    assert caught.value.sqlite_code & 0xFF == 26  # SQLITE_NOTADB


# ---- files that change their place ----


def replace(path: Path) -> None:
    """Put another vault where this one is, as careless people do."""
    with KVault(path.with_name("new.db")) as kv:
        kv["b"] = b"2"
    for name in ("test.db-wal", "test.db-shm"):
        path.with_name(name).unlink()
    os.replace(path.with_name("new.db"), path)


def test_a_file_that_was_replaced_is_not_written_to(path: Path) -> None:
    kv = KVault(path)
    kv["a"] = b"1"
    replace(path)
    with pytest.raises(KohakuVaultError, match=r"test\.db.*(replaced|another file|moved)"):
        kv["a"] = b"2"
    kv.close()
    with KVault(path) as again:
        assert again.verify() == []
        assert dict(again) == {b"b": b"2"}


def test_a_file_that_was_removed_is_not_written_to(path: Path) -> None:
    kv = KVault(path)
    kv["a"] = b"1"
    for name in ("test.db", "test.db-wal", "test.db-shm"):
        path.with_name(name).unlink()
    with pytest.raises(KohakuVaultError, match=r"test\.db"):
        kv["a"] = b"2"
    kv.close()


def test_links_and_other_spellings_are_one_file(folder: Path, path: Path) -> None:
    (folder / "there").mkdir()
    with KVault(path) as kv:
        kv["a"] = b"1"
        (folder / "link.db").symlink_to(path)
        for spelling in (folder / "there" / ".." / "test.db", folder / "link.db"):
            with KVault(spelling) as other:
                other.enable_cache()
                other["b"] = b"2"
                assert kv["b"] == b"2"
                assert kv.stats()["handles_open"] == 2


def test_a_folder_is_no_file(folder: Path) -> None:
    with pytest.raises((IoError, CorruptData)) as caught:
        KVault(folder)
    assert folder.name in str(caught.value)


def test_a_relative_path_survives_a_change_of_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with KVault("here.db") as kv:
        monkeypatch.chdir("/")
        kv["a"] = b"1"
        assert kv.path == str(folder / "here.db")
        with KVault(folder / "here.db") as same:
            assert same["a"] == b"1"
