"""Schemas really validate, on every way in, and say what is wrong where."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kohakuvault import DataPacker, InvalidArgument, SchemaError, WrongType

TESTDATA = Path(os.environ.get("KVAULT_TESTDATA", Path(__file__).parents[3] / "shared" / "testdata"))

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"type": "string"}},
        "score": {"type": "number"},
    },
    "required": ["name"],
    "additionalProperties": False,
}
GOOD = {"name": "Rin", "age": 17, "tags": ["a", "b"], "score": 1.5}
BAD: list[tuple[Any, str]] = [
    ({}, r'\$: "name" is a required property \(rule required\)'),
    ({"name": 5}, r'\$\.name: 5 is not of type "string" \(rule properties/name/type\)'),
    ({"name": "Rin", "age": 200}, r"\$\.age: 200 is greater than the maximum of 150"),
    ({"name": "Rin", "tags": ["a", 1]}, r"\$\.tags\[1\]: 1 is not of type"),
    ({"name": "Rin", "other": 1}, r"\$: Additional properties"),
    ([], r'\$: \[\] is not of type "object"'),
]


@pytest.fixture
def person() -> DataPacker:
    return DataPacker.with_json_schema(PERSON)


def test_a_value_that_keeps_the_schema_is_packed_as_ever(person: DataPacker) -> None:
    assert (person.dtype, person.elem_size, person.is_varsize) == ("msgpack", 0, True)
    assert person.pack(GOOD) == DataPacker("msgpack").pack(GOOD)
    assert person.unpack(person.pack(GOOD)) == GOOD
    data, offsets = person.pack_many_with_offsets([GOOD, GOOD])
    assert data == person.pack_many([GOOD, GOOD])
    assert person.unpack_many(data, offsets=offsets) == [GOOD, GOOD]


@pytest.mark.parametrize(("value", "words"), BAD, ids=[words for _, words in BAD])
def test_a_value_that_breaks_it_is_refused_with_the_path_and_the_rule(
    person: DataPacker, value: object, words: str
) -> None:
    calls: list[Callable[[], object]] = [
        lambda: person.pack(value),
        lambda: person.pack_many([GOOD, value]),
        lambda: person.pack_many_with_offsets([GOOD, value]),
    ]
    for call in calls:
        with pytest.raises(SchemaError, match="Validation errors: .*" + words) as caught:
            call()
        assert isinstance(caught.value, ValueError)


def test_all_breaches_are_told_up_to_a_limit(person: DataPacker) -> None:
    with pytest.raises(SchemaError, match=r"name.*age.*score"):
        person.pack({"name": "", "age": -1, "score": "x"})
    with pytest.raises(SchemaError, match="and more") as caught:
        person.pack({"name": "Rin", "tags": list(range(5000))})
    assert len(str(caught.value)) < 2000
    with pytest.raises(SchemaError) as caught:
        person.pack({"name": ["x" * 100_000]})
    assert len(str(caught.value)) < 2000


def test_what_json_has_not_passes_only_where_the_schema_asks_nothing() -> None:
    packer = DataPacker.with_json_schema({"properties": {"a": {"type": ["string", "null", "number"]}, "free": {}}})
    assert packer.unpack(packer.pack({"free": b"x"})) == {"free": b"x"}
    for value, words in (
        ({"a": b"x"}, "beyond JSON"),
        ({1: 2}, "beyond JSON"),
        ({"a": float("inf")}, r"\$\.a: inf is no number of JSON"),
        ({"free": [1.0, float("nan")]}, r"\$\.free\[1\]: nan is no number of JSON"),
    ):
        with pytest.raises(SchemaError, match="Validation errors: .*" + words):
            packer.pack(value)
    assert packer.unpack(packer.pack({"a": 2**64 - 1})) == {"a": 2**64 - 1}


def test_what_is_checked_is_what_is_written() -> None:
    integers = DataPacker.with_json_schema({"type": "array", "items": {"type": "integer"}})
    assert integers.unpack(integers.pack((1, 2))) == [1, 2]

    class Liar(list[int]):
        def __iter__(self) -> Any:
            return iter([1, 2])

    with pytest.raises(SchemaError, match=r"\$\[0\]"):
        integers.pack(Liar(["x"]))  # type: ignore[list-item]


def test_a_schema_is_a_dict_a_bool_or_text() -> None:
    assert DataPacker.with_json_schema(json.dumps(PERSON)).pack(GOOD) == DataPacker.with_json_schema(PERSON).pack(GOOD)
    assert DataPacker.with_json_schema(schema=True).pack(5) == b"\5"
    with pytest.raises(SchemaError):
        DataPacker.with_json_schema(False).pack(5)
    bad: Any
    for bad in (5, None, [PERSON], b"{}"):
        with pytest.raises(WrongType, match="a JSON Schema is"):
            DataPacker.with_json_schema(bad)
    for bad in ({"type": 5}, {"type": "nonsense"}, "{", {"minimum": float("nan")}, {"a": {1, 2}}, {"pattern": "("}):
        with pytest.raises(InvalidArgument, match="not a JSON Schema"):
            DataPacker.with_json_schema(bad)


def test_a_later_change_of_the_dict_changes_no_schema() -> None:
    schema: dict[str, Any] = {"type": "integer"}
    packer = DataPacker.with_json_schema(schema)
    schema["type"] = "string"
    assert packer.pack(5) == b"\5"
    with pytest.raises(SchemaError):
        packer.pack("x")


def test_no_other_document_is_fetched() -> None:
    with pytest.raises(InvalidArgument, match="none is fetched"):
        DataPacker.with_json_schema({"$ref": "http://127.0.0.1:9/schema.json"})


@pytest.mark.parametrize(
    "make",
    [
        lambda: DataPacker.with_json_schema(PERSON),
        lambda: DataPacker.with_cddl_schema("person = {name: tstr, ? age: uint, ? tags: [* tstr], ? score: float}"),
    ],
    ids=["json", "cddl"],
)
def test_a_packer_with_a_schema_can_be_pickled(make: Callable[[], DataPacker]) -> None:
    pytest.importorskip("pycddl")
    packer = make()
    again = pickle.loads(pickle.dumps(packer))
    assert repr(again) == repr(packer)
    assert repr(packer).startswith("DataPacker.with_")
    assert again.pack(GOOD) == packer.pack(GOOD)
    with pytest.raises(SchemaError):
        again.pack({"name": 5})


# ---- CDDL ----


def test_cddl_validates_the_bytes_of_cbor() -> None:
    pytest.importorskip("pycddl")
    packer = DataPacker.with_cddl_schema(cddl="person = {name: tstr, ? age: uint, tags: [* tstr]}")
    good = {"name": "Rin", "tags": ["a"]}
    assert packer.dtype == "cbor"
    assert packer.pack(good) == DataPacker("cbor").pack(good)
    assert packer.unpack(packer.pack(good)) == good
    for value, words in (
        ({"name": 5, "tags": []}, '/"name".*expected type tstr'),
        ({"name": "Rin", "tags": ["a", 1]}, '/"tags"/1.*expected type tstr'),
        ({"name": "Rin"}, "tags"),
        ([1, 2], "expected|exactly one"),
    ):
        calls: list[Callable[[Any], object]] = [packer.pack, lambda v: packer.pack_many([good, v])]
        for call in calls:
            with pytest.raises(SchemaError, match="Validation errors: at .*" + words):
                call(value)


def test_a_text_that_is_no_cddl_is_refused() -> None:
    pytest.importorskip("pycddl")
    with pytest.raises(InvalidArgument, match="not a CDDL schema"):
        DataPacker.with_cddl_schema("nonsense")
    bad: Any = {"a": 1}
    with pytest.raises(WrongType, match="a CDDL schema is text"):
        DataPacker.with_cddl_schema(bad)


def test_without_pycddl_the_error_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['pycddl'] = None\n"
        "from kohakuvault import DataPacker\n"
        "try: DataPacker.with_cddl_schema('a = int')\n"
        "except ImportError as exc: print(exc)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install kohakuvault[cddl]" in done.stdout


def test_no_validator_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys, kohakuvault\n"
        "kohakuvault.DataPacker('msgpack').pack({'a': 1})\n"
        "print(sorted({'jsonschema_rs', 'pycddl', 'datetime', 'dataclasses', 'numpy'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- the published suite ----


@pytest.mark.slow
@pytest.mark.parametrize("draft", ["draft7", "draft2020-12"])
def test_the_json_schema_suite_passes_but_for_documents_elsewhere(draft: str) -> None:
    folder = TESTDATA / "json-schema" / "tests" / draft
    if not folder.exists():
        pytest.skip(f"the published suite is not there: {folder}")
    uri = {"draft7": "http://json-schema.org/draft-07/schema#"}.get(draft)
    count, elsewhere, wrong = 0, 0, []
    for path in sorted(folder.glob("*.json")):
        for group in json.loads(path.read_text(encoding="utf-8")):
            schema = group["schema"]
            if uri and isinstance(schema, dict):
                schema = {"$schema": uri, **schema}
            try:
                packer = DataPacker.with_json_schema(schema)
            except InvalidArgument:
                if "http://localhost:1234/" not in json.dumps(schema):
                    wrong.append((path.stem, group["description"], "refused"))
                elsewhere += 1
                continue
            for test in group["tests"]:
                count += 1
                if accepts(packer, test["data"]) != test["valid"]:
                    wrong.append((path.stem, group["description"], test["description"]))
    assert wrong == []
    assert count > 800
    assert elsewhere < 30


def accepts(packer: DataPacker, value: object) -> bool:
    try:
        packer.pack(value)
    except SchemaError:
        return False
    return True
