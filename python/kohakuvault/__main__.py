"""The program `kohakuvault`, which is `python -m kohakuvault` too."""

from __future__ import annotations

import importlib.util
import sys


def main() -> None:
    """Run the command line; it needs the packages of the extra `cli`, which the library does without."""
    missing = [name for name in ("click", "rich") if importlib.util.find_spec(name) is None]
    if missing:
        sys.exit(f"kohakuvault: the command line needs {' and '.join(missing)}: pip install 'kohakuvault[cli]'")
    from .cli.app import app

    app(prog_name="kohakuvault")


if __name__ == "__main__":
    main()
