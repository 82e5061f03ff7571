"""Packages that only some recipes and tasks need: the extras that bring them, and what to type where one is missing."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager

from edgewright.errors import BadArgument, EdgewrightError

# The extras of pyproject.toml, each with a package that tells whether it is there.
EXTRAS = {
    "build": "torch",
    "text": "transformers",
    "vision": "efficientnet_lite_pytorch",
    "bench": "torch_pruning",
    "tflite": "litert_torch",
    "oracle": "tensorflow",
    "postgres": "psycopg",
    "parquet": "pyarrow",
    "release": "cyclonedx",
    "apple": "coremltools",
    "dev": "pytest",
}


class MissingExtra(EdgewrightError):
    """A package of an optional extra is not installed."""


@contextmanager
def extra(name: str, wanted_by: str) -> Iterator[None]:
    """Turns a failed import in its block into MissingExtra, with the command that installs the extra `name`.

    wanted_by: what can't go on without it, e.g. "the model minilm-sentiment".
    """
    try:
        yield
    except ImportError as error:
        raise _missing((error.name or str(error)).partition(".")[0], name, wanted_by) from error


def check(name: str) -> None:
    """Raises BadArgument where there is no such extra, MissingExtra where it is not installed."""
    if name not in EXTRAS:
        raise BadArgument(f"There is no extra {name!r}", where="setup", remedy=f"take one of {', '.join(EXTRAS)}")
    if importlib.util.find_spec(EXTRAS[name]) is None:
        raise _missing(EXTRAS[name], name, "setup")


def _missing(package: str, name: str, wanted_by: str) -> MissingExtra:
    return MissingExtra(
        f"The package {package} is not installed",
        where=wanted_by,
        remedy=f'./inv setup {name}    (without ./inv: pip install "edgewright[{name}]")',
    )
