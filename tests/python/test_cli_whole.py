"""`kohakuvault` info, stats, verify, backup, and the program itself: help, codes, completion, bars."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import sqlite3
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import kohakuvault
import pytest
from kohakuvault import KVault
from program import Program, both_ways, call, start


@pytest.fixture
def filled(path: Path) -> Path:
    with KVault(path) as kv, KVault(path, table="media") as media:
        kv.update({"a": b"1", "bc": b"22"})
        media["large"] = bytes(600_000)
    return path


# ---- info and stats ----


@both_ways
def test_info_tells_tables_and_sizes(filled: Path, run: Program) -> None:
    shown = run("info", filled).lines
    assert shown[0] == f"{filled}: KohakuVault, format 1"
    assert shown[1] == f"{filled.stat().st_size:,} bytes in {filled.stat().st_size // 8192} pages of 8,192, " + (
        "0 of them free; 0 bytes in the WAL"
    )
    assert shown[3:] == ["table   keys", "kvault     2", "media      1"]
    told = run("info", filled, "--json").json()
    assert told["file_bytes"] == filled.stat().st_size
    assert told["tables"] == [{"table": "kvault", "keys": 2}, {"table": "media", "keys": 1}]


def test_info_of_another_programs_file(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("create table kv (key blob primary key, value blob)")
    db.close()
    told = call("info", path, "--json").json()
    assert told["format"] == "SQLite, of another program"
    assert told["tables"] == [{"table": "kv", "keys": 0}]


def test_an_older_file_is_looked_into_and_the_way_on_is_told(folder: Path) -> None:
    path = Path(shutil.copy(Path(__file__).parents[1] / "data" / "older-0.6.0.kv", folder / "older.kv"))
    words = f'the columns in "{path}" have the layout of an older implementation: '
    words += "`kohakuvault migrate` makes a new file of it"
    for command in ("info", "stats"):
        told = call(command, path, "--json").json()
        assert [it["table"] for it in told["tables"]] == ["Media_2", "kv"]
        assert told["columns"] == []
        assert told["note"] == words
        assert call(command, path).lines[-1] == words
    assert call("columns", path) == (2, b"", f"kohakuvault: {words}\n")
    assert call("verify", path).code == 0
    assert call("ls", path, "--table", "media_2", "-n", "1").lines == ["image/000"]
    assert len(call("ls", path).lines) == 4


@both_ways
def test_stats_measure_each_table(filled: Path, run: Program) -> None:
    told = run("stats", filled, "--json").json()
    assert told["page_size"] == 8192
    assert told["tables"] == [
        {"table": "kvault", "keys": 2, "key_bytes": 3, "value_bytes": 3, "largest_value": 2},
        {"table": "media", "keys": 1, "key_bytes": 5, "value_bytes": 600_000, "largest_value": 600_000},
    ]
    assert run("stats", filled).lines[-1].split() == ["media", "1", "5", "600,000", "600,000"]


# ---- verify and backup ----


@both_ways
def test_verify_of_a_sound_file(filled: Path, run: Program) -> None:
    assert run("verify", filled).lines == ["no problem found"]
    assert run("verify", filled, "--json").json() == {"problems": []}


@both_ways
def test_verify_tells_what_is_damaged_and_its_code(filled: Path, run: Program) -> None:
    with sqlite3.connect(filled) as db:
        db.execute("update kvault set value = x'3131' where key = x'61'")
    db.close()
    ended = run("verify", filled)
    assert ended.code == 5
    assert ended.lines == ['table "kvault", key "a": the checksum of the value does not match', "1 problem"]
    assert run("get", filled, "a").code == 5
    assert run("verify", filled, "--json").code == 5


@both_ways
def test_backup_copies_the_file(filled: Path, folder: Path, run: Program) -> None:
    dest = folder / "copy.kv"
    assert run("backup", filled, dest).lines == [f"{dest}: {dest.stat().st_size:,} bytes"]
    assert run("backup", filled, dest, "--json").json() == {"path": str(dest), "bytes": dest.stat().st_size}
    with KVault(dest) as kv:
        assert dict(kv) == {b"a": b"1", b"bc": b"22"}


def test_backup_of_a_missing_file_makes_none(folder: Path) -> None:
    ended = call("backup", folder / "absent", folder / "copy")
    assert (ended.code, ended.err) == (3, f"kohakuvault: there is no file {folder / 'absent'}\n")
    assert list(folder.iterdir()) == []


# ---- how it ends ----


@pytest.mark.parametrize(
    "words",
    [["ls"], ["get", "k"], ["cat", "k"], ["rm", "k"], ["info"], ["stats"], ["verify"], ["columns"], ["head", "c"]],
    ids=lambda words: words[0],
)
def test_a_missing_file_is_one_line_and_a_code(folder: Path, words: list[str]) -> None:
    path = folder / "absent"
    assert call(words[0], path, *words[1:]) == (3, b"", f"kohakuvault: there is no file {path}\n")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "code"), [(b"not a database at all" * 100, 5), (b"\0" * 4096, 5)], ids=["text", "zeros"]
)
def test_a_file_of_another_kind_is_refused_and_left_alone(path: Path, content: bytes, code: int) -> None:
    path.write_bytes(content)
    for words in (["ls"], ["info"], ["verify"], ["put", "k"], ["rm", "k"]):
        ended = call(words[0], path, *words[1:])
        assert ended.code == code, words
        assert ended.err.startswith("kohakuvault: ")
        assert ended.err.count("\n") == 1
    assert path.read_bytes() == content


def test_a_folder_is_no_vault(folder: Path) -> None:
    assert call("info", folder) == (2, b"", f"kohakuvault: {folder} is a folder, not a vault\n")
    assert call("put", folder, "k", data=b"v").code == 2


@pytest.mark.slow
def test_a_busy_file_has_its_code(filled: Path) -> None:
    db = sqlite3.connect(filled, isolation_level=None)
    db.execute("begin immediate")
    ended = start("put", filled, "k", "--text", "v")
    db.execute("rollback")
    db.close()
    assert ended.code == 4
    assert ended.err.startswith("kohakuvault: ")
    assert "waited" in ended.err


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_a_full_disk_is_one_line_and_leaves_nothing(path: Path, folder: Path) -> None:
    with KVault(path) as kv:
        kv["large"] = bytes(3_000_000)
    (folder / "older.kv").write_bytes((Path(__file__).parents[1] / "data" / "older-0.6.0.kv").read_bytes())
    before = sorted(folder.iterdir())
    for words in (
        f"get {path} large -o {folder}/out",
        f"export {path} {folder}/out",
        f"backup {path} {folder}/out",
        f"put {folder}/new.kv k {path}",
        f"migrate {folder}/older.kv {folder}/out.kv",
    ):
        limited = f"ulimit -f 100; {sys.executable} -m kohakuvault {words}"
        ended = subprocess.run(["bash", "-c", limited], capture_output=True, text=True, timeout=60)
        assert ended.returncode == 1, words
        assert ended.stderr.startswith("kohakuvault: "), words
        assert ended.stderr.count("\n") == 1, words
        assert str(folder) in ended.stderr, words
        (folder / "new.kv").unlink(missing_ok=True)
        assert sorted(folder.iterdir()) == before, words


def test_ctrl_c_is_one_line_and_a_code(path: Path) -> None:
    running = subprocess.Popen(
        [sys.executable, "-m", "kohakuvault", "put", str(path), "k"], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 30
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=30)
    assert (running.returncode, err) == (130, b"kohakuvault: interrupted\n")
    assert call("ls", path).lines == []


# ---- the program ----


def test_the_script_and_the_module_are_the_same_program(path: Path) -> None:
    script = Path(sysconfig.get_path("scripts")) / "kohakuvault"
    for program in ([str(script)], [sys.executable, "-m", "kohakuvault"]):
        ended = subprocess.run([*program, "--version"], capture_output=True, text=True, timeout=60)
        assert ended.stdout == f"kohakuvault, version {kohakuvault.__version__}\n"
    assert subprocess.run([str(script), "info", str(path)], capture_output=True, timeout=60).returncode == 3


@both_ways
def test_help_lists_every_command_on_a_line_that_is_whole(run: Program) -> None:
    from kohakuvault.cli.app import app

    shown = run("--help").lines
    for name, command in app.commands.items():
        line = next(it for it in shown if it.split()[:1] == [name])
        assert line.endswith("."), line
        told = run("-h") if name == "" else call(name, "--help")
        assert told.code == 0
        assert told.lines[0].startswith(f"Usage: kohakuvault {name} ")
        assert all(len(line) <= 80 for line in told.lines)
        assert command.help


def test_wrong_use_has_its_code(path: Path) -> None:
    for words in (["ls"], ["nonsense"], ["ls", path, "--limit", "-1"], ["get", path, "k", "--nonsense"]):
        ended = call(*words)
        assert ended.code == 2
        assert "Error: " in ended.err


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_a_missing_package_is_named_with_the_way_to_get_it(missing: str) -> None:
    script = f"import sys; sys.modules[{missing!r}] = None; from kohakuvault.__main__ import main; main()"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert ended.stderr == (f"kohakuvault: the command line needs {missing}: pip install 'kohakuvault[cli]'\n")


def test_importing_the_package_imports_nothing_of_the_command_line() -> None:
    script = (
        "import sys, kohakuvault;"
        "print([m for m in sys.modules if m in ('click', 'rich', 'json', 'csv', 'sqlite3') or '.cli' in m])"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (ended.stdout, ended.stderr) == ("[]\n", "")


def test_no_command_but_migrate_brings_a_second_sqlite_along(filled: Path) -> None:
    script = "import atexit, sys; atexit.register(lambda: print('sqlite3' in sys.modules, file=sys.stderr))"
    script += "; from kohakuvault.__main__ import main; main()"
    for words in (["info", str(filled)], ["--help"], ["verify", str(filled)]):
        ended = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, timeout=60)
        assert (ended.returncode, ended.stderr) == (0, "False\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_what_the_shell_reads(shell: str) -> None:
    assert "_KOHAKUVAULT_COMPLETE" in call("completion", shell).text


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ba"], ["backup"]),
        (["get", "{path}", "b"], ["bc"]),
        (["get", "--table", "media", "{path}", ""], ["large"]),
        (["get", "{path}", "--table", "m"], ["media"]),
        (["get", "{path}.absent", "b"], []),
        (["get", "{path}", "bad\\q"], []),
    ],
)
def test_the_shell_is_offered_commands_tables_and_keys(filled: Path, words: list[str], expected: list[str]) -> None:
    words = [word.format(path=filled) for word in words]
    environment = {
        **os.environ,
        "_KOHAKUVAULT_COMPLETE": "fish_complete",
        "COMP_WORDS": " ".join(["kohakuvault", *words]),
        "COMP_CWORD": words[-1],
    }
    script = [sys.executable, "-c", "from kohakuvault.__main__ import main; main()"]
    ended = subprocess.run(script, env=environment, capture_output=True, text=True, timeout=60)
    assert [line.split(",", 1)[1].split("\t")[0] for line in ended.stdout.splitlines() if line] == expected


def _stderr_on_a_terminal(*words: str | Path) -> bytes:
    """Run the program for a while with stderr on a terminal, its input a pipe that stays open for a second."""
    leader, follower = pty.openpty()
    running = subprocess.Popen(
        [sys.executable, "-m", "kohakuvault", *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=follower,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(follower)
    assert running.stdin is not None
    for _ in range(10):
        running.stdin.write(b"x" * 1000)
        running.stdin.flush()
        time.sleep(0.1)
    running.communicate(timeout=60)
    shown = os.read(leader, 1 << 16)
    os.close(leader)
    return shown


def test_long_work_shows_a_bar_on_a_terminal(path: Path) -> None:
    assert b"put: the key" in _stderr_on_a_terminal("put", path, "the key")


@both_ways
def test_no_bar_is_shown_elsewhere(path: Path, run: Program) -> None:
    assert run("put", path, "k", data=b"x" * 1_000_000).err == ""
