#!/usr/bin/env python3
"""The ordered maps beside those of the older implementation, on this machine, in one run.

    python examples/benchmark_container.py [--quick]

`CSBTree` and `SkipList` with int keys: insert, a key that is there, a range of 100, delete, all items; at 10,000 and
100,000 keys. See benchmark.py for how it is measured.
"""

from __future__ import annotations

from benchmark import OLDER, main
from measure import Contender, Row, Settings
from rows_maps import WORKS, self_timed


def rows(settings: Settings) -> list[Row]:
    made = []
    for container in ("CSBTree", "SkipList"):
        for size in (10_000, 100_000):
            options = {"library": container, "size": max(1000, settings.sized(size)), "kind": "int"}
            ours, *older = (
                Contender(name, "maps_work", "OrderedMap", options, needs)
                for name, needs in {"ours": "", **OLDER}.items()
            )
            for call, work in {**WORKS, "items": "items"}.items():
                made.append(Row("", f"{container}, {work}, {size:,}", self_timed(call, ours, older)))
    return made


if __name__ == "__main__":
    main(rows, __doc__)
