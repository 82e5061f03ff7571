"""One round of pruning from wish to smaller network: what it promises, composes, proves and refuses."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.architectures.resnet import resnet20
from pipeline import network as networks
from pipeline.pruning import shrink as module
from pipeline.pruning.coupling import find_structure
from pipeline.pruning.criteria import CRITERIA, MissingEvidence
from pipeline.pruning.groups import Size, Structure
from pipeline.pruning.modules import RowEmbedding
from pipeline.pruning.plan import Cut, PlanMismatch, PruningPlan, Remove, replay
from pipeline.pruning.selection import RANKINGS
from pipeline.pruning.shrink import Evidence, ImpossibleRatio, Outcome, Wish, WrongCut, shrink
from tests.pipeline import nets

WISH = Wish(filters=0.5, criterion="l1", min_width=4, alignment=8)
WIDTH = 32


class Layer(nn.Module):
    """A transformer layer, norms first: four heads of eight, an MLP of 64 neurons."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.head_dim = 4, 8
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 64), nn.Linear(64, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        batch, count = x.shape[:2]
        q, k, v = self.qkv(self.norm1(x)).reshape(batch, count, 3, self.heads, self.head_dim).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, count, self.heads * self.head_dim)
        x = x + self.proj(y)
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Vit(nn.Module):
    """[N, 1, 8, 8] in patches of 4 to ten classes."""

    def __init__(self, depth: int = 3) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, WIDTH, 4, 4)
        self.places = nn.Parameter(torch.randn(1, 4, WIDTH) * 0.1)
        self.layers = nn.Sequential(*(Layer() for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2) + self.places
        return self.head(self.norm(self.layers(x)).mean(1))


class Words(nn.Module):
    """[N, 6] numbers of 1,200 words to ten classes, through torch's own transformer layer."""

    def __init__(self, tied: bool = False) -> None:
        super().__init__()
        self.table = nn.Embedding(1200, 16, padding_idx=0)
        self.layers = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2, enable_nested_tensor=False
        )
        self.head = nn.Linear(16, 1200 if tied else 10)
        if tied:
            self.head.weight = self.table.weight

    def forward(self, numbers: Tensor) -> Tensor:
        return self.head(self.layers(self.table(numbers)).mean(1))


