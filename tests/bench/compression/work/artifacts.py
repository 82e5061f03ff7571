"""A cell that gives a network one of the forms in which it can ship, by the tool that a user would take."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_agents.bundle import Manifest, Tensor, write_bundle
from edgewright.errors import EdgewrightError
from edgewright.quiet import quiet
from tests.bench.compression.rows import WAYS
from tests.bench.compression.work.networks import ONNX, TFLITE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

BUNDLE, NAME = "bundle", "peer"
NOT_INSTALLED = "not installed"


class Refused(EdgewrightError):
    """A peer that can't make this file; its row says why."""


def artifact(
    network: Path, figures: Mapping[str, Any], way: str, samples: Array, model: str, out: Path
) -> dict[str, Any]:
    """network: the folder of a network cell with its `figures`; samples: for calibration, [N, ...]; way: of WAYS.

    Leaves the bundle; gives its sizes, params and MACs. Raises Refused.
    """
    if way.startswith("litert"):
        if figures["refused"]:
            raise Refused(figures["refused"], where="LiteRT", remedy="nothing: this is the peer's own limit")
        content = _litert(network / TFLITE, way, samples)
    else:
        content = _onnx(network / ONNX, way, samples)
    return {**write(content, way, model, figures, out), "params": figures["params"], "macs": figures["macs"]}


def write(content: bytes, way: str, model: str, figures: Mapping[str, Any], out: Path) -> dict[str, int]:
    """The bundle around a file; its bytes plain, without what only costs bytes (lean), and as a package."""
    import onnx

    from pipeline.export.lean import leanest
    from pipeline.export.size import download_size
    from pipeline.export.tflite_file import tensors
    from pipeline.export.tflite_names import leanest as leanest_tflite
    from pipeline.export.to_onnx import tensors_of

    _, runtime, precision = WAYS[way]
    if runtime == "onnxruntime":
        proto = onnx.load_from_string(content)
        told, lean, suffix = tensors_of(proto), leanest(proto), "onnx"
    else:
        entering, leaving = tensors(content)
        told, lean, suffix = {"inputs": entering, "outputs": leaving}, leanest_tflite(content), "tflite"
    manifest = Manifest(
        schema="edgewright-bundle/1",
        name=NAME,
        model=model,
        target="host",
        format=suffix,
        runtime=runtime,
        precision=precision,
        file=f"model.{suffix}",
        sha256="0" * 64,
        bytes=0,
        inputs=[Tensor.model_validate(one) for one in told["inputs"]],
        outputs=[Tensor.model_validate(one) for one in told["outputs"]],
        params=figures["params"],
        macs=figures["macs"],
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, manifest.file)
        file.write_bytes(content)
        write_bundle(out / BUNDLE, file, manifest)
    return {"plain": len(content), "lean": len(lean), "package": download_size(lean)}


def _onnx(path: Path, way: str, samples: Array) -> bytes:
    """The exported file, or INT8 of it."""
    if way == "float":
        return path.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "int8.onnx")
        try:
            with quiet():
                _nncf(path, made, samples) if way == "nncf" else _ort(path, made, way, samples)
        except EdgewrightError:
            raise
        except Exception as error:  # other people's tools raise many kinds
            said = (str(error).strip().splitlines() or [""])[0]
            raise Refused(
                f"{type(error).__name__}: {said}", where=way, remedy="this is the peer's own limit"
            ) from error
        return made.read_bytes()


def _ort(path: Path, made: Path, way: str, samples: Array) -> None:
    """onnxruntime.quantization: `ort-defaults` is the call of its documentation, `ort-set` the best settings known."""
    from onnxruntime.quantization import QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    if way == "ort-defaults":
        quantize_static(path, made, _Reader(samples))
        return
    ready = made.with_name("ready.onnx")
    quant_pre_process(str(path), str(ready))
    if way == "ort-dynamic":
        quantize_dynamic(ready, made, weight_type=QuantType.QInt8)
        return
    quantize_static(ready, made, _Reader(samples), activation_type=QuantType.QUInt8, per_channel=True)


def _nncf(path: Path, made: Path, samples: Array) -> None:
    """nncf.quantize with its defaults."""
    import onnx

    os.environ.setdefault("NNCF_CI", "1")  # it would tell its makers of each use
    try:
        import nncf
    except ImportError as error:
        raise Refused(NOT_INSTALLED, where="NNCF", remedy="./inv setup bench") from error
    data = nncf.Dataset([{"input": one[None]} for one in samples])
    onnx.save(nncf.quantize(onnx.load(path), data, subset_size=len(samples)), made)


def _litert(path: Path, way: str, samples: Array) -> bytes:
    """By our own quantiser: its min-max ranges are kinder to LiteRT than ai-edge-quantizer's default, which clips."""
    from pipeline.quantization.tflite import quantise_tflite

    data = path.read_bytes()
    return data if way == "litert-float" else quantise_tflite(data, samples, "int8")


class _Reader:
    """Calibration samples one by one, as onnxruntime reads them."""

    def __init__(self, samples: Array) -> None:
        self._feeds: Iterator[dict[str, Array]] = iter({"input": one[None]} for one in samples)

    def get_next(self) -> dict[str, Array] | None:
        return next(self._feeds, None)
