"""The knife: makes one tensor, count or module of a network smaller in place. What is cut, others decide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


class CantCut(ValueError):
    """What a plan asks for doesn't fit the network; the message completes the sentence "'name' ..."."""


def find_tensor(network: nn.Module, name: str) -> Tensor:
    """A parameter or buffer by its full name. Raises CantCut."""
    owner, _, leaf = name.rpartition(".")
    try:
        found = getattr(network.get_submodule(owner), leaf)
    except AttributeError as error:
        raise CantCut("is not there") from error
    import torch

    if not isinstance(found, torch.Tensor):
        raise CantCut(f"is a {type(found).__name__}, no tensor")
    return found


def cut(network: nn.Module, tensor: str, axis: int, kept: Sequence[int], of: int) -> None:
    """Leaves the positions `kept` along `axis`; whoever shares the tensor shares the cut one. Raises CantCut."""
    import torch
    from torch import nn

    old = find_tensor(network, tensor)
    if axis >= old.dim() or old.shape[axis] != of:
        raise CantCut(f"has the shape {list(old.shape)} where the plan counts {of} along axis {axis}")
    if not kept or min(kept) < 0 or max(kept) >= of:
        raise CantCut(f"can't keep {len(kept)} of its {of} positions along axis {axis}")
    owner = network.get_submodule(tensor.rpartition(".")[0])
    if isinstance(owner, nn.LayerNorm):
        raise CantCut("belongs to a LayerNorm, which averages over what would go")
    left = old.detach().index_select(axis, torch.tensor(list(kept), dtype=torch.long)).clone()
    new = nn.Parameter(left, requires_grad=old.requires_grad) if isinstance(old, nn.Parameter) else left
    for module in network.modules():
        for registry in (module._parameters, module._buffers):
            for leaf, value in registry.items():
                if value is old:
                    registry[leaf] = new  # type: ignore[assignment]
                    _recount(module, leaf, axis, len(kept), of)


def _recount(module: nn.Module, leaf: str, axis: int, kept: int, of: int) -> None:
    """The counts that torch's own layers keep of their weights' axes."""
    from torch import nn
    from torch.nn.modules.batchnorm import _NormBase
    from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

    if isinstance(module, _ConvTransposeNd) and leaf == "weight":
        _set(module, "in_channels" if axis == 0 else "out_channels", kept * (1 if axis == 0 else module.groups))
    elif isinstance(module, _ConvNd) and leaf == "weight":
        if axis == 0 and module.groups > 1 and module.weight.shape[1] == 1:
            # Depthwise: what goes takes its own group along.
            module.groups = module.groups * kept // of
            module.in_channels = module.groups
        if axis == 0:
            module.out_channels = kept
        elif axis == 1:
            module.in_channels = kept * module.groups
    elif isinstance(module, nn.Linear) and leaf == "weight":
        _set(module, "out_features" if axis == 0 else "in_features", kept)
    elif isinstance(module, _NormBase) and leaf in ("weight", "running_mean"):
        module.num_features = kept
    elif isinstance(module, nn.Embedding) and leaf == "weight":
        _set(module, "num_embeddings" if axis == 0 else "embedding_dim", kept)
    elif isinstance(module, nn.GroupNorm) and leaf == "weight":
        module.num_channels = kept
        module.num_groups = kept if module.num_groups == of else module.num_groups
    elif isinstance(module, nn.PReLU) and leaf == "weight":
        module.num_parameters = kept


def _set(module: nn.Module, attribute: str, value: int) -> None:
    setattr(module, attribute, value)


def set_count(network: nn.Module, module: str, attribute: str, value: int, was: int, place: int | None) -> None:
    """Sets a counting attribute, or one place of it where it is a tuple. Raises CantCut where it was another number."""
    owner = _module(network, module)
    found: Any = getattr(owner, attribute, None)
    now = found if place is None else found[place] if found is not None and place < len(found) else None
    if now != was:
        raise CantCut(f"has {attribute} = {now!r} where the plan counts {was}")
    if place is None:
        setattr(owner, attribute, value)
    else:
        setattr(owner, attribute, type(found)((*found[:place], value, *found[place + 1 :])))


def remove(network: nn.Module, name: str) -> None:
    """Puts a Skip in the module's place. Raises CantCut."""
    from pipeline.pruning.modules import Skip

    _replace(network, name, Skip(_module(network, name)))


def swap(network: nn.Module, name: str, by: str) -> None:
    """Makes an nn.MultiheadAttention (by="heads") one whose heads can be cut, same outputs. Raises CantCut."""
    from pipeline.pruning.modules import HeadwiseAttention

    module = _module(network, name)
    if by != "heads":
        raise CantCut(f"can't be swapped by {by!r}")
    if (reason := cant_swap(module)) is not None:
        raise CantCut(reason)
    module.__class__ = HeadwiseAttention
    # nn.TransformerEncoderLayer has a fused path of its own that reads the weights past forward(): this declines it.
    _setattr(module, "_qkv_same_embed_dim", False)


def cant_swap(module: nn.Module) -> str | None:
    """Why a module is no nn.MultiheadAttention whose heads can be made cuttable; None where it is one."""
    from torch import nn

    if type(module) is not nn.MultiheadAttention:
        return f"is a {type(module).__name__}, no MultiheadAttention"
    if module.in_proj_weight is None or module.bias_k is not None or module.add_zero_attn:
        return "has keys or values of another width, or added ones"
    return None


def keep_rows(network: nn.Module, name: str, kept: Sequence[int], of: int, unknown: int) -> None:
    """Leaves an embedding the rows `kept`; it goes on taking the old numbers. Raises CantCut."""
    from torch import nn

    from pipeline.pruning.modules import RowEmbedding

    module = _module(network, name)
    if type(module) is not nn.Embedding:
        raise CantCut(f"is a {type(module).__name__}, no embedding")
    if module.num_embeddings != of:
        raise CantCut(f"has {module.num_embeddings} rows where the plan counts {of}")
    sharing = [key for key, value in network.named_parameters(remove_duplicate=False) if value is module.weight]
    if len(sharing) > 1:
        raise CantCut(f"shares its weight with {sharing[1] if sharing[0].startswith(name) else sharing[0]!r}")
    if unknown not in kept or min(kept) < 0 or max(kept) >= of:
        raise CantCut(f"can't keep {len(kept)} of its {of} rows, with row {unknown} for the others")
    _replace(network, name, RowEmbedding(module, kept, unknown))


def _module(network: nn.Module, name: str) -> nn.Module:
    try:
        return network.get_submodule(name)
    except AttributeError as error:
        raise CantCut("is not there") from error


def _setattr(module: nn.Module, name: str, value: Any) -> None:
    setattr(module, name, value)


def _replace(network: nn.Module, name: str, new: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    new.train(network.training)
    setattr(network.get_submodule(parent), leaf, new)
