"""Schemas of records: JSON Schema through jsonschema-rs, CDDL through pycddl, each imported on first use."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import NoReturn

from .errors import InvalidArgument, SchemaError, WrongType

_SHOWN = 5  # breaches in one message
_WORDS_MAX = 300  # characters of one breach, which may quote the value


def _fail(breaches: Iterator[str]) -> None:
    shown: list[str] = []
    for breach in breaches:
        if len(shown) == _SHOWN:
            shown.append("and more")
            break
        shown.append(breach if len(breach) <= _WORDS_MAX else breach[:_WORDS_MAX] + "...")
    if shown:
        raise SchemaError("Validation errors: " + "; ".join(shown))


def _path(parts: list[str | int]) -> str:
    """`$.tags[3].name`."""
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)


def _odd_floats(value: object, path: list[str | int]) -> Iterator[str]:
    """Where a record holds what JSON has no number for, and jsonschema-rs would take for null."""
    if isinstance(value, float) and not math.isfinite(value):
        yield f"{_path(path)}: {value} is no number of JSON"
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _odd_floats(inner, [*path, str(key)])
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _odd_floats(inner, [*path, index])


def _no_other_documents(uri: str) -> NoReturn:
    raise ValueError(f"{uri} is another document, and none is fetched")


class JsonSchema:
    """A JSON Schema of any draft from 4 on; 2020-12 if it does not say which.

    Parameters
    ----------
    schema : dict, bool or str
        The schema, or its JSON text. A `$ref` to another document is an error: nothing is fetched.

    Raises
    ------
    InvalidArgument
        If it is no JSON Schema.
    """

    def __init__(self, schema: object) -> None:
        import jsonschema_rs

        if not isinstance(schema, (dict, bool, str)):
            raise WrongType(f"a JSON Schema is a dict, a bool or text, not {type(schema).__name__}")
        try:
            self.text: str = json.dumps(json.loads(schema) if isinstance(schema, str) else schema, allow_nan=False)
            self._validator = jsonschema_rs.validator_for(json.loads(self.text), retriever=_no_other_documents)
        except (ValueError, TypeError, RecursionError) as exc:
            raise InvalidArgument(f"not a JSON Schema: {exc}") from exc

    def check(self, value: object, has_odd_floats: bool) -> None:
        """Raise SchemaError if `value`, which came out of a record, breaks the schema."""
        if has_odd_floats:
            _fail(_odd_floats(value, []))
        try:
            if not self._validator.is_valid(value):
                _fail(
                    f"{_path(error.instance_path)}: {error.message} (rule {'/'.join(map(str, error.schema_path))})"
                    for error in self._validator.iter_errors(value)
                )
        except SchemaError:
            raise
        except ValueError as exc:
            raise SchemaError(f"Validation errors: the value is beyond JSON: {exc}") from exc


class CddlSchema:
    """A CDDL schema (RFC 8610); its first rule is what a record must be.

    Parameters
    ----------
    schema : str
        The rules as text.

    Raises
    ------
    InvalidArgument
        If the text is no CDDL.
    ImportError
        Without the package pycddl, which the extra `cddl` brings.
    """

    def __init__(self, schema: object) -> None:
        try:
            import pycddl  # type: ignore[import-untyped,unused-ignore]
        except ImportError as exc:
            raise ImportError("CDDL needs the package pycddl: pip install kohakuvault[cddl]") from exc

        if not isinstance(schema, str):
            raise WrongType(f"a CDDL schema is text, not {type(schema).__name__}")
        self.text = schema
        self._breach = pycddl.ValidationError
        try:
            self._schema = pycddl.Schema(schema)
        except ValueError as exc:
            raise InvalidArgument(f"not a CDDL schema: {exc}") from exc

    def check(self, record: bytes) -> None:
        """Raise SchemaError if the bytes of a record break the schema."""
        try:
            self._schema.validate_cbor(record)
        except self._breach as exc:
            lines = (line.replace("error validating at cbor location ", "at ") for line in str(exc).splitlines())
            _fail(line for line in lines if line.strip())
            raise SchemaError("Validation errors: the record breaks the schema") from exc
