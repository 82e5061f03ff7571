"""Made lines, and entries of a search, for the bench's own tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from device_agents.farm.paired import Ratio
from tests.bench.compression.lines import Line
from tests.bench.compression.work.searched import SCHEMA

FIGURES = {"params": 4, "macs": 4, "refused": ""}
"""What a network cell says of a made network."""


def entry(name: str, **given: Any) -> dict[str, Any]:
    ratio = given.pop("faster", 2.0)
    return {
        "name": name, "runtime": "onnxruntime", "precision": "float32", "shrink": {"blocks": 1.0}, "validation": 0.93,
        "speedup": {"value": ratio, "low": ratio, "high": ratio}, "bytes": 100, "download": 90, "digest": name,
        "trouble": None, **given,
    }  # fmt: skip


def search(*candidates: dict[str, Any], chosen: str | None = None) -> dict[str, Any]:
    base = {"name": "trained", "validation": 0.935, "bytes": 1000, "speedup": None}
    found = {"candidates": list(candidates), "front": [], "chosen": chosen}
    return {"schema": SCHEMA, "base": base, "allowed": 0.01, **found}


def line(key: str, **given: Any) -> Line:
    ratio = given.pop("faster", None)
    known = {"label": key, "family": "peer", "plain": 100, "metric": 0.93, **given}
    return Line(key, **known, speedup=Ratio(ratio, ratio * 0.95, ratio * 1.05) if ratio else None)


BASE = line("fp32", family="base", plain=1000, lean=900, package=800, metric=0.93, faster=1.0)


def ours(seed: int, faster: float, metric: float, role: str = "fastest") -> Line:
    return line(f"ours-{seed}", family="ours", role=role, floor=1.0, seed=seed, faster=faster, metric=metric)


def matmul(path: Path) -> Path:
    """Writes an ONNX file of one product, with a long name and a doc string that a lean file has no need of."""
    weight = numpy_helper.from_array(np.eye(2, dtype=np.float32), "weight")
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in ("input", "output")]
    node = helper.make_node("MatMul", ["input", "weight"], ["output"], name="a" * 500, doc_string="told at length")
    graph = helper.make_graph([node], "graph", value[:1], value[1:], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path
