#!/usr/bin/env python3
"""Runs the model beside this file on one input: pre-processing, inference, labels.

    run.py IMAGE      a PNG, PGM or PPM image (other files, and other sizes than the model's, need Pillow)
    run.py INPUT.npy  an array: pixels, uint8 [height, width(, channels)], or what the model file itself takes
    run.py --check    asks it the sample and compares; exit status 1 where the answer is not the expected one

Needs Python 3.8, numpy and the runtime of requirements.txt. Wrong use or a missing part: exit status 2.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
try:
    import numpy
    import pixels
except ImportError as missing:
    print(f"run.py: {missing}: pip install -r {HERE / 'requirements.txt'}", file=sys.stderr)
    sys.exit(2)

RUNTIMES = {
    "onnx": ("onnxruntime",),
    "ort": ("onnxruntime",),
    "tflite": ("ai_edge_litert.interpreter", "tflite_runtime.interpreter"),
}
"""By format, the modules that load it, the one that was measured first (see Model)."""


class Refused(Exception):
    """Something that the caller can mend, said in one line."""


class Model:
    """What lies beside this file. bundle: what the model is; spec: how its input is made and its output read."""

    def __init__(self, folder: Path) -> None:
        self.bundle = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
        self.spec = json.loads((folder / "preprocessing.json").read_text(encoding="utf-8"))
        self.input: dict[str, Any] = self.spec["inputs"][0]
        self.output: dict[str, Any] = self.spec["outputs"][0]
        self.after: dict[str, Any] = self.spec["postprocessing"]
        names = self.after["labels"]
        self.labels: list[str] = (folder / names).read_text(encoding="utf-8").splitlines() if names else []
        self.file = str(folder / self.bundle["file"])
        self.name = f"{self.bundle['model']} {self.bundle['name']}"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample's input; axes that the file leaves open are 1."""
        return tuple(size if isinstance(size, int) and size > 0 else 1 for size in self.input["shape"])

    @property
    def image(self) -> tuple[int, int, int]:
        """(height, width, channels) of the images that it takes. Raises Refused."""
        if len(self.shape) != 4:
            raise Refused(f"the model takes no image but {self.takes}")
        if self.input.get("layout") == "channels-last":
            return self.shape[1:]
        return self.shape[2], self.shape[3], self.shape[1]

    @property
    def takes(self) -> str:
        """The input in words."""
        told = self.spec["preprocessing"].get("tokenizer")
        kind = f"token numbers of {told}, " if told else ""
        return f"{kind}{self.input['dtype']} {list(self.shape)}"


class Onnx:
    """One session of onnxruntime on the CPU."""

    def __init__(self, module: Any, model: Model) -> None:
        options = module.SessionOptions()
        options.log_severity_level = 3
        self.name = f"onnxruntime {module.__version__}"
        self._session = module.InferenceSession(model.file, options, providers=["CPUExecutionProvider"])

    def run(self, array: Any) -> Any:
        """The output, as the file gives it."""
        return self._session.run(None, {self._session.get_inputs()[0].name: array})[0]


class Tflite:
    """One interpreter of ai-edge-litert or tflite-runtime."""

    def __init__(self, module: Any, model: Model) -> None:
        package = importlib.import_module(module.__name__.partition(".")[0])
        self.name = f"{package.__name__.replace('_', '-')} {getattr(package, '__version__', '')}"
        self._interpreter = module.Interpreter(model.file)
        self._interpreter.allocate_tensors()

    def run(self, array: Any) -> Any:
        """The output, as the file gives it."""
        self._interpreter.set_tensor(self._interpreter.get_input_details()[0]["index"], array)
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._interpreter.get_output_details()[0]["index"])


class Answer(NamedTuple):
    """scores: the output's values, float64; best: their places, the greatest first."""

    scores: Any
    best: list[int]


def loaded(model: Model) -> Any:
    """The model in the runtime that it was measured in, else in another that is there. Raises Refused."""
    asked = str(model.bundle["runtime"]).replace("-", "_")
    modules = sorted(RUNTIMES[model.bundle["format"]], key=lambda name: not name.startswith(asked))
    why = []
    for name in modules:
        try:
            return (Onnx if name == "onnxruntime" else Tflite)(importlib.import_module(name), model)
        # A runtime that was built for another numpy fails in ways of its own: whichever way, the next one is tried.
        except Exception as error:
            why.append(f"{name.partition('.')[0]}: {' '.join(str(error).split())[:200]}")
    needed = HERE / "requirements.txt"
    raise Refused(f"no runtime here loads {model.bundle['file']} ({'; '.join(why)}): pip install -r {needed}")


