"""Reports for the tests of the ledger: small ones of the real shape, and any that JSON can say."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import strategies as st

from device_agents.farm.report import Report
from tests.device_agents.farm.sample import SHAPES, make_blocks, make_report, make_result

_numbers = itertools.count()


def report(id: str | None = None, *, shapes: int = 1, identity: str | None = "ab" * 8, **fields: Any) -> Report:
    """A valid report of a device, of `shapes` variants with 2 x 3 blocks of 20 samples; `fields` replace its own."""
    content = make_report(SHAPES[:shapes], stand_in=False, processes=2, rounds=3, samples=20)
    del content["schema"]
    content["device"] |= {"name": "kitchen-pi", "identity": identity}
    content["job"]["variants"] = [
        {
            "name": result["name"],
            "bundle": {"digest": result["bundle"], "path": "/b", "bytes": 1234},
            "format": "onnx",
            "runtime": "onnxruntime",
            "precision": "float32",
        }
        for result in content["results"]
    ]
    content["id"] = id or f"20260101T120000Z-r-{next(_numbers):06d}"
    return Report(**content | fields)


def canary_model(ms: float = 1.0) -> dict[str, Any]:
    """The result of the canary model."""
    return make_result("(canary)", ms, None, processes=2, rounds=3, samples=20) | {
        "runtime": {"name": "onnxruntime", "version": "1", "numpy": None}
    }


def block(ms: float, **fields: Any) -> dict[str, Any]:
    """One block of 20 samples."""
    (made,) = make_blocks(ms, processes=1, rounds=1, samples=20)
    return made | {"attempt": 0, "canary_ratio": 1.0} | fields


_texts = st.text(max_size=12)  # NUL, halves of surrogate pairs, anything
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=8,
)
_dicts = st.dictionaries(_texts, _json, max_size=4)
_samples = (
    st.lists(st.integers(0, 2**63 - 1), max_size=20)
    | st.lists(st.integers(10**6, 10**6 + 300), max_size=200)
    | st.lists(st.integers(-5, 2**70) | st.floats(0, 1e9) | st.booleans(), max_size=5)
)
_blocks = st.lists(
    st.fixed_dictionaries(
        {"process": st.integers(0, 9), "round": st.integers(0, 9), "position": st.integers(0, 9)},
        optional={
            "samples_ns": _samples,
            "batch": st.integers(1, 100),
            "attempt": st.integers(0, 3),
            "canary_ratio": st.none() | st.floats(0, 10),
            "others_cpu_share": st.none() | st.floats(0, 1),
            "more": _json,
        },
    ),
    max_size=4,
)
_results = st.fixed_dictionaries(
    {"name": _texts, "blocks": _blocks},
    optional={
        "redone": _blocks,
        "bundle": st.none() | _texts,
        "runtime": _json,
        "accuracy": _json,
        "loads": st.lists(_json, max_size=3),
        "peak_bytes": _json,
        "energy_mj": _json,
        "error": st.none() | _texts,
    },
)


@st.composite
def reports(draw: st.DrawFn) -> Report:
    """Any report: every field has its type, the dicts hold whatever JSON can."""
    return Report(
        id=f"made-{next(_numbers):08d}",
        started=draw(_texts),
        finished=draw(_texts),
        model=draw(_texts),
        target=draw(_texts),
        device=draw(_dicts | st.fixed_dictionaries({"name": _texts, "identity": _json, "stand_in": st.booleans()})),
        valid=draw(st.booleans()),
        problems=draw(st.lists(_texts, max_size=2)),
        warnings=draw(st.lists(_texts, max_size=2)),
        agent=draw(_dicts),
        runtime=draw(_dicts),
        facts=draw(_dicts),
        state_before=draw(_dicts),
        state_after=draw(_dicts),
        job=draw(_dicts),
        results=draw(st.lists(_results, max_size=3)),
        canary=draw(st.lists(_dicts | st.fixed_dictionaries({"ns": _json}), max_size=3)),
        cpus=draw(st.lists(st.integers(0, 8), max_size=2)),
        others_cpu_share=draw(st.none() | st.floats(0, 1)),
        runtimes=draw(st.lists(_dicts, max_size=2)),
        idle_mw=draw(st.none() | st.floats(0, 1e5)),
        purpose=draw(_texts),
        commit=draw(st.none() | _texts),
        canary_model=draw(st.none() | _results),
    )
