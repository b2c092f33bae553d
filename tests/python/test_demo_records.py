"""The demo's part about records, on a wheel made here."""

from __future__ import annotations

import importlib.util
import json
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "demo_records.py"
ROWS = [{"yield": 27.5 + i, "variety": "Manchuria", "year": 1931 + i, "site": "Crookston"} for i in range(30)]


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    for name in ("msgpack", "msgspec", "cbor2", "jsonschema_rs"):
        pytest.importorskip(name)
    spec = importlib.util.spec_from_file_location("demo_records", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_step_runs(demo: ModuleType, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    demo.console.file = None  # the captured stdout, not the one at import
    wheel = folder / "vega_datasets-0.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("vega_datasets/__init__.py", "raise RuntimeError('data only')")
        archive.writestr("vega_datasets/datasets.json", "{}")
        archive.writestr("vega_datasets/_data/barley.json", json.dumps(ROWS))
        archive.writestr("vega_datasets/_data/few.json", json.dumps([{"a": None, "花": [1, {"b": 2.5}]}]))
    assert demo.fetch_wheel(folder) == wheel
    demo.records(wheel)
    shown = " ".join(capsys.readouterr().out.split())
    assert "2 data sets came back equal" in shown
    assert 'Validation errors: $.year: "1931" is not of type "integer"' in shown


def test_a_schema_that_notices_nothing_is_noticed(demo: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "BARLEY", {})
    with pytest.raises(AssertionError, match="not noticed"):
        demo.mistake(ROWS)
