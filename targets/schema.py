"""What a target file may say. A newcomer adds a kind of device with one TOML file and no code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from edgewright.errors import EdgewrightError
from edgewright.toml import BadToml, by_name, describe, read_toml

RuntimeName = Literal["onnxruntime", "litert", "tflite-runtime", "benchmark_model", "torch"]
Format = Literal["onnx", "ort", "tflite", "torchscript", "pt2"]
Precision = Literal["float32", "float16", "int8", "dynamic"]
Sparsity = Literal["2:4"]
BUILT_IN = Path(__file__).parent

FORMATS: Mapping[str, tuple[Format, ...]] = {
    "onnxruntime": ("onnx", "ort"),
    "litert": ("tflite",),
    "tflite-runtime": ("tflite",),
    "benchmark_model": ("tflite",),
    "torch": ("torchscript", "pt2"),
}
"""What each runtime loads; the first is what it gets unless the target says otherwise."""
TENSORRT = "TensorrtExecutionProvider"


class UnknownTarget(EdgewrightError):
    """No target file of that name."""


class BadTarget(EdgewrightError):
    """A target file that can't be read or says something impossible."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Int8(_Strict):
    """How INT8 is made for this kind of chip."""

    activations: Literal["uint8", "int8"] = Field(
        "uint8", description="signed activations ran at half the speed of FP32 on x86, unsigned ones 1.7x faster"
    )
    per_channel: bool = Field(True, description="one scale per output channel of a weight")
    symmetric_activations: bool = Field(False, description="TensorRT wants it")
    integer_io: bool = Field(False, description="the file takes and gives integers: no float at either end")


class Limits(_Strict):
    """What a model must stay within to be shipped; left out means no limit."""

    latency_ms: float | None = Field(None, gt=0, description="p50 on the device, ms")
    memory_mb: float | None = Field(None, gt=0, description="peak memory of the process, MB")
    size_kb: float | None = Field(None, gt=0, description="model file, kB")
    accuracy_drop: float | None = Field(
        None, ge=0, le=1, description="metric lost against the trained model (0.01 is one point)"
    )


class Sensors(_Strict):
    """What this kind of device tells of itself, and by what. The agent reads whatever is there; what is named here and
    missing is said in the report."""

    throttling: Literal["vcgencmd", "thermalservice"] | None = None
    temperature: Literal["thermal-zone", "vcgencmd", "tegrastats", "thermalservice"] | None = None
    power: Literal["ina3221", "tegrastats", "pmic"] | None = None
    power_mode: Literal["nvpmodel"] | None = None


class Runtime(_Strict):
    """One runtime of a kind of device, and what is built for it."""

    name: RuntimeName
    format: Format = Field("onnx", validate_default=True, description="what the runtime loads; left out: its usual one")
    precisions: tuple[Precision, ...] = Field(
        ("float32", "int8"),
        description="float16 halves the file, TensorRT also computes in it; dynamic: INT8 weights only",
    )
    source: Literal["wheel", "device", "either"] = Field(
        "wheel",
        description="wheel: we bring it; device: the device's own Python has it (NVIDIA's build, Termux's package); "
        "either: the device's own where it has one",
    )
    opset: int = Field(20, ge=18, le=20, description="onnxruntime 1.19 (Python 3.8 boards) refuses opset 23")
    providers: tuple[str, ...] = Field(
        (), description="what it shall run on, best first; falling back to another is a failure; empty: no wish"
    )
    options: Mapping[str, Mapping[str, str | int | bool]] = Field(
        default_factory=dict, description="options of a provider, by its name"
    )
    int8: Int8 = Int8()

    @field_validator("format", mode="before")
    @classmethod
    def _usual(cls, value: object, info: ValidationInfo) -> object:
        # "onnx" is only the field's default: a runtime that can't load it takes its own first format.
        known = FORMATS.get(info.data.get("name", ""), ("onnx",))
        return known[0] if value == "onnx" and known[0] != "onnx" else value

    @model_validator(mode="after")
    def _possible(self) -> Runtime:
        if self.format not in FORMATS[self.name]:
            raise ValueError(f"{self.name} loads {' or '.join(FORMATS[self.name])}, not {self.format}")
        if "float32" not in self.precisions or len(set(self.precisions)) != len(self.precisions):
            raise ValueError("name each precision once, float32 among them: it is what the others are compared with")
        if self.name == "torch" and set(self.precisions) != {"float32"}:
            raise ValueError("for torch only float32 is built")
        if self.format in ("onnx", "ort"):
            if "float16" in self.precisions and self.format == "ort":
                raise ValueError("onnxruntime's own format keeps no FP16: casts are folded as it is written")
            if "dynamic" in self.precisions and TENSORRT in self.providers:
                raise ValueError("TensorRT has no dynamic range: int8 is what it takes")
            if self.int8.integer_io:
                raise ValueError("int8.integer_io is for TFLite only")
        if self.name == "torch" and self.source != "device":
            raise ValueError('torch is too big to bring along: source = "device"')
        if unknown := sorted(set(self.options) - set(self.providers)):
            raise ValueError(f"options for {unknown[0]}, which is not among the providers")
        return self


