"""How large the bench is: the full one, and the quick one that CI runs."""

from __future__ import annotations

from dataclasses import dataclass

STRUCTURED = ("l1", "l2", "fpgm", "activation", "apoz", "taylor", "taylor-gate", "movement", "displacement")
TEXT_TRAIN, TEXT_EVIDENCE = 1_000, 512
HEADS = ("taylor-gate", "l2")


@dataclass(frozen=True)
class Setting:
    """Everything that decides which cells there are.

    train, test: samples, from the front of the parts; evidence: of them, drawn by the seed, for the criteria; epochs:
    of every fine-tuning; rounds: epochs after each round of iterative pruning, in total as many; ratios: shares of the
    MACs that go; sparse: shares of the weights; criteria: tried beside the control `random`; ticket_*: of every
    training of the lottery; budgets: other lengths of fine-tuning, in epochs; text: MiniLM too; processes, blocks: of
    the latency measurement; threads: torch's.
    """

    name: str
    seeds: tuple[int, ...]
    train: int
    test: int
    epochs: int
    rounds: tuple[int, ...]
    evidence: int
    ratios: tuple[float, ...]
    sparse: tuple[float, ...]
    criteria: tuple[str, ...]
    heads: tuple[float, ...]
    heads_epochs: int
    ticket_train: int
    ticket_epochs: int
    ticket_rounds: int
    ticket_share: float
    budgets: tuple[int, ...]
    text: bool
    processes: int
    blocks: int
    threads: int = 2

    def __post_init__(self) -> None:
        assert sum(self.rounds) == self.epochs, "iterative and one-shot pruning get the same number of epochs"


FULL = Setting(
    name="full",
    seeds=(0, 1, 2),
    train=20_000,
    evidence=4_096,
    test=10_000,
    epochs=4,
    rounds=(1, 1, 2),
    ratios=(0.5, 0.75, 0.9),
    sparse=(0.5, 0.9),
    criteria=STRUCTURED,
    heads=(0.25, 0.5, 0.75),
    heads_epochs=1,
    ticket_train=10_000,
    ticket_epochs=6,
    ticket_rounds=3,
    ticket_share=0.9,
    budgets=(1, 8, 13),
    text=True,
    processes=3,
    blocks=8,
)
QUICK = Setting(
    name="quick",
    seeds=(0,),
    train=4_000,
    evidence=1_024,
    test=1_000,
    epochs=2,
    rounds=(1, 1),
    ratios=(0.75,),
    sparse=(0.9,),
    criteria=("l1", "activation", "taylor", "movement"),
    heads=(0.5,),
    heads_epochs=1,
    ticket_train=2_000,
    ticket_epochs=2,
    ticket_rounds=1,
    ticket_share=0.9,
    budgets=(),
    text=False,
    processes=3,
    blocks=4,
)
