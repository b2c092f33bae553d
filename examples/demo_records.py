"""The part of `make demo` about records: JSON data sets packed as MessagePack and CBOR, and read by other libraries.

    python examples/demo_records.py [--folder demo-data]

The data sets are those inside the package vega_datasets: its wheel is downloaded as data, and never installed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import cbor2
import msgpack
import msgspec
from kohakuvault import DataPacker, SchemaError
from rich.console import Console
from rich.table import Table

console = Console()

BARLEY = {
    "type": "object",
    "properties": {
        "yield": {"type": "number", "minimum": 0},
        "variety": {"type": "string"},
        "year": {"type": "integer", "minimum": 1900},
        "site": {"type": "string"},
    },
    "required": ["yield", "variety", "year", "site"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("demo-data"), help="for the wheel")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    records(fetch_wheel(folder))


def fetch_wheel(folder: Path) -> Path:
    """Return the wheel of vega_datasets, downloaded on first use."""
    if not list(folder.glob("vega_datasets-*.whl")):
        console.print("downloading the wheel of vega_datasets, for the JSON in it")
        pip = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--only-binary", ":all:", "-d", str(folder), "vega_datasets"], check=True)
    return next(folder.glob("vega_datasets-*.whl"))


def records(wheel: Path) -> None:
    """Pack every data set of the wheel both ways, have others read it, and try a record that breaks a schema."""
    data_sets = read_data_sets(wheel)
    print_sizes(data_sets)
    for name, rows in data_sets.items():
        check(name, rows)
    console.print(f"{len(data_sets)} data sets came back equal, from us and from msgpack, msgspec and cbor2")
    console.print(f"a record with the year as text: {mistake(data_sets['barley'])}")


def read_data_sets(wheel: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of each data set that is a list of records."""
    found = {}
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            path = Path(member)
            if path.parent.name == "_data" and path.suffix == ".json":
                found[path.stem] = json.loads(archive.read(member))
    return found


def check(name: str, rows: list[dict[str, Any]]) -> None:
    """Read the records back, one by one, the batch by its offsets, and by the other libraries."""
    for kind, readers in (("msgpack", [msgpack.unpackb, msgspec.msgpack.decode]), ("cbor", [cbor2.loads])):
        packer = DataPacker(kind)
        data, offsets = packer.pack_many_with_offsets(rows)
        assert packer.unpack_many(data, offsets=offsets) == rows, f"{name} came back changed from {kind}"
        for row in rows:
            one = packer.pack(row)
            assert packer.unpack(one) == row, f"a record of {name} came back changed from {kind}"
            for read in readers:
                assert read(one) == row, f"{read.__module__} reads {name} otherwise"


def mistake(rows: list[dict[str, Any]]) -> str:
    """Return what is said of a record that breaks its schema, once all others have passed."""
    packer = DataPacker.with_json_schema(BARLEY)
    packer.pack_many(rows)
    try:
        packer.pack({**rows[0], "year": str(rows[0]["year"])})
    except SchemaError as exc:
        return str(exc)
    raise AssertionError("the mistake was not noticed")


def print_sizes(data_sets: dict[str, list[dict[str, Any]]]) -> None:
    table = Table(title="records")
    for heading in ("data set", "records", "JSON, bytes", "MessagePack", "CBOR", "written and read, us a record"):
        table.add_column(heading, justify="left" if heading == "data set" else "right")
    for name, rows in sorted(data_sets.items()):
        packed = [DataPacker(kind).pack_many(rows) for kind in ("msgpack", "cbor")]
        text = json.dumps(rows, separators=(",", ":"))
        table.add_row(
            name, f"{len(rows):,}", f"{len(text):,}", *(f"{len(it):,}" for it in packed), f"{speed(rows):.2f}"
        )
    console.print(table)


def speed(rows: list[dict[str, Any]]) -> float:
    """Return the microseconds that a record takes through MessagePack and back."""
    packer = DataPacker("msgpack")
    began = time.perf_counter()
    for row in rows:
        packer.unpack(packer.pack(row))
    return (time.perf_counter() - began) / len(rows) * 1e6


if __name__ == "__main__":
    main()