def prepared(path: Path, model: Model) -> Any:
    """The model file's input, out of an image or an .npy. Raises Refused."""
    try:
        if path.suffix.lower() != ".npy":
            return as_file(normalised(pixels.read(path, *model.image), model), model)
        array = numpy.load(str(path), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise Refused(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    dtype, shape = numpy.dtype(model.input["dtype"]), model.shape
    if array.dtype == dtype and array.shape in (shape, shape[1:]):
        return array.reshape(shape)
    tokens = len(shape) == 2 and dtype.kind == "i" and model.input.get("scale") is None
    if tokens and array.dtype.kind in "iu" and array.size <= shape[1]:
        padded = numpy.full(shape, model.spec["preprocessing"].get("padding", 0), dtype)
        padded[0, : array.size] = array.reshape(-1)
        return padded
    if len(shape) == 4 and array.dtype == numpy.uint8 and array.size == numpy.prod(model.image):
        return as_file(normalised(array.reshape(model.image), model), model)
    raise Refused(f"{path} is {array.dtype} {list(array.shape)}; the model takes {model.takes}")


def normalised(image: Any, model: Model) -> Any:
    """Pixels as the network was trained on them, float32 [height, width, channels]: ((x / divide_by) - subtract - mean)
    / std, the last two by channel, each where preprocessing.json names it."""
    told = model.spec["preprocessing"]
    found = image.astype(numpy.float32)
    for key, step in (
        ("divide_by", numpy.divide), ("subtract", numpy.subtract), ("mean", numpy.subtract), ("std", numpy.divide)
    ):  # fmt: skip
        if key in told:
            found = step(found, numpy.asarray(told[key], numpy.float32))
    return found


def as_file(image: Any, model: Model) -> Any:
    """float32 [height, width, channels] in the file's layout and dtype: a quantised input is
    clip(round(x / scale) + zero_point), halves to even, in float32."""
    if model.input.get("layout") != "channels-last":
        image = numpy.moveaxis(image, -1, 0)
    if model.input.get("scale") is not None:
        limits = numpy.iinfo(model.input["dtype"])
        steps = numpy.rint(image / numpy.float32(model.input["scale"]))
        image = numpy.clip(steps + numpy.float32(model.input.get("zero_point", 0)), limits.min, limits.max)
    return numpy.ascontiguousarray(image[None], dtype=model.input["dtype"])


def answered(output: Any, model: Model) -> Answer:
    """The output as floats, through soft max where that is asked for."""
    scores = output.reshape(-1).astype(numpy.float64)
    if model.output.get("scale") is not None:
        scores = (scores - model.output.get("zero_point", 0)) * model.output["scale"]
    best = numpy.argsort(-scores, kind="stable").tolist()
    if model.after["activation"] == "softmax":
        scores = numpy.exp(scores - scores.max())
        scores /= scores.sum()
    return Answer(scores, best)


def told(answer: Answer, model: Model, top: int) -> list[dict[str, Any]]:
    """The likeliest classes; every value in its order where the output is no score for each class."""
    places = answer.best[:top] if model.after["decide"] == "argmax" else range(len(answer.scores))
    return [
        {
            "class": place,
            "label": model.labels[place] if place < len(model.labels) else str(place),
            "score": float(answer.scores[place]),
        }
        for place in places
    ]


def check(model: Model, runtime: Any) -> dict[str, Any]:
    """The sample's output here beside the one that came with it, as the file gives them. Raises Refused."""
    try:
        sample = json.loads((HERE / "sample" / "sample.json").read_text(encoding="utf-8"))
        given = numpy.load(str(HERE / "sample" / "input.npy"), allow_pickle=False)
        expected = numpy.load(str(HERE / "sample" / "expected.npy"), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise Refused(f"the sample can't be read: {error}") from error
    found = runtime.run(given)
    worst = float("inf")
    if found.shape == expected.shape and found.dtype == expected.dtype:
        worst = float(numpy.abs(found.astype(numpy.float64) - expected.astype(numpy.float64)).max())
    here, there = answered(found, model), answered(expected, model)
    same_class = model.after["decide"] != "argmax" or here.best[0] == there.best[0]
    return {
        "same": bool(worst <= sample["tolerance"] and same_class),  # a NaN is no answer
        "worst": worst if numpy.isfinite(worst) else None,
        "tolerance": sample["tolerance"],
        "runtime": runtime.name,
        "top": told(here, model, 1),
    }


def main() -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", nargs="?", type=Path, metavar="IMAGE|INPUT.npy")
    parser.add_argument("--top", type=int, default=3, metavar="N", help="how many classes to tell (3)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    parser.add_argument("--check", action="store_true", help="ask it the sample that came with it")
    given = parser.parse_args()
    if (given.input is None) != given.check or given.top < 1:
        parser.error("name one input, or --check alone; --top is at least 1")
    try:
        model = Model(HERE)
        array = None if given.check else prepared(given.input, model)
        runtime = loaded(model)
        if given.check:
            found = check(model, runtime)
            said = "as expected" if found["same"] else "NOT as expected"
            worst = "not finite" if found["worst"] is None else f"{found['worst']:.3g}"
            line = f"{model.name}: {said}, worst difference {worst} (tolerance {found['tolerance']:.3g})"
            line += f", by {runtime.name}"
        else:
            top = told(answered(runtime.run(array), model), model, given.top)
            found = {"same": True, "runtime": runtime.name, "top": top}
            line = "\n".join(f"{one['score']:8.4f}  {one['label']}" for one in top)
    except Refused as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    print(json.dumps(found) if given.json else line)
    return 0 if found["same"] else 1


if __name__ == "__main__":
    sys.exit(main())
