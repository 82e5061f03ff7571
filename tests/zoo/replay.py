"""Rebuilds pruned networks of the zoo from their plan and weights alone: python -m tests.zoo.replay FOLDER

FOLDER/NAME/RATIO holds pruning.json, weights.safetensors, and inputs.safetensors with expected.safetensors. The
architectures are made anew, with other weights. Prints one JSON object: {NAME/RATIO: worst difference as a share of the
outputs' spread}.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from pipeline.network import PLAN, WEIGHTS, load_weights
from pipeline.pruning.plan import PruningPlan, replay
from pipeline.pruning.trial import apart, outputs
from tests.zoo import ZOO

INPUTS, EXPECTED = "inputs.safetensors", "expected.safetensors"


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    told = {}
    for place in sorted(folder.glob("*/*")):
        network = ZOO[place.parent.name].network(seed=99)
        replay(PruningPlan.from_json(json.loads((place / PLAN).read_bytes())), network)
        load_weights(network, place / WEIGHTS)
        given = load_file(place / INPUTS)
        got = outputs(network, tuple(given[key] for key in sorted(given)))
        wanted = load_file(place / EXPECTED)
        told["/".join(place.parts[-2:])] = apart([wanted[str(number)] for number in range(len(got))], got)
    print(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
