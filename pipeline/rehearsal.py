"""Tries the pruning that a plan asks for on the untrained network, so that hours of training don't end in a refusal."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.errors import EdgewrightError
from edgewright.progress import Silent
from pipeline import data
from pipeline.plan import Node
from pipeline.steps.base import Places, Work
from pipeline.steps.prune import PruneParameters, prune_round
from pipeline.steps.train import TrainParameters, checked_network
from pipeline.store import Store

if TYPE_CHECKING:
    from torch import nn

SAMPLES = 64


def rehearse(nodes: Sequence[Node], store: Store, places: Places) -> None:
    """Runs every round of pruning in `nodes` on a copy of the untrained network and throws the result away.

    Does nothing where no training lies ahead. Raises what the steps would raise: ImpossibleRatio, BadNetwork, BadData.
    """
    training = next((node for node in nodes if node.step == "train" and store.find(node.fingerprint) is None), None)
    rounds = [node for node in nodes if node.step == "prune"]
    if training is None or not rounds or training.parameters["weights"] is not None:
        return
    parameters = TrainParameters.model_validate(dict(training.parameters))
    parts = data.load(parameters.data, places)
    original, classes = checked_network(parameters.network, parts, places)
    if parameters.schedule.loss == "cross-entropy":
        data.check_labels(parts, classes, f"data = {parameters.data.name!r}")
    work = Work(Path(), Path(), places, Silent())
    networks: dict[str, nn.Module] = {}
    for node in rounds:
        net = networks.setdefault(node.variant, copy.deepcopy(original))
        try:
            asked = PruneParameters.model_validate(dict(node.parameters))
            prune_round(net, original, parts.train.first(SAMPLES), asked, work)
        except EdgewrightError as error:
            error.where = f"{node.id}: {error.where}" if error.where else node.id
            raise
