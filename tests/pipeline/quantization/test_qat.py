"""Quantisation-aware training: INT8 gets better by it, the network stays float, a killed run resumes to the bit."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from edgewright.progress import Silent
from models.data.parts import Part
from pipeline.distillation import logits_of
from pipeline.quantization.fakequant import FakeQuant, fake_quantised
from pipeline.quantization.qat import NothingToRound, in_int8, train_in_int8, train_with_few_values
from pipeline.training import Run, Schedule, cross_entropy, train
from tests.pipeline.training import runs


def _part(count: int = 256) -> Part:
    """Four classes by the corner that is bright."""
    random = torch.Generator().manual_seed(0)
    y = torch.randint(0, 4, (count,), generator=random)
    x = torch.randn(count, 1, 8, 8, generator=random) * 0.5
    for row, label in enumerate(y.tolist()):
        x[row, 0, 4 * (label // 2) : 4 * (label // 2) + 4, 4 * (label % 2) : 4 * (label % 2) + 4] += 0.5
    return Part(x.numpy(), y.numpy())


PART = _part()
X, Y = torch.from_numpy(PART.x), torch.from_numpy(PART.y)


def _judge(net: nn.Module) -> float:
    return -float(nn.functional.cross_entropy(logits_of(net, X), Y))


def _sound(folder: Path) -> nn.Module:
    """Trained in float."""
    net = runs.small()
    run = Run(net, PART, Schedule(epochs=3, batch=32, threads=1, learning_rate=0.05), 7, cross_entropy(0.0), "train")
    train(run, folder, Silent())
    return net.eval()


def _fragile(folder: Path) -> nn.Module:
    """Trained in float, then one input of its head is scaled up and its weight down: INT8 loses the other inputs."""
    net = _sound(folder)
    with torch.no_grad():
        for name in ("1.weight", "1.bias"):
            net.get_parameter(name)[0] *= 300
        net.get_parameter("5.weight")[:, :64] /= 300
    return net.eval()


def _run(net: nn.Module, epochs: int = 2, rate: float = 0.005) -> Run:
    schedule = Schedule(epochs=epochs, batch=32, threads=1, learning_rate=rate)
    return Run(net, PART, schedule, 7, cross_entropy(0.0), "qat")


def test_training_in_int8_wins_back_what_rounding_lost(tmp_path: Path) -> None:
    net = _fragile(tmp_path / "float")
    in_float, before = _judge(net), in_int8(net, _judge, X)
    assert before < in_float - 0.1
    result = train_in_int8(_run(net, epochs=4, rate=1e-5), _judge, X, tmp_path / "int8", Silent())
    assert result.best is not None and result.best > in_float - (in_float - before) / 2
    # What is left is float weights whose INT8 is what was promised.
    assert "forward" not in vars(net)
    assert in_int8(net, _judge, X) == pytest.approx(result.best, abs=1e-6)


class _Cuts(Silent):
    def __init__(self, left: int) -> None:
        self.left = left

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        self.left -= int(amount)
        if amount and self.left <= 0:
            raise KeyboardInterrupt


def test_killed_training_goes_on_to_the_same_bit(tmp_path: Path) -> None:
    def weights(prepare: Callable[[Run], None]) -> dict[str, torch.Tensor]:
        run = _run(runs.small(), epochs=3)
        prepare(run)
        return {name: value.clone() for name, value in run.network.state_dict().items()}

    def whole(run: Run) -> None:
        train_in_int8(run, _judge, X, tmp_path / "whole", Silent())

    def cut(run: Run) -> None:
        with pytest.raises(KeyboardInterrupt):
            train_in_int8(replace(run, network=runs.small()), _judge, X, tmp_path / "cut", _Cuts(12))
        train_in_int8(run, _judge, X, tmp_path / "cut", Silent())

    one, other = weights(whole), weights(cut)
    assert all(torch.equal(one[name], other[name]) for name in one)


class _SumsFirst(nn.Module):
    """A residual sum before the first attention is seen."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(64, 64), nn.Linear(64, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(1)
        return self.head(torch.softmax(x + self.stem(x), 1))


def test_resumed_training_knows_of_attention_from_the_first_batch_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    really = FakeQuant._activation

    def noted(self: FakeQuant, place: str, x: torch.Tensor) -> torch.Tensor:
        if self.net.training and place.startswith("add"):
            batches.append(1)
        return really(self, place, x)

    monkeypatch.setattr(FakeQuant, "_activation", noted)
    train_in_int8(_run(_SumsFirst(), epochs=1), _judge, X, tmp_path, Silent())
    assert batches == []  # with attention, sums stay float


def test_held_zeros_stay(tmp_path: Path) -> None:
    net = runs.small()
    weight = net.get_parameter("5.weight")
    with torch.no_grad():
        weight[:, ::2] = 0
    train_in_int8(replace(_run(net), masks=["5.weight"]), _judge, X, tmp_path, Silent())
    assert bool((weight[:, ::2] == 0).all()) and bool((weight[:, 1::2] != 0).any())


def _values(net: nn.Module) -> int:
    """The most different weights that an output channel has, of weights that are multiplied with."""
    weights = [one.detach() for name, one in net.named_parameters() if name in ("0.weight", "5.weight")]
    return max(len(set(channel.tolist())) for weight in weights for channel in weight.flatten(1))


def test_weights_of_few_values_are_trained_as_such(tmp_path: Path) -> None:
    """Two bits ruin the network as it is; trained so it does better, and what it computes is what was judged."""
    net = _sound(tmp_path / "float")
    ruined = copy.deepcopy(net)
    with fake_quantised(ruined, 2, activations=False) as quant:
        quant.settle(X[:1])
    result = train_with_few_values(replace(_run(net, 4), judge=_judge), 2, tmp_path / "few", Silent())
    assert result.best == pytest.approx(_judge(net))
    assert _judge(net) > _judge(ruined)
    assert _values(net) <= 3 < _values(_sound(tmp_path / "again"))


def test_training_in_int8_keeps_few_values(tmp_path: Path) -> None:
    net = _sound(tmp_path / "float")
    train_in_int8(_run(net), _judge, X, tmp_path / "qat", Silent(), weight_bits=4)
    assert _values(net) <= 15


def test_network_without_such_weights_is_told_before_it_is_trained(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64))
    with pytest.raises(NothingToRound, match="few values"):
        train_with_few_values(_run(net, 1000), 4, tmp_path, Silent())
    assert not list(tmp_path.iterdir())
