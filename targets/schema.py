"""What a target file may say. A newcomer adds a kind of device with one TOML file and no code."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from edgewright.errors import EdgewrightError
from edgewright.toml import BadToml, by_name, describe, read_toml

Precision = Literal["float32", "int8"]
Sparsity = Literal["2:4"]
BUILT_IN = Path(__file__).parent


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


class Limits(_Strict):
    """What a model must stay within to be shipped; left out means no limit."""

    latency_ms: float | None = Field(None, gt=0, description="p50 on the device, ms")
    memory_mb: float | None = Field(None, gt=0, description="peak memory of the process, MB")
    size_kb: float | None = Field(None, gt=0, description="model file, kB")
    accuracy_drop: float | None = Field(
        None, ge=0, le=1, description="metric lost against the trained model (0.01 is one point)"
    )


class Sensors(_Strict):
    """Where this kind of device tells its state; the agent reads what is there and reports null for the rest."""

    throttling: Literal["vcgencmd"] | None = None
    temperature: Literal["thermal-zone", "vcgencmd"] | None = "thermal-zone"


class Target(_Strict):
    """One kind of device. `name` is the file's stem."""

    name: str
    description: str = ""
    runtime: Literal["onnxruntime"] = "onnxruntime"
    format: Literal["onnx"] = "onnx"
    opset: int = Field(20, ge=18, le=20, description="onnxruntime 1.19 (Python 3.8 boards) refuses opset 23")
    providers: tuple[str, ...] = Field(
        ("CPUExecutionProvider",), description="what the runtime shall run on, best first; falling back is a failure"
    )
    precisions: tuple[Precision, ...] = ("float32", "int8")
    machines: tuple[str, ...] = Field((), description="uname -m of such devices; empty means any")
    alignment: int = Field(8, ge=1, le=128, description="kept channels are a multiple of this")
    sparsity: tuple[Sparsity, ...] = Field(
        (),
        description="patterns of zeros that runtime and chip together skip; variants with others are not built. "
        "2:4: TensorRT on NVIDIA's Ampere and later; onnxruntime's CPU kernels multiply every zero",
    )
    threads: int = Field(1, ge=1, le=64)
    cpus: Literal["auto"] | tuple[int, ...] = Field("auto", description="cores to pin to; auto takes the idlest")
    int8: Int8 = Int8()
    limits: Limits = Limits()
    sensors: Sensors = Sensors()

    @field_validator("precisions")
    @classmethod
    def _has_float(cls, value: tuple[Precision, ...]) -> tuple[Precision, ...]:
        if "float32" not in value or len(set(value)) != len(value):
            raise ValueError("name each precision once, float32 among them: it is what the others are compared with")
        return value


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
