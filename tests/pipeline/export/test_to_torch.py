"""TorchScript and torch.export: what the network gives, the same bytes each time, nothing of who made them."""

from __future__ import annotations

import hashlib
import io
import pickletools
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline import network
from pipeline.export.drift import worst_difference
from pipeline.export.to_torch import to_torch
from pipeline.export.torch_file import constants, macs_of, run_torch, torch_file_drift
from tests.pipeline import nets
from tests.pipeline.export import attentive

BOTH = ["torchscript", "pt2"]
BOUND = {"torchscript": 1e-5, "pt2": 0.0}
ELSEWHERE = """
import hashlib
from pipeline.export.to_torch import to_torch
from tests.pipeline import nets
for format_ in ("torchscript", "pt2"):
    print(hashlib.sha256(to_torch(nets.make("mobile"), nets.pictures(1), format_)).hexdigest())
"""


def _one_by_one(net: nn.Module, x: Tensor) -> np.ndarray:
    with torch.no_grad():
        return torch.cat([net(sample[None]) for sample in x]).numpy()


@pytest.fixture(scope="module")
def mobile() -> dict[str, bytes]:
    return {format_: to_torch(nets.make("mobile"), nets.pictures(1), format_) for format_ in BOTH}


@pytest.mark.parametrize("format_", BOTH)
@pytest.mark.parametrize("name", ["resnet", "mobile", "flat", "layer_norm"])
def test_torch_file_gives_what_the_network_gives(name: str, format_: str) -> None:
    net, x = nets.make(name), nets.pictures(8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is let through to a person
        made = to_torch(net, x[:1], format_)
        outputs = run_torch(made, format_, x.numpy())
    assert outputs.dtype == np.float32
    assert worst_difference(_one_by_one(net, x), outputs) <= BOUND[format_]
    assert macs_of(made, format_, x[:1]) == network.measure(net, x[:1]).macs
    assert torch_file_drift(net, made, format_, x.numpy(), 1e-4).startswith("no ")


@pytest.mark.parametrize("format_", BOTH)
def test_torch_file_of_token_numbers_and_attention(format_: str) -> None:
    net, ids = attentive.made(attentive.Words), attentive.tokens(8)
    made = to_torch(net, ids[:1], format_)
    # The network itself takes a fused path here, the files its parts.
    assert worst_difference(_one_by_one(net, ids), run_torch(made, format_, ids.numpy())) <= 1e-5
    assert macs_of(made, format_, ids[:1]) == network.measure(net, ids[:1]).macs
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.parametrize("format_", BOTH)
def test_torch_file_is_the_same_bytes_each_time(mobile: dict[str, bytes], format_: str) -> None:
    assert to_torch(nets.make("mobile"), nets.pictures(1), format_) == mobile[format_]


@pytest.mark.slow  # the steps' contract test asks the same of TorchScript
def test_torch_files_are_the_same_bytes_in_another_process(
    mobile: dict[str, bytes], tmp_path: Path, project_root: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE],
        cwd=tmp_path,
        env={"PYTHONPATH": str(project_root), "PYTHONHASHSEED": "7", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [hashlib.sha256(mobile[format_]).hexdigest() for format_ in BOTH]


@pytest.mark.parametrize("format_", BOTH)
def test_torch_file_holds_no_path_no_source_line_and_no_sample(
    mobile: dict[str, bytes], format_: str, project_root: Path
) -> None:
    texts = [str(project_root), sys.prefix, "site-packages", 'File "', "stack_trace", "torch_mangle"]
    sample = nets.pictures(1).numpy().tobytes()
    with zipfile.ZipFile(io.BytesIO(mobile[format_])) as archive:
        for name in archive.namelist():
            data = archive.read(name)
            assert [text for text in texts if text.encode() in data + name.encode()] == [], name
            assert sample not in data, name


def test_pt2_holds_no_pickle_and_torchscript_only_its_own_two(mobile: dict[str, bytes]) -> None:
    found: dict[str, list[str]] = {}
    for format_, data in mobile.items():
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                record = archive.read(name)
                assert not record.startswith(b"PK"), name  # a torch.save inside it
                if record.startswith(b"\x80\x02"):
                    found.setdefault(format_, []).append(name.partition("/")[2])
                    words = {str(value) for _, value, _ in pickletools.genops(record) if isinstance(value, str)}
                    assert {word.partition(".")[0] for word in words if "." in word} <= {"__torch__", "torch"}
    assert found == {"torchscript": ["data.pkl", "constants.pkl"]}


def test_torchscript_has_its_batch_norms_folded(mobile: dict[str, bytes]) -> None:
    net = nets.make("mobile")
    convolutions = [one for one in net.modules() if isinstance(one, nn.Conv2d | nn.Linear)]
    assert len(constants(mobile["torchscript"], "torchscript")) == 2 * len(convolutions)


@pytest.mark.parametrize("format_", BOTH)
@pytest.mark.parametrize("layer", ["expand", "project", "head"])
def test_torch_file_drift_names_the_layer(mobile: dict[str, bytes], format_: str, layer: str) -> None:
    net = nets.make("mobile")
    with torch.no_grad():
        net.get_parameter(f"{layer}.weight").copy_(net.get_parameter(f"{layer}.weight").flip(0))
    found = torch_file_drift(net, mobile[format_], format_, nets.pictures(4).numpy(), 1e-4)
    assert found.startswith(f"first layer that drifts: {layer} (")


def test_torchscript_of_a_choice_by_value_drifts_without_a_layer() -> None:
    class Choosy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 2 if bool(x.sum() > 0) else x

    net, x = Choosy(), torch.tensor([[1.0, 2.0], [-1.0, -2.0]])
    made = to_torch(net, x[:1], "torchscript")
    assert worst_difference(_one_by_one(net, x), run_torch(made, "torchscript", x.numpy())) > 0.1
    assert "chooses by values" in torch_file_drift(net, made, "torchscript", x.numpy(), 1e-5)
