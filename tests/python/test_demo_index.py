"""The demo's index part, small, on airports made here."""

from __future__ import annotations

import importlib.util
import random
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "demo_index.py"


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    pytest.importorskip("rich", reason="rich is not installed")
    spec = importlib.util.spec_from_file_location("demo_index", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_step_runs_and_runs_again(demo: ModuleType, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(1)
    lines = [f"A{i:03},Lake {i % 50},City,ST,USA,{chance.uniform(55, 65):.2f},1.5\n" for i in range(300)]
    wheel = folder / "vega_datasets-0.0.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(
            "vega_datasets/_data/airports.csv",
            "iata,name,city,state,country,latitude,longitude\n"
            "SEA,Seattle-Tacoma,Seattle,WA,USA,47.44,-122.3\n" + "".join(lines),
        )
    assert demo.fetch_wheel(folder) == wheel
    demo.console.file = None  # the captured stdout, not the one at import
    for _ in range(2):
        demo.tour(folder, demo.read_airports(wheel))
        shown = capsys.readouterr().out
        assert "southernmost: Seattle-Tacoma at 47.44" in shown
        assert "300 names begin with Lake" in shown
        assert "at or behind SEA: SEA, Seattle-Tacoma" in shown
