"""Layers that can go whole: found by trying, in every form that a residual sum is written; what isn't one stays."""

from __future__ import annotations

import copy
import importlib.util

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.architectures.resnet import resnet20
from pipeline.pruning.layers import find_layers, without
from pipeline.pruning.plan import PruningPlan, Remove, replay
from tests.pipeline import nets
from tests.prerequisites import require

WIDTH = 16


class Attention(nn.Module):
    """Self-attention of two heads with fused q, k and v; `adds`: with its norm before it and the sum after it."""

    def __init__(self, adds: bool = False) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.adds = adds

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).unflatten(-1, (3, 2, 8)).permute(2, 0, 3, 1, 4)
        y = self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + y if self.adds else y


class Mlp(nn.Module):
    def __init__(self, adds: bool = False) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 32), nn.Linear(32, WIDTH)
        self.adds = adds

    def forward(self, x: Tensor) -> Tensor:
        y = self.down(F.gelu(self.up(self.norm(x))))
        return x + y if self.adds else y


class Layer(nn.Module):
    """A transformer layer, norms first; `apart`: its two halves are residual modules themselves."""

    def __init__(self, apart: bool = False) -> None:
        super().__init__()
        self.attention, self.mlp, self.apart = Attention(apart), Mlp(apart), apart

    def forward(self, x: Tensor) -> Tensor:
        if self.apart:
            return self.mlp(self.attention(x))
        x = x + self.attention(x)
        return x + self.mlp(x)


class Scaled(nn.Module):
    """A block with layer scale (CaiT), and a norm on what it adds (Swin v2)."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp, self.norm = Mlp(), nn.LayerNorm(WIDTH)
        self.scale = nn.Parameter(torch.full((WIDTH,), 1e-4))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * self.norm(self.mlp(x))


class RootNorm(nn.Module):
    """A norm of the user's own (RMSNorm, Zhang and Sennrich 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((WIDTH,), 0.3))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * self.weight


class NormLast(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mlp, self.norm = Mlp(), RootNorm()

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x + self.mlp(x))


class Stage(nn.Module):
    """Layers in a module of the user's own, with a norm after them."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.layers, self.norm = nn.ModuleList(Layer() for _ in range(count)), nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


class Inverted(nn.Module):
    """MobileNetV2's block: it adds its input only where the shape stays and `adds`."""

    def __init__(self, outputs: int, stride: int = 1, adds: bool = True) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(8, 24, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU6(),
            nn.Conv2d(24, 24, 3, stride, 1, groups=24, bias=False), nn.BatchNorm2d(24), nn.ReLU6(),
            nn.Conv2d(24, outputs, 1, bias=False), nn.BatchNorm2d(outputs, eps=1e-3),
        )  # fmt: skip
        self.adds = adds and stride == 1 and outputs == 8

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.adds else self.body(x)


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(8, 8, 3, 1, 1), nn.BatchNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


class Gate(nn.Module):
    """Squeeze-and-excite: a product with the input, no sum."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.up(F.relu(self.down(x.mean((2, 3), keepdim=True)))))


class Highway(nn.Module):
    """Srivastava et al. 2015: part of the input goes on, as much as a gate says."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.gate = nn.Conv2d(8, 8, 3, 1, 1), nn.Conv2d(8, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate(x))
        return gate * self.body(x) + (1 - gate) * x


class Dense(nn.Module):
    """DenseNet's layer: what it computes comes beside its input, and a 1x1 convolution brings back the width."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.join = nn.Conv2d(8, 4, 3, 1, 1), nn.Conv2d(12, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.join(torch.cat([x, self.conv(x)], 1))


class Shuffle(nn.Module):
    """ShuffleNetV2's unit: half of the channels pass by, then all are shuffled."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(4, 4, 3, 1, 1), nn.BatchNorm2d(4))

    def forward(self, x: Tensor) -> Tensor:
        left, right = x.chunk(2, 1)
        return torch.stack([left, self.body(right)], 2).flatten(1, 2)


def tokens(count: int = 2) -> Tensor:
    return torch.randn(count, 5, WIDTH, generator=torch.Generator().manual_seed(3))


def around(*layers: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(WIDTH, WIDTH), *layers, nn.Linear(WIDTH, 3)).eval()


def pictured(*layers: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 8, 3, 1, 1), nn.ReLU(), *layers, nn.Flatten(), nn.LazyLinear(3)).eval()


def test_blocks_of_a_resnet_are_found_and_those_with_a_shortcut_convolution_kept_with_the_reason() -> None:
    removable, kept = find_layers(resnet20(stem_stride=1), (nets.pictures(),))
    assert removable == [f"blocks.{place}" for place in (0, 1, 2, 4, 5, 7, 8)]
    assert [one.module for one in kept] == ["blocks.3", "blocks.6"]
    assert kept[0].reason == "it changes the shape, [4, 16, 8, 8] to [4, 32, 4, 4]"


@pytest.mark.parametrize("name", ["vgg", "flat", "concat", "grouped", "layer_norm"])
def test_layers_of_a_network_without_residuals_are_none(name: str) -> None:
    assert find_layers(nets.make(name), (nets.pictures(),)) == ([], [])


def test_blocks_with_pre_activation_are_found() -> None:
    assert find_layers(nets.make("pre_activation"), (nets.pictures(),))[0] == ["1", "2"]