def vit(depth: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return Vit(depth).eval()


def words(tied: bool = False) -> nn.Module:
    torch.manual_seed(0)
    return Words(tied).eval()


def numbers(count: int = 32) -> Tensor:
    """Words 5 to 99 only."""
    return torch.randint(5, 100, (count, 6), generator=torch.Generator().manual_seed(2))


def _evidence(x: Tensor, **more: Any) -> Evidence:
    y = torch.arange(len(x)) % 10
    return Evidence(
        lambda net, rows: F.cross_entropy(net(x[rows]), y[rows]), lambda rows: (x[rows],),
        list(torch.split(torch.arange(len(x)), 16)), **more,
    )  # fmt: skip


def _shrink(net: nn.Module, original: nn.Module, wish: Wish, x: Tensor | None = None, **more: Any) -> Outcome:
    x = nets.pictures(32) if x is None else x
    return shrink(net, original, (x[:2],), wish, _evidence(x, **more))


def _check(net: nn.Module, original: nn.Module, outcome: Outcome, x: Tensor) -> None:
    """The plan tells it all, the sizes are a library's, and the network runs."""
    again = copy.deepcopy(original)
    replay(PruningPlan.from_json(PruningPlan(outcome.actions).to_json()), again)
    assert {key: value.shape for key, value in again.state_dict().items()} == {
        key: value.shape for key, value in net.state_dict().items()
    }
    again.load_state_dict(net.state_dict())
    with torch.no_grad():
        assert torch.equal(again.eval()(x), net(x))
        assert net(x).shape == original(x).shape
    for size, made in ((outcome.before, original), (outcome.after, net)):
        counted = networks.measure(made, x[:1])
        assert (size.params, size.macs) == (counted.params, counted.macs)


@pytest.mark.parametrize("ranking", RANKINGS)
@pytest.mark.parametrize("name", ["mobile", "concat", "flat"])
def test_shrink_makes_the_network_really_smaller_and_aligned(name: str, ranking: str) -> None:
    net, x = nets.make(name), nets.pictures()
    original = copy.deepcopy(net)
    outcome = _shrink(net, original, dataclasses.replace(WISH, ranking=ranking, criterion="taylor"))
    _check(net, original, outcome, x)
    assert outcome.units
    assert outcome.after.params < outcome.before.params
    assert outcome.after.macs < outcome.before.macs
    assert outcome.after.bytes < outcome.before.bytes
    for kind, was, now in outcome.units.values():
        assert kind == "filters"
        assert now < was
        assert now % 8 == 0


@pytest.mark.parametrize("criterion", CRITERIA)
def test_shrink_takes_every_criterion_for_all_structures_at_once(criterion: str) -> None:
    net, x = vit(), nets.pictures()
    original = copy.deepcopy(net)
    wish = Wish(blocks=0.34, heads=0.5, neurons=0.5, criterion=criterion, alignment=8)
    outcome = _shrink(net, original, wish, start=vit())
    _check(net, original, outcome, x)
    assert len(outcome.blocks) == 1
    assert sorted(outcome.units.values()) == [("heads", 4, 2)] * 2 + [("neurons", 64, 32)] * 2
    assert outcome.after.params < outcome.before.params * 0.6
    kept = [layer for layer in net.layers if isinstance(layer, Layer)]  # type: ignore[union-attr]
    assert [(layer.heads, layer.up.out_features) for layer in kept] == [(2, 32)] * 2


def test_shrink_leaves_layers_that_matter() -> None:
    net = vit()
    with torch.no_grad():
        for layer in ("layers.1.proj", "layers.1.down"):
            for parameter in net.get_submodule(layer).parameters():
                parameter.zero_()
    assert _shrink(net, copy.deepcopy(net), Wish(blocks=0.34)).blocks == ["layers.1"]


@pytest.mark.parametrize("of", ["macs", "params", "bytes"])
@pytest.mark.parametrize("share", [0.4, 0.75])
@pytest.mark.parametrize("make", [vit, lambda: nets.make("resnet"), lambda: nets.make("mobile")])
def test_shrink_meets_a_budget_within_two_percent(make: Any, share: float, of: Any) -> None:
    net, x = make(), nets.pictures()
    original = copy.deepcopy(net)
    wish = Wish(budget=(of, share), criterion="l1", min_width=2, ranking="global")
    outcome = _shrink(net, original, wish)
    _check(net, original, outcome, x)
    reached = 1 - getattr(outcome.after, of) / getattr(outcome.before, of)
    assert abs(reached - share) <= 0.02


def test_shrink_meets_a_budget_with_blocks_that_go_first() -> None:
    net, x = vit(4), nets.pictures()
    original = copy.deepcopy(net)
    outcome = _shrink(net, original, Wish(blocks=0.25, budget=("macs", 0.6), criterion="l1", alignment=4, min_width=4))
    _check(net, original, outcome, x)
    assert len(outcome.blocks) == 1
    assert outcome.after.macs / outcome.whole.macs == pytest.approx(0.4, abs=0.02)


def test_shrink_takes_a_budget_from_the_structures_named_only() -> None:
    net = vit()
    wish = Wish(budget=("params", 0.3), structures=("neurons",), criterion="l1", min_width=4)
    outcome = _shrink(net, copy.deepcopy(net), wish)
    assert {kind for kind, _, _ in outcome.units.values()} == {"neurons"}


def test_shrink_by_a_higher_ratio_leaves_no_more() -> None:
    sizes = []
    for filters in (0.2, 0.4, 0.6, 0.8):
        net = nets.make("resnet")
        _shrink(net, copy.deepcopy(net), dataclasses.replace(WISH, filters=filters, alignment=4))
        sizes.append(networks.measure(net, nets.pictures(1)).params)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1]


