"""A network of torch's formats as a Core ML package (.mlpackage), with the steps before and after it inside.

What comes in are raw values, bytes of a picture or numbers; what goes out are probabilities where the network
classifies. It computes in float32, as what was checked did. No Linux runs Core ML: what is made here is loaded back and
its description is looked at, but nobody has asked it for a prediction.
"""

from __future__ import annotations

import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_agents.bundle import Manifest
from edgewright.extras import extra
from edgewright.files import pretty_json, write_atomically
from pipeline.release.content import Content
from pipeline.release.packages.ends import Input, Output, ends, spoken
from pipeline.release.packages.errors import NotConverted

if TYPE_CHECKING:
    from torch import nn

FORMATS = ("torchscript", "pt2")
"""Formats of bundles that coremltools starts from."""
INPUT, PICTURE, OUTPUT = "input", "image", "output"
PROBABILITIES = "probabilities"
DATE = "com.github.apple.coremltools.conversion_date"
_SPACE = uuid.UUID("6c8a1b0e-5b1f-5c5e-9b0c-3f1d0f1a7a52")
"""What the package's identifiers are derived from; Core ML's own tool draws them by chance."""
_FOLDER = "com.apple.CoreML"
_OTHERS = ("sklearn", "tensorflow", "torchao", "transformers")
"""What coremltools imports where it is there, which takes longer than a conversion; only torch is converted from."""


def convertible(manifest: Manifest) -> bool:
    """Whether there is a way from this bundle to Core ML."""
    return manifest.format in FORMATS


def library() -> Any:
    """coremltools, imported as if of its sources torch alone were there. Raises MissingExtra."""
    from edgewright.quiet import quiet

    hidden = [name for name in _OTHERS if name not in sys.modules]
    with extra("apple", "a Core ML package"), quiet():
        sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: importing it fails
        try:
            import coremltools
        finally:
            for name in hidden:
                del sys.modules[name]
    return coremltools


def takes_picture(given: Input) -> bool:
    """Whether Core ML itself hands the picture over, in grey or in red, green and blue."""
    return given.pixels and given.channels in (1, 3)


def names_classes(content: Content, gives: Output) -> bool:
    """Whether the package answers with a label: each class has one of its own."""
    labels = spoken(content.labels)
    return bool(gives.classes) and len(set(labels)) == len(labels) == gives.classes


def write_mlpackage(content: Content, folder: Path) -> None:
    """Makes the package `folder` of a bundle that is `convertible`; the same bundle gives the same bytes.

    Raises NotPackaged, NotConverted; MissingExtra without the extra apple.
    """
    given, gives = ends(content.bundle.manifest, content.classifies)
    model = _converted(content, given, gives)
    spec = model.get_spec()
    about = spec.description.metadata
    about.versionString, about.shortDescription = content.version, content.about.purpose
    about.license = content.about.weights_licence
    # The day of the conversion would make every day's package another one.
    about.userDefined.pop(DATE, None)
    weights = Path(model.weights_dir) / "weight.bin"
    _write(folder, spec.SerializeToString(deterministic=True), weights.read_bytes())
    _look_at(folder, content, given, gives)


def _converted(content: Content, given: Input, gives: Output) -> Any:
    """coremltools' model, not yet saved."""
    coremltools = library()
    import torch

    from edgewright.quiet import quiet

    shape, picture = given.shape, takes_picture(given)
    dtype = torch.int32 if given.tokens else torch.float32
    try:
        with quiet(), torch.no_grad():
            network = _whole(content, given, gives)
            traced = torch.jit.trace(network, (torch.zeros(shape, dtype=dtype),), check_trace=False)  # type: ignore[no-untyped-call]
            if picture:
                layout = coremltools.colorlayout.GRAYSCALE if given.channels == 1 else coremltools.colorlayout.RGB
                taken: Any = coremltools.ImageType(name=PICTURE, shape=shape, color_layout=layout)
            else:
                numbers = coremltools.converters.mil.mil.types.int32 if given.tokens else None
                taken = coremltools.TensorType(name=INPUT, shape=shape, dtype=numbers)
            named = names_classes(content, gives)
            probabilities = PROBABILITIES if gives.classes else OUTPUT
            return coremltools.convert(
                traced,
                source="pytorch",
                convert_to="mlprogram",
                inputs=[taken],
                outputs=None if named else [coremltools.TensorType(name=probabilities)],
                classifier_config=coremltools.ClassifierConfig(spoken(content.labels)) if named else None,
                compute_precision=coremltools.precision.FLOAT32,
                minimum_deployment_target=coremltools.target.iOS15,
                skip_model_load=True,
            )
    except Exception as error:  # the converter raises many kinds
        raise NotConverted(
            f"coremltools does not convert the network: {type(error).__name__}: {str(error).strip()[:300]}",
            where=str(content.bundle.model_file),
            remedy="release another variant, or a target whose runtime loads onnx or tflite: its file is packaged then",
        ) from error


