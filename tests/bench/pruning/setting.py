"""How large the bench is: the full one, and the quick one that CI runs."""

from __future__ import annotations

from dataclasses import dataclass

STRUCTURED = ("l1", "l2", "fpgm", "activation", "apoz", "taylor", "taylor-gate", "movement", "displacement")
TEXT_TRAIN, TEXT_EVIDENCE, TEXT_VALIDATION, TEXT_TEST = 1_000, 512, 250, 1_000
THREADS = 1
"""Torch's, in every cell: another number gives other roundings, so it must not depend on the machine."""
HEADS = ("taylor-gate", "l2")


@dataclass(frozen=True)
class Setting:
    """Everything that decides which cells there are.

    train, validation, test: samples, from the front of the parts; evidence: of train, drawn by the seed, for the
    criteria; epochs: of every fine-tuning; rounds: epochs after each round of iterative pruning, in total as many;
    ratios: shares of the MACs that go; sparse: shares of the weights; criteria: tried beside the control `random`;
    heads*: of the vision transformer; ticket_*: of every training of the lottery; budgets: other lengths of
    fine-tuning, in epochs; text: MiniLM too; processes, block*: of the latency measurement.
    """

    name: str
    seeds: tuple[int, ...]
    train: int
    validation: int
    test: int
    epochs: int
    rounds: tuple[int, ...]
    evidence: int
    ratios: tuple[float, ...]
    sparse: tuple[float, ...]
    criteria: tuple[str, ...]
    heads: tuple[float, ...]
    heads_train: int
    heads_epochs: int
    ticket_train: int
    ticket_epochs: int
    ticket_rounds: int
    ticket_share: float
    budgets: tuple[int, ...]
    text: bool
    processes: int
    blocks: int
    block_seconds: float

    def __post_init__(self) -> None:
        assert sum(self.rounds) == self.epochs, "iterative and one-shot pruning get the same number of epochs"


FULL = Setting(
    name="full",
    seeds=(0, 1, 2),
    train=10_000,
    evidence=2_048,
    validation=2_500,
    test=10_000,
    epochs=3,
    rounds=(1, 1, 1),
    ratios=(0.5, 0.75, 0.9),
    sparse=(0.5, 0.9),
    criteria=STRUCTURED,
    heads=(0.25, 0.5, 0.75),
    heads_train=4_000,
    heads_epochs=1,
    ticket_train=6_000,
    ticket_epochs=4,
    ticket_rounds=3,
    ticket_share=0.9,
    budgets=(1, 8),
    text=True,
    processes=3,
    blocks=8,
    block_seconds=0.15,
)
QUICK = Setting(
    name="quick",
    seeds=(0,),
    train=4_000,
    evidence=1_024,
    validation=1_000,
    test=1_000,
    epochs=2,
    rounds=(1, 1),
    ratios=(0.75,),
    sparse=(0.9,),
    criteria=("l1", "activation", "taylor", "movement"),
    heads=(0.5,),
    heads_train=4_000,
    heads_epochs=1,
    ticket_train=2_000,
    ticket_epochs=2,
    ticket_rounds=1,
    ticket_share=0.9,
    budgets=(),
    text=False,
    processes=3,
    blocks=4,
    block_seconds=0.05,
)