def test_shrink_in_two_rounds_composes_into_one_plan_from_the_original() -> None:
    torch.manual_seed(0)
    original = resnet20(widths=(16, 16, 32), stem_stride=1).eval()
    net, plan = copy.deepcopy(original), PruningPlan()
    for share in (0.5, 1.0):
        wish = dataclasses.replace(WISH, blocks=0.6 * share, filters=0.5 * share, criterion="taylor", alignment=4)
        outcome = _shrink(net, original, wish)
        assert outcome.blocks
        assert outcome.units
        plan.actions += outcome.actions
    assert sum(isinstance(action, Remove) for action in plan.actions) == round(0.6 * 7)
    again = copy.deepcopy(original)
    replay(PruningPlan.from_json(plan.to_json()), again)
    x = nets.pictures()
    with torch.no_grad():
        assert torch.equal(again(x), net(x))
    assert networks.measure(net, x[:1]).params < networks.measure(original, x[:1]).params / 3


def test_shrink_in_two_rounds_meets_the_whole_budget_in_the_last() -> None:
    original = vit()
    net = copy.deepcopy(original)
    for share, final in ((0.3, False), (0.6, True)):
        wish = Wish(blocks=0.34, budget=("params", share), criterion="l1", min_width=4, final=final)
        outcome = _shrink(net, original, wish)
    assert 1 - outcome.after.params / outcome.whole.params == pytest.approx(0.6, abs=0.02)
    assert outcome.whole.params == networks.measure(original, nets.pictures(1)).params
    assert outcome.before.params < outcome.whole.params


def test_shrink_to_a_share_that_is_already_gone_takes_nothing_more() -> None:
    original = nets.make("resnet")
    net = copy.deepcopy(original)
    assert _shrink(net, original, WISH).units
    assert _shrink(net, original, WISH).units == {}


def test_shrink_aligns_channels_and_not_units_of_a_grouped_convolution() -> None:
    net = nets.make("grouped")
    _shrink(net, copy.deepcopy(net), WISH)
    # Two groups of eight channels: a unit is one channel of each.
    assert net.get_submodule("2").out_channels == 8


def test_shrink_early_round_that_is_too_small_to_take_anything_takes_nothing() -> None:
    torch.manual_seed(0)
    original = resnet20(widths=(16, 16, 32), stem_stride=1).eval()
    net = copy.deepcopy(original)
    early = dataclasses.replace(WISH, blocks=0.05, filters=0.02, final=False)
    outcome = _shrink(net, original, early)
    assert outcome.actions == []
    assert outcome.before == outcome.after
    assert networks.measure(net, nets.pictures(1)) == networks.measure(original, nets.pictures(1))


def test_shrink_says_what_it_left_alone() -> None:
    net = nets.make("layer_norm")
    outcome = _shrink(net, copy.deepcopy(net), WISH)
    assert "norm" in outcome.left_alone["0"]
    assert outcome.left_alone["4.linear"]
    assert outcome.units


def test_shrink_leaves_skipped_modules_alone() -> None:
    net = vit(4)
    before = {key: value.shape for key, value in net.state_dict().items()}
    wish = Wish(blocks=0.5, heads=0.5, neurons=0.5, criterion="l1", skip=("layers.1", "layers.2.up"))
    outcome = _shrink(net, copy.deepcopy(net), wish)
    # layers.2 can't go whole either: what is skipped is inside of it. Half of the two others is one.
    assert outcome.blocks in (["layers.0"], ["layers.3"])
    assert {outcome.left_alone[name] for name in ("layers.1", "layers.2", "layers.2.up")} == {"shrink.skip names it"}
    after = {key: value.shape for key, value in net.state_dict().items()}
    assert all(after[key] == before[key] for key in before if key.startswith("layers.1"))
    left = "layers.3" if outcome.blocks == ["layers.0"] else "layers.0"
    assert {name.rpartition(".")[0]: kind for name, (kind, _, _) in outcome.units.items() if kind == "neurons"} == {
        left: "neurons"
    }
    assert {name.rpartition(".")[0] for name, (kind, _, _) in outcome.units.items() if kind == "heads"} == {
        left, "layers.2",
    }  # fmt: skip


