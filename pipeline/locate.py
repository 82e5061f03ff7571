"""Finds what a recipe names, `package.module:function` or `file.py:function`: its source unimported, or the thing."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgewright.errors import EdgewrightError


class NotFound(EdgewrightError):
    """A factory, loader, metric or loss that a recipe names and that is not there, or that fails when called."""


def source_of(spec: str, folder: Path, key: str) -> Path:
    """The source file of `spec`; `folder` is the recipe's. Only parent packages get imported. Raises NotFound."""
    module, _ = _split(spec, key)
    if module.endswith(".py"):
        path = folder / module
        if not path.is_file():
            raise NotFound(
                f"There is no file {module!r}",
                where=f"{key} = {spec!r}",
                remedy=f"put it beside the recipe, in {folder}",
            )
        return path
    with _importable(folder):
        try:
            found = importlib.util.find_spec(module)
        except Exception as error:  # a parent package of the user's may raise anything
            found, reason = None, f": {type(error).__name__}: {error}"
        else:
            reason = " with a source file" if found else ""
    if found is None or found.origin is None or not Path(found.origin).is_file():
        raise NotFound(
            f"There is no module {module!r}{reason}",
            where=f"{key} = {spec!r}",
            remedy="install it into this environment, or name a file beside the recipe: file.py:function",
        )
    return Path(found.origin)


def load(spec: str, folder: Path, key: str) -> Any:
    """The thing that `spec` names. Raises NotFound, with the import's own error in it."""
    module_name, name = _split(spec, key)
    path = source_of(spec, folder, key)
    try:
        with _importable(folder):
            if module_name.endswith(".py"):
                # A name of its own by path, so that two recipes may each have a "net.py".
                unique = f"_edgewright_{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
                module = sys.modules.get(unique)
                if module is None:
                    spec_ = importlib.util.spec_from_file_location(unique, path)
                    assert spec_ is not None and spec_.loader is not None
                    module = importlib.util.module_from_spec(spec_)
                    sys.modules[unique] = module
                    try:
                        spec_.loader.exec_module(module)
                    except BaseException:
                        del sys.modules[unique]
                        raise
            else:
                module = importlib.import_module(module_name)
    except Exception as error:  # the user's module may raise anything
        raise NotFound(
            f"Importing it failed: {type(error).__name__}: {error}",
            where=f"{key} = {spec!r} ({path})",
            remedy=f"mend {path.name}",
        ) from error
    try:
        return getattr(module, name)
    except AttributeError as error:
        raise NotFound(
            f"{path.name} has no {name!r}", where=f"{key} = {spec!r}", remedy=f"define {name} in {path}"
        ) from error


def call(thing: Any, spec: str, key: str, *args: Any, **kwargs: Any) -> Any:
    """Calls what was loaded; whatever it raises becomes a NotFound that names it (our own errors pass)."""
    try:
        return thing(*args, **kwargs)
    except EdgewrightError:
        raise
    except Exception as error:
        raise NotFound(
            f"It raised {type(error).__name__}: {error}",
            where=f"{key} = {spec!r}, called with {_arguments(args, kwargs)}",
            remedy="call it in a Python prompt with these arguments and mend it",
        ) from error  # fmt: skip


def _arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    text = ", ".join([*(repr(value) for value in args), *(f"{key}={value!r}" for key, value in kwargs.items())])
    return (text if len(text) < 200 else text[:200] + "...") or "no argument"


def _split(spec: str, key: str) -> tuple[str, str]:
    module, _, name = spec.rpartition(":")
    if not module or not name.isidentifier():
        raise NotFound(
            f"{spec!r} names nothing that can be imported",
            where=key,
            remedy="write package.module:function or file.py:function",
        )
    return module, name


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """The recipe's folder and the working folder are importable meanwhile; both stay behind everything installed."""
    added = [str(folder.resolve()), str(Path.cwd())]
    sys.path.extend(added)
    try:
        yield
    finally:
        for entry in added:
            sys.path.remove(entry)
