"""Batch-norm recalibration: the statistics are those of the batches, nothing else moves."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline.network import weights_of
from pipeline.pruning.recalibrate import recalibrate


def network() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 3, 3), nn.BatchNorm2d(3), nn.Flatten()
    )


def batches(count: int = 3, size: int = 8) -> list[tuple[Tensor, ...]]:
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(size, 1, 8, 8, generator=generator) * 3 + 1,) for _ in range(count)]


def test_recalibrate_gives_the_mean_statistics_of_the_batches() -> None:
    one = network()
    with torch.no_grad():
        one[1].running_mean.fill_(50)
        one[1].running_var.fill_(9)
    assert recalibrate(one.eval(), batches()) == 2
    with torch.no_grad():
        made = [one[0](x) for (x,) in batches()]
    means = torch.stack([values.mean((0, 2, 3)) for values in made]).mean(0)
    variances = torch.stack([values.transpose(0, 1).flatten(1).var(1) for values in made]).mean(0)
    assert torch.allclose(one[1].running_mean, means, atol=1e-5)
    assert torch.allclose(one[1].running_var, variances, atol=1e-4)


def test_recalibrate_undoes_wrong_statistics() -> None:
    right, wrong = network(), network()
    recalibrate(right, batches())
    with torch.no_grad():
        wrong[4].running_mean.add_(7)
    recalibrate(wrong, batches())
    assert weights_of(right) == weights_of(wrong)
    again = weights_of(right)
    recalibrate(right, batches())
    assert weights_of(right) == again


def test_recalibrate_leaves_all_else_as_it_was() -> None:
    one = network()
    one[1].momentum = 0.3
    one.train()
    one[4].eval()
    one[0].weight.requires_grad_(False)
    modes = [module.training for module in one.modules()]
    before = {name: value.detach().clone() for name, value in one.named_parameters()}
    state = torch.get_rng_state()
    recalibrate(one, batches())
    assert [module.training for module in one.modules()] == modes
    assert (one[1].momentum, one[4].momentum) == (0.3, 0.1)
    assert all(torch.equal(value, before[name]) for name, value in one.named_parameters())
    assert not one[0].weight.requires_grad
    assert torch.equal(torch.get_rng_state(), state)  # dropout was off


def test_recalibrate_without_batch_norm_runs_nothing() -> None:
    def never() -> list[tuple[Tensor, ...]]:
        raise AssertionError

    assert recalibrate(nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2)), (batch for batch in [()] if never())) == 0
    assert recalibrate(nn.BatchNorm1d(3, track_running_stats=False), []) == 0


@pytest.mark.parametrize("given", [[], batches(2, size=1)])
def test_recalibrate_without_a_usable_batch_changes_nothing(given: list[tuple[Tensor, ...]]) -> None:
    one = network()
    before = weights_of(one)
    recalibrate(one, given)
    assert weights_of(one) == before


def test_recalibrate_that_fails_leaves_the_old_statistics() -> None:
    one = network()
    one.eval()
    before = weights_of(one)
    with pytest.raises(RuntimeError):
        recalibrate(one, [*batches(), (torch.randn(4, 2, 8, 8),)])
    assert weights_of(one) == before
    assert not any(module.training for module in one.modules())
    assert one[1].momentum == 0.1


def test_recalibrate_takes_networks_of_several_inputs() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(2)

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return self.norm(x + y)

    one = Two()
    x, y = torch.randn(6, 2), torch.randn(6, 2)
    recalibrate(one, [(x, y)])
    assert torch.allclose(one.norm.running_mean, (x + y).mean(0), atol=1e-6)  # type: ignore[arg-type]
