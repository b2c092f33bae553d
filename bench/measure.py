"""How benchmarks are measured: contenders in processes of their own, in alternation, as ratios.

A speed here changes by a factor of two from minute to minute, so a figure alone says nothing. Every round gives each
contender one short slice; what is reported is the median over the rounds of `their time / our time` (above 1 we are
faster) with its quartiles. A module `rows_*.py` has a function `rows(settings)` that returns rows:

    def rows(settings):
        ours = Contender("ours", "rows_packer", "pack", {"library": "kohakuvault"})
        peer = Contender("msgspec", "rows_packer", "pack", {"library": "msgspec"}, needs="msgspec")
        return [Row("11", "pack, small record", timed(ours, [peer]), goals={"msgspec": 1.0})]

`bench/run` finds, runs and prints them. What a factory such as `pack` returns: see `worker.py`.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PEERS = HERE / ".peers"


class Unavailable(Exception):
    """A contender cannot run here; the table says why."""


@dataclass(frozen=True)
class Settings:
    """How long, how large, where."""

    pairs: int = 20
    seconds: float = 0.15  # of a slice
    scale: float = 1.0  # of the data; rows multiply their sizes by it
    folder: Path = HERE / "out"  # on the file system that is to be measured

    def sized(self, count: int) -> int:
        return max(1, int(count * self.scale))


@dataclass(frozen=True)
class Contender:
    """A work and where it runs.

    `needs` is what pip installs for it, into a folder of its own; empty: what the project's environment has.
    A factory with an argument `folder` is given an empty one.
    """

    name: str
    module: str
    factory: str
    options: dict[str, Any] = field(default_factory=dict)
    needs: str = ""


@dataclass(frozen=True)
class Result:
    """What one contender showed; `value` in the unit of its row, the ratio theirs to ours."""

    name: str
    value: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    pairs: int = 0
    note: str = ""


@dataclass(frozen=True)
class Row:
    """A row of the table: its number in the list of goals, the work, how it is measured, and the ratios wanted."""

    number: str
    work: str
    measure: Callable[[Settings], list[Result]]
    unit: str = "us"
    goals: dict[str, float] = field(default_factory=dict)


def environment(needs: str) -> list[str]:
    """Return the folders to put before the import path for what `needs` names, installed on first use."""
    if not needs:
        return []
    place = PEERS / needs.replace("==", "-").replace(" ", "+")
    if not (place / ".complete").exists():
        shutil.rmtree(place, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--target", str(place)]
        done = subprocess.run([*pip, *needs.split()], capture_output=True, text=True)
        if done.returncode:
            raise Unavailable(f"{needs} cannot be installed: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
        (place / ".complete").touch()
    return [str(place)]


class Worker:
    """A contender's process."""

    def __init__(self, contender: Contender, folder: Path) -> None:
        self.name = contender.name
        options = json.dumps(contender.options)
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), contender.module, contender.factory, options, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": ":".join(environment(contender.needs))},
        )
        self.receive()

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the work, or `slice`, `calibrate`, `close`."""
        self.send(method, *arguments)
        return self.receive()

    def send(self, method: str, *arguments: Any) -> None:
        """Begin a call; `receive` ends it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([method, *arguments]) + "\n")
        self._process.stdin.flush()

    def receive(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        reply = json.loads(line) if line else {"error": f"ended with {self._process.wait()}"}
        if "error" in reply:
            raise RuntimeError(f"{self.name}: {reply['error']}")
        return reply["value"]

    def close(self) -> None:
        if self._process.poll() is None:
            self.call("close")
        self._process.wait()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


@contextmanager
def workers(contenders: list[Contender], settings: Settings) -> Iterator[list[Worker]]:
    """Start the processes, each with an empty folder; end them and remove the folders."""
    settings.folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        started = []
        for contender in contenders:
            folder = Path(tempfile.mkdtemp(prefix=f"{contender.name}-", dir=settings.folder))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            started.append(Worker(contender, folder))
            stack.callback(started[-1].kill)
        yield started
        for worker in started:
            worker.close()


def alternate(started: list[Worker], pairs: int, seconds: float) -> list[list[float]]:
    """Return for each worker its seconds an operation in each round.

    Every round goes through the workers from another one on, so that none always follows the same neighbour.
    """
    counts = [worker.call("calibrate", seconds) for worker in started]
    times: list[list[float]] = [[] for _ in started]
    for number in range(pairs):
        for place in range(len(started)):
            i = (place + number) % len(started)
            times[i].append(started[i].call("slice", counts[i]) / counts[i])
    return times


def compare(name: str, theirs: list[float], ours: list[float]) -> Result:
    """Return the median of the pairs' ratios with their quartiles, of times in seconds."""
    ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
    low, ratio, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return Result(name, statistics.median(theirs) * 1e6, ratio, low, high, len(ratios))


def timed(ours: Contender, peers: list[Contender], burst: int = 1) -> Callable[[Settings], list[Result]]:
    """Return the measurement of a work that all do: microseconds an operation, ours first.

    A peer that cannot be installed is in the results with the reason; one that answers wrongly is an error. Where the
    cost comes in bursts, such as a commit after 2 GiB, `burst` rounds are one sample, and there are 3 or more.
    """

    def measure(settings: Settings) -> list[Result]:
        present, absent = [], []
        for peer in peers:
            try:
                environment(peer.needs)
                present.append(peer)
            except Unavailable as exc:
                absent.append(Result(peer.name, note=str(exc)))
        with workers([ours, *present], settings) as started:
            samples = max(3, settings.pairs // burst)
            rounds = alternate(started, samples * burst, settings.seconds)
        times = [[statistics.fmean(one[i : i + burst]) for i in range(0, len(one), burst)] for one in rounds]
        shown = [compare(it.name, theirs, times[0]) for it, theirs in zip(present, times[1:], strict=True)]
        return [Result(ours.name, statistics.median(times[0]) * 1e6, pairs=samples), *shown, *absent]

    return measure


def table(rows: list[tuple[Row, list[Result]]]) -> str:
    """Return one Markdown table: a line for each row and peer."""
    lines = ["| # | work | ours | peer | theirs | ratio | quartiles | goal |", "|---|---|---|---|---|---|---|---|"]
    for row, results in rows:
        ours, *others = results
        for other in others or [Result("")]:
            lines.append("| " + " | ".join(_cells(row, ours, other)) + " |")
    return "\n".join(lines) + "\n"


def _cells(row: Row, ours: Result, other: Result) -> list[str]:
    goal = row.goals.get(other.name)
    missed = goal is not None and other.ratio is not None and other.ratio < goal
    return [
        row.number,
        row.work,
        _figure(ours.value, row.unit) or ours.note,
        other.name,
        _figure(other.value, row.unit) or other.note,
        "" if other.ratio is None else f"{'**' * missed}{other.ratio:.2f}{'**' * missed}",
        "" if other.low is None else f"{other.low:.2f} to {other.high:.2f}",
        "" if goal is None else f"{goal:g}",
    ]


def _figure(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.3g} {unit}"


def as_json(rows: list[tuple[Row, list[Result]]], settings: Settings) -> str:
    """Return the same as one JSON document."""
    described = [
        {"row": row.number, "work": row.work, "unit": row.unit, "goals": row.goals, "results": list(map(vars, results))}
        for row, results in rows
    ]
    how = {"pairs": settings.pairs, "seconds": settings.seconds, "scale": settings.scale}
    return json.dumps({"settings": how, "rows": described}, indent=1) + "\n"
