"""Simulated INT8: what is rounded and how, near to what a runtime gives, and gone without a trace."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.distillation import logits_of
from pipeline.export.compare import run_file
from pipeline.export.drift import sqnr
from pipeline.quantization.fakequant import fake_quantised, rounded, rounded_weight, simulated
from pipeline.quantization.static import quantise_static
from tests.pipeline import nets
from tests.pipeline.export import attentive
from tests.pipeline.export.exported import exported_net

CALIBRATION, X = nets.pictures(64, seed=2), nets.pictures(64, seed=3)


@pytest.mark.parametrize("name", ["vgg", "resnet", "mobile", "flat"])
def test_simulated_int8_is_as_far_from_float_as_onnxruntimes(name: str) -> None:
    net = nets.make(name)
    reference, fake = logits_of(net, X).numpy(), simulated(net, X, CALIBRATION).numpy()
    int8 = quantise_static(exported_net(name), CALIBRATION.numpy(), "uint8", True, False)
    real = run_file(int8.SerializeToString(), X.numpy())
    assert abs(sqnr(reference, fake) - sqnr(reference, real)) < 2
    assert sqnr(real, fake) > sqnr(reference, real)


def test_network_is_as_it_was_afterwards_also_behind_an_error() -> None:
    net = nets.make("resnet")
    before, weights = logits_of(net, X), {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(ZeroDivisionError), fake_quantised(net) as quant:
        quant.observe(CALIBRATION)
        assert not torch.equal(logits_of(net, X), before)
        raise ZeroDivisionError
    assert "forward" not in vars(net)
    assert torch.equal(logits_of(net, X), before)
    assert net.state_dict().keys() == weights.keys()
    assert all(torch.equal(value, weights[name]) for name, value in net.state_dict().items())


def test_weights_have_255_steps_a_channel_and_keep_their_zeros() -> None:
    weight = torch.randn(4, 3, 5, 5) * torch.tensor([1e-3, 1.0, 10.0, 1e3]).view(4, 1, 1, 1)
    weight[:, 0, 0] = 0
    made = rounded_weight(weight, 0)
    for channel, other in zip(made, weight, strict=True):
        steps = channel / (other.abs().max() / 127)
        assert torch.allclose(steps, steps.round(), atol=1e-3)
        assert steps.abs().max().round() == 127
    assert bool((made[weight == 0] == 0).all())
    coarse = rounded_weight(weight, None)
    assert bool((coarse[0] == 0).all())  # one scale for all loses the smallest channel
    assert not bool((made[0] == 0).all())


def test_activations_have_256_steps_with_zero_among_them_and_are_clipped() -> None:
    x = torch.linspace(-1, 5, 1001)
    made = rounded(x, -0.5, 2.0)
    assert len(set(made.tolist())) == 256
    assert float(made.min()) == pytest.approx(-0.5, abs=0.01) and float(made.max()) == pytest.approx(2.0, abs=0.01)
    assert bool((rounded(torch.zeros(1), 0.3, 2.0) == 0).all())
    assert torch.equal(rounded(x, 0.0, float("nan")), x)


def test_a_folded_batch_norm_changes_nothing_of_what_is_rounded() -> None:
    weight, scale = torch.randn(8, 4, 3, 3), torch.randn(8).view(8, 1, 1, 1)
    assert torch.allclose(rounded_weight(weight * scale, 0), rounded_weight(weight, 0) * scale, atol=1e-5)


def test_gradients_pass_through_the_rounding() -> None:
    net = nets.make("resnet").train()
    with fake_quantised(net):
        net(X).square().sum().backward()
    assert all(bool(one.grad is not None and one.grad.abs().sum() > 0) for one in net.parameters())


def test_in_training_every_batch_has_its_own_ranges() -> None:
    net = nets.make("vgg").train()
    with fake_quantised(net) as quant:
        outputs = net(X * 100)
        assert len(set(outputs.flatten().tolist())) <= 256 < outputs.numel()
        assert quant.ranges == {}
        quant.observe(CALIBRATION)
        assert not net.training
        assert quant.ranges["0.weight"] == (float(CALIBRATION.min()), float(CALIBRATION.max()))


class Shared(nn.Module):
    """One layer that runs twice, and a product with a bare parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.table = nn.Linear(64, 64), nn.Parameter(torch.randn(64, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(torch.relu(self.layer(x.flatten(1)))) @ self.table


def test_every_use_of_a_weight_and_every_residual_sum_is_seen() -> None:
    torch.manual_seed(0)
    with fake_quantised(Shared().eval()) as quant:
        quant.observe(X)
    assert list(quant.ranges) == ["layer.weight", "layer.weight#2", "table", "output"]
    with fake_quantised(nets.make("resnet")) as quant:
        quant.observe(X)
    assert {"add of 1", "add of 2", "add#3 of 2", "blocks.1.shortcut.0.weight", "head.weight"} <= set(quant.ranges)
    with fake_quantised(attentive.made(attentive.Patches)) as quant:
        quant.observe(X)
    assert "qkv.weight" in quant.ranges
    assert not any(name.startswith("add") for name in quant.ranges)  # they stay float where there is attention


def test_multihead_attention_and_embeddings_are_rounded_too() -> None:
    net, ids = attentive.made(attentive.Words), attentive.tokens(32)
    fake = simulated(net, ids, ids)
    ratio = sqnr(logits_of(net, ids).numpy(), fake.numpy())
    assert 20 < ratio < 45
    net.get_parameter("words.weight").data[1] = 100.0  # now one scale for the table is too coarse for its other rows
    ids = torch.where(ids == 1, 2, ids)
    assert sqnr(logits_of(net, ids).numpy(), simulated(net, ids, ids).numpy()) < ratio - 6


@pytest.mark.parametrize(("name", "bits"), [("resnet", 5), ("mobile", 4), ("vgg", 2)])
def test_settled_weights_have_few_values_a_channel_and_int8_says_them_all(name: str, bits: int) -> None:
    net = nets.make(name)
    with fake_quantised(net, bits, activations=False) as quant:
        before = logits_of(net, X)
        quant.settle(X[:1])
    assert torch.allclose(logits_of(net, X), before, atol=1e-4)
    values = 2**bits - 1
    weights = [one for key, one in net.named_parameters() if key.endswith("weight") and one.dim() > 1]
    for weight in weights:
        assert max(len(set(channel.tolist())) for channel in weight.flatten(1)) <= values
        steps = rounded_weight(weight, 0) / weight.flatten(1).abs().amax(1).div(127).view(-1, *[1] * (weight.dim() - 1))
        assert len(set(steps.round().flatten().tolist())) <= values


def test_only_weights_are_rounded_where_activations_are_not() -> None:
    net = nets.make("resnet")
    with fake_quantised(net, 5, activations=False) as quant:
        quant.settle(X[:1])
        quant.observe(CALIBRATION)
        assert quant.ranges == {}


class Odd(nn.Module):
    """A table that the head shares, a weight that is made anew, a slice, a vector, and one plain layer."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(20, 16)
        self.plain = nn.Linear(16, 16, bias=False)
        self.made = nn.utils.parametrizations.weight_norm(nn.Linear(16, 16, bias=False))
        self.sliced = nn.Linear(16, 32, bias=False)
        self.query = nn.Parameter(torch.randn(16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.made(self.plain(self.words(x)))
        x = nn.functional.linear(x, self.sliced.weight[:16])
        return nn.functional.linear(x * (x @ self.query)[..., None], self.words.weight)


def test_only_what_is_settled_is_trained_as_of_few_values() -> None:
    torch.manual_seed(0)
    net, ids = Odd().eval(), torch.randint(0, 20, (4, 8))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with fake_quantised(net, 3, activations=False) as quant:
        simulated_ = logits_of(net, ids)
        assert [len(found) for found, _ in quant.weights_of_few_values(ids)] == [16]
        quant.settle(ids[:1])
    assert torch.allclose(logits_of(net, ids), simulated_, atol=1e-5)
    assert [name for name, value in net.state_dict().items() if not torch.equal(value, before[name])] == [
        "plain.weight"
    ]
