"""Tables of parity and compression: shown where a bench has left its JSON, and no other file costs the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from device_agents.farm.dashboard.benches import answers, tables
from device_agents.farm.ledger.entries import ResultEntry

_LINE = {"label": "FP32", "runtime": "onnxruntime", "precision": "float32", "plain": 4000, "package": 3000}
_LINE |= {"metric": 0.92, "p50_ms": 1.0, "speedup": None, "error": ""}
_CELL = {"model": "digits", "runtime": "litert", "precision": "int8", "worst": 0.1, "sqnr_db": 36.0, "agreement": 1.0}


def _result(device: str, outputs: str, **fields: Any) -> ResultEntry:
    given: dict[str, Any] = dict.fromkeys(ResultEntry.__dataclass_fields__)
    given |= {"seq": 1, "report": "r", "started": "", "model": "resnet8", "target": "raspberry-pi", "valid": True}
    given |= {"device": device, "name": "int8", "canary": False, "bundle": "ab" * 32, "outputs_sha256": outputs}
    return ResultEntry(**given | {"metric_name": "top-1", "metric_value": 0.93, "metric_n": 1000} | fields)


def test_answers_of_devices_that_agree_and_of_one_that_does_not() -> None:
    table = answers([_result("pi-1", "x"), _result("pi-2", "x")])
    assert table is not None and table.rows == (("resnet8 int8", "raspberry-pi", "2", "93.0 %", "the same to the bit"),)
    table = answers([_result("pi-1", "x"), _result("pi-2", "x"), _result("pi-3", "y", metric_value=0.91)])
    assert table is not None
    assert table.rows[0][2:] == ("3", "91.0 % to 93.0 %", "differ: pi-1, pi-2 | pi-3")


def test_answers_are_those_to_the_newest_bundle_and_the_same_samples() -> None:
    old = [_result("pi-1", "x", bundle="cd" * 32), _result("pi-2", "y", bundle="cd" * 32)]
    few = _result("pi-3", "z", metric_n=16)
    table = answers([*old, few, _result("pi-1", "n"), _result("pi-2", "n")])
    assert table is not None and table.rows[0][2] == "2" and table.rows[0][4] == "the same to the bit"


def test_answers_of_one_device_are_no_table() -> None:
    assert answers([_result("pi-1", "x"), _result("pi-2", "y", canary=True), _result("pi-3", "y", valid=False)]) is None


def test_tables_shows_what_the_benches_left(tmp_path: Path) -> None:
    home = _CELL | {"machine": "x86-64", "home_worst": 0.0, "home_steps": 0.0}
    arm = _CELL | {"machine": "arm64", "home_worst": 0.01, "home_steps": 1.2}
    (tmp_path / "parity.json").write_text(json.dumps({"cells": [home, arm], "versions": {}}))
    faster = _LINE | {"label": "ours", "plain": 1000, "speedup": {"value": 2.0, "low": 1.9, "high": 2.1}}
    lost = _LINE | {"label": "lost", "error": "not installed"}
    bench: dict[str, Any] = {
        "schema": "edgewright-bench-compression/1",
        "started": "2026-11-01T00:00:00Z",
        "problems": [],
    }
    bench |= {"setting": {"model": "models/resnet20.toml", "name": "full"}, "lines": [_LINE, faster, lost]}
    (tmp_path / "compression-full/resnet20").mkdir(parents=True)
    (tmp_path / "compression-full/resnet20/bench.json").write_text(json.dumps(bench))
    parity, compression = tables(tmp_path, [])
    assert parity.head == ("model", "runtime", "precision", "x86-64", "arm64")
    assert parity.rows == (("digits", "litert", "int8", "100 %, 36.0 dB", "100 %, 36.0 dB, 1 LSB"),)
    assert compression.title == "Compression: resnet20, full run"
    assert compression.rows[1][2] == "1000 B (4.0x)" and compression.rows[1][6] == "2.00x [1.90 2.10]"
    assert compression.rows[2][-1] == "not installed"


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"cells": []', '{"cells": [{}]}', '{"schema": "edgewright-bench/9"}']
)
def test_tables_passes_over_files_of_another_shape(tmp_path: Path, text: str) -> None:
    (tmp_path / "other").mkdir()
    for name in ("parity.json", "other/bench.json"):
        (tmp_path / name).write_text(text)
    assert tables(tmp_path, []) == []
    assert tables(tmp_path / "absent", []) == []
