"""The demo's own steps, small, on images made here."""

from __future__ import annotations

import importlib.util
import io
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
