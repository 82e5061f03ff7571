"""Zeros where they were asked for, as many as were asked for, and exact ones for as long as they are held."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pipeline.pruning.sparsity import CantSparsify, hold, lost, share_of_zeros, sparsifiable, sparsify, unfit
from tests.pipeline import nets

SHARES = st.floats(0, 0.99)


def _small(seed: int = 0, *, ties: bool = False) -> nn.Sequential:
    """480 + 72 + 200 weights; the second convolution is depthwise."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(5, 8, (3, 4)), nn.Conv2d(8, 8, 3, groups=8), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 25)
    )
    if ties:
        with torch.no_grad():
            for value in net.parameters():
                value.copy_(torch.randint(-2, 3, value.shape))
    return net


def _weights(net: nn.Module) -> dict[str, Tensor]:
    return {name: dict(net.named_parameters())[name].detach().clone() for name in sparsifiable(net)}


def test_sparsifiable_names_the_weights_that_are_multiplied_and_no_others() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(20, 8)
            self.attention = nn.MultiheadAttention(8, 2)
            self.norm = nn.LayerNorm(8)
            self.up = nn.ConvTranspose1d(8, 4, 3)
            self.first = nn.Linear(8, 8)
            self.second = nn.Linear(8, 8)
            self.second.weight = self.first.weight
            self.head = nn.Linear(8, 20)
            self.head.weight = self.words.weight

    names = sparsifiable(Net())
    assert names == ["attention.in_proj_weight", "attention.out_proj.weight", "up.weight", "first.weight"]
    assert sparsifiable(nets.make("flat")) == ["conv1.weight", "conv2.weight", "hidden.weight", "head.weight"]
    assert sparsifiable(nn.Linear(3, 3)) == ["weight"]


@settings(max_examples=60, deadline=None)
@given(share=SHARES, seed=st.integers(0, 5), ties=st.booleans())
def test_global_zeros_are_the_share_of_all_and_the_least(share: float, seed: int, ties: bool) -> None:
    net = _small(seed, ties=ties)
    before = _weights(net)
    had = {name: int((value == 0).sum()) for name, value in before.items()}
    actions = sparsify(net, share)
    after = _weights(net)
    zeros, total = sum(one.zeros for one in actions), sum(value.numel() for value in before.values())
    wanted = max(share * total, sum(had.values()))
    assert abs(zeros - wanted) <= 1
    assert share_of_zeros(net) == zeros / total
    gone = torch.cat([before[n][(after[n] == 0) & (before[n] != 0)].abs() for n in before])
    # The best of each layer stays whatever the others are, so it is no measure of what had to go.
    left = torch.cat([after[n].abs().flatten().sort(descending=True).values[1:] for n in after])
    left = left[left > 0]
    assert not gone.numel() or not left.numel() or gone.max() <= left.min()
    for name, value in after.items():
        assert torch.equal(value[value != 0], before[name][value != 0])
        assert (value != 0).any() or had[name] == value.numel()


@settings(max_examples=60, deadline=None)
@given(share=SHARES, seed=st.integers(0, 5), ties=st.booleans())
def test_local_zeros_are_the_share_of_each_tensor(share: float, seed: int, ties: bool) -> None:
    net = _small(seed, ties=ties)
    before = _weights(net)
    sparsify(net, share, scope="local")
    for name, value in _weights(net).items():
        had = int((before[name] == 0).sum())
        assert abs(int((value == 0).sum()) - max(share * value.numel(), had)) <= 1
        gone, left = before[name][value == 0].abs(), value[value != 0].abs()
        assert not gone.numel() or not left.numel() or gone.max() <= left.min()


def test_global_takes_more_from_the_layer_of_small_weights() -> None:
    net = _small()
    with torch.no_grad():
        net[4].weight.mul_(0.01)  # type: ignore[operator]
    shares = {one.tensor: one.zeros / one.of for one in sparsify(net, 0.5)}
    assert shares["4.weight"] > 0.99 > shares["0.weight"]
    # The layer is not lost whole.
    assert net[4].weight.count_nonzero() == 1  # type: ignore[operator]


