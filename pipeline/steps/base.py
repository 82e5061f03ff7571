"""The shape that every step has: a plain function of (input files, parameters) that leaves files and a few figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from edgewright.progress import Progress


class StepParameters(BaseModel):
    """What a step is told. All of it is in the fingerprint, so no place on this machine belongs here."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkSpec(StepParameters):
    """Which network: what makes it, with what, from which seed."""

    factory: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    seed: int = 0


class DataSpec(StepParameters):
    """Which data set."""

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class Input(Protocol):
    """An artifact as a step sees it."""

    @property
    def summary(self) -> Mapping[str, Any]: ...

    def path(self, name: str) -> Path: ...


@dataclass(frozen=True)
class Places:
    """Where things lie on this machine; never part of a fingerprint.

    recipe: the recipe's folder; cache: downloads; data: the user's own copy of the data set, or None; teacher: the
    folder of the recipe whose network teaches, None where none does.
    """

    recipe: Path
    cache: Path
    data: Path | None = None
    teacher: Path | None = None


@dataclass(frozen=True)
class Work:
    """Where a step writes: `out` becomes the artifact, `scratch` keeps checkpoints over a kill."""

    out: Path
    scratch: Path
    places: Places
    progress: Progress


P = TypeVar("P", bound=StepParameters)


class Step(Generic[P]):
    """A kind of work. Subclasses give `name`, `libraries` (their versions can change results), `Parameters`, `run`."""

    name: ClassVar[str]
    libraries: ClassVar[tuple[str, ...]] = ()
    Parameters: ClassVar[type[StepParameters]]
    extra: ClassVar[str | None] = None
    """The extra of pyproject.toml that brings its libraries, where they are no part of `build`."""

    def run(self, inputs: Mapping[str, Input], parameters: P, work: Work) -> dict[str, Any]:
        """Writes the artifact's files into `work.out` and returns its summary (JSON values only)."""
        raise NotImplementedError
