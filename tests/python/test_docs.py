"""Every Python example in the README and the documents runs as it stands; the reference and the lists are whole."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from kohakuvault import KVault, Vault

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks_of(page: Path) -> list[tuple[int, str]]:
    """The fenced Python blocks of a page, each with its line."""
    text = page.read_text(encoding="utf-8")
    return [(text[: it.start()].count("\n") + 2, it[2]) for it in FENCE.finditer(text) if it[1] == "python"]


PAGES = [page for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))] if blocks_of(page)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_examples_of_a_page_run_one_after_the_other(page: Path, folder: Path) -> None:
    # Blank lines keep the line numbers of the page in a traceback.
    program, lines = "", 0
    for line, code in blocks_of(page):
        program += "\n" * (line - 1 - lines) + code
        lines = line - 1 + code.count("\n")
    script = folder / "example.py"
    script.write_text(program, encoding="utf-8")
    work = folder / "work"
    work.mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)], cwd=work, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, f"{page}: {done.stderr}"


def test_links_between_the_documents_lead_somewhere() -> None:
    broken = []
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "bench").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)} -> {target}")
    assert broken == []


@pytest.mark.parametrize("kind", [Vault, KVault])
def test_the_reference_names_every_public_member(kind: type) -> None:
    reference = (ROOT / "docs" / "reference" / "kvault.md").read_text(encoding="utf-8")
    inner = {"scan", "open_blob", "read_range"}  # of the extension, for what is built on it
    public = {name for name in dir(kind) if not name.startswith("_")} - inner
    assert {name for name in public if f"`{name}" not in reference and f".{name}" not in reference} == set()


def test_every_page_is_in_the_list_of_documents() -> None:
    listed = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = [str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")]
    assert [page for page in pages if page != "README.md" and f"({page})" not in listed] == []
