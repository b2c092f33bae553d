"""`kohakuvault` import and export of columns: CSV and JSON Lines."""

from __future__ import annotations

import json
import math
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from kohakuvault import ColumnVault
from kohakuvault.tokens import ExtType, Simple, Tag
from program import Program, both_ways, call


def columns_of(path: Path) -> dict[str, tuple[str, list[Any]]]:
    with ColumnVault(path) as columns:
        return {name: (dtype, list(columns[name])) for name, dtype, _ in columns.list_columns()}


TABLE = '''\
id,temp,ok,name,zip
1,23.5,true,Rin,00420
-2,1e3,FALSE,"two
lines, and a comma",12345
3,-inf,false,"ünï ""quoted""",9
'''
AS_COLUMNS = {
    "id": ("i64", [1, -2, 3]),
    "name": ("str", ["Rin", "two\nlines, and a comma", 'ünï "quoted"']),
    "ok": ("bool", [True, False, False]),
    "temp": ("f64", [23.5, 1000.0, -math.inf]),
    "zip": ("str", ["00420", "12345", "9"]),
}


@both_ways
def test_csv_goes_in_and_comes_out_again(path: Path, folder: Path, run: Program) -> None:
    (folder / "in.csv").write_text(TABLE, encoding="utf-8")
    assert run("import", path, folder / "in.csv").lines == ["imported 3 rows, 5 columns"]
    assert columns_of(path) == AS_COLUMNS
    out = folder / "out.csv"
    names = [word for name in ("id", "temp", "ok", "name", "zip") for word in ("--column", name)]
    assert run("export", path, out, *names).lines == ["exported 3 rows, 5 columns"]
    assert out.read_text(encoding="utf-8") == TABLE.replace("1e3", "1000.0").replace("FALSE", "false")
    assert run("import", path, out, "--json").json() == {"rows": 3, "columns": 5}
    assert columns_of(path) == {name: (dtype, values * 2) for name, (dtype, values) in AS_COLUMNS.items()}


@both_ways
def test_csv_goes_through_pipes(path: Path, run: Program) -> None:
    assert run("import", path, "-", "--format", "csv", data=b"\xef\xbb\xbfa\r\n1\r\n2\r\n").code == 0
    assert columns_of(path) == {"a": ("i64", [1, 2])}
    assert run("export", path, "-", "--format", "csv").out == b"a\n1\n2\n"


def test_a_dtype_can_be_asked_for(path: Path, folder: Path) -> None:
    source = folder / "in.csv"
    source.write_bytes(b'a,b,c,d\n1,2,\\xff\\\\,"{""x"": [1, {""$base64"": ""AP8=""}]}"\n')
    dtypes = [word for it in ("a=u8", "b=f32", "c=bytes", "d=cbor") for word in ("--dtype", it)]
    assert call("import", path, source, *dtypes).code == 0
    wanted = {
        "a": ("u8", [1]),
        "b": ("f32", [2.0]),
        "c": ("bytes", [b"\xff\\"]),
        "d": ("cbor", [{"x": [1, b"\x00\xff"]}]),
    }
    assert columns_of(path) == wanted
    assert call("export", path, folder / "out.csv").code == 0
    assert call("import", folder / "new.kv", folder / "out.csv", *dtypes).code == 0
    assert columns_of(folder / "new.kv") == wanted