def test_shrink_drops_rows_that_the_samples_never_use() -> None:
    net, x = words(), numbers()
    original = copy.deepcopy(net)
    outcome = _shrink(net, original, Wish(vocabulary=True, budget=("bytes", 0.7), criterion="l1", min_width=4), x)
    _check(net, original, outcome, x)
    used = len(set(x.flatten().tolist()))
    assert outcome.rows == {"table": (1200, used + 1)}  # and the padding
    assert isinstance(net.get_submodule("table"), RowEmbedding)
    assert outcome.after.bytes / outcome.whole.bytes == pytest.approx(0.3, abs=0.02)


def test_shrink_looks_for_rows_in_all_samples_and_not_only_in_the_evidence() -> None:
    net, x = words(), numbers()
    rare = copy.deepcopy(x)
    rare[20, 3] = 777
    given = _evidence(rare)
    given.batches = given.batches[:1]
    everything = list(torch.split(torch.arange(len(rare)), 8))
    outcome = shrink(net, words(), (x[:2],), Wish(vocabulary=True), given, everything)
    (action,) = [action for action in outcome.actions if action.kind == "rows"]
    assert 777 in action.kept  # type: ignore[union-attr]


def test_shrink_of_tied_embeddings_rows_is_refused_with_the_reason() -> None:
    net = words(tied=True)
    with pytest.raises(ImpossibleRatio, match="No embedding") as caught:
        shrink(net, words(tied=True), (numbers(2),), Wish(vocabulary=True), _evidence(numbers()))
    assert "head.weight" in caught.value.where


def test_shrink_keeps_modes_statistics_and_frozen_layers_and_leaves_no_gradient() -> None:
    net = nets.make("resnet").train()
    net.get_submodule("blocks.0").requires_grad_(False)
    net.get_submodule("norm").eval()
    before, original = copy.deepcopy(net.state_dict()), copy.deepcopy(net)
    modes = [m.training for m in net.modules()]
    outcome = _shrink(net, original, dataclasses.replace(WISH, criterion="taylor"))
    assert [m.training for m in net.modules()] == modes
    assert all(parameter.grad is None for parameter in net.parameters())
    frozen = {name for name, parameter in net.named_parameters() if not parameter.requires_grad}
    assert frozen == {name for name, _ in net.named_parameters() if name.startswith("blocks.0.")}
    cut = {action.tensor: action for action in outcome.actions if isinstance(action, Cut)}
    kept = torch.tensor(cut["norm.running_mean"].kept)
    assert torch.equal(net.state_dict()["norm.running_mean"], before["norm.running_mean"][kept])


def test_shrink_cuts_frozen_layers_like_any_other() -> None:
    net, free = nets.make("flat"), nets.make("flat")
    net.get_submodule("conv1").requires_grad_(False)
    wish = dataclasses.replace(WISH, criterion="taylor")
    assert _shrink(net, copy.deepcopy(net), wish).actions == _shrink(free, copy.deepcopy(free), wish).actions


def test_shrink_is_the_same_again() -> None:
    wish = Wish(blocks=0.34, budget=("macs", 0.5), criterion="taylor", ranking="global")
    first, second = vit(), vit()
    assert _shrink(first, vit(), wish).actions == _shrink(second, vit(), wish).actions


