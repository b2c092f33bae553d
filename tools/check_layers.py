"""Check that every #include points down the layers of docs/architecture.md.

Prints each arrow that does not, and exits 1 if there is one.
"""

import re
import sys
from pathlib import Path

# What each folder may include besides itself, the public headers and the system's.
BELOW = {
    "include/kohakuvault": set(),
    "src/base": set(),
    "src/codec": {"src/base"},
    "src/map": {"src/base"},
    "src/storage": {"src/base", "src/codec", "src/map"},
    "src/storage/sqlite": {"src/base", "src/codec", "src/map", "src/storage"},
    "src/vault": {"src/base", "src/codec", "src/map", "src/storage"},
    "src/kv": {"src/base", "src/codec", "src/map", "src/storage", "src/vault"},
    "src/column": {"src/base", "src/codec", "src/map", "src/storage", "src/vault"},
    "pyext": set(),
    "examples": set(),
}
# System headers that have one home.
HOME = {"Python.h": "pyext", "structmember.h": "pyext", "sqlite3.h": "src/storage/sqlite"}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def folder_of(name: str, source: Path) -> str:
    """Return the folder that a quoted include leads to."""
    if name.startswith("kohakuvault/"):
        return "include/kohakuvault"
    beside = source.parent / name
    target = beside if beside.exists() else Path("src") / name
    return target.parent.as_posix()


def faults(source: Path, home: str) -> list[str]:
    """Return the includes of one file that its folder may not have."""
    found = []
    for number, line in enumerate(source.read_text(encoding="utf-8").splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        quote, name = match.groups()
        if name in HOME and HOME[name] != home:
            found.append(f"{source}:{number}: {name} is for {HOME[name]} alone")
        elif quote == '"' and name not in HOME:
            target = folder_of(name, source)
            if target not in {home, "include/kohakuvault"} | BELOW[home]:
                found.append(f"{source}:{number}: {home} may not include {name}, which belongs to {target}")
    return found


def main() -> int:
    """Check every C file of the folders above."""
    found, count = [], 0
    for home in BELOW:
        for source in sorted(path for path in Path(home).glob("*.*") if path.suffix in {".c", ".h", ".cc"}):
            count += 1
            found += faults(source, home)
    for place in sorted({path.parent.as_posix() for path in Path("src").rglob("*.[ch]")} - BELOW.keys()):
        found.append(f"{place}: a folder that no layer names")
    print("\n".join([*found, f"{count} files, {len(found)} arrows that point the wrong way"]))
    return 1 if found or not count else 0


if __name__ == "__main__":
    sys.exit(main())
