#!/usr/bin/env python3
"""The store and its columns beside the older implementation of this idea, on this machine, in one run.

    python examples/benchmark.py [--quick]

What its documents measured: writing values of 16 KiB with a cache of 64 MiB, reading them hot, `extend` of i64, slices
of 100 f64, records as MessagePack. Versions 0.6.0 (R6) and 1.1.0 (R11) are installed by name into folders of their own;
each works in a process of its own, a slice at a time in turn. The ratio is their time / our time.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

BENCH = Path(__file__).resolve().parents[1] / "bench"
sys.path.insert(0, str(BENCH))

from measure import Contender, Row, Settings, table, timed  # noqa: E402

OLDER = {"R6": "kohakuvault==0.6.0", "R11": "kohakuvault==1.1.0"}


def beside_older(work: str, module: str, factory: str, **options: Any) -> Row:
    ours, *older = (
        Contender(name, module, factory, {"library": name, **options}, needs)
        for name, needs in {"ours": "", **OLDER}.items()
    )
    return Row("", work, timed(ours, older))


def rows(settings: Settings) -> list[Row]:
    keys, numbers = settings.sized(8000), settings.sized(1_000_000)
    return [
        beside_older(
            "write 16 KiB, cache 64 MiB", "rows_kv", "Writer", keys=keys, size=16384, way="bulk_and_checkpoint"
        ),
        beside_older("read 16 KiB, hot", "rows_kv", "Reader", keys=settings.sized(2000), size=16384),
        beside_older("extend i64 from a list, a thousand", "rows_columns", "Growing", way="list", dtype="i64"),
        beside_older("slice of 100 f64", "rows_columns", "Reading", way="slices", size=numbers),
        beside_older("extend records (MessagePack), a thousand", "rows_columns", "Dicts", way="extend"),
        beside_older("iterate records (MessagePack), a thousand", "rows_columns", "Dicts", way="iterate"),
    ]


def main(make_rows: Any = rows, description: str | None = __doc__) -> None:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small data and few rounds: does it run at all?")
    quick = parser.parse_args().quick
    settings = Settings(pairs=5, seconds=0.03, scale=0.02) if quick else Settings()
    print(table([(row, row.measure(settings)) for row in make_rows(settings)]))


if __name__ == "__main__":
    main()