def test_shrink_by_displacement_cuts_the_start_alike() -> None:
    net, start = vit(), vit()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            # All of layer 2 has moved most, of the others' heads the third one.
            parameter.add_(0.3 if name.startswith("layers.2") else 0.0)
            if name in ("layers.0.qkv.weight", "layers.1.qkv.weight"):
                parameter.view(3, 4, 8, WIDTH)[:, 2].add_(0.1)
    wish = Wish(blocks=0.34, heads=0.75, criterion="displacement")
    outcome = _shrink(net, copy.deepcopy(net), wish, start=start)
    assert outcome.blocks == ["layers.1"] or outcome.blocks == ["layers.0"]
    left = "layers.0" if outcome.blocks == ["layers.1"] else "layers.1"
    (cut,) = [one for one in outcome.actions if isinstance(one, Cut) and one.tensor == f"{left}.proj.weight"]
    assert cut.kept == tuple(range(16, 24))
    assert next(start.get_submodule(outcome.blocks[0]).parameters(), None) is not None  # the caller's is untouched


@pytest.mark.parametrize(
    ("make", "wish", "says", "where"),
    [
        ("resnet", {"blocks": 0.1}, "of 1 removable residual blocks or transformer layers is none", "shrink.blocks"),
        ("vgg", {"blocks": 0.5}, "of 0 removable residual blocks or transformer layers is none", "shrink.blocks"),
        ("resnet", {"filters": 0.9, "min_width": 16}, "leaves fewer than min_width = 16 channels in every group",
         "shrink.filters"),
        ("resnet", {"filters": 0.05, "alignment": 16}, "rounded to multiples of 16, takes no channel",
         "shrink.filters, widths [16, 32]"),
        ("resnet", {"filters": 0.5, "alignment": 64}, "takes no channel", "shrink.filters"),
        ("resnet", {"filters": 1.0}, "filters = 1 leaves nothing", "shrink.filters"),
        ("resnet", {"filters": -0.5}, "filters = -0.5 is no share", "shrink.filters"),
        ("resnet", {"filters": float("nan")}, "filters = nan is no share", "shrink.filters"),
        ("resnet", {"blocks": 1.5}, "blocks = 1.5 leaves nothing", "shrink.blocks"),
        ("resnet", {"heads": 0.5}, "This network has no heads that can be cut",
         "shrink.heads (head: they are the network's outputs)"),
        ("resnet", {"budget": ("macs", 0.5), "structures": ("heads",)}, "This network has no heads that can be cut",
         "shrink.macs"),
        ("resnet", {"budget": ("macs", 0.99), "min_width": 8}, "macs = 0.99: at most", "shrink.macs"),
        ("resnet", {"budget": ("macs", 1.0)}, "macs = 1 leaves nothing", "shrink.macs"),
        ("resnet", {"budget": ("macs", 0.5), "filters": 0.5}, "at once", "shrink"),
        ("resnet", {"budget": ("params", 0.1), "blocks": 1.0}, "have gone already", "shrink.params"),
        ("vgg", {"budget": ("params", 0.2), "alignment": 16, "min_width": 16}, "can't be met within 2 %",
         "shrink.params"),
        ("vit", {"heads": 0.9}, "leaves fewer than min_heads = 1 heads in every group", "shrink.heads"),
        ("vit", {"heads": 0.05}, "heads = 0.05 takes no head", "shrink.heads, widths [4]"),
        ("resnet", {}, "Nothing is to go", "shrink"),
    ],
)  # fmt: skip
def test_shrink_impossible_wish_names_the_key_and_a_way_out(
    make: str, wish: dict[str, Any], says: str, where: str
) -> None:
    net = vit() if make == "vit" else nets.make(make)
    with pytest.raises(ImpossibleRatio) as caught:
        _shrink(net, copy.deepcopy(net), Wish(**{"criterion": "l1", "min_width": 4, "alignment": 8, **wish}))
    assert says in caught.value.what
    assert caught.value.where.startswith(where)
    assert caught.value.remedy