def _whole(content: Content, given: Input, gives: Output) -> nn.Module:
    """The network between the steps before it and the soft maximum behind it."""
    import torch

    from pipeline.export.torch_file import loaded

    network = loaded(content.bundle.model_file.read_bytes(), content.bundle.manifest.format)
    aligned = (1, -1, 1, 1) if given.image else (-1,)

    class Whole(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            if isinstance(network, torch.nn.Module):
                self.network = network
            for number, step in enumerate(given.steps):
                by = torch.tensor(step.by, dtype=torch.float32)
                self.register_buffer(f"step_{number}", by.reshape(aligned if len(step.by) > 1 else ()))

        def forward(self, raw: torch.Tensor) -> torch.Tensor:
            value = raw.to(torch.int64) if given.tensor.dtype == "int64" else raw
            for number, step in enumerate(given.steps):
                by = getattr(self, f"step_{number}")
                value = value / by if step.operator == "/" else value - by
            scores: torch.Tensor = network(value)
            return torch.softmax(scores, 1) if gives.classes else scores

    # Not eval(): a torch.export program's module refuses it, and is in that state already.
    whole = Whole()
    whole.training = False
    return whole


def _write(folder: Path, spec: bytes, weights: bytes) -> None:
    """Lays the package out, with identifiers that follow from its content."""
    identifier = str(uuid.uuid5(_SPACE, spec.hex()))
    entries = {
        identifier: {
            "name": "model.mlmodel",
            "path": f"{_FOLDER}/model.mlmodel",
            "description": "CoreML Model Specification",
        },
        str(uuid.uuid5(_SPACE, weights.hex())): {
            **{"name": "weights", "path": f"{_FOLDER}/weights", "description": "CoreML Model Weights"},
        },
    }
    listed = {
        "fileFormatVersion": "1.0.0",
        "itemInfoEntries": {key: {**entry, "author": _FOLDER} for key, entry in entries.items()},
        "rootModelIdentifier": identifier,
    }
    for name, data in {
        "Manifest.json": pretty_json(listed),
        f"Data/{_FOLDER}/model.mlmodel": spec,
        f"Data/{_FOLDER}/weights/weight.bin": weights,
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / name, data)


def _look_at(folder: Path, content: Content, given: Input, gives: Output) -> None:
    """Loads the package back; raises NotConverted where its description is not what was asked for."""
    from edgewright.quiet import quiet

    with quiet():
        spec = library().utils.load_spec(str(folder))
    described = spec.description
    (entering,), leaving = described.input, {one.name: one for one in described.output}
    if takes_picture(given):
        kind = entering.type.imageType
        found = (kind.height, kind.width, kind.ColorSpace.Name(kind.colorSpace))
        height, width, channels = given.image or (0, 0, 0)
        wanted: tuple[Any, ...] = (height, width, "GRAYSCALE" if channels == 1 else "RGB")
    else:
        found, wanted = tuple(entering.type.multiArrayType.shape), given.shape
    if names_classes(content, gives):
        found = (*found, *sorted(leaving))
        wanted = (*wanted, *sorted((described.predictedFeatureName, described.predictedProbabilitiesName)))
    if found != wanted:
        raise NotConverted(
            f"The Core ML package takes and gives {found}, not {wanted}",
            where=str(folder),
            remedy="report it: coremltools changed what it writes",
        )
