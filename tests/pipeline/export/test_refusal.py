"""Refusals: each exporter names the operator or the choice, and the very layer where it stands, and prints nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline.export.refusal import NotExportable, layer_of
from pipeline.export.to_onnx import to_onnx
from pipeline.export.to_torch import to_torch


class Odd(nn.Module):
    """One operation of any kind before a linear layer."""

    def __init__(self, operation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.operation, self.linear = operation, nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.operation(x))


def net(operation: Callable[[Tensor], Tensor]) -> nn.Module:
    """Layers "0", "1" (the odd one) and "2"."""
    return nn.Sequential(nn.Linear(4, 4), Odd(operation), nn.Linear(4, 4)).eval()


def eigenvalues(x: Tensor) -> Tensor:
    return torch.linalg.eigvalsh(x.T @ x)[None]


def choice(x: Tensor) -> Tensor:
    return x * 2 if x.sum() > 0 else x


def broken(x: Tensor) -> Tensor:
    raise ValueError("this is no\nway to do it")


CASES = [
    (lambda net, x: to_onnx(net, x, 20), eigenvalues, "torch.onnx.export", "aten._linalg_eigh"),
    (lambda net, x: to_onnx(net, x, 20), choice, "torch.onnx.export", "data-dependent"),
    (lambda net, x: to_torch(net, x, "pt2"), choice, "torch.export", "data-dependent"),
    (lambda net, x: to_torch(net, x, "pt2"), broken, "torch.export", "ValueError: this is no"),
    (lambda net, x: to_torch(net, x, "torchscript"), broken, "torch.jit.trace", "ValueError: this is no"),
]  # fmt: skip


@pytest.mark.parametrize(("export", "operation", "by", "names"), CASES)
def test_refusal_names_operator_and_layer(
    export: Callable[[nn.Module, Tensor], Any],
    operation: Callable[[Tensor], Tensor],
    by: str,
    names: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(NotExportable) as caught:
        export(net(operation), torch.randn(1, 4))
    assert caught.value.what.startswith(by)
    assert names in caught.value.what
    assert "\n" not in caught.value.what
    assert caught.value.where == "layer 1, input [1, 4] torch.float32"
    assert capfd.readouterr() == ("", "")


def test_layer_of_leaves_no_hook_behind() -> None:
    from torch.nn.modules import module

    network = net(choice)
    assert layer_of(network, (torch.randn(1, 4),), "") == "1"
    assert not module._global_forward_pre_hooks
    assert not module._global_forward_hooks
    assert layer_of(net(torch.relu), (torch.randn(1, 4),), "nothing that it holds") is None
