"""The tour that `make demo` gives: real images and one large value in one file, in and out as streams.

    python examples/demo.py [--folder demo-data] [--large BYTES]

The images are those inside the package scikit-image: its wheel is downloaded as data, and never installed.
Run again, it begins with an empty file again.
"""

from __future__ import annotations

import argparse
import io
import random
import resource
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

from kohakuvault import KVault
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

MIB = 1 << 20
IMAGE_SUFFIXES = {".gif", ".jpg", ".jpeg", ".png", ".tif", ".tiff"}
console = Console()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("demo-data"), help="for the wheel and the file")
    parser.add_argument("--large", type=int, default=256 * MIB, metavar="BYTES", help="size of the large value")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    tour(arguments.folder, fetch_wheel(arguments.folder), arguments.large)


def tour(folder: Path, wheel: Path, large: int) -> None:
    """Run every step on a new file `folder`/demo.kv, and print what is in it."""
    began = time.monotonic()
    for old in folder.glob("demo.kv*"):
        old.unlink()
    with KVault(folder / "demo.kv") as kv, zipfile.ZipFile(wheel) as images:
        keep_images(kv, images)
        check_images(kv, images)
        open_an_image(kv)
        keep_large_value(kv, large)
        read_ranges(kv, large)
        append(kv)
        print_contents(kv)
    console.print(f"{time.monotonic() - began:.1f} s")


def fetch_wheel(folder: Path) -> Path:
    """Return the wheel of scikit-image, downloaded on first use."""
    if not list(folder.glob("scikit_image-*.whl")):
        console.print("downloading the wheel of scikit-image, for the images in it")
        pip = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--only-binary", ":all:", "-d", str(folder), "scikit-image"], check=True)
    return next(folder.glob("scikit_image-*.whl"))


def bar() -> Progress:
    return Progress(
        TextColumn("{task.description:<34}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), console=console
    )


# ---- images ----


def image_members(images: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the image files of the wheel by the key that each is stored under."""
    return {
        f"images/{Path(it.filename).name}": it
        for it in images.infolist()
        if Path(it.filename).suffix.lower() in IMAGE_SUFFIXES
    }


def keep_images(kv: KVault, images: zipfile.ZipFile) -> None:
    members = image_members(images)
    with bar() as progress:
        task = progress.add_task("images in, by put_file", total=sum(it.file_size for it in members.values()))
        for key, member in members.items():
            with images.open(member) as reader:
                progress.advance(task, kv.put_file(key, reader))


def check_images(kv: KVault, images: zipfile.ZipFile) -> None:
    """Stream out every key that begins with images/, and compare with the wheel byte for byte."""
    members = image_members(images)
    listed = [key.decode() for key in kv.keys(prefix="images/")]
    assert listed == sorted(members), "the prefix lists other keys than were stored"
    with bar() as progress:
        task = progress.add_task("images out, compared byte for byte", total=sum(map(kv.size, listed)))
        for key in listed:
            out = io.BytesIO()
            progress.advance(task, kv.get_to_file(key, out))
            assert out.getvalue() == images.read(members[key]), f"{key} came back changed"


def open_an_image(kv: KVault) -> None:
    key = "images/astronaut.png"
    with kv.open(key) as stream, Image.open(stream) as image:
        image.load()
        console.print(f"Pillow reads {key} from the file: {image.format}, {image.width} x {image.height}, {image.mode}")


# ---- one large value ----


def piece(number: int) -> bytes:
    """Return the mebibyte at `number` MiB of the large value; no two are alike."""
    return number.to_bytes(8, "little") + random.Random(1).randbytes(MIB - 8)


def pieces(size: int) -> Iterator[bytes]:
    body = piece(0)[8:]
    for number in range(-(-size // MIB)):
        yield (number.to_bytes(8, "little") + body)[: size - number * MIB]


def keep_large_value(kv: KVault, size: int) -> None:
    before = peak_mib()
    with bar() as progress, kv.open("large", "wb") as stream:
        task = progress.add_task('a large value in, by open("wb")', total=size)
        for data in pieces(size):
            progress.advance(task, stream.write(data))
    assert kv.size("large") == size
    console.print(f"peak memory {peak_mib():.0f} MiB, of which {before:.0f} before the large value")


def read_ranges(kv: KVault, size: int) -> None:
    """Read ranges anywhere, and the whole as a stream."""
    for start in (0, size // 3, size // 2):
        number, offset = divmod(start, MIB)
        expected = (piece(number) + piece(number + 1))[offset : offset + 100]
        assert kv.read("large", start, 100) == expected, f"other bytes at {start}"
    with bar() as progress, kv.open("large") as stream:
        task = progress.add_task("the large value out, compared", total=size)
        for data in pieces(size):
            assert stream.read(len(data)) == data, f"other bytes before {stream.tell()}"
            progress.advance(task, len(data))
    console.print(f"peak memory {peak_mib():.0f} MiB after reading it")


def append(kv: KVault) -> None:
    size = kv.size("large")
    with kv.open("large", "ab") as stream:
        stream.write(b"the end")
    assert kv.read("large", size) == b"the end"


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# ---- what is there ----


def print_contents(kv: KVault) -> None:
    table = Table("key", "bytes", title=f"in {kv.path}")
    table.columns[1].justify = "right"
    keys = [key.decode() for key in kv]
    for key in keys:
        table.add_row(key, f"{kv.size(key):,}")
    table.add_section()
    table.add_row(f"{len(keys)} values", f"{sum(map(kv.size, keys)):,}")
    table.add_row("the file", f"{Path(kv.path).stat().st_size:,}")
    console.print(table)


if __name__ == "__main__":
    main()
