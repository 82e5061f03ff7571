"""Batch-norm statistics taken anew: those of the unpruned network say nothing of what a pruned one makes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


def recalibrate(network: nn.Module, batches: Iterable[tuple[Tensor, ...]]) -> int:
    """Gives every batch norm the mean statistics of `batches` (the network's inputs [B, ...]); says how many there are.

    Each batch counts the same, so give batches of one size; those of a single sample have no variance and are left
    out, and where none is left nothing changes. All else stays as it is: weights, dropout off, modes. Source: adaptive
    batch norm of EagleEye (Li et al. 2020, arXiv 2007.02491).
    """
    import torch
    from torch.nn.modules.batchnorm import _BatchNorm

    norms = [one for one in network.modules() if isinstance(one, _BatchNorm) and one.running_mean is not None]
    if not norms:
        return 0
    modes = {module: module.training for module in network.modules()}
    before = [(one, one.momentum, {key: value.clone() for key, value in one.state_dict().items()}) for one in norms]
    ran = False
    try:
        network.eval()
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the cumulative mean
            norm.train()
        with torch.no_grad():
            for batch in batches:
                if len(batch[0]) > 1:
                    network(*batch)
                    ran = True
    except BaseException:
        ran = False
        raise
    finally:
        for norm, momentum, state in before:
            norm.momentum = momentum
            if not ran:
                norm.load_state_dict(state)
        for module, mode in modes.items():
            module.training = mode
    return len(norms)
