"""One training loop for all: from scratch, fine-tuning and distillation; resumes from a checkpoint bit for bit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from edgewright.errors import EdgewrightError
from edgewright.progress import Progress, piece

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from models.data.parts import Part
    from pipeline.distillation import Teacher


class TrainingFailed(EdgewrightError):
    """The loss became NaN or infinite: the network can't be used."""


class Schedule(BaseModel):
    """How a network is trained: SGD with Nesterov momentum and a one-cycle learning rate (arXiv 1708.07120)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(6, ge=0, le=10_000)
    batch: int = Field(128, ge=2)
    learning_rate: float = Field(0.2, gt=0, description="the peak, reached after a quarter of the steps")
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    label_smoothing: float = Field(0.05, ge=0, lt=1)
    augment: list[Literal["flip"]] = Field(default_factory=list)
    loss: str = Field("cross-entropy", description="cross-entropy, or an importable function of (outputs, targets)")
    threads: int = Field(2, ge=1, description="fixed, since another number gives other roundings")


@dataclass
class Run:
    """What one training needs. `loss(outputs, targets)` gives a scalar tensor."""

    network: nn.Module
    part: Part
    schedule: Schedule
    seed: int
    loss: Callable[[Tensor, Tensor], Tensor]
    what: str
    teacher: Teacher | None = None


def train(run: Run, scratch: Path, progress: Progress) -> float:
    """Trains `run.network` in place and returns the mean loss of the last epoch (NaN where there was no epoch).

    A checkpoint is left in `scratch` after each epoch; a run that finds one goes on from it with the same result as if
    it had never stopped: batch order, flips and learning rate depend only on the seed, the epoch and the step.
    Raises TrainingFailed.
    """
    import torch

    torch.set_num_threads(run.schedule.threads)
    x, y = torch.from_numpy(run.part.x), torch.from_numpy(run.part.y)
    if x.dim() == 4:
        x = x.contiguous(memory_format=torch.channels_last)
        run.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(
        run.network.parameters(),
        lr=run.schedule.learning_rate,
        momentum=run.schedule.momentum,
        weight_decay=run.schedule.weight_decay,
        nesterov=run.schedule.momentum > 0,
    )
    checkpoint = scratch / "checkpoint.safetensors"
    done, mean = _resume(checkpoint, run.network, optimizer)
    batches = max(1, math.ceil(len(x) / run.schedule.batch))
    with piece(progress, run.what, run.schedule.epochs * batches):
        progress.advance(done * batches)
        for epoch in range(done, run.schedule.epochs):
            mean = _epoch(run, epoch, batches, x, y, optimizer, progress)
            _save(checkpoint, run.network, optimizer, epoch + 1, mean)
    run.network.eval()
    return mean


def _epoch(
    run: Run, epoch: int, batches: int, x: Tensor, y: Tensor, optimizer: torch.optim.Optimizer, progress: Progress
) -> float:
    import torch

    schedule = run.schedule
    generator = torch.Generator().manual_seed(run.seed * 1_000_003 + epoch)
    order = torch.randperm(len(x), generator=generator)
    flips = torch.rand(len(x), generator=generator) < 0.5 if "flip" in schedule.augment else None
    # Dropout and the like draw from the global generator; seeding it by the epoch keeps a resumed run the same.
    torch.manual_seed(run.seed * 1_000_003 + epoch)
    run.network.train()
    total, seen = 0.0, 0
    for step in range(batches):
        rows = order[step * schedule.batch : (step + 1) * schedule.batch]
        if len(rows) < 2:  # batch norm can't take the statistics of one sample
            continue
        inputs, flipped = x[rows], None
        if flips is not None:
            flipped = flips[rows]
            inputs = torch.where(flipped.view(-1, *[1] * (x.dim() - 1)), inputs.flip(-1), inputs)
        rate = one_cycle(schedule.learning_rate, epoch * batches + step, schedule.epochs * batches)
        for group in optimizer.param_groups:
            group["lr"] = rate
        outputs = run.network(inputs)
        loss = run.loss(outputs, y[rows])
        if run.teacher is not None:
            loss = run.teacher.mix(loss, outputs, rows, flipped)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingFailed(
                f"The loss became {value} in epoch {epoch + 1}, step {step + 1} of {batches}",
                where=run.what,
                remedy="lower train.learning_rate in the recipe (or shrink.learning_rate), or look at the data",
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total, seen = total + value * len(rows), seen + len(rows)
        progress.advance(1, f"loss {total / seen:.3f}")
    return total / max(seen, 1)


def one_cycle(peak: float, step: int, steps: int) -> float:
    """The learning rate at `step` of `steps`: from peak/25 to the peak in the first quarter, then down to about 0."""
    warm = max(1, steps // 4)
    if step < warm:
        low, high, share = peak / 25, peak, step / warm
    else:
        low, high, share = peak, peak / 25e4, (step - warm) / max(1, steps - warm)
    return low + (high - low) * (1 - math.cos(math.pi * share)) / 2


def cross_entropy(label_smoothing: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Cross-entropy of logits [N, classes] against int64 labels [N]."""
    import torch.nn.functional as F

    return lambda outputs, targets: F.cross_entropy(outputs, targets, label_smoothing=label_smoothing)


def _save(path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, epoch: int, mean: float) -> None:
    from safetensors.torch import save

    from edgewright.files import write_atomically

    tensors = {f"model.{key}": value.contiguous() for key, value in network.state_dict().items()}
    for place, state in optimizer.state_dict()["state"].items():
        tensors[f"momentum.{place}"] = state["momentum_buffer"].contiguous()
    write_atomically(path, save(tensors, metadata={"epoch": str(epoch), "mean": repr(mean)}))


def _resume(path: Path, network: nn.Module, optimizer: Any) -> tuple[int, float]:
    """(epochs done, their last mean loss). A checkpoint that can't be read or doesn't fit counts as none."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return 0, math.nan
    try:
        with safe_open(path, framework="pt") as stream:
            metadata = stream.metadata()
            reached = int(metadata["epoch"]), float(metadata["mean"])
            tensors = {key: stream.get_tensor(key) for key in stream.keys()}  # noqa: SIM118
        state = {key.removeprefix("model."): value for key, value in tensors.items() if key.startswith("model.")}
        wanted = {key: value.shape for key, value in network.state_dict().items()}
        # Asked beforehand: load_state_dict takes in what fits before it refuses the rest.
        if {key: value.shape for key, value in state.items()} != wanted:
            return 0, math.nan
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        return 0, math.nan
    network.load_state_dict(state)
    for place, parameter in enumerate(network.parameters()):
        if (momentum := tensors.get(f"momentum.{place}")) is not None:
            optimizer.state[parameter]["momentum_buffer"] = momentum.to(memory_format=_format(parameter))
    return reached


def _format(tensor: Tensor) -> Any:
    import torch

    channels_last = tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if channels_last else torch.contiguous_format
