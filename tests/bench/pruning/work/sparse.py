"""A cell that zeroes the smallest weights of a trained network and fine-tunes it with the zeros held."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.pruning.sparsity import sparsify
from tests.bench.pruning.cells import MODEL
from tests.bench.pruning.work.lab import Lab, first


def sparse(lab: Lab, what: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """what: share (of the weights that are zero), scope, epochs, train, test, seed, onnx; figures as of `pruned`."""
    part, test = first(lab.parts.train, what["train"]), first(lab.parts.test, what["test"])
    net = lab.trained()
    zeros = sparsify(net, what["share"], scope=what["scope"])
    names = tuple(one.tensor for one in zeros)
    figures: dict[str, Any] = {"before": lab.accuracy(net, test)}
    validation = first(lab.parts.validation, what["validation"])
    lab.fine_tune(net, part, lab.schedule(what["epochs"]), what["seed"], validation, masks=names)
    weights = dict(net.named_parameters())
    zero = sum(int((weights[name] == 0).sum()) for name in names)
    figures |= {**lab.size(net), "zeros": zero / sum(weights[name].numel() for name in names)}
    figures |= {"validation": lab.accuracy(net, validation), "after": lab.accuracy(net, test)}
    return figures | (lab.export(net, out / MODEL) if what["onnx"] else {})
