#!/usr/bin/env python3
"""What an operation on a column costs at three sizes: it must not grow with the column.

    python bench/growth_columns.py [FOLDER]

Microseconds an operation, the best of seven rounds.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kohakuvault import ColumnVault

SIZES = (20_000, 200_000, 2_000_000)
ROUNDS = 7
BLOCK = 20_000


def cost(work: Callable[[], object], count: int) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(count):
            work()
        best = min(best, time.perf_counter() - began)
    return best / count * 1e6


def fill(columns: ColumnVault, dtype: str, size: int) -> tuple[Any, Any]:
    """Return a column of `size` elements, edited once in the middle, and a value for it."""
    column = columns.create_column(f"{dtype} {size}", dtype)
    value = 1.5 if dtype == "f64" else "x" * 20
    for start in range(0, size, BLOCK):
        column.extend([float(i) if dtype == "f64" else f"{i:020}" for i in range(start, start + BLOCK)])
    column.insert(size // 2, value)
    return column, value


def measure(column: Any, value: Any) -> list[float]:
    size = len(column)
    return [
        cost(lambda: column.append(value), 100),
        cost(lambda: column[random.randrange(size)], 200),
        cost(lambda: column.__setitem__(random.randrange(size), value), 50),
        cost(lambda: column.__delitem__(len(column) // 2), 20),
        cost(lambda: column.insert(len(column) // 2, value), 20),
        cost(lambda: column.insert(0, value), 20),
    ]


def main() -> None:
    folder = Path(tempfile.mkdtemp(dir=sys.argv[1] if len(sys.argv) > 1 else None))
    print("| dtype | elements | append | read | replace | delete, middle | insert, middle | insert, front |")
    print("|---|---|---|---|---|---|---|---|")
    try:
        with ColumnVault(folder / "growth.kv") as columns:
            for dtype in ("f64", "str"):
                for size in SIZES:
                    figures = " | ".join(f"{figure:.1f}" for figure in measure(*fill(columns, dtype, size)))
                    print(f"| {dtype} | {size:,} | {figures} |", flush=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
