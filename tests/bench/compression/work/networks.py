"""A cell that leaves a network as a user's tools would export it: trained, or cut by a peer and fine-tuned.

The peers: Torch-Pruning (github.com/VainF/Torch-Pruning), used as its README and its examples say, and masks as
torch.nn.utils.prune's global L1 sets them. Training, data and epochs are this project's own, the same for all.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright.errors import EdgewrightError
from edgewright.quiet import quiet
from pipeline.pruning.sparsity import sparsify
from tests.bench.compression.setting import Cut
from tests.bench.pruning.work.lab import OPSET, Lab, first

if TYPE_CHECKING:
    from torch import nn

    from models.data.parts import Part

ONNX, TFLITE = "model.onnx", "model.tflite"
HALVINGS = 12


def network(lab: Lab, what: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """what: cut (fields of Cut, None for the trained network), epochs, train, evidence (samples), seed.

    Leaves model.onnx and model.tflite. Gives params, macs, top-1 on validation, and `refused`: why there is no
    model.tflite, "" where there is.
    """
    import torch

    net = lab.trained()
    figures: dict[str, Any] = {}
    if what["cut"] is not None:
        cut, part = Cut(**what["cut"]), lab.parts.train
        part = part if what["train"] is None else first(part, what["train"])
        net, figures = _made(lab, net, cut, part, what)
    figures |= {**lab.size(net), "validation": lab.accuracy(net, lab.parts.validation)}
    # Training leaves weights channels-last, of which the exporter makes two operators more: no fault of a peer's.
    net = net.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    _export(lab, net, out / ONNX)
    return figures | {"refused": _converted(lab, net, out / TFLITE)}


def _made(lab: Lab, net: nn.Module, cut: Cut, part: Part, what: Mapping[str, Any]) -> tuple[nn.Module, dict[str, Any]]:
    """The network cut and fine-tuned, and what is to be said of how."""
    schedule = lab.schedule(what["epochs"])
    masks: tuple[str, ...] = ()
    figures: dict[str, Any] = {}
    if cut.tool == "masks":
        masks = tuple(zeros.tensor for zeros in sparsify(net, cut.share, scope="global"))
    else:
        net, ratio = pruned(lab, net, cut, part, what["evidence"], what["seed"])
        figures["ratio"] = ratio
    teacher = lab.teacher(part, schedule) if cut.taught else None
    lab.fine_tune(net, part, schedule, what["seed"], lab.parts.validation, teacher, masks=masks)
    return net, figures | {"epochs": what["epochs"]}


def pruned(lab: Lab, net: nn.Module, cut: Cut, part: Part, samples: int, seed: int) -> tuple[nn.Module, float]:
    """Torch-Pruning's network with about `cut.share` of the MACs gone, and its ratio: found by bisection, since the
    library takes none of MACs."""
    whole = lab.size(net)["macs"]
    low, high = 0.0, 1.0
    best: tuple[float, float, nn.Module] | None = None
    for _ in range(HALVINGS):
        ratio = (low + high) / 2
        tried = _at(lab, net, cut, part, samples, seed, ratio)
        gone = 1 - lab.size(tried)["macs"] / whole
        if best is None or abs(gone - cut.share) < best[0]:
            best = abs(gone - cut.share), ratio, tried
        low, high = (ratio, high) if gone < cut.share else (low, ratio)
    assert best is not None
    return best[2], best[1]


def _at(lab: Lab, net: nn.Module, cut: Cut, part: Part, samples: int, seed: int, ratio: float) -> nn.Module:
    import torch_pruning as tp
    from torch import nn

    tried = copy.deepcopy(net).eval()
    taylor = cut.criterion == "taylor"
    importance = tp.importance.TaylorImportance() if taylor else tp.importance.MagnitudeImportance(p=1)
    classifier = [module for module in tried.modules() if isinstance(module, nn.Linear)][-1]
    attentions: list[Any] = [module for module in tried.modules() if hasattr(module, "num_attention_heads")]
    pruner = tp.pruner.BasePruner(
        tried,
        lab.example[0],
        importance=importance,
        pruning_ratio=ratio,
        global_pruning=cut.ranking == "global",
        ignored_layers=[classifier],
        num_heads={layer: one.num_attention_heads for one in attentions for layer in (one.query, one.key, one.value)},
        prune_num_heads=bool(attentions),
        prune_head_dims=not attentions,
        head_pruning_ratio=ratio,
    )
    if taylor:
        evidence = lab.evidence(part, samples, seed)
        for rows in evidence.batches:
            evidence.loss_of(tried, rows).backward()  # type: ignore[no-untyped-call]
    pruner.step()
    for one in attentions:  # as its example for BERT does by hand
        one.num_attention_heads = pruner.num_heads[one.query]
        one.all_head_size = one.query.out_features
        one.attention_head_size = one.all_head_size // one.num_attention_heads
    tried.zero_grad(set_to_none=True)
    return tried


def _export(lab: Lab, net: nn.Module, path: Path) -> None:
    """By torch's own exporter, with all that it writes: what a user ships who does nothing about it."""
    import torch

    with quiet():
        program = torch.onnx.export(
            copy.deepcopy(net).eval(),
            (lab.example[0][:1],),
            dynamo=True,
            opset_version=OPSET,
            input_names=["input"],
            output_names=["output"],
            verbose=False,
        )
    assert program is not None
    path.write_bytes(program.model_proto.SerializeToString())


def _converted(lab: Lab, net: nn.Module, path: Path) -> str:
    """The float .tflite file, by our own conversion, which is no worse than one by hand; or why there is none."""
    from pipeline.export.to_tflite import to_tflite

    try:
        path.write_bytes(to_tflite(copy.deepcopy(net).eval(), lab.example[0][:1]))
    except EdgewrightError as error:
        return error.what
    return ""