@pytest.mark.parametrize(
    ("cells", "dtype"),
    [
        (["1", "-20", "0"], "i64"),
        (["9223372036854775807"], "i64"),
        (["9223372036854775808"], "str"),
        (["007"], "str"),
        (["1_000"], "str"),
        (["1", "2.5"], "f64"),
        (["9007199254740993", "0.5"], "str"),
        (["nan", "-inf", "1e-5"], "f64"),
        (["true", "False"], "bool"),
        (["true", "1"], "str"),
        ([" 1"], "str"),
        (["", "1"], "str"),
    ],
)
def test_a_dtype_is_guessed_only_where_nothing_is_lost(path: Path, cells: list[str], dtype: str) -> None:
    data = "".join(f"x,{cell}\n" for cell in ["name", *cells]).encode()
    assert call("import", path, "-", "--format", "csv", data=data).code == 0
    assert columns_of(path)["name"][0] == dtype


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no line with the names of the columns"),
        (b"a,a\n", 'two columns are called "a"'),
        (b"a,b\n1,2\n3\n", "line 3: 1 cells, where the first line has 2"),
        (b'a\n"1"x\n', "line 2: "),
        (b"a\n1\n\xff\n", "line 3: no UTF-8: invalid start byte at byte 0"),
        (b"old\n1\nx\n", 'line 3: column "old" holds u8: invalid literal'),
        (b"old\n1\n256\n", 'line 3: column "old" holds u8: 256 is out of range'),
        (b"old\n1\n1_0\n", 'line 3: column "old" holds u8: want a number'),
        (b"new\n" + b"1\n" * 5000 + b"x\n", 'line 5002: column "new" holds i64: invalid literal'),
    ],
)
def test_a_row_that_does_not_fit_is_named_and_nothing_is_stored(path: Path, data: bytes, words: str) -> None:
    with ColumnVault(path) as columns:
        columns.create_column("old", "u8").append(7)
    ended = call("import", path, "-", "--format", "csv", data=data)
    assert ended.code == 1
    assert ended.err.startswith("kohakuvault: -")
    assert words in ended.err
    assert ended.err.count("\n") == 1
    assert columns_of(path) == {"old": ("u8", [7])}


# ---- JSON Lines ----

ODD_VALUES: list[Any] = [
    None,
    True,
    -(2**63),
    2**64 - 1,
    1.5,
    math.inf,
    "text",
    b"\x00\xff",
    [1, [2, []]],
    {"name": {"deep": b""}},
    {1: "one", "two": 2, b"three": None},
    {(1, "a"): "a tuple as a key"},
    {"$base64": "not what it looks like"},
    {"$map": [], "more": 1},
    datetime(2024, 5, 1, 12, 30, 15, 123456, tzinfo=timezone.utc),
]


@both_ways
@pytest.mark.parametrize(
    ("dtype", "more"),
    [("msgpack", [ExtType(5, b"\x00\xff")]), ("cbor", [Tag(4000, ["x"]), Simple(99), 2**100])],
    ids=["msgpack", "cbor"],
)
def test_records_carry_every_value(path: Path, folder: Path, dtype: str, more: list[Any], run: Program) -> None:
    with ColumnVault(path) as columns:
        columns.create_column("log", dtype).extend([*ODD_VALUES, *more])
    out = folder / "log.jsonl"
    assert run("export", path, out, "--records", "log").lines == [f"exported {len(ODD_VALUES + more)} rows, 1 column"]
    again = folder / "again.kv"
    assert run("import", again, out, "--records", "log", "--dtype", dtype).code == 0
    assert columns_of(again) == {"log": (dtype, [*ODD_VALUES, *more])}


def test_records_are_msgpack_unless_another_dtype_is_asked_for(path: Path) -> None:
    lines = b'{"id": 1, "name": "Rin"}\n\n[1, 2.5]\n"text"\nnull\n'
    assert call("import", path, "-", "--format", "jsonl", "--records", "log", data=lines).lines == [
        "imported 4 rows, 1 column"
    ]
    assert columns_of(path) == {"log": ("msgpack", [{"id": 1, "name": "Rin"}, [1, 2.5], "text", None])}
    assert call("export", path, "-", "--records", "log").out == lines.replace(b"\n\n", b"\n")


