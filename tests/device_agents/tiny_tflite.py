"""The .tflite files of agent/recorded/tflite as bundles, samples for them, and what an interpreter of our own says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from device_agents.bundle import Bundle, Tensor, write_bundle
from tests.device_agents.tiny import tiny_manifest

FILES = Path(__file__).parent / "agent" / "recorded" / "tflite"
SHAPE = (3, 8, 6)
"""Of a sample: channels, height, width."""


def details(kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The only input and the only output of a file, as ai-edge-litert tells them."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(FILES / f"{kind}.tflite"))
    return interpreter.get_input_details()[0], interpreter.get_output_details()[0]


def tensors(kind: str) -> tuple[Tensor, Tensor]:
    """The manifest's input and output."""
    return _tensor(details(kind)[0], kind != "tokens"), _tensor(details(kind)[1], False)


def _tensor(detail: dict[str, Any], image: bool) -> Tensor:
    import numpy as np

    scale, zero_point = detail["quantization"]
    quantised = {"scale": float(scale), "zero_point": int(zero_point)} if scale else {}
    layout: Any = {"layout": "channels-last"} if image else {}
    shape = [int(size) for size in detail["shape"]]
    return Tensor(name=detail["name"], dtype=np.dtype(detail["dtype"]).name, shape=shape, **layout, **quantised)


def tflite_bundle(folder: Path, kind: str, name: str, runtime: str = "litert") -> Bundle:
    """A bundle of one of the files."""
    given, gives = tensors(kind)
    manifest = tiny_manifest(
        name,
        format="tflite",
        runtime=runtime,
        precision="int8" if kind == "int8" else "float32",
        file="model.tflite",
        inputs=[given],
        outputs=[gives],
    )
    return write_bundle(folder, FILES / f"{kind}.tflite", manifest)


def images(count: int = 40) -> Any:
    """Samples float32 [count, 3, 8, 6]."""
    import numpy as np

    return np.random.default_rng(11).standard_normal((count, *SHAPE)).astype(np.float32)


def answers(kind: str, samples: Any) -> Any:
    """What ai-edge-litert gives, one sample at a time, with the layout and the quantising spelled out: [n, 4]."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(FILES / f"{kind}.tflite"), num_threads=1)
    interpreter.allocate_tensors()
    given, gives = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    found = []
    for sample in samples:
        array = sample[None] if kind == "tokens" else sample.transpose(1, 2, 0)[None]
        if kind == "int8":
            scale, zero_point = given["quantization"]
            array = np.clip(np.rint(array / np.float32(scale)) + zero_point, -128, 127)
        interpreter.set_tensor(given["index"], np.ascontiguousarray(array, given["dtype"]))
        interpreter.invoke()
        output = interpreter.get_tensor(gives["index"])[0]
        if kind == "int8":
            scale, zero_point = gives["quantization"]
            output = (output.astype(np.float32) - zero_point) * np.float32(scale)
        found.append(output)
    return np.stack(found)
