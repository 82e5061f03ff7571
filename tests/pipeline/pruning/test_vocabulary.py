"""Embedding rows: which tables can lose some, which are looked up, and that the smaller network computes the same."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from pipeline.pruning.plan import PruningPlan, Rows, replay
from pipeline.pruning.vocabulary import NoSuchRow, Table, find_embeddings, rows_action, used_rows


class Words(nn.Module):
    """Tokens (padding 0), positions and a rarely wanted table that is never looked up."""

    def __init__(self, tied: bool = False, tied_by_function: bool = False, rows: int = 1200) -> None:
        super().__init__()
        self.words = nn.Embedding(rows, 4, padding_idx=0)
        self.places = nn.Embedding(1024, 4)
        self.unused = nn.Embedding(1000, 4)
        self.kinds = nn.Embedding(2, 4)
        self.head = nn.Linear(4, rows if tied else 3, bias=False)
        self.tied_by_function = tied_by_function
        if tied:
            self.head.weight = self.words.weight

    def forward(self, ids: Tensor) -> Tensor:
        places = torch.arange(ids.shape[1])[None]
        x = self.words(ids) + self.places(places) + self.kinds(torch.zeros_like(ids))
        return x @ self.words.weight.T if self.tied_by_function else self.head(x)


IDS = torch.tensor([[101, 7, 900, 102, 0], [101, 8, 102, 0, 0], [101, 7, 7, 8, 102], [101, 30, 102, 0, 0]])
BATCHES = list(torch.split(torch.arange(4), 2))


def inputs_of(rows: Tensor) -> tuple[Tensor, ...]:
    return (IDS[rows],)


def test_large_embeddings_are_found_and_small_ones_left_out() -> None:
    assert find_embeddings(Words()) == (["words", "places", "unused"], [])
    assert find_embeddings(Words(), at_least=2)[0] == ["words", "places", "unused", "kinds"]
    assert find_embeddings(Words(), at_least=1201)[0] == []


def test_tied_embedding_is_left_alone_with_its_partner_named() -> None:
    found, left = find_embeddings(Words(tied=True))
    assert found == ["places", "unused"]
    assert [one.module for one in left] == ["words"]
    assert "'head.weight'" in left[0].reason


def test_embedding_module_under_two_names_is_left_alone() -> None:
    shared = nn.Embedding(1000, 2)
    found, left = find_embeddings(nn.ModuleDict({"encoder": shared, "decoder": shared}))
    assert found == []
    assert len(left) == 1


class Scaled(nn.Embedding):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) * 2


@pytest.mark.parametrize(
    ("embedding", "word"), [(Scaled(1000, 2), "Scaled"), (nn.Embedding(1000, 2, max_norm=1.0), "max_norm")]
)
def test_embedding_that_does_more_than_look_up_is_left_alone(embedding: nn.Embedding, word: str) -> None:
    found, left = find_embeddings(nn.Sequential(embedding))
    assert found == []
    assert word in left[0].reason


def test_used_rows_are_those_really_looked_up() -> None:
    used, left = used_rows(Words(), ["words"], inputs_of, BATCHES)
    assert used == {"words": [0, 7, 8, 30, 101, 102, 900]}
    assert left == []


def test_used_rows_of_fewer_batches_are_fewer() -> None:
    assert used_rows(Words(), ["words"], inputs_of, BATCHES[:1])[0] == {"words": [0, 7, 8, 101, 102, 900]}


def test_positions_and_tables_never_looked_up_are_left_alone() -> None:
    used, left = used_rows(Words(), ["words", "places", "unused"], inputs_of, BATCHES)
    assert list(used) == ["words"]
    reasons = {one.module: one.reason for one in left}
    assert "same numbers for every sample" in reasons["places"]
    assert "never looked up" in reasons["unused"]


def test_positions_of_batches_of_unequal_length_are_left_alone() -> None:
    def shorter(rows: Tensor) -> tuple[Tensor, ...]:
        return (IDS[rows][:, : 5 if 0 in rows else 3],)

    for batches in (BATCHES, BATCHES[::-1]):
        used, left = used_rows(Words(), ["words", "places"], shorter, batches)
        assert [one.module for one in left] == ["places"]
        assert list(used) == ["words"]


def test_weight_that_a_function_reads_too_is_left_alone() -> None:
    used, left = used_rows(Words(tied_by_function=True), ["words"], inputs_of, BATCHES)
    assert used == {}
    assert left[0].module == "words"
    assert "also read by" in left[0].reason


def test_rows_of_every_lookup_are_noted_and_what_follows_the_last_runs_once_a_shape() -> None:
    class Twice(Words):
        def forward(self, ids: Tensor) -> Tensor:
            return super().forward(ids) + self.head(self.words(ids + 250))

    def lengths(rows: Tensor) -> tuple[Tensor, ...]:
        return (IDS[rows][:, : 5 if 3 in rows else 4],)

    network, ended = Twice(), []
    network.head.register_forward_hook(lambda *_: ended.append(1))
    batches = [torch.tensor(rows) for rows in ([0], [1], [2], [3], [3])]
    used, left = used_rows(network, ["words"], lengths, batches)
    first = {*IDS[:3, :4].flatten().tolist(), *IDS[3].tolist()}
    assert used == {"words": sorted({*first, *(row + 250 for row in first)})}
    assert left == []
    # The head is called between the lookups too.
    assert len(ended) == 2 * 2 + 3


def test_used_rows_leave_the_network_as_it_was() -> None:
    network = Words().train()
    network.head.eval()
    used_rows(network, ["words"], inputs_of, BATCHES)
    assert network.training and network.words.training and not network.head.training


def test_rows_action_keeps_used_padding_and_unknown_rows() -> None:
    assert rows_action(Words(), "words", [900, 7], unknown=100) == Rows("words", (0, 7, 100, 900), 1200, 100)


def test_rows_action_reads_the_padding_row_or_row_0_for_the_unknown() -> None:
    assert rows_action(Words(), "words", [7]) == Rows("words", (0, 7), 1200, 0)
    network = nn.Sequential(nn.Embedding(10, 2, padding_idx=4), nn.Embedding(10, 2))
    assert rows_action(network, "0", [7]) == Rows("0", (4, 7), 10, 4)
    assert rows_action(network, "1", [7]) == Rows("1", (0, 7), 10, 0)


def test_rows_action_with_every_row_in_use_is_none() -> None:
    assert rows_action(nn.Sequential(nn.Embedding(3, 2)), "0", [0, 1, 2]) is None


@pytest.mark.parametrize("unknown", [-1, 1200])
def test_rows_action_with_an_unknown_row_that_is_not_there_names_the_range(unknown: int) -> None:
    with pytest.raises(NoSuchRow) as caught:
        rows_action(Words(), "words", [7], unknown=unknown)
    assert caught.value.where == "words"
    assert "0 to 1199" in caught.value.remedy


def test_network_without_the_unused_rows_computes_the_same() -> None:
    torch.manual_seed(0)
    network = Words().eval()
    used, _ = used_rows(network, find_embeddings(network)[0], inputs_of, BATCHES)
    action = rows_action(network, "words", used["words"], unknown=101)
    assert action is not None
    smaller = copy.deepcopy(network)
    replay(PruningPlan.from_json(PruningPlan([action]).to_json()), smaller)
    assert smaller.get_parameter("words.weight").shape == (7, 4)
    assert torch.equal(smaller(IDS), network(IDS))
    # A number whose row went reads the unknown's.
    assert torch.equal(smaller(torch.tensor([[55]])), network(torch.tensor([[101]])))


def test_pruned_embedding_is_not_found_again() -> None:
    network = Words()
    replay(PruningPlan([Rows("words", tuple(range(1100)), 1200, 0)]), network)
    found, left = find_embeddings(network)
    assert "words" not in found
    assert "words" not in [one.module for one in left]


def test_numbers_that_differ_behind_a_shorter_sequence_vary() -> None:
    table = Table()
    for numbers in ([1, 2, 3], [1, 2], [1, 2, 4]):
        table.look_up(torch.tensor([numbers]))
    assert table.varies
    assert table.trouble == ""
