"""Core ML packages: made of torch's formats here, loaded back, and computed operation by operation against torch."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from device_agents.bundle import write_bundle
from edgewright.extras import MissingExtra
from pipeline.release.about import About
from pipeline.release.content import Content
from pipeline.release.packages import coreml
from pipeline.release.packages.ends import ends
from pipeline.release.packages.errors import NotConverted
from tests.pipeline.release.packages import made
from tests.prerequisites import require

pytestmark = pytest.mark.slow
SPEC = "Data/com.apple.CoreML/model.mlmodel"


@pytest.fixture(autouse=True)
def _coremltools() -> None:
    require(importlib.util.find_spec("coremltools"), "coremltools is not installed: ./inv setup apple")


def network(channels: int) -> Any:
    """A small convolutional classifier of pictures of 8 x 6 pixels, four classes, seeded."""
    import torch
    from torch import nn

    torch.manual_seed(3)
    layers = [
        nn.Conv2d(channels, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 8, 3, stride=2, padding=1),
    ]
    return nn.Sequential(*layers, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)).eval()


def content(folder: Path, format_: str, channels: int = 3, **changes: Any) -> Content:
    """A bundle of `network` in one of torch's formats."""
    import torch

    from pipeline.export.to_torch import FILES, to_torch

    shape = [1, channels, 8, 6]
    file = folder / FILES[format_]
    file.write_bytes(to_torch(network(channels), torch.zeros(shape), format_))
    about = changes.pop("about", About())
    told: dict[str, Any] = {"target": "ios", "format": format_, "runtime": "torch", "file": file.name}
    told["inputs"] = [{"name": "input", "dtype": "float32", "shape": shape}]
    if channels == 1:
        told["preprocessing"] = {"divide_by": 255, "mean": [0.286], "std": [0.353]}
    return made.of(write_bundle(folder / "bundle", file, made.manifest(**told | changes)), about=about)


def files(package: Path) -> dict[str, bytes]:
    return {str(path.relative_to(package)): path.read_bytes() for path in package.rglob("*") if path.is_file()}


@pytest.mark.parametrize("format_", coreml.FORMATS)
@pytest.mark.parametrize("channels", [1, 3])
def test_package_computes_what_the_network_does(tmp_path: Path, format_: str, channels: int) -> None:
    import numpy as np
    import torch

    from tests.pipeline.release.packages import mil

    given = content(tmp_path, format_, channels)
    coreml.write_mlpackage(given, tmp_path / "made.mlpackage")
    pixels = np.random.default_rng(4).integers(0, 256, (8, 6, channels), np.uint8)
    prepared = ends(given.bundle.manifest, True)[0].prepared(pixels)
    with torch.no_grad():
        wanted = network(channels)(torch.from_numpy(prepared)).softmax(1)[0].tolist()
    raw = pixels.transpose(2, 0, 1)[None].astype(np.float32)
    found = mil.classified(tmp_path / "made.mlpackage", raw)
    assert list(found) == made.LABELS
    assert list(found.values()) == pytest.approx(wanted, abs=1e-5)


def test_package_describes_a_picture(tmp_path: Path) -> None:
    about = About(purpose="Tells four things.", weights_licence="MIT")
    coreml.write_mlpackage(content(tmp_path, "torchscript", about=about), tmp_path / "made.mlpackage")
    described = coreml.library().utils.load_spec(str(tmp_path / "made.mlpackage")).description
    (given,) = described.input
    picture = given.type.imageType
    assert (given.name, picture.height, picture.width) == ("image", 8, 6)
    assert picture.ColorSpace.Name(picture.colorSpace) == "RGB"
    about_it = described.metadata
    assert (about_it.versionString, about_it.shortDescription, about_it.license) == (
        "1.2.0",
        "Tells four things.",
        "MIT",
    )
    assert coreml.DATE not in about_it.userDefined


