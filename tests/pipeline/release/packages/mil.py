"""Computes what a Core ML package says, operation by operation in torch: Apple's own runtime is on no Linux.

Only what small networks need; an operation that isn't known fails. It reads the package by coremltools' own reader and
shares no code with the converter's way there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def classified(package: Path, sample: Any) -> dict[str, float]:
    """Probabilities by label, of a package that names classes. sample: float32 [1, ...], raw."""
    return answer(package, sample)["classify"]


def answer(package: Path, sample: Any) -> dict[str, Any]:
    """By the kind of the operation, the value of the last one; `output` is the last of all."""
    import coremltools
    import torch
    from coremltools.converters.mil.frontend.milproto.load import load

    spec = coremltools.utils.load_spec(str(package))
    weights = package / "Data" / "com.apple.CoreML" / "weights"
    program = load(spec, spec.specificationVersion, str(weights))
    function = program.functions["main"]
    (name,) = function.inputs
    values: dict[str, Any] = {name: torch.from_numpy(sample)}
    seen: dict[str, Any] = {}
    for operation in function.operations:
        if operation.op_type == "const":
            continue
        given = {key: _value(one, values) for key, one in operation.inputs.items() if one is not None}
        made = _OPERATIONS[operation.op_type](given)
        values[operation.outputs[0].name] = seen[operation.op_type] = seen["output"] = made
    return seen


def _value(one: Any, values: Mapping[str, Any]) -> Any:
    import torch

    if isinstance(one, tuple | list):
        return [_value(item, values) for item in one]
    if one.name in values:
        return values[one.name]
    constant = one.val
    return torch.from_numpy(constant.copy()) if getattr(constant, "ndim", 0) else constant


def _convolution(given: Mapping[str, Any]) -> Any:
    import torch

    assert given["pad_type"] == "custom"
    before, after = given["pad"][0::2].tolist(), given["pad"][1::2].tolist()
    padded = torch.nn.functional.pad(given["x"], (before[1], after[1], before[0], after[0]))
    strides, dilations = given["strides"].tolist(), given["dilations"].tolist()
    return torch.nn.functional.conv2d(
        padded, given["weight"], given.get("bias"), strides, 0, dilations, int(given["groups"])
    )


_OPERATIONS: Mapping[str, Any] = {
    "cast": lambda given: given["x"].to(_dtype(str(given["dtype"]))) if hasattr(given["x"], "to") else given["x"],
    "add": lambda given: given["x"] + given["y"],
    "sub": lambda given: given["x"] - given["y"],
    "mul": lambda given: given["x"] * given["y"],
    "real_div": lambda given: given["x"] / given["y"],
    "relu": lambda given: given["x"].clamp(min=0),
    "conv": _convolution,
    "reduce_mean": lambda given: given["x"].mean(given["axes"].tolist(), bool(given["keep_dims"])),
    "reshape": lambda given: given["x"].reshape(given["shape"].tolist()),
    "squeeze": lambda given: given["x"].squeeze(tuple(given["axes"].tolist())),
    "linear": lambda given: given["x"] @ given["weight"].T + given["bias"],
    "softmax": lambda given: given["x"].softmax(int(given["axis"])),
    "classify": lambda given: dict(
        zip(_strings(given["classes"]), given["probabilities"].ravel().tolist(), strict=True)
    ),
}


def _dtype(name: str) -> Any:
    import torch

    return {"fp32": torch.float32, "fp16": torch.float16, "int32": torch.int32}[name]


def _strings(classes: Any) -> list[str]:
    return [str(one) for one in classes]
