"""TOML files as people write them: errors that name the file, the key and what to do."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright.errors import EdgewrightError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError


class BadToml(EdgewrightError):
    """A file that is not there, not text or not TOML."""


def by_name(*folders: Path) -> dict[str, Path]:
    """The .toml files of `folders` by their stem; a later folder's file stands before an earlier one's of that name."""
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.toml"))}


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file. Raises BadToml."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadToml(f"The file can't be read: {error}", where=str(path), remedy="check the path") from error
    except tomllib.TOMLDecodeError as error:
        raise BadToml(
            f"This is not TOML: {error}", where=str(path), remedy="mend that line; https://toml.io"
        ) from error


def describe(error: ValidationError, model: type[BaseModel]) -> tuple[str, str, str]:
    """(what is wrong, which key, what to do) of the first problem that pydantic found in a `model`."""
    problem = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in problem["loc"] if not str(part).startswith("function-"))
    more = f" ({len(error.errors()) - 1} more problems after it)" if len(error.errors()) > 1 else ""
    if problem["type"] == "extra_forbidden":
        known = _fields_beside(problem["loc"], model)
        near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
        return f"Unknown key {problem['loc'][-1]!r}{more}", key, hint
    if problem["type"] == "missing":
        return f"The key {problem['loc'][-1]!r} is missing{more}", key, f"add {key} = ..."
    said, given = problem["msg"].removeprefix("Value error, "), repr(problem["input"])
    return f"{said}, got {given if len(given) < 80 else given[:77] + '...'}{more}", key, "correct the value"


def _fields_beside(location: tuple[int | str, ...], model: type[BaseModel]) -> list[str]:
    """Names of the fields that may stand where an unknown key was found."""
    from pydantic import BaseModel as Base

    current: Any = model
    for part in location[:-1]:
        if isinstance(part, str) and part in getattr(current, "model_fields", {}):
            current = _model_in(current.model_fields[part].annotation, Base)
    return list(getattr(current, "model_fields", {}))


def _model_in(annotation: Any, base: type[BaseModel]) -> Any:
    """The pydantic model inside an annotation like `list[Model]` or `Model | None`."""
    if isinstance(annotation, type) and issubclass(annotation, base):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        if (found := _model_in(inner, base)) is not None:
            return found
    return None
