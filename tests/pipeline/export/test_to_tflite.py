"""torch to .tflite: the same answers, channels last without transposes, quiet, reproducible, refused by name."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgewright.files import sha256_bytes
from pipeline import network
from pipeline.export.drift import worst_difference
from pipeline.export.tflite_file import file_size, operators, superfluous_transposes, tensors
from pipeline.export.tflite_names import leanest
from pipeline.export.tflite_run import run_tflite
from pipeline.export.to_tflite import NotConvertible, to_tflite
from tests.pipeline import nets
from tests.pipeline.export import tflited


@pytest.mark.parametrize(
    "name",
    ["resnet", "patches", *(pytest.param(one, marks=pytest.mark.slow) for one in (*list(nets.NETS)[1:], "words"))],
)
def test_tflite_file_gives_what_torch_gives(name: str) -> None:
    x = tflited.samples_of(name, 6, seed=3)
    with torch.no_grad():
        reference = tflited.net_of(name)(x).numpy()
    for data in (tflited.tflite_of(name), leanest(tflited.tflite_of(name))):
        assert worst_difference(reference, run_tflite(data, x.numpy())) < 1e-5


RESNET8 = {"ADD": 3, "CONV_2D": 8, "DEPTHWISE_CONV_2D": 1, "FULLY_CONNECTED": 1, "MEAN": 1, "PAD": 2}
MOBILENETV2 = {"ADD": 6, "CONV_2D": 18, "DEPTHWISE_CONV_2D": 10, "FULLY_CONNECTED": 1, "MEAN": 1, "PAD": 2}


@pytest.mark.parametrize(
    ("name", "counts"),
    [("resnet", RESNET8), pytest.param("resnet8", RESNET8, marks=pytest.mark.slow),
     pytest.param("mobilenetv2", MOBILENETV2, marks=pytest.mark.slow)],
)  # fmt: skip
def test_network_of_convolutions_has_these_operators_and_no_transpose(name: str, counts: dict[str, int]) -> None:
    data = tflited.tflite_of(name)
    assert operators(data) == counts  # TRANSPOSE is not among them
    assert superfluous_transposes(data) == []
    net, x = tflited.net_of(name), tflited.samples_of(name)
    assert file_size(data).macs == network.measure(net, x).macs
    (entering,), (leaving,) = tensors(data)
    assert entering == {
        "name": "input", "dtype": "float32", "shape": [1, *x.shape[2:], x.shape[1]], "layout": "channels-last",
    }  # fmt: skip
    assert leaving == {"name": "output", "dtype": "float32", "shape": [1, 10]}


@pytest.mark.slow
def test_tokens_stay_as_they_are_and_become_int32() -> None:
    (entering,), _ = tensors(tflited.tflite_of("words"))
    assert entering == {"name": "input", "dtype": "int32", "shape": [1, 12]}


@pytest.mark.slow
def test_features_stay_as_they_are() -> None:
    tflited.installed()
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    x = torch.randn(4, 12)
    data = to_tflite(net, x[:1])
    assert tensors(data)[0] == [{"name": "input", "dtype": "float32", "shape": [1, 12]}]
    assert worst_difference(net(x).detach().numpy(), run_tflite(data, x.numpy())) < 1e-5


CONVERT = """
import sys
from edgewright.files import sha256_bytes
from tests.pipeline.export import tflited
data = tflited.tflite_of("resnet")
sys.stderr.write("digest " + sha256_bytes(data))
"""


@pytest.mark.slow
def test_conversion_elsewhere_gives_the_same_bytes_and_prints_nothing(tmp_path: Path, project_root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CONVERT],
        cwd=tmp_path,
        env={"PYTHONPATH": str(project_root), "PYTHONHASHSEED": "7", "HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.returncode) == ("", 0), done.stderr
    assert done.stderr == "digest " + sha256_bytes(tflited.tflite_of("resnet"))


class _Inside(nn.Module):
    """Applies a function in the midst of a small network."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def _with(function: Callable[[Tensor], Tensor]) -> nn.Module:
    torch.manual_seed(0)
    middle = nn.Sequential(nn.ReLU(), _Inside(function))
    return nn.Sequential(nn.Conv2d(1, 4, 3, 1, 1), middle, nn.Flatten(), nn.Linear(256, 3)).eval()


