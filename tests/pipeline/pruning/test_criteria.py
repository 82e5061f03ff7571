"""Importance: each function against figures worked out by hand, one signature for all."""

from __future__ import annotations

import pytest
import torch

from pipeline.pruning.criteria import CRITERIA, NEEDS_GRADIENTS, l1, taylor

VALUES = torch.tensor([[1.0, -2.0], [0.5, 0.5], [-3.0, 3.0]])
GRADIENTS = torch.tensor([[2.0, 1.0], [1.0, 1.0], [1.0, 0.5]])


def test_l1_sums_magnitudes() -> None:
    assert l1(VALUES, None).tolist() == [3.0, 1.0, 6.0]


def test_taylor_is_the_magnitude_of_the_summed_products() -> None:
    # 2 - 2 cancels: what the first-order change of the loss is, is the sum and not its parts.
    assert taylor(VALUES, GRADIENTS).tolist() == [0.0, 1.0, 1.5]


def test_taylor_predicts_the_losss_change_where_the_loss_is_linear() -> None:
    weight = torch.tensor([[1.0, 2.0], [3.0, -1.0]], requires_grad=True)
    factors = torch.tensor([[0.5, 1.0], [2.0, 4.0]])
    (weight * factors).sum().backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None
    change = [abs(float((weight[row] * factors[row]).sum().detach())) for row in range(2)]
    assert taylor(weight.detach(), weight.grad).tolist() == change


def test_taylor_without_gradients_says_so() -> None:
    with pytest.raises(ValueError, match="gradients"):
        taylor(VALUES, None)


@pytest.mark.parametrize("name", CRITERIA)
def test_criterion_gives_one_finite_score_a_unit(name: str) -> None:
    scores = CRITERIA[name](VALUES, GRADIENTS if name in NEEDS_GRADIENTS else None)
    assert scores.shape == (3,)
    assert bool(torch.isfinite(scores).all())
    assert bool((scores >= 0).all())
