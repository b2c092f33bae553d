"""Print the ten longest C functions of each layer. It reports; it forbids nothing."""

import re
from pathlib import Path

LAYERS = ["src/base", "src/codec", "src/map", "src/storage", "src/vault", "src/kv", "src/column", "pyext"]

NAME = re.compile(r"(\w+)\s*\(")


def functions(source: Path) -> list[tuple[int, str]]:
    """Return (lines, "file:line name") of each function; its braces stand in column 0."""
    lines = source.read_text(encoding="utf-8").splitlines()
    found = []
    opened = 0
    for number, line in enumerate(lines):
        if line == "{":
            opened = number
        elif line == "}" and opened:
            first = opened
            while first and lines[first - 1].strip() and not lines[first - 1].startswith(("}", "#", " *", "/*")):
                first -= 1
            name = NAME.search(" ".join(lines[first:opened]))
            if name:
                found.append((number - first + 1, f"{source}:{first + 1} {name[1]}"))
            opened = 0
    return found


def main() -> None:
    """Print a table per layer."""
    for layer in LAYERS:
        found = [entry for source in Path(layer).rglob("*.c") for entry in functions(source)]
        if not found:
            continue
        over = sum(length > 70 for length, _ in found)
        print(f"{layer}: {len(found)} functions, {over} over 70 lines")
        for length, where in sorted(found, reverse=True)[:10]:
            print(f"  {length:4} {where}")


if __name__ == "__main__":
    main()
