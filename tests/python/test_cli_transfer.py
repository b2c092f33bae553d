"""`kohakuvault` import and export: folders and JSON Lines."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from kohakuvault import KVault
from program import Program, both_ways, call

CONTENTS = {
    "a.txt": b"words",
    "empty": b"",
    "deep/down/below/b.bin": bytes(range(256)) * 10,
    "deep/large": os.urandom(3 << 20),
    "deep/ключ 日本": b"named in other letters",
    "new\nline": b"odd",
}


@pytest.fixture
def tree(folder: Path) -> Path:
    root = folder / "tree"
    for name, data in CONTENTS.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def files_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


# ---- folders ----


@both_ways
def test_a_folder_goes_in_and_comes_out_again(tree: Path, path: Path, folder: Path, run: Program) -> None:
    size = sum(map(len, CONTENTS.values()))
    assert run("import", path, tree).lines == [f"imported 6 values, {size:,} bytes"]
    with KVault(path) as kv:
        assert dict(kv) == {name.encode(): data for name, data in CONTENTS.items()}
    assert run("export", path, folder / "out").lines == [f"exported 6 values, {size:,} bytes"]
    assert files_of(folder / "out") == CONTENTS
    assert run("import", path, tree, "--json").json() == {"values": 6, "bytes": size}


def test_a_prefix_is_in_the_vault_only(tree: Path, path: Path, folder: Path) -> None:
    assert call("import", path, tree, "--prefix", "media/", "--table", "files").code == 0
    assert "media/a.txt" in call("ls", path, "--table", "files").lines
    assert call("put", path, "other", "--text", "v", "--table", "files").code == 0
    assert call("export", path, folder / "out", "--prefix", "media/deep/", "--table", "files").code == 0
    assert files_of(folder / "out") == {
        name.removeprefix("deep/"): data for name, data in CONTENTS.items() if name.startswith("deep/")
    }


def test_a_name_that_is_no_utf_8_is_its_bytes(tree: Path, path: Path, folder: Path) -> None:
    (tree / os.fsdecode(b"caf\xe9")).write_bytes(b"latin")
    assert call("import", path, tree).code == 0
    assert call("get", path, "caf\\xe9").out == b"latin"
    assert call("export", path, folder / "out").code == 0
    assert (folder / "out" / os.fsdecode(b"caf\xe9")).read_bytes() == b"latin"


def test_a_link_to_a_file_is_followed_and_one_to_a_folder_refused(tree: Path, path: Path) -> None:
    (tree / "link").symlink_to(tree / "a.txt")
    assert call("import", path, tree).code == 0
    assert call("get", path, "link").out == b"words"
    (tree / "loop").symlink_to(tree)
    ended = call("import", path, tree)
    assert (ended.code, ended.err) == (2, f"kohakuvault: cannot import {tree}/loop: it is a link to a folder\n")


def test_what_is_no_file_is_refused_before_anything_is_stored(tree: Path, path: Path) -> None:
    os.mkfifo(tree / "zz")
    ended = call("import", path, tree)
    assert (ended.code, ended.err) == (2, f"kohakuvault: cannot import {tree}/zz: it is no ordinary file\n")
    assert call("ls", path).lines == []


def test_the_vault_itself_is_not_imported(tree: Path) -> None:
    ended = call("import", tree / "x.kv", tree)
    assert ended.code == 2
    assert ended.err == "kohakuvault: cannot import x.kv: it is the vault itself\n"


def test_a_tree_deeper_than_pythons_stack(folder: Path, path: Path) -> None:
    here = os.getcwd()
    (folder / "tree").mkdir()
    try:
        os.chdir(folder / "tree")
        for _ in range(1500):
            os.mkdir("d")
            os.chdir("d")
        Path("f").write_bytes(b"deep")
    finally:
        os.chdir(here)
    assert call("import", path, folder / "tree").code == 0
    assert call("get", path, "d/" * 1500 + "f").out == b"deep"
    subprocess.run(["rm", "-rf", str(folder / "tree")], check=True)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (b"", "it is empty"),
        (b"../up", 'a part of its path is ".."'),
        (b"a/./b", 'a part of its path is "."'),
        (b"/etc/passwd", 'a part of its path is ""'),
        (b"a//b", 'a part of its path is ""'),
        (b"folder/", 'a part of its path is ""'),
        (b"nul\0", "it holds a NUL byte"),
        (b"n" * 256, "a part of its path is 256 bytes, limit 255"),
        (b"n/" * 3000 + b"n", "it is 6,001 bytes, a path may be 4,000"),
        (b"n/" * 1500 + b"n", "its path has 1,501 parts, limit 500"),
        (b"plain/below", '"plain" is a key too, and a file cannot be a folder'),
    ],
)
def test_a_key_that_cannot_be_a_file_is_refused_before_anything_is_written(
    path: Path, folder: Path, key: bytes, words: str
) -> None:
    with KVault(path) as kv:
        kv.update({b"plain": b"1", key: b"2"})
    ended = call("export", path, folder / "out")
    assert ended.code == 2
    assert words in ended.err
    assert ended.err.count("\n") == 1
    assert not (folder / "out").exists()
    assert call("export", path, folder / "out.jsonl").code == 0


def test_a_folder_that_holds_something_is_not_written_to(tree: Path, path: Path) -> None:
    with KVault(path) as kv:
        kv["a"] = b"1"
    ended = call("export", path, tree)
    assert (ended.code, ended.err) == (2, f"kohakuvault: {tree} is already there, and is no empty folder\n")
    assert files_of(tree) == CONTENTS


def test_an_empty_folder_is_filled_and_stays_the_same_folder(path: Path, folder: Path) -> None:
    with KVault(path) as kv:
        kv.update({"a": b"1", "b/c": b"2"})
    out = folder / "out"
    out.mkdir()
    before = out.stat().st_ino
    assert call("export", path, out).code == 0
    assert files_of(out) == {"a": b"1", "b/c": b"2"}
    assert out.stat().st_ino == before
    assert sorted(it.name for it in out.iterdir()) == ["a", "b"]


# ---- JSON Lines ----

PAIRS = {
    b"text": b"words \xe2\x98\x82\nand lines",
    b"bytes": b"\x00\xff\xfe",
    b"\xff\x00": b"",
    b"": b"empty key",
    b'quote"\\': b'"\\',
    "ключ".encode(): b"v",
}


@both_ways
def test_json_lines_carry_every_key_and_value(path: Path, folder: Path, run: Program) -> None:
    with KVault(path) as kv:
        kv.update(PAIRS)
    out = folder / "out.jsonl"
    size = sum(map(len, PAIRS.values()))
    assert run("export", path, out).lines == [f"exported 6 values, {size} bytes"]
    records = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert {"key": "bytes", "value_base64": "AP/+"} in records
    assert {"key_hex": "ff00", "value": ""} in records
    again = folder / "again.kv"
    assert run("import", again, out).lines == [f"imported 6 values, {size} bytes"]
    with KVault(again) as kv:
        assert dict(kv) == PAIRS


@both_ways
def test_json_lines_go_through_pipes(path: Path, folder: Path, run: Program) -> None:
    with KVault(path) as kv:
        kv.update(PAIRS)
    piped = run("export", path, "-", "--prefix", "te").out
    assert json.loads(piped) == {"key": "xt", "value": PAIRS[b"text"].decode()}
    again = folder / "again.kv"
    assert run("import", again, "-", "--format", "jsonl", "--prefix", "te", data=piped).code == 0
    with KVault(again) as kv:
        assert dict(kv) == {b"text": PAIRS[b"text"]}


def test_many_lines_and_empty_ones(path: Path, folder: Path) -> None:
    source = folder / "many.jsonl"
    source.write_text("".join(f'{{"key": "{i}", "value": "{i * i}"}}\n\n' for i in range(2500)), encoding="utf-8")
    assert call("import", path, source, "--json").json()["values"] == 2500
    with KVault(path) as kv:
        assert len(kv) == 2500
        assert kv["2499"] == b"6245001"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "no JSON: "),
        ("[1]", "no object"),
        ('{"key": "a"}', 'want one of "value" and "value_base64"'),
        ('{"key": "a", "key_hex": "00", "value": "v"}', 'want one of "key" and "key_hex"'),
        ('{"key": "a", "value": 1}', '"value" is no text'),
        ('{"key": "a", "value_base64": "?"}', "base64"),
        ('{"key_hex": "0", "value": "v"}', "hex"),
        ('{"key": "a", "value": "v", "more": 1}', 'unknown field "more"'),
        ('{"key": "\\ud800", "value": "v"}', "surrogates not allowed"),
        ("[" * 100_000, "no JSON: nested too deeply"),
        (b'{"key": "\xff", "value": ""}', "no JSON: "),
    ],
)
def test_a_line_that_is_none_is_named_and_nothing_is_stored(
    path: Path, folder: Path, line: str | bytes, words: str
) -> None:
    source = folder / "bad.jsonl"
    source.write_bytes(b'{"key": "first", "value": ""}\n' + (line if isinstance(line, bytes) else line.encode()))
    ended = call("import", path, source)
    assert ended.code == 1
    assert ended.err.startswith(f"kohakuvault: {source}, line 2: ")
    assert words in ended.err
    assert ended.err.count("\n") == 1
    assert call("ls", path).lines == []


def test_a_value_too_large_for_a_line_is_refused_before_anything_is_written(path: Path, folder: Path) -> None:
    with KVault(path) as kv:
        kv["large"] = bytes((32 << 20) + 1)
    ended = call("export", path, folder / "out.jsonl")
    assert ended.code == 2
    assert 'the value of "large" is 33,554,433 bytes, a line of JSON takes 33,554,432' in ended.err
    assert not (folder / "out.jsonl").exists()


def test_a_suffix_that_tells_nothing_is_refused(path: Path, folder: Path) -> None:
    with KVault(path) as kv:
        kv["a"] = b"1"
    (folder / "x.bin").write_bytes(b"")
    for words in (["import", path, folder / "x.bin"], ["export", path, folder / "x.bin"]):
        ended = call(*words)
        assert (ended.code, ended.err) == (
            2,
            f"kohakuvault: {folder / 'x.bin'}: its suffix tells no format; --format does\n",
        )
    assert call("export", path, folder / "x.bin", "--format", "jsonl").code == 0
    assert call("import", folder / "new.kv", folder / "x.bin", "--format", "jsonl").code == 0
