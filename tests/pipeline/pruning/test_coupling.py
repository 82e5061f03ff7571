"""What goes with what: each case is a coupling that a wrong rule would miss. Whole networks are the zoo's."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.pruning.coupling import find_structure, prepare
from pipeline.pruning.groups import Group, Structure
from pipeline.pruning.tracer import NotTraceable
from pipeline.pruning.trial import cut_copy
from tests.pipeline import nets


def structure(network: nn.Module, *example: Tensor) -> Structure:
    torch.manual_seed(0)
    prepare(network)
    return find_structure(network.eval(), example or (nets.pictures(2),))


def tensors(group: Group) -> set[tuple[str, int]]:
    return {(axis.tensor, axis.axis) for axis in group.axes if axis.tensor.endswith("weight")}


def reasons(found: Structure) -> dict[str, str]:
    return {one.module: one.reason for one in found.left}


def test_residual_add_couples_both_sides_and_all_readers() -> None:
    found = structure(nets.make("mobile"))
    assert tensors(found.by_name["stem"]) == {
        ("stem.weight", 0), ("norm.weight", 0), ("project.weight", 0), ("norm3.weight", 0), ("expand.weight", 1),
        ("head.weight", 1),
    }  # fmt: skip


def test_depthwise_channels_go_with_their_inputs() -> None:
    found = structure(nets.make("mobile"))
    assert ("depthwise.weight", 0) in tensors(found.by_name["expand"])
    assert "depthwise" not in found.by_name


def test_concatenated_branches_are_groups_of_their_own_at_their_offset() -> None:
    found = structure(nets.make("concat"))
    right = next(axis for axis in found.by_name["right"].axes if axis.tensor == "join.weight")
    assert right.indices[0] == (16,)
    assert right.size == 40
    assert found.by_name["left"].units == 16


def test_flattened_channel_is_many_inputs_of_a_linear_layer() -> None:
    found = structure(nets.make("flat"))
    axis = next(axis for axis in found.by_name["conv2"].axes if axis.tensor == "hidden.weight")
    assert axis.indices[1] == tuple(range(16, 32))


def test_last_layer_is_left_alone_as_the_output() -> None:
    assert reasons(structure(nets.make("vgg"))) == {"9.linear": "they are the network's outputs"}


def test_channels_under_a_layer_norm_are_left_alone_with_its_name() -> None:
    found = structure(nets.make("layer_norm"))
    assert "1.norm" in reasons(found)["0"]
    assert "2" in found.by_name


def test_grouped_convolution_loses_the_same_place_in_every_group() -> None:
    found = structure(nets.make("grouped"))
    axis = found.by_name["2"].axes[0]
    assert found.by_name["2"].units == 8
    assert axis.indices[0] == (0, 8)


class Shuffle(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.deep = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.conv(x).chunk(2, 1)
        x = torch.cat([left, F.hardswish(self.deep(right))], 1)
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        return self.head(x.mean((2, 3)))


def test_channel_shuffle_is_followed_to_its_readers() -> None:
    found = structure(Shuffle())
    (group,) = found.groups
    assert group.units == 4
    axes = {axis.tensor: axis.indices for axis in group.axes}
    assert axes["conv.weight"][1] == (1, 5)
    assert axes["head.weight"][1] == (2, 3)


class Fused(nn.Module):
    """Attention with one matrix for queries, keys and values, and the number of heads in an attribute."""

    def __init__(self, scores: bool) -> None:
        super().__init__()
        self.heads, self.width, self.scores = 3, 4, scores
        self.qkv, self.out = nn.Linear(12, 36), nn.Linear(12, 12)

    def forward(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, self.heads, self.width).permute(2, 0, 3, 1, 4).unbind(0)
        if self.scores:
            y = (q @ k.transpose(-2, -1) * self.width**-0.5).softmax(-1) @ v
        else:
            y = F.scaled_dot_product_attention(q, k, v)
        return self.out(y.transpose(1, 2).reshape(n, t, self.heads * self.width))


@pytest.mark.parametrize("scores", [True, False])
def test_head_takes_its_queries_keys_values_and_outputs_along(scores: bool) -> None:
    net = Fused(scores)
    found = structure(net, torch.randn(2, 5, 12))
    (group,) = found.groups
    assert (group.kind, group.units) == ("heads", 3)
    axes = {axis.tensor: axis.indices for axis in group.axes}
    assert axes["qkv.weight"][1] == (4, 5, 6, 7, 16, 17, 18, 19, 28, 29, 30, 31)
    assert axes["out.weight"][1] == (4, 5, 6, 7)
    small = cut_copy(net, [(group, [0, 2])])
    assert small.heads == 2
    assert small(torch.randn(2, 5, 12)).shape == (2, 5, 12)


def test_attribute_that_counts_heads_is_found_under_any_name() -> None:
    class Odd(Fused):
        def __init__(self) -> None:
            super().__init__(False)
            self.n, self.all, self.layers = 3, 12, 7

        def forward(self, x: Tensor) -> Tensor:
            q, k, v = (y.reshape(*x.shape[:2], self.n, -1).transpose(1, 2) for y in self.qkv(x).chunk(3, -1))
            return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(*x.shape[:2], self.all))

    (group,) = structure(Odd(), torch.randn(2, 5, 12)).groups
    assert {(count.attribute, count.per_unit) for count in group.counts} >= {("n", 1), ("all", 4)}
    assert all(count.attribute != "layers" for count in group.counts)


class Sliced(nn.Module):
    """Its forward names a channel's number, which no attribute holds."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.one, self.two, self.head = (
            nn.Conv2d(1, 8, 1),
            nn.Conv2d(6, 4, 1),
            nn.Conv2d(2, 4, 1),
            nn.Linear(4, 2),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return self.head((self.one(x[:, :6]) + self.two(x[:, 6:])).mean((2, 3)))


