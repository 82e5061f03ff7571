"""What an agent is asked: the variants of one model, how long to look at each, and the limits."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from targets.schema import Sensors


class RemoteBundle(BaseModel):
    """A bundle as it lies on a device: the manifest's digest and the folder there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    path: str


class JobVariant(BaseModel):
    """One variant of a job. save_outputs: path on the device for the first output (float32 .npy), or None.

    providers: what onnxruntime shall run on, best first (empty: its CPU); options: of a provider, by its name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    bundle: RemoteBundle
    format: str = "onnx"
    runtime: str = "onnxruntime"
    precision: str = "float32"
    providers: list[str] = Field(default_factory=list)
    options: dict[str, dict[str, str | int | bool]] = Field(default_factory=dict)
    save_outputs: str | None = None


class Job(BaseModel):
    """One job. evaluation: path on the device of an .npz with x [N, ...] and, optionally, y [N]; evaluation_samples: of
    those, how many the accuracy pass takes; saved_samples: how many outputs save_outputs keeps; None for all.

    processes: fresh processes per variant, 0 to time nothing and take only answers; blocks: timed blocks per process,
    interleaved over the variants; samples and block_seconds: the least of each block, which ends after
    block_limit_seconds at the latest (then with three samples or more); cpus: cores to measure on, or "auto" for the
    idlest; time_limit_s: for the whole job; memory_limit_bytes: peak of one worker process, Python and runtime
    included; wait_s: how long to wait for the device's lock; silence_s: how long the agent goes on without hearing from
    us; sensors: what such a device should tell of itself.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    target: str
    variants: list[JobVariant] = Field(min_length=1)
    evaluation: str | None = None
    evaluation_batch: int = Field(64, ge=1)
    evaluation_samples: int | None = Field(None, ge=1)
    saved_samples: int | None = Field(None, ge=1)
    threads: int = Field(1, ge=1)
    cpus: Literal["auto"] | list[int] = "auto"
    processes: int = Field(3, ge=0)
    blocks: int = Field(8, ge=1)
    samples: int = Field(20, ge=1)
    block_seconds: float = Field(0.15, ge=0)
    block_limit_seconds: float = Field(10.0, gt=0)
    warmup_runs: int = Field(10, ge=0)
    warmup_seconds: float = Field(0.3, ge=0)
    time_limit_s: float = Field(600.0, gt=0)
    memory_limit_bytes: int | None = Field(None, gt=0)
    wait_s: float = Field(0.0, ge=0)
    sensors: Sensors | None = None
    silence_s: float = Field(60.0, gt=0)

    @model_validator(mode="after")
    def _distinct(self) -> Job:
        names = [variant.name for variant in self.variants]
        if len(set(names)) != len(names):
            raise ValueError("two variants have the same name")
        if self.cpus == []:
            raise ValueError("cpus is empty")
        return self

    def request(self, runtime_folders: dict[str, str], holder: dict[str, Any]) -> dict[str, Any]:
        """The job as the agent reads it."""
        variants = [
            {
                "name": variant.name,
                "path": variant.bundle.path,
                "digest": variant.bundle.digest,
                "runtime": variant.runtime,
                "runtime_folder": runtime_folders[variant.runtime],
                "precision": variant.precision,
                "providers": variant.providers,
                "options": variant.options,
                "save_outputs": variant.save_outputs,
            }
            for variant in self.variants
        ]
        return self.model_dump(mode="json") | {"variants": variants, "holder": holder}
