"""Makes the .tflite files of this folder: `python tests/device_agents/agent/recorded/tflite/make.py`, by litert-torch.

float32.tflite: a convolutional classifier, input [1, 8, 6, 3] float32, output [1, 4]; height, width and channels differ
so that a wrong layout can't go unseen. int8.tflite: the same in full-integer INT8 with integers at both ends.
tokens.tflite: input [1, 6] int32, the mean of its embeddings [1, 4]. Weights are seeded, not trained.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def make(folder: Path) -> None:
    """Writes the three files into `folder`."""
    import litert_torch
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(1)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 8, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(1),
        torch.nn.Linear(8, 4),
    ).eval()
    last = litert_torch.to_channel_last_io(net, args=[0]).eval()
    litert_torch.convert(last, (torch.zeros(1, 8, 6, 3),)).export(str(folder / "float32.tflite"))
    _quantise(folder)

    class Tokens(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = torch.nn.Embedding(50, 4)

        def forward(self, x: Any) -> Any:
            return self.table(x).mean(1)

    tokens = Tokens().eval()
    litert_torch.convert(tokens, (torch.zeros(1, 6, dtype=torch.int32),)).export(str(folder / "tokens.tflite"))


def _quantise(folder: Path) -> None:
    import numpy as np
    from ai_edge_quantizer import quantizer, recipe

    made = quantizer.Quantizer(str(folder / "float32.tflite"))
    made.load_quantization_recipe(recipe.static_wi8_ai8())
    seeded = np.random.default_rng(1)
    (name,) = _inputs(folder / "float32.tflite")
    samples = [{name: seeded.standard_normal((1, 8, 6, 3)).astype(np.float32)} for _ in range(16)]
    found = made.calibrate({"serving_default": samples})
    made.quantize(found).export_model(str(folder / "int8.tflite"), overwrite=True)


def _inputs(path: Path) -> list[str]:
    from ai_edge_litert.interpreter import Interpreter

    return list(Interpreter(str(path)).get_signature_list()["serving_default"]["inputs"])


if __name__ == "__main__":
    make(HERE)
