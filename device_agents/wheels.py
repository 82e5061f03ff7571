"""Which runtime wheel goes onto which Python, machine and C library: one table, tested against the index itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

BOTH = ("x86_64", "aarch64")
ARM = ("aarch64", "armv7l")


@dataclass(frozen=True)
class Row:
    """One version of a package. pythons: minors of Python 3; glibc: the least minor of glibc 2 that its wheels take."""

    version: str
    pythons: Sequence[int]
    machines: Sequence[str]
    glibc: int


@dataclass(frozen=True)
class Recipe:
    """What a runtime is made of: keys of ROWS. own_numpy: machines whose numpy is the device's own (apt), for want of
    wheels."""

    package: str
    numpy: str = "numpy"
    own_numpy: tuple[str, ...] = ()


ROWS: Mapping[str, Sequence[Row]] = {
    # The newest first. 1.16 is the last for glibc below 2.27, but knows no opset 20.
    "onnxruntime": (
        Row("1.31.1", (11, 12, 13, 14), BOTH, 28),
        Row("1.28.0", (11, 12, 13, 14), BOTH, 27),
        Row("1.23.2", (10,), BOTH, 27),
        Row("1.19.2", (8, 9), BOTH, 27),
    ),
    "ai-edge-litert": (
        Row("2.3.0", (10, 11, 12, 13, 14), BOTH, 27),
        Row("2.1.0", (9,), BOTH, 27),
    ),
    "tflite-runtime": (
        Row("2.14.0", (8, 9, 10, 11), ("x86_64",), 17),
        Row("2.14.0", (8, 9, 10, 11), ARM, 34),
        Row("2.13.0", (8, 9, 10), ARM, 17),
    ),
    "numpy": (
        Row("2.5.5", (12, 13, 14), BOTH, 27),
        Row("2.4.6", (11,), BOTH, 27),
        Row("2.2.6", (10,), BOTH, 17),
        Row("2.0.2", (9,), BOTH, 17),
        Row("1.24.4", (8,), BOTH, 17),
    ),
    # tflite-runtime was built for numpy 1: with 2 it imports, and dies at the first interpreter.
    "numpy<2": (
        Row("1.26.4", (9, 10, 11), BOTH, 17),
        Row("1.24.4", (8,), BOTH, 17),
    ),
}

# The packages name more requirements than it takes to run a model; these are all (tried on Python 3.8 to 3.13 with
# nothing else on the module path).
RECIPES: Mapping[str, Recipe] = {
    "onnxruntime": Recipe("onnxruntime"),
    "litert": Recipe("ai-edge-litert"),
    "tflite-runtime": Recipe("tflite-runtime", numpy="numpy<2", own_numpy=("armv7l",)),
}


def package_of(key: str) -> str:
    """The package that a key of ROWS stands for: "numpy<2" > "numpy"."""
    return key.partition("<")[0]