@pytest.mark.parametrize("scope", ["local", "global"])
def test_ninety_nine_percent_leaves_no_layer_empty(scope: str) -> None:
    net = _small()
    sparsify(net, 0.99, scope=scope)  # type: ignore[arg-type]
    assert all(value.count_nonzero() for value in _weights(net).values())


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), ties=st.booleans(), dead=st.floats(0, 0.9))
def test_two_of_four_holds_in_every_run_of_input_channels(seed: int, ties: bool, dead: float) -> None:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(8, 6, 3), nn.Conv1d(12, 3, 2), nn.Linear(16, 5), nn.Conv2d(16, 8, 1, groups=2))
    with torch.no_grad():
        for value in net.parameters():
            if ties:
                value.copy_(torch.randint(-2, 3, value.shape))
            value.masked_fill_(torch.rand(value.shape) < dead, 0.0)
    before = _weights(net)
    actions = sparsify(net, 0.5, "2:4")
    assert all(one.pattern == "2:4" and one.zeros >= one.of / 2 for one in actions)
    assert len(actions) == 4
    for name, after in _weights(net).items():
        flat, old = after.flatten(2) if after.dim() > 2 else after[..., None], before[name]
        old = old.flatten(2) if old.dim() > 2 else old[..., None]
        for output in range(flat.shape[0]):
            for place in range(flat.shape[2]):
                for start in range(0, flat.shape[1], 4):
                    run, was = flat[output, start : start + 4, place], old[output, start : start + 4, place]
                    assert int((run == 0).sum()) >= 2
                    assert torch.equal(run[run != 0], was[run != 0])
                    best = was.abs().sort(descending=True).values
                    assert torch.equal(run.abs().sort(descending=True).values[:2], best[:2])


def test_two_of_four_leaves_alone_what_cannot_have_it_and_says_why() -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 8, 1), nn.ConvTranspose2d(8, 4, 2),
        nn.Linear(6, 4),
    )  # fmt: skip
    before = _weights(net)
    assert [one.tensor for one in sparsify(net, 0.5, "2:4")] == ["2.weight"]
    reasons = unfit(net)
    assert reasons == {
        "0.weight": "1 inputs a group are no multiple of 4",
        "1.weight": "1 inputs a group are no multiple of 4",
        "3.weight": "a transposed convolution has its inputs first",
        "4.weight": "6 inputs a group are no multiple of 4",
    }
    assert all(torch.equal(before[name], _weights(net)[name]) for name in reasons)
    with pytest.raises(CantSparsify, match=r"'0\.weight': 1 inputs a group"):
        sparsify(net[:2], 0.5, "2:4")


@settings(max_examples=30, deadline=None)
@given(shares=st.lists(SHARES, min_size=2, max_size=4), scope=st.sampled_from(["local", "global"]))
def test_zeros_stay_zero_in_later_rounds(shares: list[float], scope: str) -> None:
    net = _small()
    zero: dict[str, Tensor] = {}
    for turn, share in enumerate(sorted(shares)):
        sparsify(net, share, scope=scope)  # type: ignore[arg-type]
        after = _weights(net)
        assert all((after[name][mask] == 0).all() for name, mask in zero.items())
        zero = {name: value == 0 for name, value in after.items()}
        with torch.no_grad():  # fine-tuning: what was important may be no longer
            for name, value in net.named_parameters():
                if name in zero:
                    noise = torch.randn(value.shape, generator=torch.Generator().manual_seed(turn))
                    value.copy_(torch.where(zero[name], torch.zeros(()), noise))


def test_equal_weights_go_in_their_order() -> None:
    nets_ = [nn.Linear(10, 2, bias=False) for _ in range(2)]
    for net in nets_:
        nn.init.ones_(net.weight)
        sparsify(net, 0.25)
    assert torch.equal(nets_[0].weight, nets_[1].weight)
    assert (nets_[0].weight.flatten()[:5] == 0).all() and (nets_[0].weight.flatten()[5:] == 1).all()


def test_given_scores_decide_and_not_the_magnitude() -> None:
    net = nn.Linear(4, 2, bias=False)
    with torch.no_grad():
        net.weight.copy_(torch.arange(1.0, 9.0).view(2, 4))
    scores = -net.weight.detach()
    sparsify(net, 0.5, scores={"weight": scores})
    assert net.weight.tolist() == [[1, 2, 3, 4], [0, 0, 0, 0]]
    sparsify(net, 0.625, scores={"weight": scores.abs()})
    assert net.weight.tolist() == [[0, 2, 3, 4], [0, 0, 0, 0]]


