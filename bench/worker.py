"""The process in which one contender of a benchmark runs; `measure.py` starts it and speaks with it.

    python worker.py MODULE FACTORY OPTIONS FOLDER

MODULE is a module of this folder, FACTORY its function that makes the work, OPTIONS its keyword arguments in JSON;
FOLDER is one more, `folder`, if it has that. A line of JSON comes in for each call, `[method, arguments...]`, and
one goes out, `{"value": ...}` or `{"error": ...}`. What the work prints goes to stderr.

A work is a function `run(count)`, which does `count` operations and raises if a result is wrong; or an object
with such a method, and, if it needs them, `prepare(count)` (not timed, before each slice), `close()`, and any
others that its row calls by name. Time in which other programs kept it from the processors is not counted, unless
its attribute `parallel` says that several threads or processes of its own work at once.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import sys
import time
import traceback
from contextlib import suppress
from typing import Any

LONGEST = 1 << 30  # operations in one slice


def kept_waiting() -> float:
    """Return the seconds in which threads of this process could have run, and other programs had the processors."""
    total = 0
    for task in os.listdir("/proc/self/task"):
        # A thread may end meanwhile; a kernel may not count.
        with suppress(OSError), open(f"/proc/self/task/{task}/schedstat") as file:
            total += int(file.read().split()[1])
    return total / 1e9


class Timed:
    """A work with a clock."""

    def __init__(self, work: Any) -> None:
        self.work = work
        self.run = getattr(work, "run", work)
        self.prepare = getattr(work, "prepare", None)

    def slice(self, count: int) -> float:
        """Do `count` operations and return the seconds they took."""
        if self.prepare is not None:
            self.prepare(count)
        waited, worked, began = kept_waiting(), time.process_time(), time.perf_counter()
        self.run(count)
        took = time.perf_counter() - began
        if getattr(self.work, "parallel", False):
            return took
        # Never less than it worked: a thread of the library's own may have waited while this one did not.
        return max(took - (kept_waiting() - waited), time.process_time() - worked)

    def calibrate(self, seconds: float) -> int:
        """Return how many operations fill a slice; warms everything up on the way."""
        count = 1
        while True:
            took = min(self.slice(count) for _ in range(3))  # one may have met a busy moment
            if took >= seconds / 2 or count >= LONGEST:
                return max(1, min(LONGEST, int(count * seconds / max(took, 1e-9))))
            # In leaps while the clock shows little, then straight at the aim.
            count = max(count + 1, min(count * 8, int(count * seconds / max(took, 1e-9))))

    def close(self) -> None:
        if hasattr(self.work, "close"):
            self.work.close()


def make_work(module: str, factory: str, options: str, folder: str) -> Any:
    make = getattr(importlib.import_module(module), factory)
    arguments = json.loads(options)
    if "folder" in inspect.signature(make).parameters:
        arguments["folder"] = folder
    return make(**arguments)


def answer(timed: Timed, method: str, arguments: list[Any]) -> Any:
    if method in ("slice", "calibrate", "close"):
        return getattr(timed, method)(*arguments)
    return getattr(timed.work, method)(*arguments)


def main() -> None:
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    try:
        timed = Timed(make_work(*sys.argv[1:]))
        print(json.dumps({"value": None}), file=replies)
        for line in sys.stdin:
            method, *arguments = json.loads(line)
            print(json.dumps({"value": answer(timed, method, arguments)}), file=replies)
            if method == "close":
                return
    except Exception as exc:
        traceback.print_exc()
        print(json.dumps({"error": f"{type(exc).__name__}: {exc}"}), file=replies)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
