"""Elements of columns as JSON and as cells of CSV, and back.

JSON has no bytes, no NaN and only text as names. Such values are objects with one name that begins with `$`:

    {"$base64": "AP8="}      {"$float": "nan"}      {"$map": [[1, "one"], [2, "two"]]}
    {"$datetime": "2024-05-01T12:00:00+00:00"}      {"$ext": [5, "AP8="]}      {"$tag": [32, "x"]}      {"$simple": 9}

A map of which a name begins with `$` is written as `$map` too, so nothing is ever taken for what it is not.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from ..tokens import ExtType, Simple, Tag
from .keytext import from_text, to_text
from .output import json_line

INTEGERS = {"i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64"}
FLOATS = {"f32", "f64"}
RECORDS = {"msgpack", "cbor"}
WHOLE = re.compile(r"0|-?[1-9][0-9]{0,24}")
DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?(e[+-]?[0-9]+)?|-?inf|nan", re.IGNORECASE)


def kind_of(dtype: str) -> str:
    """Return int, float, bool, str, bytes or record; the dtype itself where it is none of ours."""
    base = dtype.split(":", 1)[0]
    for kind, names in (("int", INTEGERS), ("float", FLOATS), ("record", RECORDS)):
        if base in names:
            return kind
    return base


# ---- JSON ----


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _map_to_json(value: dict[Any, Any]) -> dict[str, Any]:
    if all(isinstance(name, str) and not name.startswith("$") for name in value):
        return {name: to_json(it) for name, it in value.items()}
    return {"$map": [[to_json(name), to_json(it)] for name, it in value.items()]}


def to_json(value: Any) -> Any:
    """Return an element as what `json` writes."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": repr(value)}
    if isinstance(value, bytes):
        return {"$base64": _encoded(value)}
    if isinstance(value, (list, tuple)):
        return [to_json(it) for it in value]
    if isinstance(value, dict):
        return _map_to_json(value)
    if isinstance(value, datetime):
        return {"$datetime": value.isoformat()}
    if isinstance(value, ExtType):
        return {"$ext": [value.code, _encoded(value.data)]}
    if isinstance(value, Tag):
        return {"$tag": [value.number, to_json(value.value)]}
    assert isinstance(value, Simple), type(value)
    return {"$simple": value.number}


def _as_key(value: Any) -> Any:
    return tuple(_as_key(it) for it in value) if isinstance(value, list) else value


READERS: dict[str, Callable[[Any], Any]] = {
    "$base64": lambda it: base64.b64decode(it, validate=True),
    "$float": float,
    "$map": lambda it: {_as_key(from_json(name)): from_json(value) for name, value in it},
    "$datetime": datetime.fromisoformat,
    "$ext": lambda it: ExtType(it[0], base64.b64decode(it[1], validate=True)),
    "$tag": lambda it: Tag(it[0], from_json(it[1])),
    "$simple": lambda it: Simple(it),
}


def from_json(value: Any) -> Any:
    """Return the element that `to_json` wrote; ValueError, TypeError, LookupError for what it never writes."""
    if isinstance(value, list):
        return [from_json(it) for it in value]
    if not isinstance(value, dict):
        return value
    special = next((name for name in value if name.startswith("$")), None)
    if special is None:
        return {name: from_json(it) for name, it in value.items()}
    if len(value) > 1 or special not in READERS:
        raise ValueError(f'an object with "{special}" is none that export writes')
    return READERS[special](value[special])


# ---- CSV ----


def _record_cell(value: Any) -> str:
    return json_line(to_json(value))


def _bool_cell(value: bool) -> str:
    return "true" if value else "false"


def cell_writer(dtype: str) -> Callable[[Any], str]:
    """Return what makes the elements of a column the text of cells."""
    kinds: dict[str, Callable[[Any], str]] = {
        "int": str,
        "float": repr,
        "bool": _bool_cell,
        "str": str,
        "record": _record_cell,
    }
    return kinds.get(kind_of(dtype), to_text)  # elements of a program's own dtype are bytes here


def _number_of(text: str, number: Callable[[str], Any]) -> Any:
    if "_" in text:  # Python takes 1_000 for a number
        raise ValueError("want a number")
    return number(text)


def _bool_of(text: str) -> bool:
    words = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in words:
        raise ValueError("want true or false")
    return words[text.lower()]


def cell_reader(dtype: str) -> Callable[[str], Any]:
    """Return what makes the text of cells elements of a column; ValueError where it stands for none."""
    kinds: dict[str, Callable[[str], Any]] = {
        "int": lambda text: _number_of(text, int),
        "float": lambda text: _number_of(text, float),
        "bool": _bool_of,
        "bytes": from_text,
        "record": lambda text: from_json(json.loads(text)),
    }
    return kinds.get(kind_of(dtype), str)


def _is_i64(text: str) -> bool:
    """Whether a cell is an integer and nothing else: 007 may be the name of something."""
    return WHOLE.fullmatch(text) is not None and -(2**63) <= int(text) < 2**63


def _is_f64(text: str) -> bool:
    """Whether a cell is a number that a float does not change."""
    if WHOLE.fullmatch(text):
        return abs(int(text)) <= 2**53
    return DECIMAL.fullmatch(text) is not None


def dtype_of_cells(texts: list[str]) -> str:
    """Return the narrowest of bool, i64, f64 and str that all the cells fit."""
    if all(text.lower() in ("true", "false") for text in texts):
        return "bool"
    if all(map(_is_i64, texts)):
        return "i64"
    return "f64" if all(map(_is_f64, texts)) else "str"


def dtype_of_values(values: list[Any]) -> str:
    """Return the dtype that holds all of some values of JSON: i64, f64, bool, str, or else msgpack."""
    kinds = {type(value) for value in values}
    if kinds == {int} and all(-(2**63) <= value < 2**63 for value in values):
        return "i64"
    if kinds <= {int, float} and float in kinds:
        return "f64"
    if kinds == {bool}:
        return "bool"
    return "str" if kinds == {str} else "msgpack"
