"""Where a cause is shown: in the outcome that a deploy makes, its table and its page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from device_agents.bundle import write_bundle
from device_agents.farm.candidate import Judgement
from device_agents.farm.page import render
from pipeline import deploy, gate
from pipeline.gate import Cause
from pipeline.measuring import Bench
from pipeline.outcome import Measured, candidates
from pipeline.plan import Variant
from pipeline.table import lines
from targets.schema import Runtime
from tests.device_agents.farm.ledger import made
from tests.device_agents.farm.sample import make_outcome, make_report
from tests.device_agents.tiny import tiny_manifest

INSTEAD = "remove layers (blocks), not channels & <b>more</b>"


@pytest.fixture
def outcome() -> dict[str, Any]:
    """A deploy one of whose variants has a cause."""
    found = make_outcome(make_report())
    slow = next(variant for variant in found["variants"] if variant["name"] == "filters")
    slow |= {"reason": "slower; bound by dispatch: 84 %", "instead": INSTEAD}
    return found


def test_table_says_what_to_do_instead(outcome: dict[str, Any]) -> None:
    text = " ".join(" ".join(lines(outcome)).split())
    assert f"filters: slower; bound by dispatch: 84 %; instead: {INSTEAD}" in text
    assert text.count("instead:") == 1


def test_page_says_what_to_do_instead_and_escapes_it(outcome: dict[str, Any]) -> None:
    page = render(outcome, make_report())
    assert "<strong>Instead:</strong> remove layers (blocks), not channels &amp; &lt;b&gt;more&lt;/b&gt;" in page
    assert page.count("<strong>Instead:</strong>") == 1


def test_same_network_in_another_runtime_is_no_stage() -> None:
    runtime = Runtime(name="onnxruntime")
    variants = [
        Variant(name, "float32", parent, "b", "c", runtime)
        for name, parent in (("trained", None), ("trained@onnxruntime", "trained"), ("narrow@onnxruntime", "trained"))
    ]
    found = candidates([Measured(variant, None, None, None, None) for variant in variants])
    assert [one.stage for one in found] == [True, False, True]


def test_deploy_asks_its_device_for_what_was_judged_and_hears_warnings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(b"x")
    folder = write_bundle(tmp_path / "slow", file, tiny_manifest("slow")).folder
    cause = Cause("dispatch", "bound by dispatch", "remove layers")

    def explain(bench: Any, device: Any, bundles: Any, report: Any, judgements: Any) -> dict[str, Cause]:
        assert (device, list(bundles), bench.purpose) == ("device", ["slow"], "gate")
        bench.note("warning: it went away")
        return {"slow": cause}

    monkeypatch.setattr(gate, "explain", explain)
    bench = Bench(None, None, None, purpose="gate")  # type: ignore[arg-type]
    asking = deploy._Gate(bench, "device", {"slow": folder}, made.report())  # type: ignore[arg-type]
    assert asking([Judgement("slow", "does not pay", "x", against="trained")]) == {"slow": cause}
    assert asking.warnings == ["it went away"]
    assert asking([Judgement("slow", "pays", "x")]) == {}