@torch.library.custom_op("edgewright_test::twice", mutates_args=())
def twice(x: Tensor) -> Tensor:
    return x * 2


@twice.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


def _slow(function: Callable[[Tensor], Tensor], operation: str, name: str) -> Any:
    return pytest.param(function, operation, id=name, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("function", "operation"),
    [
        pytest.param(torch.erfinv, "has nothing for aten.erfinv.default", id="erfinv"),
        _slow(lambda x: x - x.median(-1, keepdim=True)[0], "has nothing for aten.median.dim", "median"),
        _slow(lambda x: x * torch.linalg.det(x)[..., None, None], "has nothing for aten._linalg_det.default", "det"),
        _slow(
            lambda x: torch.fft.fft2(x).real, "can't take aten._to_copy.default: RuntimeError: torch.complex64", "fft"
        ),
        _slow(lambda x: x * torch.nonzero(x).sum(), "can't take aten.nonzero.default", "nonzero"),
        _slow(twice, "has nothing for edgewright_test.twice.default", "custom"),
        _slow(lambda x: x if x.sum() > 0 else -x, "can't take the network: GuardOnDataDependent", "branch"),
    ],
)
def test_operation_that_does_not_convert_is_named_with_its_layer(
    function: Callable[[Tensor], Tensor], operation: str, capfd: pytest.CaptureFixture[str]
) -> None:
    tflited.installed()
    with pytest.raises(NotConvertible) as caught:
        to_tflite(_with(function), nets.pictures(1))
    assert operation in caught.value.what
    assert caught.value.where == "layer 1.1 (_Inside)"
    assert "onnxruntime" in caught.value.remedy
    assert "\n" not in caught.value.what
    assert capfd.readouterr() == ("", "")


class _Attentive(nn.Module):
    """Squeeze and excitation, group norm and hard swish: MobileNetV3's parts."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, 16, 3, 2, 1), nn.GroupNorm(4, 16)
        self.squeeze, self.excite = nn.Conv2d(16, 4, 1), nn.Conv2d(4, 16, 1)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.hardswish(self.norm(self.stem(x)))
        x = x * F.hardsigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(x, 1)))))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


@pytest.mark.slow
def test_squeeze_and_excitation_with_group_norm_and_hard_swish_converts() -> None:
    tflited.installed()
    torch.manual_seed(0)
    net, x = _Attentive().eval(), nets.pictures(4)
    data = to_tflite(net, x[:1])
    assert worst_difference(net(x).detach().numpy(), run_tflite(data, x.numpy())) < 1e-5
    assert operators(data)["HARD_SWISH"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("widths", [(7, 13, 29), (5, 11, 23)])
def test_odd_widths_convert(widths: tuple[int, int, int]) -> None:
    from models.architectures.resnet import resnet8

    tflited.installed()
    torch.manual_seed(0)
    net, x = resnet8(widths=widths, stem_stride=1).eval(), nets.pictures(4)
    data = to_tflite(net, x[:1])
    assert operators(data) == RESNET8
    assert worst_difference(net(x).detach().numpy(), run_tflite(data, x.numpy())) < 1e-5


class _Viewed(nn.Module):
    """Flattens by view(), as LeNet's code does: right only for a picture in torch's own strides."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(1, 4, 3, 2, 1), nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        return self.head(x.view(x.size(0), -1))


@pytest.mark.slow
def test_view_of_a_picture_converts() -> None:
    tflited.installed()
    torch.manual_seed(0)
    net, x = _Viewed().eval(), nets.pictures(4)
    assert worst_difference(net(x).detach().numpy(), run_tflite(to_tflite(net, x[:1]), x.numpy())) < 1e-5


def test_weights_that_lie_channels_last_in_memory_convert_right() -> None:
    """litert-torch 0.10 writes such a weight's numbers as they lie: chance-level output, no error."""
    tflited.installed()
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3)).eval()
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = nets.pictures(2) if nets.pictures(1).shape[1] == 3 else torch.randn(2, 3, 12, 12)
    with torch.no_grad():
        reference = net(x).numpy()
    assert worst_difference(reference, run_tflite(to_tflite(net, x[:1]), x.numpy())) < 1e-5
    assert not next(net.parameters()).is_contiguous()  # the network itself is left as it was
