"""Tries what a plan asks for on untrained networks, so that hours of training don't end in a refusal."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.errors import EdgewrightError
from edgewright.progress import Silent
from pipeline import data
from pipeline.distillation.lesson import teaching
from pipeline.plan import Node
from pipeline.pruning.plan import PruningPlan
from pipeline.steps.base import DataSpec, NetworkSpec, Places, Work
from pipeline.steps.distil import DistilParameters
from pipeline.steps.prune import PruneParameters, prune_round
from pipeline.steps.sparsify import SparsifyParameters, sparsify_round
from pipeline.steps.train import TrainParameters, checked_network
from pipeline.store import Store

if TYPE_CHECKING:
    from torch import nn

    from models.data.parts import DataParts

SAMPLES = 64


class RehearsalFailed(EdgewrightError):
    """A step that would fail, in a way that no error of ours describes."""


def rehearse(nodes: Sequence[Node], store: Store, places: Places) -> None:
    """Runs every cut of `nodes` on copies of the untrained networks, and shows each student its teacher.

    Only what long work stands before is tried: a cut that comes first says itself what is wrong, as soon. Raises what
    the steps would raise: ImpossibleRatio, NotTraceable, WrongTeacher, BadNetwork, BadData ...
    """
    missing = [node for node in nodes if store.find(node.fingerprint) is None]
    long = [place for place, node in enumerate(missing) if _long(node)]
    wanted = {node.variant for place, node in enumerate(missing) if long and place > long[0] and _may_fail(node)}
    if not wanted:
        return
    rehearsal = _Rehearsal(places)
    for node in nodes:
        if node.step == "train" and node in missing:
            with _named(node):
                rehearsal.train(node)
        elif node.variant in wanted:
            with _named(node):
                rehearsal.one(node)


def _long(node: Node) -> bool:
    """Whether a step trains."""
    if node.step == "train" and node.parameters["weights"] is not None:
        return False
    schedule = node.parameters.get("schedule", {})
    return node.step in ("train", "distil") and schedule["epochs"] > schedule["begin"]


def _may_fail(node: Node) -> bool:
    """Whether what a step is asked can be impossible for the network: a cut, a teacher of another kind, stages."""
    told = node.parameters
    if node.step == "distil":
        return told["transfer"] != "none" or told["teacher"] not in (None, told["network"])
    return node.step in ("prune", "sparsify")


@contextmanager
def _named(node: Node) -> Iterator[None]:
    try:
        yield
    except EdgewrightError as error:
        error.where = f"{node.id}: {error.where}" if error.where else node.id
        raise
    except Exception as error:  # it runs code of the user's, which may raise anything
        raise RehearsalFailed(
            f"Trying it beforehand failed: {type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}",
            where=node.id,
            remedy="look at what the recipe names: its factory, loss, metric and data",
        ) from error


@dataclass
class _Rehearsal:
    """What the steps tried so far have in common. cut: by variant, its network as far as it is cut, and the plan."""

    places: Places
    parts: DataParts | None = None
    cut: dict[str, tuple[nn.Module, PruningPlan]] = field(default_factory=dict)
    originals: dict[tuple[str, Path], nn.Module] = field(default_factory=dict)

    def train(self, node: Node) -> None:
        """The data and the network fit each other."""
        parameters = TrainParameters.model_validate(dict(node.parameters))
        parts = self._data(node)
        _, classes = checked_network(parameters.network, parts, self._places(node))
        if parameters.schedule.loss == "cross-entropy":
            data.check_labels(parts, classes, f"data = {parameters.data.name!r}")

    def one(self, node: Node) -> None:
        """One step of a variant on its network as it would be then."""
        if node.step not in ("prune", "sparsify", "distil"):
            return
        spec = NetworkSpec.model_validate(node.parameters["network"])
        parts = self._data(node)
        original = self._original(spec, parts, node)
        net, plan = self.cut.setdefault(node.variant, (copy.deepcopy(original), PruningPlan()))
        if node.step == "prune":
            asked = PruneParameters.model_validate(dict(node.parameters))
            few = replace(parts, train=parts.train.first(SAMPLES), validation=parts.validation.first(SAMPLES))
            prune_round(net, plan, original, few, asked, Work(Path(), Path(), self._places(node), Silent()))
        elif node.step == "sparsify":
            sparsify_round(net, SparsifyParameters.model_validate(dict(node.parameters)))
        else:
            self._teacher(net, parts, node)

    def _teacher(self, net: nn.Module, parts: DataParts, node: Node) -> None:
        """The teacher takes the student's samples and says as much of them, and has the stages that are asked for."""
        import torch

        asked = DistilParameters.model_validate(dict(node.parameters))
        if asked.teacher is None:
            return
        folder = self._places(node).teacher or self.places.recipe
        teacher = self._original(asked.teacher, parts, node, folder)
        x = torch.from_numpy(parts.train.x[:2].copy())
        teaching(net, teacher, x, transfer=asked.transfer, stages=asked.stages).close()

    def _original(self, spec: NetworkSpec, parts: DataParts, node: Node, folder: Path | None = None) -> nn.Module:
        places = self._places(node)
        places = replace(places, recipe=folder or places.recipe)
        key = (spec.model_dump_json(), places.recipe)
        if key not in self.originals:
            self.originals[key] = checked_network(spec, parts, places)[0]
        return self.originals[key]

    def _places(self, node: Node) -> Places:
        return replace(self.places, **node.folders)

    def _data(self, node: Node) -> DataParts:
        if self.parts is None:  # a plan is of one data set
            self.parts = data.load(DataSpec.model_validate(node.parameters["data"]), self._places(node))
        return self.parts