def test_values_that_are_no_bytes_come_as_numbers(tmp_path: Path) -> None:
    import numpy as np

    from tests.pipeline.release.packages import mil

    given = content(tmp_path, "torchscript", preprocessing={"divide_by": 16}, labels=None)
    coreml.write_mlpackage(given, tmp_path / "made.mlpackage")
    described = coreml.library().utils.load_spec(str(tmp_path / "made.mlpackage")).description
    assert list(described.input[0].type.multiArrayType.shape) == [1, 3, 8, 6]
    assert [one.name for one in described.output] == ["probabilities"]
    found = mil.answer(tmp_path / "made.mlpackage", np.ones((1, 3, 8, 6), np.float32))["output"]
    assert float(found.sum()) == pytest.approx(1, abs=1e-5)


def test_same_bundle_gives_same_bytes(tmp_path: Path) -> None:
    given = content(tmp_path, "torchscript")
    for name in ("one", "other"):
        coreml.write_mlpackage(given, tmp_path / name / "made.mlpackage")
    one, other = (files(tmp_path / name / "made.mlpackage") for name in ("one", "other"))
    assert one == other and sorted(one) == sorted(["Manifest.json", SPEC, "Data/com.apple.CoreML/weights/weight.bin"])
    listed = json.loads(one["Manifest.json"])
    assert listed["itemInfoEntries"][listed["rootModelIdentifier"]]["path"] == "com.apple.CoreML/model.mlmodel"


def test_weights_stay_in_float32(tmp_path: Path) -> None:
    coreml.write_mlpackage(content(tmp_path, "torchscript"), tmp_path / "made.mlpackage")
    weights = files(tmp_path / "made.mlpackage")["Data/com.apple.CoreML/weights/weight.bin"]
    count = sum(one.numel() for one in network(3).parameters() if one.dim() > 1)
    assert len(weights) > 4 * count


def test_tokens_come_as_whole_numbers(tmp_path: Path) -> None:
    import torch
    from torch import nn

    from pipeline.export.to_torch import to_torch

    network = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(24, 4)).eval()
    file = tmp_path / "model.pt"
    file.write_bytes(to_torch(network, torch.zeros((1, 6), dtype=torch.int64), "torchscript"))
    told: dict[str, Any] = {"target": "ios", "format": "torchscript", "runtime": "torch", "file": file.name}
    told["inputs"] = [{"name": "input", "dtype": "int64", "shape": [1, 6]}]
    given = made.of(write_bundle(tmp_path / "bundle", file, made.manifest(**told, preprocessing={"padding": 0})))
    coreml.write_mlpackage(given, tmp_path / "made.mlpackage")
    (taken,) = coreml.library().utils.load_spec(str(tmp_path / "made.mlpackage")).description.input
    numbers = taken.type.multiArrayType
    assert taken.name == "input" and list(numbers.shape) == [1, 6]
    assert numbers.ArrayDataType.Name(numbers.dataType) == "INT32"


def test_library_comes_without_what_it_needs_for_other_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other_source.py").touch()
    looks = "try:\n    import other_source\n    found = True\nexcept ImportError:\n    found = False\n"
    (tmp_path / "coremltools.py").write_text(looks)
    monkeypatch.delitem(sys.modules, "coremltools", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(coreml, "_OTHERS", ("other_source",))
    assert coreml.library().found is False
    assert importlib.import_module("other_source")  # and is there again afterwards
    monkeypatch.setitem(sys.modules, "coremltools", None)
    with pytest.raises(MissingExtra, match="coremltools"):
        coreml.library()


def test_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    given = content(tmp_path, "torchscript")
    given.bundle.model_file.write_bytes(b"no network")
    with pytest.raises(NotConverted) as caught:
        coreml.write_mlpackage(given, tmp_path / "made.mlpackage")
    assert not (tmp_path / "made.mlpackage").exists() and "another variant" in caught.value.remedy