def test_channels_before_a_fixed_number_are_left_alone_those_after_it_can_go() -> None:
    found = structure(Sliced())
    assert found.by_name["conv#2"].axes[0].indices == ((6,), (7,))
    assert "conv" not in found.by_name
    assert "one" in found.by_name
    assert "forward pass fails" in reasons(found)["conv"]


class Raw(nn.Module):
    """Bare parameters: a matrix, a scale a channel, and a position embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix, self.scale = nn.Parameter(torch.randn(6, 10)), nn.Parameter(torch.ones(10))
        self.place, self.head = nn.Parameter(torch.randn(1, 5, 10)), nn.Linear(10, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(((x @ self.matrix + self.place) * self.scale).relu().mean(1))


def test_bare_parameters_are_cut_with_their_channels() -> None:
    (group,) = structure(Raw(), torch.randn(2, 5, 6)).groups
    assert {(axis.tensor, axis.axis) for axis in group.axes} == {
        ("matrix", 1), ("scale", 0), ("place", 2), ("head.weight", 1),
    }  # fmt: skip
    assert {axis.tensor for axis in group.axes if axis.makes} == {"matrix", "scale", "place"}


class Sums(nn.Module):
    """Attention written with einsum over [batch, heads, tokens, width]."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.qkv, self.out = 3, nn.Linear(12, 36), nn.Linear(12, 12)

    def forward(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        q, k, v = (one.view(n, t, self.heads, 4) for one in self.qkv(x).chunk(3, -1))
        scores = torch.einsum("bihd,bjhd->bhij", q, k).softmax(-1)
        return self.out(torch.einsum("bhij,bjhd->bihd", scores, v).reshape(n, t, -1))


def test_heads_are_followed_through_einsum() -> None:
    from pipeline.network import measure

    net = Sums()
    found = structure(net, torch.randn(2, 5, 12))
    (group,) = found.groups
    assert (group.kind, group.units) == ("heads", 3)
    small = cut_copy(net, [(group, [1])])
    assert found.size({group.name: [1]}).macs == measure(small, torch.randn(1, 5, 12)).macs


class Tied(nn.Module):
    """A decoder with its encoder's weight: one tensor, made along one axis and read along it too."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.hidden = nn.Embedding(20, 8), nn.Linear(8, 8)
        self.decoder = nn.Linear(8, 20, bias=False)
        self.decoder.weight = self.tokens.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.tokens(x)
        return self.decoder(x + self.hidden(x).relu())


def test_tied_weights_are_cut_as_one_and_stay_tied() -> None:
    net = Tied()
    found = structure(net, torch.randint(0, 20, (2, 5)))
    (group,) = found.groups
    assert ("tokens.weight", 1) in tensors(group)
    small = cut_copy(net, [(group, [0, 3, 5])])
    assert isinstance(small, Tied)
    assert small.decoder.weight is small.tokens.weight
    assert (small.decoder.in_features, small.tokens.embedding_dim) == (3, 3)
    assert reasons(found)["decoder"] == "it shares the weight of tokens"


def test_module_that_forward_never_calls_is_left_alone_and_said_so() -> None:
    net = Raw()
    net.spare = nn.Linear(8, 8)
    found = structure(net, torch.randn(2, 5, 6))
    assert reasons(found)["spare"] == "the forward pass does not use it"


def test_shape_that_depends_on_the_data_is_refused() -> None:
    class Picks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.a(x[x.sum(1) > 0])

    with pytest.raises(NotTraceable, match="depends on the data"):
        structure(Picks(), torch.randn(2, 6))


class FirstQuarter(nn.Module):
    """Rolls the first quarter of its channels, however many there are: right for some choices of channels by chance."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 16, 3, padding=1), nn.Linear(16 * 64, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        fold = x.shape[1] // 4
        return self.head(torch.cat([x[:, :fold].roll(1, -1), x[:, fold:]], 1).flatten(1))


def test_cut_that_is_right_by_chance_for_one_choice_is_not_taken() -> None:
    assert not [group for group in structure(FirstQuarter()).groups if group.name.startswith("conv")]


def test_operation_without_a_rule_leaves_alone_and_names_itself() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(torch.fft.fft(self.a(x)).real)

    found = structure(Odd(), torch.randn(2, 6))
    assert not found.groups
    assert "no rule" in reasons(found)["a"]


def test_data_dependent_control_flow_is_refused_with_the_line() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            if x.sum() > 0:
                return self.a(x)
            return self.a(-x)

    with pytest.raises(NotTraceable) as caught:
        structure(Branches(), torch.randn(2, 6))
    assert "if x.sum() > 0" in str(caught.value)
    assert caught.value.remedy


def test_structure_is_the_same_when_found_again() -> None:
    first, second = structure(nets.make("resnet")), structure(nets.make("resnet"))
    assert first.groups == second.groups


def test_network_is_left_as_it_was() -> None:
    net = nets.make("resnet")
    before = {key: value.clone() for key, value in net.state_dict().items()}
    structure(net)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


@pytest.mark.parametrize("name", nets.CUTTABLE)
def test_sizes_are_what_the_cut_network_has(name: str) -> None:
    from pipeline.network import measure

    net = nets.make(name)
    found = structure(net)
    for step in (1, 2, 3):
        kept = {group.name: list(range(0, group.units, step)) for group in found.groups}
        small = cut_copy(net, [(group, kept[group.name]) for group in found.groups])
        counted, size = measure(small, nets.pictures(1)), found.size(kept)
        assert (size.params, size.macs) == (counted.params, counted.macs)
        assert size.bytes == sum(one.numel() * one.element_size() for one in [*small.parameters(), *small.buffers()])
