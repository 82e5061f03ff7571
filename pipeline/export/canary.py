"""Makes the canary model, the fixed small network that races along in every job; kept in device_agents/farm/canary/.

Run by hand, `python -m pipeline.export.canary FOLDER`, and hardly ever: another canary is the end of every series.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.files import write_atomically

if TYPE_CHECKING:
    from torch import nn

WIDTH, SIDE, LAYERS = 16, 16, 8


def network() -> nn.Module:
    """Eight 3x3 convolutions over [1, 16, 16, 16] float32, all of the same weights: 4.7 M MACs in a file of 10 KiB."""
    import torch
    from torch import nn

    class Canary(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
            # By a formula, so that no library's random numbers are in the file. Small: eight layers keep it finite.
            taps = torch.arange(self.convolution.weight.numel(), dtype=torch.float32)
            weight = torch.sin(taps * 0.7).reshape(self.convolution.weight.shape) / 9
            with torch.no_grad():
                self.convolution.weight.copy_(weight)
                self.convolution.bias.fill_(0.01)  # type: ignore[union-attr]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for _ in range(LAYERS):
                x = torch.relu(self.convolution(x))
            return torch.nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)

    return Canary().eval()


def write(folder: Path) -> None:
    """Writes canary.onnx and canary.tflite into a folder. Raises MissingExtra."""
    import torch

    from pipeline.export.lean import leanest
    from pipeline.export.to_onnx import to_onnx
    from pipeline.export.to_tflite import to_tflite

    example = torch.zeros(1, WIDTH, SIDE, SIDE)
    # Opset 18: Python 3.8's onnxruntime reads it too.
    # Lean: the exporter writes the build machine's paths into its metadata.
    write_atomically(folder / "canary.onnx", leanest(to_onnx(network(), example, 18)))
    write_atomically(folder / "canary.tflite", to_tflite(network(), example))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
