"""docs/reference/cli.md and README.md: every example of the command line is run, every option is there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from program import call

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "cli.md"


class Example(NamedTuple):
    """A command of the page, the line it stands in, and what it is said to print."""

    line: int
    command: str
    output: str


def examples(text: str) -> Iterator[Example]:
    inside = False
    line, command, output = 0, "", ""
    for number, words in enumerate(text.splitlines(), 1):
        starts = inside and words.startswith("$ ")
        if command and (starts or words == "```"):
            yield Example(line, command, output)
            command, output = "", ""
        if words.startswith("```"):
            inside = words == "```console"
        elif starts:
            line, command = number, words[2:]
        elif inside:
            output += words + "\n"


def matches(expected: str, printed: str) -> bool:
    """Whether they are the same, `...` standing for anything; what ends without a line feed is shown with one."""
    parts = [re.escape(part) for part in expected.split("...")]
    return re.fullmatch(".*".join(parts) + "\n?", printed + "\n", re.DOTALL) is not None


def run_all(page: Path, folder: Path) -> int:
    """Run the examples of a page one after the other in a folder; return how many."""
    scripts = sysconfig.get_path("scripts")
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    count = 0
    for example in examples(page.read_text(encoding="utf-8")):
        ended = subprocess.run(
            ["bash", "-c", example.command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
        )
        printed = ended.stdout.decode()
        assert matches(example.output, printed), f"{page.name}:{example.line}: $ {example.command}\n{printed}"
        count += 1
    return count


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(("page", "least"), [(PAGE, 40), (ROOT / "README.md", 5)], ids=["cli", "README"])
def test_every_example_prints_what_the_page_says(folder: Path, page: Path, least: int) -> None:
    shutil.copy(ROOT / "tests" / "data" / "older-0.6.0.kv", folder / "older.db")
    assert run_all(page, folder) >= least


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("a\n", "a\n", True),
        ("a\n", "a", True),
        ("", "", True),
        ("a\n", "b\n", False),
        ("a\n", "a\nb\n", False),
        ("a\n", "", False),
        ("a ... c\n", "a b c\n", True),
        ("a ... c\n", "a b d\n", False),
    ],
)
def test_an_example_that_prints_something_else_is_noticed(expected: str, printed: str, same: bool) -> None:
    assert matches(expected, printed) is same


def test_the_examples_of_the_help_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "photos").mkdir()
    (folder / "photos" / "cat.gif").write_bytes(b"GIF89a")
    (folder / "weather.csv").write_text("time,temp\n1,23.5\n", encoding="utf-8")
    (folder / "log.jsonl").write_text('{"id": 1}\n', encoding="utf-8")
    count = 0
    for command in ("import", "export"):
        for line in call(command, "--help").lines:
            if line.startswith("  kohakuvault "):
                assert call(*line.split()[1:]).code == 0, line
                count += 1
    assert count == 6
    assert (folder / "weather2.csv").read_bytes() == (folder / "weather.csv").read_bytes()
    assert (folder / "copies" / "cat.gif").read_bytes() == b"GIF89a"


def test_every_command_and_option_has_its_place() -> None:
    from kohakuvault.cli.app import app

    parts = re.split(r"^### ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    sections = {part.split()[0]: part for part in parts[1:]}
    assert sorted(sections) == sorted(app.commands)
    for name, command in app.commands.items():
        options = {option for parameter in command.params for option in parameter.opts if option.startswith("-")}
        missing = [option for option in options if f"`{option}" not in sections[name]]
        assert not missing, f"{name}: {missing}"
