"""Pruned networks of the zoo elsewhere: rebuilt from JSON and safetensors in a fresh process, and exported to ONNX."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pipeline.export.to_onnx import numbered, to_onnx
from pipeline.network import keep
from pipeline.pruning.shrink import Wish
from pipeline.pruning.trial import apart, outputs
from tests.zoo import ZOO
from tests.zoo.entry import Entry, available
from tests.zoo.proof import pruned
from tests.zoo.replay import EXPECTED, INPUTS

RATIOS = (0.3, 0.5, 0.75)
CUTTABLE = [name for name, entry in ZOO.items() if entry.kinds and not entry.large]
# A replay is exact; what is left is the order in which another process adds.
SAME, PARITY = 1e-5, 1e-4
# Export costs seconds each, so every network has one ratio, and the ratios take turns.
EXPORTED = [(name, RATIOS[place % 3]) for place, name in enumerate(CUTTABLE)]
QUICK = ("resnet", "mobilenetv3", "vit-fused", "bert", "encoder-post-norm", "two-inputs")


def wish(entry: Entry, ratio: float) -> Wish:
    blocks = 0.5 if entry.layers > 1 else 0.0  # one layer alone may hold all heads
    shares = dict.fromkeys(entry.kinds, ratio)
    return Wish(blocks=blocks, criterion="taylor-gate", min_width=1, **shares)  # type: ignore[arg-type]


def rebuilt_gaps(folder: Path, cases: list[tuple[str, float]], root: Path) -> dict[str, float]:
    """Prunes each (name, ratio), writes what a step would, and has one fresh process rebuild them all."""
    from safetensors.torch import save_file

    for name, ratio in cases:
        case = pruned(ZOO[name], wish(ZOO[name], ratio))
        place = folder / name / str(ratio)
        place.mkdir(parents=True)
        keep(case.network, case.plan, place)
        inputs = case.entry.samples(3, seed=12)
        save_file({str(number): one for number, one in enumerate(inputs)}, place / INPUTS)
        save_file({str(number): one for number, one in enumerate(outputs(case.network, inputs))}, place / EXPECTED)
    command = [sys.executable, "-m", "tests.zoo.replay", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    assert len(told) == len(cases)
    return told


def test_replay_in_a_fresh_process_rebuilds_the_pruned_networks(tmp_path: Path, project_root: Path) -> None:
    cases = [(name, 0.5) for name in QUICK if not ZOO[name].missing]
    told = rebuilt_gaps(tmp_path, cases, project_root)
    assert {name: gap for name, gap in told.items() if not gap <= SAME} == {}


@pytest.mark.slow
def test_replay_in_a_fresh_process_rebuilds_all_of_the_zoo_at_every_ratio(tmp_path: Path, project_root: Path) -> None:
    cases = [(available(ZOO[name]), name) for name in CUTTABLE]
    told = rebuilt_gaps(tmp_path, [(name, ratio) for _, name in cases for ratio in RATIOS], project_root)
    assert {name: gap for name, gap in told.items() if not gap <= SAME} == {}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "ratio"), EXPORTED)
def test_export_of_a_pruned_network_runs_in_onnxruntime_as_in_torch(name: str, ratio: float) -> None:
    import onnxruntime

    entry = available(ZOO[name])
    network = pruned(entry, wish(entry, ratio)).network
    inputs = entry.samples(1, seed=13)
    model = to_onnx(network, inputs, opset=20).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    named = zip(numbered("input", len(inputs)), inputs, strict=True)
    got = session.run(None, {key: one.numpy() for key, one in named})
    wanted = outputs(network, inputs)
    assert apart(wanted, [torch.from_numpy(one) for one in got]) <= PARITY
