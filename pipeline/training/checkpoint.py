"""What a cut-off training goes on from: weights, optimizer state of any kind, the best epoch so far."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


@dataclass
class Reached:
    """How far a training has come.

    epoch: number of the next one; history: of each one that was run, (mean loss, validation metric or None); state:
    the network's weights and buffers after its best epoch, which is `best_epoch` (counted from 1).
    """

    epoch: int
    history: list[tuple[float, float | None]] = field(default_factory=list)
    best: float | None = None
    best_epoch: int | None = None
    state: dict[str, Tensor] = field(default_factory=dict)

    def note(self, loss: float, metric: float | None, network: nn.Module) -> None:
        """One more epoch is done. The best one's weights are copied; of equal ones the later is the best."""
        self.epoch += 1
        self.history.append((loss, metric))
        if metric is not None and (self.best is None or metric >= self.best or math.isnan(self.best)):
            self.best, self.best_epoch = metric, self.epoch
            self.state = {key: value.detach().clone() for key, value in network.state_dict().items()}


class Checkpoint:
    """One safetensors file. `extra`: parameters that are trained along, in a fixed order (a teaching's regressors)."""

    def __init__(
        self, path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, extra: Sequence[nn.Parameter]
    ) -> None:
        self.path = path
        self._network = network
        self._optimizer = optimizer
        self._extra = extra
        self._trained = [*network.parameters(), *extra]

    def save(self, reached: Reached) -> None:
        """Writes all that the next epoch depends on, whole or not at all."""
        from safetensors.torch import save

        from edgewright.files import write_atomically

        tensors = {f"model.{key}": value for key, value in self._network.state_dict().items()}
        tensors |= {f"best.{key}": value for key, value in reached.state.items()}
        tensors |= {f"extra.{place}": value.detach() for place, value in enumerate(self._extra)}
        for place, parameter in enumerate(self._trained):
            for key, value in self._optimizer.state.get(parameter, {}).items():
                if value is not None:
                    tensors[f"optimizer.{place}.{key}"] = value
        metadata = {
            "optimizer": type(self._optimizer).__name__,
            # json writes floats so that they read back to the bit, and NaN too
            "reached": json.dumps([reached.epoch, reached.history, reached.best, reached.best_epoch]),
        }
        write_atomically(self.path, save({key: _plain(value) for key, value in tensors.items()}, metadata=metadata))

    def load(self, begin: int, end: int) -> Reached | None:
        """Puts back what save() wrote; None, and nothing touched, where there is no file or it doesn't fit."""
        from safetensors import SafetensorError, safe_open

        if not self.path.is_file():
            return None
        try:
            with safe_open(self.path, framework="pt") as stream:
                metadata = stream.metadata()
                tensors = {key: stream.get_tensor(key) for key in stream.keys()}  # noqa: SIM118
            epoch, history, best, best_epoch = json.loads(metadata["reached"])
            reached = Reached(epoch, [(loss, metric) for loss, metric in history], best, best_epoch)
            reached.state = _below(tensors, "best.")
            fits = begin <= epoch <= end and len(history) == epoch - begin
            # Asked beforehand: load_state_dict takes in what fits before it refuses the rest.
            if not fits or metadata["optimizer"] != type(self._optimizer).__name__ or not self._fits(tensors, reached):
                return None
        except (SafetensorError, OSError, KeyError, TypeError, ValueError):
            return None
        self._take_in(tensors)
        return reached

    def _fits(self, tensors: dict[str, Tensor], reached: Reached) -> bool:
        shapes = {key: value.shape for key, value in self._network.state_dict().items()}
        extra = {str(place): value.shape for place, value in enumerate(self._extra)}
        states = [_below(tensors, "model.")] + ([reached.state] if reached.best is not None else [])
        return all({key: value.shape for key, value in state.items()} == shapes for state in states) and extra == {
            key: value.shape for key, value in _below(tensors, "extra.").items()
        }

    def _take_in(self, tensors: dict[str, Tensor]) -> None:
        import torch

        self._network.load_state_dict(_below(tensors, "model."))
        with torch.no_grad():
            for place, parameter in enumerate(self._extra):
                parameter.copy_(tensors[f"extra.{place}"])
        for place, parameter in enumerate(self._trained):
            for key, value in _below(tensors, f"optimizer.{place}.").items():
                same = value.shape == parameter.shape
                self._optimizer.state[parameter][key] = value.to(memory_format=_format(parameter)) if same else value


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _plain(value: Tensor) -> Tensor:
    """A copy of its own: shared tensors are written under each of their names, and no layout but the plain one."""
    import torch

    return value.detach().clone(memory_format=torch.contiguous_format)


def _format(tensor: Tensor) -> Any:
    import torch

    channels_last = tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if channels_last else torch.contiguous_format
