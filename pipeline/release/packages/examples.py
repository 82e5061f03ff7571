"""How to use a model file on Linux, in files: the model, its sample, and one program in Python and one in C++.

The programs are the same for every model (templates/linux): what is the model's own is in bundle.json,
preprocessing.json and model.h.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from device_agents.bundle import Manifest
from device_agents.wheels import RECIPES, ROWS
from pipeline.release import processing, sample
from pipeline.release.archive import Members
from pipeline.release.content import Content
from pipeline.release.packages.ends import Input, Output, ends
from pipeline.release.packages.errors import NotPackaged
from pipeline.release.packages.templating import float32, rendered

TEMPLATES = Path(__file__).parent / "templates" / "linux"
BUNDLE = "bundle.json"


@dataclass(frozen=True)
class Toolkit:
    """What the programs need of a runtime. recipe: of device_agents.wheels; source: its C++ file; header, library: what
    CMake looks for; title: what a person looks for; origin: where that comes from."""

    recipe: str
    source: str
    header: str
    library: str
    title: str
    origin: str


_ONNX = Toolkit(
    "onnxruntime",
    "onnxruntime.cpp",
    "onnxruntime_cxx_api.h",
    "onnxruntime",
    "ONNX Runtime",
    "its release archive for Linux",
)
_TFLITE = Toolkit(
    "litert",
    "tflite.cpp",
    "tensorflow/lite/c/c_api.h",
    "tensorflowlite_c",
    "TensorFlow Lite's C API",
    "a build from source (CMake, the target tensorflowlite_c): there are no ready ones for Linux",
)
_TOOLKITS = {"onnx": _ONNX, "ort": _ONNX, "tflite": _TFLITE}


@dataclass(frozen=True)
class Requirement:
    """The Python package that runs a model. version: that was measured, else that the bundle was checked in."""

    package: str
    version: str
    numpy: str
    measured: bool

    def __str__(self) -> str:
        return f"{self.package} {self.version}"


def toolkit(manifest: Manifest) -> Toolkit:
    """Raises NotPackaged for a format that neither program loads."""
    if manifest.format not in _TOOLKITS:
        raise NotPackaged(
            f"No Linux package runs the format {manifest.format}; {', '.join(_TOOLKITS)} are known",
            where="the bundle's manifest: format",
            remedy="accept a variant for onnxruntime or litert: [[runtime]] in the target's file",
        )
    return _TOOLKITS[manifest.format]


def requirement(content: Content) -> Requirement:
    """The runtime of the best evidence there is; without any, what checked the bundle when it was built."""
    manifest = content.bundle.manifest
    recipe = RECIPES[manifest.runtime if manifest.runtime in RECIPES else toolkit(manifest).recipe]
    versions = [one.runtime_version for one in content.evidence.devices if one.runtime == manifest.runtime]
    measured = next((version for version in versions if version), None)
    built = manifest.origin.get("libraries", {}).get(recipe.package, ROWS[recipe.package][0].version)
    return Requirement(recipe.package, str(measured or built), recipe.numpy, measured is not None)


def files(content: Content, model_file: Path) -> Members:
    """By name, every file of the example; the same for the same content. Raises NotPackaged."""
    manifest = content.bundle.manifest
    kit = toolkit(manifest)
    given, gives = ends(manifest, content.classifies)
    cmake = rendered("linux/CMakeLists.txt.j2", title=kit.title, header=kit.header, library=kit.library)
    made: dict[str, bytes | Path] = {
        manifest.file: model_file,
        BUNDLE: manifest.canonical(),
        processing.FILE: processing.written(content),
        "requirements.txt": _requirements(requirement(content)),
        "README.md": _readme(content, kit, given, gives),
        "CMakeLists.txt": cmake.encode(),
        "model.h": _header(content, given, gives),
        "runtime.cpp": TEMPLATES / kit.source,
    }
    for name in ("run.py", "pixels.py", "run.cpp", "array.h", "runtime.h"):
        made[name] = TEMPLATES / name
    if content.labels:
        made[processing.LABELS] = processing.labels_file(content.labels)
    return made | {f"sample/{name}": data for name, data in sample.files(content).items()}


MODES = {"run.py": 0o755}


def takes(given: Input) -> str:
    """What goes in, in words."""
    if given.tokens:
        return f"{given.elements} token numbers ({given.tensor.dtype}), shorter texts padded with {given.padding}"
    if given.image is None:
        return f"{given.elements} values of {given.tensor.dtype}"
    height, width, channels = given.image
    colours = {1: "grey", 3: "RGB"}.get(channels, f"{channels} channels")
    return f"an image of {width} x {height} pixels, {colours}"


def _requirements(needed: Requirement) -> bytes:
    why = "The version that was measured." if needed.measured else "NOT MEASURED: the version that checked the bundle."
    return f"# {why}\n{needed.package}=={needed.version}\n{needed.numpy}\n".encode()


def _readme(content: Content, kit: Toolkit, given: Input, gives: Output) -> bytes:
    manifest = content.bundle.manifest
    purpose = content.about.purpose or f"The model {content.model} for {content.target}."
    return rendered(
        "linux/README.md.j2",
        title=f"{content.name} {content.version}",
        purpose=" ".join(purpose.split()),
        file=manifest.file,
        format=manifest.format,
        precision=manifest.precision,
        runtime=requirement(content),
        labels=processing.LABELS if content.labels else None,
        input=_described(given.tensor.name, given.tensor.dtype, given.shape),
        takes=takes(given),
        steps=_steps(content, given),
        output=_described(gives.tensor.name, gives.tensor.dtype, gives.shape),
        gives="a logit for each class: soft max, then the greatest" if content.classifies else "as it is",
        example="IMAGE.png" if given.image else "INPUT.npy",
        toolkit=f"{kit.title}: {kit.origin}",
    ).encode()


def _described(name: str, dtype: str, shape: tuple[int, ...]) -> str:
    return f"{name}: {dtype} {list(shape)}"


def _steps(content: Content, given: Input) -> str:
    told = [f"{step.operator} {', '.join(f'{one:g}' for one in step.by)}" for step in given.steps]
    if given.tensor.scale is not None:
        told.append(f"quantised: round(x / {given.tensor.scale:g}) + {given.tensor.zero_point or 0}")
    words = content.bundle.manifest.preprocessing
    told += [f"{key}: {words[key]}" for key in ("tokenizer", "note", *given.unknown) if key in words]
    return "; ".join(told) or "none"


def _header(content: Content, given: Input, gives: Output) -> bytes:
    """model.h: preprocessing.json as constants, so that the program needs no JSON."""
    manifest = content.bundle.manifest
    return rendered(
        "linux/model.h.j2",
        title=_string(f"{content.model} {manifest.name}"),
        file=_string(manifest.file),
        input_name=_string(given.tensor.name),
        input_type=_string(given.tensor.dtype),
        shape=given.shape,
        image=_bool(given.image is not None),
        channels=given.channels,
        channels_last=_bool(given.tensor.layout == "channels-last"),
        tokens=_bool(given.tokens),
        padding=given.padding,
        steps=[(_bool(step.operator == "/"), [f"{float32(one)}F" for one in step.by]) for step in given.steps],
        input_scale=f"{float32(given.tensor.scale or 0.0)}F",
        input_zero_point=given.tensor.zero_point or 0,
        output_name=_string(gives.tensor.name),
        output_scale=repr(gives.tensor.scale or 0.0),
        output_zero_point=gives.tensor.zero_point or 0,
        classifies=_bool(content.classifies),
        tolerance=repr(content.sample.tolerance),
    ).encode()


def _string(text: str) -> str:
    """A C++ string literal, in ASCII: other bytes as octal escapes, which end after three digits."""
    plain = "".join(
        chr(byte) if 32 <= byte < 127 and byte not in b'"\\?' else f"\\{byte:03o}" for byte in text.encode()
    )
    return f'"{plain}"'


def _bool(value: bool) -> str:
    return "true" if value else "false"
