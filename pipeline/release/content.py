"""What a release is made of, gathered and checked before a file is written: what every writer is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from device_agents.bundle import Bundle
from pipeline.release.about import About
from pipeline.release.evidence import Evidence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


@dataclass(frozen=True)
class Sample:
    """One real evaluation sample. inputs: by name, as the model file takes it (its dtype, shape and layout).

    expected: by name, as the bundle's runtime answered on this host, likewise as the file gives it. label: the class it
    is of. tolerance: the largest absolute difference that still counts as the same; of an integer output in steps.
    """

    inputs: dict[str, Array]
    expected: dict[str, Array]
    label: int | None
    tolerance: float


@dataclass(frozen=True)
class Content:
    """An accepted bundle on its way into a release. version: semantic; metric: as a person reads it, e.g. "top-1".

    classifies: whether the first output holds a score for each class (logits), else nothing is said of what it means.
    on_host: (the metric over the test part, how many samples), taken on this machine where no device took it.
    """

    bundle: Bundle
    version: str
    sample: Sample
    evidence: Evidence
    metric: str
    classifies: bool = True
    about: About = field(default_factory=About)
    on_host: tuple[float, int] | None = None

    @property
    def name(self) -> str:
        """What the release is called without its version: "resnet8-android"."""
        return f"{self.model}-{self.target}"

    @property
    def model(self) -> str:
        return self.bundle.manifest.model

    @property
    def target(self) -> str:
        return self.bundle.manifest.target

    @property
    def labels(self) -> list[str] | None:
        """What the classes are called, in their order."""
        return self.bundle.manifest.labels
