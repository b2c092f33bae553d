"""`kohakuvault` columns, head, compact, and import and export of rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from kohakuvault import ColumnVault
from program import Program, both_ways, call


@pytest.fixture
def filled(path: Path) -> Path:
    with ColumnVault(path) as columns:
        columns.create_column("temps", "f64").extend([23.6, 23.8, 24.1])
        columns.create_column("count", "i32").extend([1, 2, 3])
        columns.create_column("names", "str").extend(["Rin", "two\nlines", "x" * 100])
        columns.create_column("people", "msgpack").extend([{"id": 1, "photo": b"\xff"}, [1, None], "text"])
    return path


# ---- columns and head ----


@both_ways
def test_columns_lists_them(filled: Path, run: Program) -> None:
    shown = run("columns", filled).lines
    assert shown[0].split() == ["column", "dtype", "length", "bytes", "slack", "bytes"]
    assert [line.split()[:4] for line in shown[1:]] == [
        ["count", "i32", "3", "12"],
        ["names", "str", "3", "112"],
        ["people", "msgpack", "3", str(call("columns", filled, "--json").json_lines()[2]["bytes"])],
        ["temps", "f64", "3", "24"],
    ]
    assert run("columns", filled, "--json").json_lines()[3] == {
        "column": "temps",
        "dtype": "f64",
        "length": 3,
        "bytes": 24,
        "slack_bytes": 0,
    }


@both_ways
def test_head_shows_columns_side_by_side(filled: Path, run: Program) -> None:
    assert run("head", filled, "temps", "names", "people", "-n", "2").lines == [
        "index  temps  names       people",
        '    0  23.6   Rin         {"id": 1, "photo": {"$base64": "/w=="}}',
        "    1  23.8   two\\nlines  [1, null]",
    ]
    assert run("head", filled, "count", "people", "--start", "-1", "--json").json_lines() == [
        {"index": 2, "count": 3, "people": "text"}
    ]


def test_head_cuts_what_is_long_and_leaves_out_what_is_not_there(filled: Path) -> None:
    with ColumnVault(filled) as columns:
        columns["count"].append(4)
    assert call("head", filled, "names", "count", "--start", "2").lines == [
        "index  names                                                         count",
        f"    2  {'x' * 59}\u2026  3",
        f"    3  {' ' * 60}  4",
    ]
    assert call("head", filled, "names", "count", "--start", "3", "--json").json_lines() == [{"index": 3, "count": 4}]
    assert call("head", filled, "temps", "--start", "99").lines == ["index  temps"]
    assert len(call("head", filled, "temps", "--start", "-99").lines) == 4


def test_a_missing_column_is_one_line_and_a_code(filled: Path) -> None:
    for words in (["head", filled, "gone"], ["compact", filled, "gone"], ["export", filled, "-", "--records", "gone"]):
        assert call(*words) == (3, b"", 'kohakuvault: there is no column "gone"\n')


def test_elements_of_a_programs_own_dtype_are_bytes(path: Path) -> None:
    with ColumnVault(path) as columns:
        columns.create_column("own", "decimal", pack=lambda it: str(it).encode(), unpack=float).extend([1.5, 2.5])
    assert call("head", path, "own").lines == ["index  own", "    0  1.5", "    1  2.5"]
    assert call("columns", path, "--json").json_lines()[0]["bytes"] == 6


def test_info_and_stats_tell_of_columns(filled: Path) -> None:
    assert "temps   f64           3" in call("info", filled).lines
    assert {"column": "count", "dtype": "i32", "length": 3} in call("info", filled, "--json").json()["columns"]
    assert call("stats", filled, "--json").json()["columns"] == call("columns", filled, "--json").json_lines()


@both_ways
def test_compact_gives_back_what_edits_left_unused(path: Path, run: Program) -> None:
    with ColumnVault(path) as columns:
        texts = columns.create_column("texts", "str")
        texts.extend(["x" * 1000] * 200)
        texts[7] = "short"
        columns.create_column("numbers", "i64").extend(range(10))
        slack = texts.slack_bytes
        wanted = list(texts)
    assert slack > 0
    assert run("compact", path, "--json").json() == {"columns": 1, "bytes": slack}
    assert run("compact", path, "texts").lines == ["compacted 1 column, 0 bytes given back"]
    with ColumnVault(path) as columns:
        assert list(columns["texts"]) == wanted
        assert columns["texts"].slack_bytes == 0