@both_ways
def test_objects_are_rows_of_columns(path: Path, folder: Path, run: Program) -> None:
    source = folder / "in.jsonl"
    source.write_text('{"a": 1, "b": "x", "c": 1, "d": null}\n{"c": 0.5, "a": 2, "d": [1], "b": "y"}\n', "utf-8")
    assert run("import", path, source, "--columns").lines == ["imported 2 rows, 4 columns"]
    assert columns_of(path) == {
        "a": ("i64", [1, 2]),
        "b": ("str", ["x", "y"]),
        "c": ("f64", [1.0, 0.5]),
        "d": ("msgpack", [None, [1]]),
    }
    assert run("export", path, folder / "out.jsonl", "--columns").code == 0
    assert [json.loads(line) for line in (folder / "out.jsonl").read_text("utf-8").splitlines()] == [
        {"a": 1, "b": "x", "c": 1.0, "d": None},
        {"a": 2, "b": "y", "c": 0.5, "d": [1]},
    ]
    assert run("export", path, "-", "--column", "b").json_lines() == [{"b": "x"}, {"b": "y"}]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("[1]", "no object with a field for each column"),
        ("{}", "no object with a field for each column"),
        ('{"a": 1, "b": 2}', 'the field "b" is not in every line'),
        ('{"b": 2}', 'the field "b" is not in every line'),
        ('{"a": "x"}', 'column "a" holds i64: an element of i64 is an integer, not str'),
        ('{"a": 1.5}', 'column "a" holds i64: an element of i64 is an integer, not float'),
        ('{"a": 9223372036854775808}', 'column "a" holds i64: 9223372036854775808 is out of range'),
        ('{"a": {"$unknown": 1}}', 'an object with "$unknown" is none that export writes'),
        ('{"a": {"$base64": "?"}}', 'column "a" holds i64: '),
        ('{"a": {"$ext": 5}}', 'column "a" holds i64: '),
        ('{"a": {"$map": [[{}, 1]]}}', 'column "a" holds i64: '),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
    ],
)
def test_an_object_that_does_not_fit_is_named_and_nothing_is_stored(path: Path, line: str, words: str) -> None:
    data = ('{"a": 1}\n' + line).encode()
    ended = call("import", path, "-", "--format", "jsonl", "--columns", "--dtype", "a=i64", data=data)
    assert ended.code == 1, ended.err
    assert ended.err.startswith("kohakuvault: -, line 2: ")
    assert words in ended.err
    assert ended.err.count("\n") == 1
    assert columns_of(path) == {}


def test_a_value_that_breaks_a_schema_is_one_line_and_nothing_is_stored(path: Path) -> None:
    with ColumnVault(path) as columns:
        columns.create_column("log", "msgpack", schema={"type": "object", "required": ["id"]}).append({"id": 1})
    ended = call("import", path, "-", "--format", "jsonl", "--records", "log", data=b'{"id": 2}\n{"no": 1}\n')
    assert ended.code == 1
    assert ended.err.startswith('kohakuvault: -, line 2: column "log" holds msgpack: Validation errors')
    assert ended.err.count("\n") == 1
    assert columns_of(path)["log"][1] == [{"id": 1}]


def test_columns_of_different_lengths_make_no_rows(path: Path, folder: Path) -> None:
    with ColumnVault(path) as columns:
        columns.create_column("a", "i64").extend([1, 2])
        columns.create_column("b", "i64").extend([1, 2, 3])
    out = folder / "out.csv"
    ended = call("export", path, out)
    assert (ended.code, ended.err) == (
        2,
        'kohakuvault: columns of different lengths make no rows: "a" has 2, "b" has 3; --column chooses\n',
    )
    assert not out.exists()
    assert call("export", path, out, "--column", "b").code == 0


def test_another_dtype_than_the_columns_is_refused(path: Path) -> None:
    with ColumnVault(path) as columns:
        columns.create_column("a", "i64")
    ended = call("import", path, "-", "--format", "csv", "--dtype", "a=f64", data=b"a\n1\n")
    assert (ended.code, ended.err) == (2, 'kohakuvault: column "a" holds i64, not f64\n')
    ended = call("import", path, "-", "--format", "csv", "--dtype", "b=f64", data=b"a\n1\n")
    assert (ended.code, ended.err) == (2, 'kohakuvault: a dtype is given for "b", which is no field\n')
    assert call("import", path, "-", "--format", "csv", "--dtype", "f64", data=b"a\n1\n").code == 2


@pytest.mark.parametrize(
    "words",
    [
        ["import", "{path}", "{folder}", "--columns"],
        ["import", "{path}", "x.csv", "--table", "t"],
        ["import", "{path}", "x.jsonl", "--dtype", "a=f64"],
        ["export", "{path}", "x.csv", "--prefix", "p"],
        ["export", "{path}", "{folder}/new", "--records", "a"],
        ["export", "{path}", "x.csv", "--records", "a"],
    ],
)
def test_options_that_do_not_go_together_are_wrong_use(path: Path, folder: Path, words: list[str]) -> None:
    ended = call(*(word.format(path=path, folder=folder) for word in words))
    assert ended.code == 2
    assert "Error: " in ended.err
    assert not path.exists()
