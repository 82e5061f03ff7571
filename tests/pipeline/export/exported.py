"""The small networks as ONNX, each exported once a session: exporting is what takes the time."""

from __future__ import annotations

import functools

import onnx

from pipeline.export.to_onnx import to_onnx
from tests.pipeline import nets


@functools.cache
def exported_net(name: str, opset: int = 20) -> onnx.ModelProto:
    """A network of tests.pipeline.nets, with a static batch of 1; don't change it."""
    return to_onnx(nets.make(name), nets.pictures(1), opset)