def test_shrink_proposes_a_wish_that_works() -> None:
    """What the errors say to type is true."""
    for kind, share in (("filters", 0.05), ("filters", 0.99), ("macs", 0.99)):
        net = nets.make("resnet")
        wish: dict[str, Any] = {"criterion": "l1", "min_width": 4, "alignment": 8}
        asked: Any = {"budget": (kind, share)} if kind == "macs" else {kind: share}
        with pytest.raises(ImpossibleRatio) as caught:
            _shrink(net, nets.make("resnet"), Wish(**wish, **asked))
        words = caught.value.remedy.replace(",", "").split()
        better = float(next(word for word in words if word.startswith("0.")))
        asked = {"budget": (kind, better)} if kind == "macs" else {kind: better}
        net = nets.make("resnet")
        assert _shrink(net, nets.make("resnet"), Wish(**wish, **asked)).units


def test_shrink_where_no_channel_can_be_cut_gives_the_reasons() -> None:
    net = nn.Sequential(nn.Conv2d(1, 10, 8), nn.Flatten())
    with pytest.raises(ImpossibleRatio, match="no filters that can be cut") as caught:
        _shrink(net, copy.deepcopy(net), WISH)
    assert "0: they are the network's outputs" in caught.value.where


def test_shrink_of_weights_that_are_not_finite_names_the_module() -> None:
    net = nets.make("vgg")
    with torch.no_grad():
        net.get_parameter("3.weight")[0, 0, 0, 0] = float("nan")
    with pytest.raises(ImpossibleRatio, match="NaN or infinite") as caught:
        _shrink(net, nets.make("vgg"), WISH)
    assert caught.value.where == "3"


def test_shrink_without_what_the_criterion_needs_says_so() -> None:
    net = nets.make("vgg")
    with pytest.raises(MissingEvidence):
        _shrink(net, nets.make("vgg"), dataclasses.replace(WISH, criterion="displacement"))


def _rolled(structure: Structure) -> Structure:
    """One reader's indices are off by one: what a wrong coupling looks like."""
    group = structure.groups[0]
    place = next(place for place, axis in enumerate(group.axes) if not axis.makes)
    axis = group.axes[place]
    wrong = dataclasses.replace(axis, indices=(*axis.indices[1:], axis.indices[0]))
    axes = (*group.axes[:place], wrong, *group.axes[place + 1 :])
    return Structure([dataclasses.replace(group, axes=axes), *structure.groups[1:]], structure.left, structure.costs)


def test_shrink_that_cuts_wrong_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_structure", lambda *given: _rolled(find_structure(*given)))
    net = nets.make("vgg")
    with pytest.raises(WrongCut, match="differ from the masked one's") as caught:
        _shrink(net, nets.make("vgg"), WISH)
    assert "0" in caught.value.where


def test_shrink_that_counts_wrong_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    class Off(Structure):
        def size(self, kept: Any) -> Size:
            size = super().size(kept)
            return dataclasses.replace(size, params=size.params + 1)

    def wrong(*given: Any) -> Structure:
        found = find_structure(*given)
        return Off(found.groups, found.left, found.costs)

    monkeypatch.setattr(module, "find_structure", wrong)
    with pytest.raises(WrongCut, match="parameters are left where"):
        _shrink(nets.make("vgg"), nets.make("vgg"), WISH)


def test_replay_of_a_resnets_plan_on_a_narrower_resnet_is_refused() -> None:
    net = nets.make("resnet")
    outcome = _shrink(net, copy.deepcopy(net), WISH)
    torch.manual_seed(0)
    other = resnet20(widths=(8, 8, 16), stem_stride=1)
    with pytest.raises(PlanMismatch, match="where the plan counts"):
        replay(PruningPlan(outcome.actions), other)