def test_only_the_named_weights_change() -> None:
    net = _small()
    before = _weights(net)
    actions = sparsify(net, 0.5, names=["4.weight"])
    assert [(one.tensor, one.zeros, one.of) for one in actions] == [("4.weight", 100, 200)]
    assert torch.equal(before["0.weight"], net[0].weight)  # type: ignore[arg-type]
    assert share_of_zeros(net, ["4.weight"]) == 0.5
    assert share_of_zeros(net) == pytest.approx(100 / 752)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"share": 1.0}, "A share of 1 of the weights can't be zero"),
        ({"share": -0.1}, "A share of -0.1"),
        ({"share": math.nan}, "A share of nan"),
        ({"share": 0.9, "pattern": "2:4"}, "2:4 sets half of the weights to zero, not 0.9"),
        ({"share": 0.5, "pattern": "1:4"}, "no pattern '1:4'"),
        ({"share": 0.5, "scope": "layer"}, "no scope 'layer'"),
        ({"share": 0.5, "names": ["5.weight"]}, "has no weight '5.weight'"),
        ({"share": 0.5, "names": []}, "no weight of a convolution"),
        ({"share": 0.999}, "leaves 1 weights for 3 layers"),
        ({"share": 0.5, "scores": {"0.weight": torch.ones(8, 5, 3, 4)}}, "'1.weight' .* has none"),
        ({"share": 0.5, "names": ["4.weight"], "scores": {"4.weight": torch.ones(8)}}, r"has the shape \[8\]"),
        ({"share": 0.5, "names": ["4.weight"], "scores": {"4.weight": torch.full((25, 8), math.nan)}}, "no numbers"),
    ],
)
def test_impossible_request_is_refused_and_changes_nothing(how: dict[str, object], said: str) -> None:
    net = _small()
    before = _weights(net)
    with pytest.raises(CantSparsify, match=said) as caught:
        sparsify(net, **how)  # type: ignore[arg-type]
    assert caught.value.remedy
    assert all(torch.equal(value, before[name]) for name, value in _weights(net).items())


def test_diverged_weights_are_refused() -> None:
    net = _small()
    with torch.no_grad():
        net[4].weight[0, 0] = math.nan  # type: ignore[operator]
    with pytest.raises(CantSparsify, match="no numbers"):
        sparsify(net, 0.5)


def test_hold_puts_exact_zeros_back_after_momentum_and_weight_decay_moved_them() -> None:
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
    optimiser = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=0.01)
    x, y = torch.randn(32, 8), torch.randint(0, 2, (32,))

    def step() -> None:
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    step()  # momentum from before the pruning is there
    names = [one.tensor for one in sparsify(net, 0.5)]
    zero = {name: value == 0 for name, value in _weights(net).items()}
    again = hold(net, names)
    for _ in range(3):
        step()
        assert any((value[zero[name]] != 0).any() for name, value in _weights(net).items())
        again()
        assert all((value[zero[name]] == 0).all() for name, value in _weights(net).items())
        assert share_of_zeros(net) == pytest.approx(0.5, abs=0.02)
    with pytest.raises(CantSparsify, match="has no weight 'nothing'"):
        hold(net, ["nothing"])


def test_lost_names_the_weight_whose_promised_zeros_are_gone() -> None:
    net = nn.Sequential(nn.Conv2d(8, 6, 3), nn.Linear(16, 5))
    actions = sparsify(net, 0.5, "2:4")
    assert lost(net, actions) == ""
    with torch.no_grad():  # as many zeros as before, but one of them has moved into the next run
        run = net[1].weight[0, :8]  # type: ignore[index]
        run[int((run[:4] == 0).nonzero()[0])] = 1.0
        run[4 + int((run[4:] != 0).nonzero()[0])] = 0.0
    assert lost(net, actions) == "'1.weight' has runs of four with more than two weights"
    with torch.no_grad():
        net[0].weight[net[0].weight == 0] = 1e-9  # type: ignore[operator]
    assert lost(net, actions) == "'0.weight' has 0 zeros, its plan says 216"


def test_lost_takes_the_last_promise_of_a_tensor() -> None:
    net = _small()
    first = sparsify(net, 0.9)
    with torch.no_grad():
        net[4].weight.fill_(1.0)  # type: ignore[operator]
    assert lost(net, first).startswith("'4.weight' has 0 zeros")
    assert lost(net, [*first, *sparsify(net, 0.6, scope="local")]) == ""
