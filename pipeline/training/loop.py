"""One training loop for all: from scratch, fine-tuning and distillation; resumes from a checkpoint bit for bit."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from edgewright.errors import EdgewrightError
from edgewright.progress import Progress, piece
from pipeline.training.checkpoint import Checkpoint, Reached
from pipeline.training.floor import demand
from pipeline.training.schedule import Schedule, one_cycle
from pipeline.training.zeros import HeldZeros

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from models.data.parts import Part


class TrainingFailed(EdgewrightError):
    """The loss became NaN or infinite, or the schedule doesn't fit the samples: the network can't be used."""


class Teaching(Protocol):
    """What a student learns from beside the labels (pipeline.distillation)."""

    def mix(self, loss: Tensor, outputs: Tensor, rows: Tensor, flipped: Tensor | None, inputs: Tensor) -> Tensor:
        """The whole loss of a batch, from the labels' `loss` (scalar) and the student's `outputs` [B, ...].

        rows: int64 [B], places in the training part; flipped: bool [B] or None; inputs: [B, ...], as the student got
        them.
        """

    def parameters(self) -> Sequence[nn.Parameter]:
        """What is trained along and thrown away after; always in the same order."""

    def close(self) -> None:
        """Takes its hooks from the networks. Whoever made the teaching calls it."""


@dataclass
class Run:
    """What one training needs. `loss(outputs, targets)` gives a scalar tensor.

    masks: names of weights whose zeros are held. judge: the validation metric of a network in evaluation mode, higher
    is better; it must not touch the test part. floor: what the metric shall reach. keep_at: files (safetensors) of
    the weights as they are after so many epochs of the schedule, 0 is before the first.
    """

    network: nn.Module
    part: Part
    schedule: Schedule
    seed: int
    loss: Callable[[Tensor, Tensor], Tensor]
    what: str
    teacher: Teaching | None = None
    masks: Sequence[str] = ()
    judge: Callable[[nn.Module], float] | None = None
    floor: float | None = None
    keep_at: Mapping[int, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainResult:
    """loss: mean of the last epoch (NaN where there was none); best: the metric of best_epoch (counted from 1), whose
    weights the network ends with; None without a judge. history: (mean loss, metric or None) of each epoch run.
    """

    loss: float
    best_epoch: int | None
    best: float | None
    history: tuple[tuple[float, float | None], ...]


def train(run: Run, scratch: Path, progress: Progress) -> TrainResult:
    """Trains `run.network` in place: epochs `begin` to `epochs` of the schedule. It ends in evaluation mode.

    A checkpoint is left in `scratch` after each epoch; a run that finds one goes on from it with the same result as if
    it had never stopped: batch order, flips and learning rate depend only on the seed, the epoch and the step.
    Raises TrainingFailed, and FloorOutOfReach where run.floor and run.judge are given (see pipeline.training.floor).
    """
    import torch

    schedule, network = run.schedule, run.network
    torch.set_num_threads(schedule.threads)
    _check(run)
    zeros = HeldZeros(network, run.masks)
    x, y = torch.from_numpy(run.part.x), torch.from_numpy(run.part.y)
    if x.dim() == 4 and x.is_floating_point():
        x = x.contiguous(memory_format=torch.channels_last)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    extra = run.teacher.parameters() if run.teacher is not None else []
    optimizer = _optimizer(schedule, [*network.parameters(), *extra])
    checkpoint = Checkpoint(scratch / "checkpoint.safetensors", network, optimizer, extra)
    kept = {epoch: scratch / f"kept-{epoch}.safetensors" for epoch in run.keep_at}
    reached = None
    if all(path.is_file() for epoch, path in kept.items() if epoch == schedule.begin):
        reached = checkpoint.load(schedule.begin, schedule.epochs)
    if reached is None:
        reached = Reached(schedule.begin)
        _keep(network, kept.get(reached.epoch))
    epochs = schedule.epochs - schedule.begin
    batches = max(1, math.ceil(len(x) / schedule.batch))
    with piece(progress, run.what, epochs * batches):
        progress.advance(len(reached.history) * batches)
        while reached.epoch < schedule.epochs:
            done = len(reached.history)
            demand(run.what, done, epochs, done * batches, run.floor, reached.best)
            loss = _epoch(run, reached.epoch, batches, x, y, optimizer, zeros, progress)
            network.eval()
            reached.note(loss, None if run.judge is None else float(run.judge(network)), network)
            _keep(network, kept.get(reached.epoch))  # before the checkpoint, after which the epoch isn't run again
            checkpoint.save(reached)
    if reached.state:
        network.load_state_dict(reached.state)
    network.eval()
    for epoch, path in kept.items():
        run.keep_at[epoch].parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, run.keep_at[epoch])
    loss = reached.history[-1][0] if reached.history else math.nan
    return TrainResult(loss, reached.best_epoch, reached.best, tuple(reached.history))


def _check(run: Run) -> None:
    schedule = run.schedule
    if "flip" in schedule.augment and not (run.part.x.ndim == 4 and run.part.x.dtype.kind == "f"):
        raise TrainingFailed(
            f"Only pictures can be mirrored; these samples are {list(run.part.x.shape[1:])}, {run.part.x.dtype}",
            where=f"{run.what}: augment = ['flip']",
            remedy="remove train.augment from the recipe",
        )
    if outside := [epoch for epoch in run.keep_at if not schedule.begin <= epoch <= schedule.epochs]:
        raise TrainingFailed(
            f"The weights after epoch {outside[0]} are to be kept, of epochs {schedule.begin} to {schedule.epochs}",
            where=run.what,
            remedy="change train.rewind_epoch or train.epochs in the recipe",
        )


def _optimizer(schedule: Schedule, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
    import torch

    rate, decay = schedule.learning_rate, schedule.weight_decay
    if schedule.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay)
    momentum = schedule.momentum
    return torch.optim.SGD(parameters, lr=rate, momentum=momentum, weight_decay=decay, nesterov=momentum > 0)


def _epoch(
    run: Run,
    epoch: int,
    batches: int,
    x: Tensor,
    y: Tensor,
    optimizer: torch.optim.Optimizer,
    zeros: HeldZeros,
    progress: Progress,
) -> float:
    """One pass over the samples; their mean loss."""
    import torch

    schedule = run.schedule
    generator = torch.Generator().manual_seed(run.seed * 1_000_003 + epoch)
    order = torch.randperm(len(x), generator=generator)
    flips = torch.rand(len(x), generator=generator) < 0.5 if "flip" in schedule.augment else None
    # Dropout and the like draw from the global generator; seeding it by the epoch keeps a resumed run the same.
    torch.manual_seed(run.seed * 1_000_003 + epoch)
    run.network.train()
    trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
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
            loss = run.teacher.mix(loss, outputs, rows, flipped, inputs)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingFailed(
                f"The loss became {value} in epoch {epoch + 1}, step {step + 1} of {batches}",
                where=run.what,
                remedy="lower train.learning_rate in the recipe (or shrink.learning_rate), or look at the data",
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        zeros.before_step()
        if schedule.clip is not None:
            torch.nn.utils.clip_grad_norm_(trained, schedule.clip)
        optimizer.step()
        zeros.after_step()
        total, seen = total + value * len(rows), seen + len(rows)
        progress.advance(1, f"loss {total / seen:.3f}")
    return total / max(seen, 1)


def cross_entropy(label_smoothing: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Cross-entropy of logits [N, classes] against int64 labels [N]."""
    import torch.nn.functional as F

    return lambda outputs, targets: F.cross_entropy(outputs, targets, label_smoothing=label_smoothing)


def _keep(network: nn.Module, path: Path | None) -> None:
    from edgewright.files import write_atomically
    from pipeline.network import weights_of

    if path is not None:
        write_atomically(path, weights_of(network))