@pytest.mark.parametrize("kind", [Plain, Gate, Highway, Dense, Shuffle])
def test_module_that_keeps_the_shape_but_adds_nothing_to_its_input_is_no_layer(kind: type[nn.Module]) -> None:
    assert find_layers(pictured(kind(), nn.Sequential(kind(), kind())), (nets.pictures(),)) == ([], [])


def test_inverted_residuals_go_where_they_add_and_the_others_say_why_not() -> None:
    net = pictured(Inverted(8), Inverted(8, stride=2), Inverted(8, adds=False), Inverted(8), Inverted(12))
    removable, kept = find_layers(net, (nets.pictures(),))
    assert removable == ["2", "5"]
    assert {one.module: one.reason for one in kept} == {
        "3": "it changes the shape, [4, 8, 8, 8] to [4, 8, 4, 4]",
        "4": "it doesn't add its input to what it computes",
        "6": "it changes the shape, [4, 8, 4, 4] to [4, 12, 4, 4]",
    }


@pytest.mark.parametrize("kind", [Layer, Scaled, NormLast])
def test_transformer_layers_are_found_wherever_their_norm_is(kind: type[nn.Module]) -> None:
    assert find_layers(around(kind(), kind()), (tokens(),))[0] == ["1", "2"]


def test_transformer_layer_of_residual_halves_is_taken_whole() -> None:
    assert find_layers(around(Layer(apart=True), Layer(apart=True)), (tokens(),))[0] == ["1", "2"]


def test_module_that_only_passes_its_input_on_is_no_layer() -> None:
    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Linear(WIDTH, WIDTH)

        def forward(self, x: Tensor) -> Tensor:
            return x

    assert find_layers(around(Idle()), (tokens(),)) == ([], [])


def test_layers_are_found_whatever_the_batch_statistics_are() -> None:
    net = pictured(Inverted(8))
    with torch.no_grad():
        for part in net[2].modules():  # type: ignore[index]
            if isinstance(part, nn.BatchNorm2d):
                assert part.running_mean is not None
                part.running_mean.fill_(3.0)
    assert find_layers(net, (nets.pictures(),))[0] == ["2"]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_layers_within_a_stage_are_found_and_not_the_stage(count: int) -> None:
    net = around(Stage(count))
    assert find_layers(net, (tokens(),))[0] == [f"1.layers.{place}" for place in range(count)]


def test_layers_of_what_an_earlier_round_left_are_the_others() -> None:
    net = around(Stage(3))
    replay(PruningPlan([Remove("1.layers.1")]), net)
    assert find_layers(net, (tokens(),))[0] == ["1.layers.0", "1.layers.2"]


@pytest.mark.parametrize("first", [True, False])
def test_layers_of_torchs_own_encoder_are_found(first: bool) -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(WIDTH, 2, 32, batch_first=True, norm_first=first)
    removable, kept = find_layers(around(nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)), (tokens(),))
    assert (removable, kept) == ([f"1.layers.{place}" for place in range(3)], [])


def test_layers_of_a_bert_are_found() -> None:
    require(importlib.util.find_spec("transformers") is not None, "transformers: ./inv setup text")
    import transformers

    config = transformers.BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32
    )
    torch.manual_seed(0)
    net = transformers.BertModel(config).eval()  # type: ignore[no-untyped-call]
    numbers = torch.randint(1, 50, (2, 7), generator=torch.Generator().manual_seed(0))
    assert find_layers(net, (numbers,))[0] == [f"encoder.layer.{place}" for place in range(3)]


def test_layer_that_runs_more_than_once_stays() -> None:
    layer = Layer()
    removable, kept = find_layers(around(layer, layer), (tokens(),))
    assert removable == []
    assert [(one.module, one.reason) for one in kept] == [("1", "it runs 2 times in one pass")]


def test_layer_that_the_network_looks_into_stays() -> None:
    class Curious(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.head = Layer(), nn.Linear(WIDTH, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.layer(x) * self.layer.mlp.up.weight.mean())

    removable, kept = find_layers(Curious().eval(), (tokens(),))
    assert removable == []
    assert kept[0].module == "layer"
    assert "without it the forward pass fails: AttributeError" in kept[0].reason


def test_layers_are_found_whatever_the_weights_are() -> None:
    """A fresh network's last norms are often zero (Goyal et al. 2017): it computes nothing yet."""
    net = resnet20(stem_stride=1)
    wanted = find_layers(net, (nets.pictures(),))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    assert find_layers(net, (nets.pictures(),)) == wanted


def test_layers_finding_leaves_the_network_as_it_was() -> None:
    net = around(Layer(), Stage(2)).train()
    net[1].eval()  # type: ignore[index]
    before, modes = copy.deepcopy(net.state_dict()), [module.training for module in net.modules()]
    find_layers(net, (tokens(),))
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert [module.training for module in net.modules()] == modes
    assert not any(module._forward_hooks for module in net.modules())


def test_network_without_layers_shares_its_tensors_with_the_one_that_has_them() -> None:
    net, x = around(Layer(), Layer()), tokens()
    left = without(net, ["1"])
    with torch.no_grad():
        assert torch.equal(left(x), net[3](net[2](net[0](x))))  # type: ignore[index]
        net[0].weight.zero_()  # type: ignore[index]
        assert torch.equal(left(x), net[3](net[2](net[0](x))))  # type: ignore[index]
    assert isinstance(net[1], Layer)  # type: ignore[index]
