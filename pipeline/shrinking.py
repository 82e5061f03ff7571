"""What a `[[shrink]]` table of a recipe may say: one way of shrinking, checked key against key before any work."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pipeline.pruning.criteria import CRITERIA

Structure = Literal["filters", "heads", "neurons"]
KINDS: tuple[Structure, ...] = ("filters", "heads", "neurons")
MEASURES = ("macs", "params", "bytes")
DISTILLATION = 0.7
_STRUCTURE_ONLY = (
    "criterion", "ranking", "layer_importance", "min_width", "min_heads", "skip", "samples",
)  # fmt: skip
_FINE_TUNING = ("epochs", "fine_tune", "round_epochs", "learning_rate", "learning_rates")


class Shrink(BaseModel):
    """One variant. Shares count from the original network; what a key is not given keeps its default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field("pruned", pattern=r"^[a-z0-9][a-z0-9._-]{0,30}$")

    # What goes.
    blocks: float = Field(0.0, ge=0, le=1, description="share of the removable residual blocks and layers that goes")
    filters: float = Field(0.0, ge=0, lt=1, description="share of the channels of every convolution that goes")
    heads: float = Field(0.0, ge=0, lt=1, description="share of the attention heads that goes")
    neurons: float = Field(0.0, ge=0, lt=1, description="share of the width of linear layers (MLPs) that goes")
    macs: float | None = Field(None, gt=0, lt=1, description="budget: share of the multiply-accumulates that goes")
    params: float | None = Field(None, gt=0, lt=1, description="budget: share of the parameters that goes")
    bytes: float | None = Field(None, gt=0, lt=1, description="budget: share of the weights' bytes that goes")
    structures: tuple[Structure, ...] = Field(KINDS, min_length=1, description="what a budget may take from")
    remove: tuple[str, ...] = Field((), description="these residual blocks or layers go, by their modules' names")
    widths: dict[str, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict,
        description="channels, heads or neurons that these groups keep, by the module that makes them (after remove)",
    )
    vocabulary: bool = Field(False, description="embedding rows that the training data never uses go")
    unknown: int | None = Field(None, ge=0, description="the row that stands in for those; padding's if not given")
    sparsity: float = Field(0.0, ge=0, lt=1, description="share of the weights that become zero; shapes stay")
    pattern: Literal["unstructured", "2:4"] = Field("unstructured", description="2:4 is half of every four weights")
    scope: Literal["local", "global"] = Field("global", description="zeros: the same share of each layer, or of all")
    weight_bits: int | None = Field(
        None, ge=2, le=7, description="values that weights end with, 2^bits - 1 a channel: for a smaller download alone"
    )

    # How it is chosen.
    criterion: str = Field("taylor", description="a function of pipeline/pruning/criteria.py")
    ranking: Literal["local", "global", "group"] = Field(
        "local", description="local: the same share of every group; global: all against all; group: by its group's mean"
    )
    layer_importance: Literal["criterion", "metric"] = Field(
        "criterion", description="metric: blocks go by the validation metric lost when each is skipped (slower)"
    )
    min_width: int = Field(8, ge=1, description="channels and neurons that every group keeps at least")
    min_heads: int = Field(1, ge=1, description="heads that every attention keeps at least")
    skip: tuple[str, ...] = Field((), description="modules to leave alone, by the start of their names")
    samples: int = Field(2048, ge=32, description="training samples that the criterion sees")

    # In which steps.
    rounds: int = Field(1, ge=1, le=50, description="1 is one-shot; more prune a share each, with fine-tuning between")
    curve: Literal["linear", "cubic", "geometric"] = Field("linear", description="how much has gone after each round")
    round_epochs: int = Field(1, ge=0, le=10_000, description="fine-tuning between rounds")
    epochs: int | None = Field(None, ge=0, le=10_000, description="fine-tuning after the last round")
    fine_tune: float = Field(0.2, ge=0, le=1, description="the same as a share of train.epochs")
    learning_rate: float | None = Field(None, gt=0, description="its peak; half of train.learning_rate if not given")
    learning_rates: Literal["one-cycle", "rewind"] = Field(
        "one-cycle", description="rewind: those of the last epochs of training (Renda et al. 2020)"
    )
    rewind: Literal["none", "initial", "early", "random"] = Field(
        "none", description="lottery ticket: what stays goes back to these weights and trains for the whole schedule"
    )
    recalibrate: bool = Field(True, description="batch norms take their statistics anew after each cut")

    # Who teaches.
    distillation: float | None = Field(
        None, ge=0, le=1, description="weight of the teacher's loss, 0.7 if not given (0 for a lottery ticket)"
    )
    temperature: float = Field(4.0, gt=0, description="softens the logits of both")
    transfer: Literal["none", "attention", "hint"] = Field("none", description="what is matched between stages")
    transfer_weight: float = Field(1.0, gt=0, description="weight of that loss")
    stages: tuple[tuple[str, str], ...] = Field((), description="pairs [module, teacher's module]; found if not given")
    teacher: str | None = Field(None, description="another recipe (name or path) whose trained network teaches")
    student: str | None = Field(None, description="factory of another architecture that learns from the teacher")
    student_arguments: dict[str, Any] = Field(default_factory=dict)

    @property
    def budget(self) -> tuple[str, float] | None:
        """(macs, params or bytes; the share that goes), or None where shares are given by kind."""
        found = [(name, getattr(self, name)) for name in MEASURES if getattr(self, name) is not None]
        return found[0] if found else None

    @property
    def structured(self) -> bool:
        """Whether something leaves the network's shape."""
        return bool(self.gradual or self.remove or self.vocabulary)

    @property
    def gradual(self) -> bool:
        """Whether something can go round by round."""
        return bool(self.blocks or any(getattr(self, kind) for kind in KINDS) or self.budget or self.widths)

    @property
    def zeros(self) -> float:
        """Share of weights that become zero."""
        return 0.5 if self.pattern == "2:4" else self.sparsity

    @property
    def teaching(self) -> float:
        """Weight of the teacher's loss. A ticket proves itself alone, so there it must be asked for."""
        if self.distillation is not None:
            return self.distillation
        return DISTILLATION if self.rewind == "none" else 0.0

    @property
    def taught(self) -> bool:
        """Whether a teacher is needed at all."""
        return self.teaching > 0 or self.transfer != "none"

    @field_validator("criterion")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in CRITERIA:
            raise ValueError(f"there is no such criterion: take one of {', '.join(CRITERIA)}")
        return value

    @field_validator("skip")
    @classmethod
    def _named(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(not one.strip(" .") for one in value):
            raise ValueError("an empty name would skip every module: name the modules to leave alone")
        return value

    @model_validator(mode="after")
    def _makes_sense(self) -> Shrink:
        if self.name in ("trained", "int8", "shared"):
            raise ValueError(f"the name {self.name!r} is taken by what is always built")
        if (wrong := _wrong_shares(self) or _wrong_training(self) or _wrong_teacher(self)) is not None:
            raise ValueError(wrong)
        return self


def _wrong_shares(shrink: Shrink) -> str | None:
    given = shrink.model_fields_set
    budgets = [name for name in MEASURES if getattr(shrink, name) is not None]
    shares = [kind for kind in KINDS if getattr(shrink, kind)]
    if not (shrink.structured or shrink.zeros or shrink.student):
        return (
            "nothing to shrink: set blocks, filters, heads or neurons (shares between 0 and 1), "
            "a budget (macs, params or bytes), remove or widths, sparsity, or a student"
        )
    if shrink.weight_bits and shrink.rewind != "none":
        return "a lottery ticket is of weights as they were, weight_bits of rounded ones: keep one"
    if shrink.remove and shrink.blocks:
        return "remove names the blocks that go, blocks is a share of them: keep one"
    if len(set(shrink.remove)) != len(shrink.remove):
        return "remove names a block twice"
    if shrink.widths and (budgets or shares):
        return f"widths says what each group keeps, {(budgets or shares)[0]} is a share: keep one of them"
    if len(budgets) > 1:
        return f"{' and '.join(budgets)} are two budgets: keep one"
    if budgets and shares:
        return f"{budgets[0]} is a budget that decides {', '.join(shares)} itself: keep one of them (blocks may stay)"
    if "structures" in given and not budgets:
        return "structures says what a budget may take from: set macs, params or bytes, or leave it out"
    if shrink.pattern == "2:4" and "sparsity" in given and shrink.sparsity != 0.5:
        return f"2:4 is exactly half of the weights: leave sparsity = {shrink.sparsity:g} out, or set it to 0.5"
    if "unknown" in given and not shrink.vocabulary:
        return "unknown is of the vocabulary: set vocabulary = true, or leave it out"
    if "scope" in given and not shrink.zeros:
        return "scope is of the zeros: set sparsity, or leave it out"
    if shrink.pattern == "2:4" and "scope" in given:
        return "2:4 takes two of every four weights everywhere: leave scope out"
    if named := (bool(shrink.remove or shrink.widths) and {"min_width", "min_heads"} & given):
        return f"{sorted(named)[0]} bounds what a share may take; widths says it outright: leave it out"
    ranked = [key for key in _STRUCTURE_ONLY if key in given]
    if ranked and not shrink.structured:
        return f"{ranked[0]} ranks what leaves the network; zeros go by magnitude: leave it out"
    if shrink.layer_importance == "metric" and not shrink.blocks:
        return "layer_importance is of blocks: set blocks, or leave it out"
    return None


def _wrong_training(shrink: Shrink) -> str | None:
    given = shrink.model_fields_set
    cut = shrink.structured or bool(shrink.zeros)
    if "epochs" in given and "fine_tune" in given and shrink.epochs is not None:
        return "epochs and fine_tune say the same thing twice: keep one"
    if "curve" in given and shrink.rounds == 1:
        return "curve shares the work out over rounds: set rounds, or leave it out"
    if shrink.learning_rates == "rewind" and shrink.learning_rate is not None:
        return 'learning_rates = "rewind" takes training\'s own learning rates: leave learning_rate out'
    if shrink.rewind != "none":
        if not cut:
            return "rewind goes with pruning: set a share, a budget or sparsity"
        if extra := [key for key in _FINE_TUNING if key in given]:
            return f"a lottery ticket trains for the whole schedule of [train]: leave {extra[0]} out"
    if not cut and ({"rounds", "rewind", "round_epochs", "recalibrate", "fine_tune"} & given):
        return "a student that is not pruned has no rounds: leave rounds, rewind, round_epochs, fine_tune out"
    return None


def _wrong_teacher(shrink: Shrink) -> str | None:
    given = shrink.model_fields_set
    if shrink.student is None and "student_arguments" in given:
        return "student_arguments are of a student: name its factory as student"
    if shrink.transfer == "none" and (extra := {"transfer_weight", "stages"} & given):
        return f"{sorted(extra)[0]} is of a transfer: set transfer to attention or hint"
    if shrink.teacher is not None and not shrink.taught:
        return "nobody is taught: set distillation above 0 or a transfer, or leave teacher out"
    if shrink.student is not None and not shrink.taught:
        return "a student learns from a teacher: set distillation above 0 or a transfer"
    if shrink.student is not None and shrink.rewind == "early":
        return "a student has no early checkpoint: rewind to initial"
    return None
