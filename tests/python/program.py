"""The program `kohakuvault` for the tests: called in this process, and run in one of its own."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pytest

testing = pytest.importorskip("click.testing", reason="click is not installed")
pytest.importorskip("rich", reason="rich is not installed")


class Ended(NamedTuple):
    """What a run of the program left."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)

    def json_lines(self) -> list[Any]:
        assert self.code == 0, self.err
        return [json.loads(line) for line in self.lines]


class Program(Protocol):
    def __call__(self, *arguments: str | Path | bytes, data: bytes = b"") -> Ended: ...


def call(*arguments: str | Path | bytes, data: bytes = b"") -> Ended:
    """Call the program's function, as click's own tests do."""
    from kohakuvault.cli.app import app

    words = [it.decode("utf-8", "surrogateescape") if isinstance(it, bytes) else str(it) for it in arguments]
    apart = (
        {"mix_stderr": False} if "mix_stderr" in inspect.signature(testing.CliRunner).parameters else {}
    )  # click 8.1
    ended = testing.CliRunner(**apart).invoke(app, words, input=data, prog_name="kohakuvault")
    if ended.exception is not None and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    return Ended(ended.exit_code, ended.stdout_bytes, ended.stderr)


def start(*arguments: str | Path | bytes, data: bytes = b"") -> Ended:
    """Run the program in a process of its own."""
    words = [it if isinstance(it, bytes) else str(it) for it in arguments]
    ended = subprocess.run([sys.executable, "-m", "kohakuvault", *words], input=data, capture_output=True, timeout=60)
    return Ended(ended.returncode, ended.stdout, ended.stderr.decode())


both_ways = pytest.mark.parametrize("run", [call, start], ids=["called", "process"])
