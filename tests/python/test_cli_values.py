"""`kohakuvault` ls, get, put, rm, cat: keys and values, one by one."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from kohakuvault import KVault, Vault
from program import Program, both_ways, call, start

ODD_KEYS = {
    b"plain": "plain",
    b"with space": "with space",
    "ключ/日本".encode(): "ключ/日本",
    b"": "",
    b"back\\slash": "back\\\\slash",
    b"two\nlines\t\r": "two\\nlines\\t\\r",
    b"\x00\xff": "\\x00\\xff",
    "caf\u00e9\u200b".encode() + b"\xe9": "café\\xe2\\x80\\x8b\\xe9",
    b"\x1b[31mred": "\\x1b[31mred",
}


@pytest.fixture
def odd(path: Path) -> Path:
    """A file whose keys are hard to print; each value is its key."""
    with KVault(path) as kv:
        kv.put_many([(key, key) for key in ODD_KEYS])
    return path


# ---- ls ----


@both_ways
def test_ls_prints_every_key_on_a_line_of_its_own(odd: Path, run: Program) -> None:
    assert run("ls", odd).lines == [ODD_KEYS[key] for key in sorted(ODD_KEYS)]


def test_what_ls_prints_is_what_get_takes(odd: Path) -> None:
    for key, text in ODD_KEYS.items():
        assert call("get", odd, "--", text).out == key
        assert call("get", odd, "--hex", key.hex()).out == key
        if b"\0" not in key:
            assert call("get", odd, "--raw", "--", key).out == key


def test_ls_raw_and_hex(odd: Path) -> None:
    assert call("ls", odd, "--raw").out == b"".join(key + b"\0" for key in sorted(ODD_KEYS))
    assert call("ls", odd, "--hex").lines == [key.hex() for key in sorted(ODD_KEYS)]
    assert call("ls", odd, "--hex", "00").lines == ["00ff"]


def test_ls_json_tells_key_and_size(odd: Path) -> None:
    found = call("ls", odd, "--json").json_lines()
    assert [bytes.fromhex(it["key_hex"]) if "key_hex" in it else it["key"].encode() for it in found] == sorted(ODD_KEYS)
    assert [it["size"] for it in found] == [len(key) for key in sorted(ODD_KEYS)]


@pytest.fixture
def logs(path: Path) -> Path:
    with KVault(path) as kv:
        kv.update({f"log/{day}": b"x" * day for day in range(1, 5)} | {"other": b""})
    return path


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["log/1", "log/2", "log/3", "log/4", "other"]),
        (["log/"], ["log/1", "log/2", "log/3", "log/4"]),
        (["--start", "log/2", "--stop", "log/4"], ["log/2", "log/3"]),
        (["log/", "-r", "-n", "2"], ["log/4", "log/3"]),
        (["-n", "0"], []),
        (["none"], []),
        (["-l", "-n", "1"], ["           1 log/1"]),
    ],
)
def test_ls_of_a_range(logs: Path, options: list[str], expected: list[str]) -> None:
    assert call("ls", logs, *options).lines == expected


def test_ls_of_a_table(logs: Path) -> None:
    with KVault(logs, table="Second") as kv:
        kv["in the second"] = b""
    assert call("ls", logs, "--table", "second").lines == ["in the second"]
    ended = call("ls", logs, "--table", "third")
    assert (ended.code, ended.err) == (3, 'kohakuvault: there is no table "third"\n')
    with Vault(logs) as vault:
        assert vault.tables() == ["Second", "kvault"]


def test_a_reader_that_has_seen_enough_ends_ls_without_words(path: Path) -> None:
    with KVault(path) as kv:
        kv.put_many([(f"{i:0100}", b"") for i in range(5000)])
    ls = subprocess.Popen(
        [sys.executable, "-m", "kohakuvault", "ls", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert ls.stdout is not None
    assert ls.stderr is not None
    assert ls.stdout.readline().strip() == b"0" * 100
    ls.stdout.close()
    assert ls.stderr.read() == b""
    ls.stderr.close()
    assert ls.wait(60) == 1


# ---- get and cat ----


@both_ways
def test_get_writes_the_bytes(path: Path, run: Program) -> None:
    with KVault(path) as kv:
        kv["k"] = bytes(range(256)) * 3000
    assert run("get", path, "k").out == bytes(range(256)) * 3000


@both_ways
def test_a_missing_key_is_one_line_and_a_code(odd: Path, run: Program) -> None:
    ended = run("get", odd, "\\x01gone")
    assert (ended.code, ended.out, ended.err) == (3, b"", 'kohakuvault: there is no key "\\x01gone"\n')


def test_get_into_a_file_replaces_it_when_all_is_there(logs: Path, folder: Path) -> None:
    out = folder / "out"
    out.write_bytes(b"before")
    out.chmod(0o640)
    assert call("get", logs, "gone", "-o", out).code == 3
    assert out.read_bytes() == b"before"
    assert call("get", logs, "log/3", "-o", out).code == 0
    assert out.read_bytes() == b"xxx"
    assert out.stat().st_mode & 0o777 == 0o640
    assert sorted(it.name for it in folder.iterdir() if it.name.startswith(".")) == []


@pytest.mark.parametrize("name", ["{path}", "{folder}/link", "{folder}/hard", "{path}-wal"])
def test_the_vault_itself_is_neither_written_over_nor_read_in(logs: Path, folder: Path, name: str) -> None:
    (folder / "link").symlink_to(logs)
    (folder / "hard").hardlink_to(logs)
    other = Path(name.format(path=logs, folder=folder))
    before = logs.read_bytes()
    for words in (
        ["get", logs, "log/1", "-o", other],
        ["put", logs, "k", other],
        ["export", logs, other, "--format", "jsonl"],
        ["import", logs, other, "--format", "jsonl"],
    ):
        ended = call(*words)
        assert ended.code == 2
        assert ended.err.startswith(f"kohakuvault: {other} is the vault itself")
    assert logs.read_bytes() == before


def test_get_through_a_link_writes_what_it_leads_to(logs: Path, folder: Path) -> None:
    (folder / "other").mkdir()
    (folder / "link").symlink_to(folder / "other" / "out")
    assert call("get", logs, "log/3", "-o", folder / "link").code == 0
    assert (folder / "link").is_symlink()
    assert (folder / "other" / "out").read_bytes() == b"xxx"


def test_get_into_a_device_writes_to_it(logs: Path) -> None:
    assert call("get", logs, "log/3", "-o", "/dev/null").code == 0
    assert Path("/dev/null").is_char_device()


def test_binary_is_not_thrown_at_a_terminal(path: Path) -> None:
    with KVault(path) as kv:
        kv.update({"text": b"words", "image": b"\x89PNG\0\0"})
    for key, expected in (("text", b"words"), ("image", b'kohakuvault: the value of "image" is not text')):
        leader, follower = pty.openpty()
        subprocess.run(
            [sys.executable, "-m", "kohakuvault", "get", str(path), key], stdout=follower, stderr=follower, timeout=60
        )
        os.close(follower)
        assert os.read(leader, 1000).startswith(expected)
        os.close(leader)


@both_ways
def test_cat_joins_values(logs: Path, run: Program) -> None:
    assert run("cat", logs, "log/2", "other", "log/1").out == b"xxx"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2:5", b"234"),
        (":3", b"012"),
        ("7:", b"789"),
        ("-2:", b"89"),
        ("5:2", b""),
        ("8:99", b"89"),
        (":", b"0123456789"),
    ],
)
def test_cat_of_a_range_is_a_slice(path: Path, text: str, expected: bytes) -> None:
    with KVault(path) as kv:
        kv["digits"] = b"0123456789"
    assert call("cat", path, "digits", "--range", text).out == expected


def test_cat_of_a_range_of_a_large_value(path: Path) -> None:
    data = os.urandom(3 << 20)
    with KVault(path) as kv:
        kv["large"] = data
    assert call("cat", path, "large", "--range", "1000:2500000").out == data[1000:2500000]


@pytest.mark.parametrize("text", ["5", "1:2:3", "a:b", "1.5:"])
def test_a_range_that_is_none_is_refused(logs: Path, text: str) -> None:
    ended = call("cat", logs, "other", "--range", text)
    assert ended.code == 2
    assert ended.err.startswith(f"kohakuvault: {text!r} is no range of bytes, want START:STOP")


def test_cat_of_a_missing_key_writes_nothing(logs: Path) -> None:
    ended = call("cat", logs, "log/1", "gone")
    assert (ended.code, ended.out) == (3, b"")


# ---- put and rm ----


@both_ways
def test_put_takes_a_file_text_and_standard_input(path: Path, folder: Path, run: Program) -> None:
    source = folder / "source"
    source.write_bytes(os.urandom(400_000))
    assert run("put", path, "file", source) == (0, b"", "")
    assert run("put", path, "text", "--text", "words ☂") == (0, b"", "")
    assert run("put", path, "input", data=b"\0piped") == (0, b"", "")
    assert run("put", path, "dash", "-", "--json", data=b"1234").json() == {"key": "dash", "size": 4}
    with KVault(path) as kv:
        assert kv["file"] == source.read_bytes()
        assert kv["text"] == "words ☂".encode()
        assert kv["input"] == b"\0piped"
        assert kv["dash"] == b"1234"


def test_put_makes_file_folder_and_table(folder: Path) -> None:
    path = folder / "new" / "x.kv"
    assert call("put", path, "k", "--text", "v", "--table", "second").code == 0
    assert call("ls", path, "--table", "second").lines == ["k"]


def test_put_of_a_missing_file_makes_nothing(path: Path, folder: Path) -> None:
    ended = call("put", path, "k", folder / "gone")
    assert (ended.code, ended.err) == (3, f"kohakuvault: {folder / 'gone'}: No such file or directory\n")
    assert not path.exists()


def test_put_takes_its_value_from_one_place(path: Path) -> None:
    ended = call("put", path, "k", "file", "--text", "v")
    assert ended.code == 2
    assert "SOURCE and --text: the value comes from one of them" in ended.err


@both_ways
def test_rm_deletes_all_or_nothing(logs: Path, run: Program) -> None:
    ended = run("rm", logs, "log/1", "gone", "log/2")
    assert (ended.code, ended.err) == (3, 'kohakuvault: there is no key "gone"\n')
    assert len(call("ls", logs).lines) == 5
    assert run("rm", logs, "log/1", "log/2") == (0, b"", "")
    assert call("ls", logs).lines == ["log/3", "log/4", "other"]


def test_rm_of_a_prefix(logs: Path) -> None:
    assert call("rm", logs, "--prefix", "none").err == 'kohakuvault: no key begins with "none"\n'
    assert call("rm", logs, "--prefix", "log/").lines == ["deleted 4 keys"]
    assert call("ls", logs).lines == ["other"]
    assert call("rm", logs, "--prefix", "o", "--json").json() == {"deleted": 1}


def test_rm_makes_no_file_and_no_table(path: Path, logs: Path) -> None:
    assert call("rm", path.with_name("absent"), "k").code == 3
    assert not path.with_name("absent").exists()
    assert call("rm", logs, "k", "--table", "third").code == 3
    with Vault(logs) as vault:
        assert vault.tables() == ["kvault"]


@pytest.mark.parametrize(("key", "words"), [("a\\q", "\\q in a key is none of"), ("a\\", "\\ in a key is none of")])
def test_an_unknown_escape_is_refused(path: Path, key: str, words: str) -> None:
    ended = call("put", path, key, "--text", "v")
    assert ended.code == 2
    assert ended.err.startswith(f"kohakuvault: {words}")
    assert not path.exists()


def test_a_key_that_is_no_hexadecimal_is_refused(path: Path) -> None:
    ended = call("put", path, "--hex", "0", "--text", "v")
    assert (ended.code, ended.err) == (2, "kohakuvault: 0 is no key in hexadecimal\n")
    assert call("put", path, "--hex", "--raw", "00", "--text", "v").code == 2


def test_a_key_of_odd_bytes_from_the_shell(path: Path) -> None:
    assert start("put", path, b"caf\xe9", "--text", "v").code == 0
    assert start("get", path, b"caf\xe9").out == b"v"
    with KVault(path) as kv:
        assert list(kv) == [b"caf\xe9"]
