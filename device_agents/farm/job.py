"""What an agent is asked: the variants of one model, how long to look at each, and the limits."""

from __future__ import annotations

import time
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from targets.schema import Sensors

CANARY = "(canary)"
"""The name of the canary model in a job and its events; no variant's, for those hold no brackets."""

Purpose = Literal["deploy", "bench", "compare", "bisect", "nightly", "shrink", "gate"]


class RemoteBundle(BaseModel):
    """A bundle as it lies on a device: the manifest's digest, the folder there, the size of its model file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    path: str
    bytes: int | None = Field(None, ge=0)


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

    canary: a fixed small model that races along, so that a change of the device shows in it too; None for none.
    processes: fresh processes per variant, 0 to time nothing and take only answers; ask: whether the agent asks for
    more of them when these are done; blocks: timed blocks per process, interleaved over the variants; samples and
    block_seconds: the least of each block, which ends after block_limit_seconds at the latest (then with three samples
    or more); memory_passes: fresh processes per variant whose peak memory is taken; cpus: cores to measure on, or
    "auto" for the idlest.

    time_limit_s: for the whole job; memory_limit_bytes: peak of one worker process, Python and runtime included;
    wait_s: how long to wait for the device's lock; silence_s: how long the agent goes on without hearing from us;
    sensors: what such a device should tell of itself.

    max_temperature_c: above it no job starts (None: the agent's 80 C); cool_s, settle_s: how long a hot device is
    waited for, and one with a capped clock or others on its cores; on_bad_state: whether one that stays so is measured
    all the same, for an invalid report, or not at all.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    target: str
    purpose: Purpose = "deploy"
    variants: list[JobVariant] = Field(min_length=1)
    canary: JobVariant | None = None
    evaluation: str | None = None
    evaluation_batch: int = Field(64, ge=1)
    evaluation_samples: int | None = Field(None, ge=1)
    saved_samples: int | None = Field(None, ge=1)
    threads: int = Field(1, ge=1)
    cpus: Literal["auto"] | list[int] = "auto"
    processes: int = Field(3, ge=0)
    ask: bool = False
    blocks: int = Field(8, ge=1)
    samples: int = Field(20, ge=1)
    block_seconds: float = Field(0.15, ge=0)
    block_limit_seconds: float = Field(10.0, gt=0)
    warmup_runs: int = Field(10, ge=0)
    warmup_seconds: float = Field(0.3, ge=0)
    time_limit_s: float = Field(600.0, gt=0)
    memory_limit_bytes: int | None = Field(None, gt=0)
    memory_passes: int = Field(1, ge=1)
    wait_s: float = Field(0.0, ge=0)
    sensors: Sensors | None = None
    max_temperature_c: float | None = None
    cool_s: float = Field(300.0, ge=0)
    settle_s: float = Field(15.0, ge=0)
    on_bad_state: Literal["measure", "refuse"] = "measure"
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

        def told(variant: JobVariant) -> dict[str, Any]:
            fields = variant.model_dump(mode="json", include={"name", "runtime", "precision", "providers", "options"})
            return fields | {
                "path": variant.bundle.path,
                "digest": variant.bundle.digest,
                "runtime_folder": runtime_folders[variant.runtime],
                "save_outputs": variant.save_outputs,
            }

        return self.model_dump(mode="json") | {
            "variants": [told(variant) for variant in self.variants],
            "canary": told(self.canary) if self.canary else None,
            "holder": holder,
            # A reservation ends by the clocks of hosts, which the agent has none of (agent/reserve.py).
            "now": time.time(),
        }
