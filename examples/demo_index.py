"""Part of `make demo`: secondary indexes over records, in order.

    python examples/demo_index.py [--folder demo-data]

The records are the airports inside the package vega_datasets: its wheel is downloaded as data, and never installed.
They go into a column; a CSBTree finds them by latitude and by name, and a SkipList is filled by four threads at once.
"""

from __future__ import annotations

import argparse
import csv
import io
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

from kohakuvault import ColumnVault, CSBTree, KVault, SkipList, VarSizeColumn
from rich.console import Console
from rich.table import Table

THREADS = 4
console = Console()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("demo-data"), help="for the wheel and the file")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    tour(arguments.folder, read_airports(fetch_wheel(arguments.folder)))


def tour(folder: Path, airports: list[dict[str, Any]]) -> None:
    """Run every step on a new file `folder`/index.kv."""
    for old in folder.glob("index.kv*"):
        old.unlink()
    with KVault(folder / "index.kv") as kv:
        records = ColumnVault(kv).ensure("airports", "msgpack")
        records.extend(airports)
        assert isinstance(records, VarSizeColumn)
        by_latitude = index_latitudes(records)
        print_range(records, by_latitude, 60.0, 61.0)
        find_names(records)
        fill_from_threads(records)


def fetch_wheel(folder: Path) -> Path:
    """Return the wheel of vega_datasets, downloaded on first use."""
    if not list(folder.glob("vega_datasets-*.whl")):
        console.print("downloading the wheel of vega_datasets, for the airports in it")
        pip = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--only-binary", ":all:", "-d", str(folder), "vega_datasets"], check=True)
    return next(folder.glob("vega_datasets-*.whl"))


def read_airports(wheel: Path) -> list[dict[str, Any]]:
    """Return the airports of the wheel, with numbers for latitude and longitude."""
    with zipfile.ZipFile(wheel) as files:
        text = files.read("vega_datasets/_data/airports.csv").decode()
    rows = csv.DictReader(io.StringIO(text))
    return [{**row, "latitude": float(row["latitude"]), "longitude": float(row["longitude"])} for row in rows]


def index_latitudes(records: VarSizeColumn) -> CSBTree[float, list[int]]:
    """Map each latitude to the rows that have it."""
    began = time.perf_counter()
    by_latitude: CSBTree[float, list[int]] = CSBTree()
    for row, airport in enumerate(records):
        by_latitude.setdefault(airport["latitude"], []).append(row)
    took = (time.perf_counter() - began) * 1e3
    console.print(f"{len(records):,} airports at {len(by_latitude):,} latitudes, indexed in {took:.1f} ms")
    return by_latitude


def print_range(records: VarSizeColumn, by_latitude: CSBTree[float, list[int]], low: float, high: float) -> None:
    """Fetch the records between two latitudes from their column."""
    rows = [row for _, some in by_latitude.range(low, high) for row in some]
    found = records.take(rows)
    latitudes = [airport["latitude"] for airport in found]
    assert latitudes == sorted(latitudes)
    assert sorted(rows) == [row for row, airport in enumerate(records) if low <= airport["latitude"] < high]

    table = Table("latitude", "code", "name", "state", title=f"from {low:g} to {high:g} degrees north: {len(found)}")
    for airport in found[:8]:
        table.add_row(f"{airport['latitude']:.4f}", airport["iata"], airport["name"], airport["state"])
    console.print(table)
    south, north = by_latitude.first(), by_latitude.last()
    assert south
    assert north
    for word, (latitude, some) in (("southernmost", south), ("northernmost", north)):
        console.print(f"{word}: {records[some[0]]['name']} at {latitude:.2f}")


def find_names(records: VarSizeColumn) -> None:
    """Index by name and code, so that equal names are told apart; find those that begin with a word."""
    pairs = sorted(((airport["name"], airport["iata"]), row) for row, airport in enumerate(records))
    by_name: CSBTree[tuple[str, str], int] = CSBTree.from_sorted(pairs)
    found = [name for (name, _), _ in by_name.irange(("Lake",), ("Lakf",))]
    assert found == sorted(airport["name"] for airport in records if airport["name"].startswith("Lake"))
    console.print(f"{len(found)} names begin with Lake: {', '.join(found[:3])}, ...")


def fill_from_threads(records: VarSizeColumn) -> None:
    """Insert the airports into one SkipList from four threads, each a quarter of them."""
    airports = list(records)
    by_code: SkipList[str, int] = SkipList()

    def fill(part: int) -> None:
        rows = range(part, len(airports), THREADS)
        by_code.update((airports[row]["iata"], row) for row in rows)

    threads = [threading.Thread(target=fill, args=(part,)) for part in range(THREADS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = (time.perf_counter() - began) * 1e3
    assert by_code.items() == sorted((airport["iata"], row) for row, airport in enumerate(airports))
    near = by_code.ceiling("SEA")
    assert near
    console.print(f"{THREADS} threads put {len(by_code):,} codes into one SkipList in {took:.1f} ms")
    console.print(f"at or behind SEA: {near[0]}, {records[near[1]]['name']}")


if __name__ == "__main__":
    main()
