"""The demo's own steps, small, on images made here."""

from __future__ import annotations

import importlib
import importlib.util
import io
import json
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
from kohakuvault import KVault

SCRIPT = Path(__file__).parents[2] / "examples" / "demo.py"
LARGE = (5 << 20) + 4321


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def wheel(folder: Path) -> Path:
    """A zip that looks like the wheel of scikit-image."""
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    path = folder / "scikit_image-0.0.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("skimage/__init__.py", "raise RuntimeError('data only')")
        for name, colour in (("astronaut.png", (1, 2, 3)), ("rocket.jpg", (9, 9, 9))):
            out = io.BytesIO()
            image.new("RGB", (40, 30), colour).save(out, format=image.registered_extensions()[Path(name).suffix])
            archive.writestr(f"skimage/data/{name}", out.getvalue())
    return path


def test_every_step_runs_and_runs_again(
    demo: ModuleType, wheel: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demo.console.file = None  # the captured stdout, not the one at import
    for _ in range(2):
        demo.tour(folder, wheel, LARGE)
        shown = capsys.readouterr().out
        assert "PNG, 40 x 30, RGB" in shown
        assert f"{LARGE + len('the end'):,}" in shown
    with KVault(folder / "demo.kv", read_only=True) as kv:
        assert list(kv) == [b"images/astronaut.png", b"images/rocket.jpg", b"large"]
        assert kv["large"] == b"".join(demo.pieces(LARGE)) + b"the end"


def test_a_changed_image_is_noticed(demo: ModuleType, wheel: Path, kv: KVault) -> None:
    with zipfile.ZipFile(wheel) as images:
        demo.keep_images(kv, images)
        demo.check_images(kv, images)
        kv["images/rocket.jpg"] = kv["images/rocket.jpg"][:-1] + b"?"
        with pytest.raises(AssertionError, match=r"rocket\.jpg came back changed"):
            demo.check_images(kv, images)


def test_a_wheel_that_is_there_is_not_fetched_again(demo: ModuleType, wheel: Path, folder: Path) -> None:
    assert demo.fetch_wheel(folder) == wheel


def test_the_demo_of_columns_on_a_few_rows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich", reason="rich is not installed")
    monkeypatch.syspath_prepend(SCRIPT.parent)
    columns = importlib.import_module("demo_columns")
    wheel = folder / "vega_datasets-0.0.whl"
    files = {
        "airports.csv": "iata,name,latitude,longitude\nSEA,Seattle,47.4,-122.3\n",
        "cars.json": json.dumps([{"Name": f"car {i}", "Cylinders": i} for i in range(8)]),
        "seattle-weather.csv": "date,temp_max,weather\n2012/01/01,12.8,rain\n2012/01/02,10.6,snow\n",
        "seattle-temps.csv": "date,temp\n2010/01/01 00:00,39.4\n2010/01/01 01:00,39.2\n",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(f"vega_datasets/_data/{name}", text)
    columns.tour(folder, wheel, 200_000)
    with KVault(folder / "columns.kv") as kv:
        assert kv.verify() == []