class Target(_Strict):
    """One kind of device. `name` is the file's stem. The first runtime's trained float32 model is the base that every
    other variant is compared with."""

    name: str
    description: str = ""
    machines: tuple[str, ...] = Field((), description="uname -m of such devices; empty means any")
    runtime: tuple[Runtime, ...] = Field(
        (Runtime(name="onnxruntime", providers=("CPUExecutionProvider",)),),
        min_length=1,
        description="one table [[runtime]] each; the variants of all compete on the device",
    )
    alignment: int = Field(8, ge=1, le=128, description="kept channels are a multiple of this")
    sparsity: tuple[Sparsity, ...] = Field(
        (),
        description="patterns of zeros that runtime and chip together skip; variants with others are not built. "
        "2:4: TensorRT on NVIDIA's Ampere and later; onnxruntime's CPU kernels multiply every zero",
    )
    threads: int = Field(1, ge=1, le=64)
    cpus: Literal["auto"] | tuple[int, ...] = Field("auto", description="cores to pin to; auto takes the idlest")
    start_below_c: float | None = Field(
        None, gt=0, lt=150, description="a job waits until the device is cooler than this, degC; left out: 80"
    )
    limits: Limits = Limits()
    sensors: Sensors = Sensors()
    reachable: bool = Field(True, description="false: no agent runs there; its bundles are built and released only")

    @field_validator("runtime", mode="before")
    @classmethod
    def _tables(cls, value: object) -> object:
        if not isinstance(value, list | tuple):
            raise ValueError('write a table [[runtime]] with name = "..." for each runtime')
        return value

    @field_validator("runtime")
    @classmethod
    def _distinct(cls, value: tuple[Runtime, ...]) -> tuple[Runtime, ...]:
        labels = [runtime.name for runtime in value]
        if len(set(labels)) != len(labels):
            raise ValueError("name each runtime once")
        return value


def possible(runtime: Runtime) -> tuple[Precision, ...]:
    """Precisions that can be built for a runtime."""
    if runtime.name == "torch":
        return ("float32",)
    if TENSORRT in runtime.providers:
        return ("float32", "float16", "int8")
    if runtime.format == "ort":  # its casts are folded as it is written: FP16 made the file larger
        return ("float32", "int8", "dynamic")
    return ("float32", "float16", "int8", "dynamic")


def target_files(root: Path) -> dict[str, Path]:
    """Target files by name: the project's own `targets/` before the built-in ones."""
    return by_name(BUILT_IN, root / "targets")


def read_target(name: str, root: Path) -> Target:
    """A target by name, or by the path of a .toml file. Raises UnknownTarget, BadTarget."""
    files = target_files(root)
    path = Path(name) if name.endswith(".toml") else files.get(name)
    if path is None or not path.is_file():
        raise UnknownTarget(
            f"There is no target {name!r}",
            where=str(path or root / "targets"),
            remedy=f"take one of {', '.join(files)} (./inv targets shows them), or write targets/NAME.toml",
        )
    try:
        content = read_toml(path)
    except BadToml as error:
        raise BadTarget(error.what, where=error.where, remedy=error.remedy) from error
    if "name" in content:
        raise BadTarget("A target's name is its file's name", where=f"{path}: name", remedy="remove the key")
    try:
        return Target(name=path.stem, **content)
    except ValidationError as error:
        what, key, remedy = describe(error, Target)
        raise BadTarget(what, where=f"{path}: {key}", remedy=remedy) from error
