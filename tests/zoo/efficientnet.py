"""EfficientNet-Lite0 as its package makes it: subclassed convolutions that pad their input themselves, and unevenly."""

from __future__ import annotations

from typing import Any

from torch import nn

from tests.zoo.entry import Entry, pictures

PACKAGE = ("efficientnet_lite_pytorch", "./inv setup vision")


def lite0(**sizes: Any) -> nn.Module:
    import importlib

    package = importlib.import_module("efficientnet_lite_pytorch")
    network: nn.Module = package.EfficientNet.from_name("efficientnet-lite0", image_size=64, **sizes)
    return network


def slim() -> nn.Module:
    """The same code at a quarter of the width and a third of the depth, for tests that run many times."""
    return lite0(width_coefficient=0.25, depth_coefficient=0.34, num_classes=10)


_FILTERS = frozenset({"filters"})

ENTRIES = {
    "efficientnet-lite0-slim": Entry(slim, pictures(3, 64), _FILTERS, {"_fc": "output"}, layers=3, package=PACKAGE),
    "efficientnet-lite0": Entry(
        lite0, pictures(3, 64), _FILTERS, {"_fc": "output"}, layers=9, package=PACKAGE, large=True
    ),
}
