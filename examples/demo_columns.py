"""Part of `make demo`: columns of weather, temperatures and records, a picture of them, and ten million numbers.

    python examples/demo_columns.py [--folder demo-data] [--samples 10000000]

The series are in the package vega_datasets: its wheel is downloaded as data, and never installed. The picture is drawn
where matplotlib is installed; h5py and zarr do the same work on the numbers where they are.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import io
import json
import shutil
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from demo_index import console, fetch_wheel, read_airports
from kohakuvault import ColumnVault, DataPacker, KVault
from rich.table import Table

DATA = "vega_datasets/_data/"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("demo-data"), help="for the wheel and the file")
    parser.add_argument("--samples", type=int, default=10_000_000, help="how many numbers to append at the end")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    tour(arguments.folder, fetch_wheel(arguments.folder), arguments.samples)


def tour(folder: Path, wheel: Path, samples: int) -> None:
    """Run every step on a new file `folder`/columns.kv."""
    for old in folder.glob("columns.kv*"):
        old.unlink()
    with KVault(folder / "columns.kv") as kv:
        columns = ColumnVault(kv)
        keep_series(kv, columns, wheel)
        keep_records(columns, wheel)
        keep_picture(kv, columns)
        quick_start(kv)
        many_numbers(folder, columns, samples)
        found = kv.verify()
        assert found == [], found
        console.print(f"verify(): clean; {kv.stats()['file_bytes'] / 1e6:.0f} MB in one file")


def rows_of(wheel: Path, name: str) -> list[dict[str, str]]:
    with zipfile.ZipFile(wheel) as files:
        return list(csv.DictReader(io.StringIO(files.read(DATA + name).decode())))


def keep_series(kv: KVault, columns: ColumnVault, wheel: Path) -> None:
    """Weather by day as text and numbers, temperatures by hour, one transaction."""
    weather, hours = rows_of(wheel, "seattle-weather.csv"), rows_of(wheel, "seattle-temps.csv")
    with kv.transaction():
        columns.ensure("weather/day", "str").extend([row["date"] for row in weather])
        columns.ensure("weather/kind", "str").extend([row["weather"] for row in weather])
        columns.ensure("weather/tenths", "i64").extend([round(float(row["temp_max"]) * 10) for row in weather])
        columns.ensure("temps/hour", "str").extend([row["date"] for row in hours])
        columns.ensure("temps/fahrenheit", "f64").extend([float(row["temp"]) for row in hours])
    hot = max(range(len(weather)), key=columns["weather/tenths"][:].__getitem__)
    assert columns["weather/day"][hot] == weather[hot]["date"]
    console.print(
        f"{len(weather):,} days and {len(hours):,} hours; the hottest day was {columns['weather/day'][hot]} "
        f"with {columns['weather/tenths'][hot] / 10} degrees; {columns['weather/kind'].count('snow')} days had snow"
    )


def keep_records(columns: ColumnVault, wheel: Path) -> None:
    """Airports and cars as they are, whatever their fields."""
    airports = read_airports(wheel)
    with zipfile.ZipFile(wheel) as files:
        cars = json.loads(files.read(DATA + "cars.json"))
    columns.ensure("airports", "msgpack").extend(airports)
    columns.ensure("cars", "msgpack").extend(cars)
    assert columns["airports"] == airports
    assert columns["cars"][7] == cars[7]
    console.print(f"{len(airports):,} airports in {columns['airports'].nbytes / 1e3:.0f} kB, {len(cars)} cars")


def keep_picture(kv: KVault, columns: ColumnVault) -> None:
    """Draw the temperatures; picture and record are one transaction."""
    if importlib.util.find_spec("matplotlib") is None:
        console.print("matplotlib is not installed: no picture is drawn")
        return
    from matplotlib.figure import Figure

    values = columns["temps/fahrenheit"].to_numpy()
    figure = Figure(figsize=(8, 3))
    figure.subplots().plot(values, linewidth=0.5)
    png = io.BytesIO()
    figure.savefig(png, format="png")
    with kv.transaction():
        kv["pictures/temps"] = png.getvalue()
        columns.ensure("pictures", "msgpack").append({"key": "pictures/temps", "points": len(values)})
    kept = columns["pictures"][-1]
    assert kv[kept["key"]].startswith(b"\x89PNG")
    console.print(f"a picture of {kept['points']:,} points, {kv.size(kept['key']):,} bytes, beside its record")


def quick_start(kv: KVault) -> None:
    """What the front page shows, in this file."""
    kv["cover:001"] = b"\x89PNG..."
    cols = ColumnVault(kv)
    temps = cols.ensure("temperatures", "f64")
    temps.extend([23.6, 23.8, 24.1])
    profiles = cols.ensure("profiles", "msgpack")
    profiles.append({"id": 1, "name": "Rin", "active": True})
    assert profiles[0]["name"] == "Rin"
    packer = DataPacker("bytes:32")
    assert packer.unpack(packer.pack(b"session"), 0).rstrip(b"\x00") == b"session"


def many_numbers(folder: Path, columns: ColumnVault, samples: int) -> None:
    """Append, read a slice, and take the mean; beside others where they are installed."""
    values = np.random.default_rng(0).random(samples)
    table = Table("", "append", "slice of 100,000", "mean of all", title=f"{samples:,} numbers, ms")
    column = columns.ensure("samples", "f64")
    middle = slice(samples // 2, samples // 2 + 100_000)

    def mean() -> float:
        return sum(float(part.sum()) for part in column.iter_batches(1 << 20, numpy=True)) / len(column)

    add_row(table, "kohakuvault", values, middle, column.extend, column.to_numpy, mean)
    for name in ("h5py", "zarr"):
        if importlib.util.find_spec(name):
            add_peer(table, name, folder / f"samples.{name}", values, middle)
    console.print(table)


def add_row(
    table: Table,
    name: str,
    values: np.ndarray,
    middle: slice,
    append: Callable[[np.ndarray], object],
    read: Callable[[int, int], Any],
    mean: Callable[[], float],
) -> None:
    took = []
    for work in (lambda: append(values), lambda: read(middle.start, middle.stop), mean):
        began = time.perf_counter()
        result = work()
        took.append(f"{(time.perf_counter() - began) * 1e3:.1f}")
    assert np.array_equal(read(middle.start, middle.stop), values[middle])
    assert abs(result - values.mean()) < 1e-9
    table.add_row(name, *took)


def add_peer(table: Table, name: str, path: Path, values: np.ndarray, middle: slice) -> None:
    module = importlib.import_module(name)
    if path.is_dir():
        shutil.rmtree(path)
    if name == "h5py":
        path.unlink(missing_ok=True)
        array = module.File(path, "w").create_dataset("x", (0,), "f8", maxshape=(None,), chunks=(8192,))
    else:
        array = module.open(str(path), mode="w", shape=(0,), chunks=(8192,), dtype="f8")

    def append(more: np.ndarray) -> None:
        array.resize((len(more),))
        array[:] = more

    add_row(table, name, values, middle, append, lambda a, b: array[a:b], lambda: float(array[:].mean()))


if __name__ == "__main__":
    main()
