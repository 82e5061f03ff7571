"""What a deploy makes of builds and a report: a base where the first runtime has none, proofs where no time counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.outcome import Measured, candidates, proven
from pipeline.parity import Parity
from pipeline.plan import Variant, with_a_base
from targets.schema import Runtime

LITERT = Runtime(name="litert", providers=("XNNPACK",))
ORT = Runtime(name="onnxruntime", providers=("CPUExecutionProvider",))
SAME = Parity(samples=64, worst=0.0, lsb=0.0, agreement=1.0, same=True)
OTHER = Parity(samples=64, worst=0.7, lsb=None, agreement=0.2, same=False)


def _variant(name: str, parent: str | None, runtime: Runtime = LITERT, precision: Any = "float32") -> Variant:
    return Variant(name, precision, parent, f"{name}/bundle", f"{name}/check", runtime)


VARIANTS = [
    _variant("trained", None),
    _variant("int8", "trained", precision="int8"),
    _variant("trained@onnxruntime", "trained", ORT),
    _variant("int8@onnxruntime", "trained@onnxruntime", ORT, "int8"),
    _variant("narrow", "trained"),
    _variant("narrow@onnxruntime", "trained@onnxruntime", ORT),
]


def test_base_that_was_built_stays(tmp_path: Path) -> None:
    assert with_a_base(VARIANTS, {"trained", "narrow"}) == VARIANTS


def test_base_that_was_not_built_gives_its_place_to_the_next_runtimes(tmp_path: Path) -> None:
    changed = with_a_base(VARIANTS, {"trained@onnxruntime", "int8@onnxruntime", "narrow@onnxruntime"})
    assert [variant.name for variant in changed if variant.parent is None] == ["trained@onnxruntime"]
    assert changed[0].name == "trained@onnxruntime"
    parents = {variant.name: variant.parent for variant in changed}
    assert parents["trained"] == "trained@onnxruntime"
    assert parents["narrow@onnxruntime"] == "trained@onnxruntime"


def test_base_without_an_heir_is_left_alone(tmp_path: Path) -> None:
    assert with_a_base(VARIANTS, {"narrow"}) == VARIANTS


def _measured(variant: Variant, parity: Parity | None, providers: list[str] | None = None) -> Measured:
    result = {
        "name": variant.name, "blocks": [], "loads": [], "peak_bytes": 5, "error": None,
        "providers": providers or list(variant.runtime.providers),
    }  # fmt: skip
    return Measured(variant, {"bytes": 10, "macs": 5, "download": 8}, result, None, None, parity)


def test_emulated_device_proves_answers_and_ships_nothing() -> None:
    given, judgements, shipped = proven(
        [
            _measured(VARIANTS[0], SAME),
            _measured(VARIANTS[1], OTHER),
            _measured(VARIANTS[2], SAME, ["SomethingElse"]),
            _measured(VARIANTS[4], None),
        ]
    )
    assert shipped is None
    assert [one.verdict for one in judgements] == ["same answers", "failed", "does not pay", "failed"]
    assert "other answers" in judgements[1].reason
    assert "fell back to SomethingElse" in judgements[2].reason
    assert all(one.latency is None and one.speedup is None and one.peak_bytes is None for one in given)


def test_variant_that_answers_otherwise_on_the_device_fails_there() -> None:
    (one,) = candidates([_measured(VARIANTS[1], OTHER)])
    assert one.error and "other answers" in one.error
    (one,) = candidates([_measured(VARIANTS[1], SAME)])
    assert one.error is None


def test_fallback_from_a_gpu_says_that_it_is_absent() -> None:
    wish = ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider")
    gpu = Runtime(name="onnxruntime", providers=wish)
    _, judgements, _ = proven(
        [
            _measured(_variant("trained", None, gpu), SAME, ["CPUExecutionProvider"]),
            _measured(_variant("int8", "trained", gpu, "int8"), SAME, list(wish[1:])),
        ]
    )
    assert "fell back to CPUExecutionProvider" in judgements[0].reason
    assert "the GPU is absent" in judgements[0].reason
    assert "fell back to CUDAExecutionProvider" in judgements[1].reason
    assert "absent" not in judgements[1].reason
