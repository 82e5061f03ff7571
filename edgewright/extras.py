"""Packages that only some recipes need: an import that fails says which extra brings them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edgewright.errors import EdgewrightError


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
        package = (error.name or str(error)).partition(".")[0]
        raise MissingExtra(
            f"The package {package} is not installed",
            where=wanted_by,
            remedy=f'./inv setup {name}    (without ./inv: pip install "edgewright[{name}]")',
        ) from error
