"""The TFLite adapter on ai-edge-litert: the same numbers as an interpreter of our own, whatever the file wants."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from device_agents.agent.feeds import Fed, fixed_batch
from device_agents.agent.runtimes import Model, open_runtime
from device_agents.agent.runtimes.tflite import SMALLEST
from tests.device_agents.tiny_tflite import FILES, answers, images, tensors

np = pytest.importorskip("numpy")
pytest.importorskip("ai_edge_litert.interpreter")


def _opened(kind: str) -> Fed:
    fed = Fed(open_runtime("litert"))
    given, gives = (one.model_dump(exclude_none=True) for one in tensors(kind))
    fed.load(Model(str(FILES / f"{kind}.tflite"), inputs=(given,), outputs=(gives,)))
    return fed


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_images_channels_first_give_the_interpreters_own_answers(kind: str) -> None:
    fed = _opened(kind)
    (wanted,) = fed.inputs()
    assert (wanted.shape, wanted.dtype) == ((1, 3, 8, 6), "float32")
    assert fixed_batch(fed) == 1
    samples = images(12)
    found = np.concatenate([fed.run({wanted.name: sample[None]})[0] for sample in samples])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, answers(kind, samples))
    assert len(np.unique(found, axis=0)) == len(samples)
    assert fed.providers() == ["XNNPACK"]


def test_tokens_of_64_bits_are_taken() -> None:
    fed = _opened("tokens")
    (wanted,) = fed.inputs()
    assert (wanted.shape, wanted.dtype) == ((1, 6), "int32")
    samples = np.random.default_rng(4).integers(0, 50, (5, 6))
    found = np.concatenate([fed.run({wanted.name: sample[None]})[0] for sample in samples])
    np.testing.assert_array_equal(found, answers("tokens", samples))


def test_call_that_is_timed_runs_the_prepared_sample() -> None:
    fed = _opened("int8")
    (wanted,) = fed.inputs()
    sample = images(1)
    call = fed.caller({wanted.name: sample})
    raw: Any = call()
    assert raw.dtype == np.int8
    scale, zero_point = tensors("int8")[1].scale, tensors("int8")[1].zero_point
    np.testing.assert_allclose((raw.astype(np.float32) - zero_point) * scale, answers("int8", sample), rtol=1e-6)
    assert call().tolist() == raw.tolist()  # type: ignore[attr-defined]


def test_open_batch_is_resized(tmp_path: Path) -> None:
    """A file whose batch axis is open in its shape signature, as TensorFlow's converter leaves it."""
    from ai_edge_litert import schema_py_generated as schema

    made = schema.ModelT.InitFromPackedBuf(SMALLEST, 0)
    for tensor in made.subgraphs[0].tensors:
        tensor.shape, tensor.shapeSignature = [1, 2], [-1, 2]
    builder: Any = import_module("flatbuffers").Builder(0)
    builder.Finish(made.Pack(builder), b"TFL3")
    (tmp_path / "open.tflite").write_bytes(bytes(builder.Output()))
    fed = Fed(open_runtime("litert"))
    fed.load(Model(str(tmp_path / "open.tflite")))
    (wanted,) = fed.inputs()
    assert wanted.shape == (None, 2)
    for count in (5, 2):
        x = np.arange(2 * count, dtype=np.float32).reshape(count, 2)
        np.testing.assert_array_equal(fed.run({wanted.name: x})[0], 2 * x)


def test_smallest_model_doubles_a_number() -> None:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=SMALLEST)
    interpreter.allocate_tensors()
    interpreter.set_tensor(0, np.float32([3]))
    interpreter.invoke()
    assert interpreter.get_tensor(1).tolist() == [6]


def test_file_that_is_no_model_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.tflite").write_bytes(b"this is no model")
    with pytest.raises(ValueError):
        open_runtime("litert").load(Model(str(tmp_path / "bad.tflite")))
