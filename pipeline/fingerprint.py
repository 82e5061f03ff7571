"""Everything that can change a step's result, in one digest (design, rule 1)."""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edgewright.files import canonical_json, sha256_bytes

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("edgewright", "models", "pipeline", "device_agents", "targets")
# They word messages and draw bars: no result depends on them.
SHOWN_ONLY = ("edgewright/errors.py", "edgewright/progress.py", "edgewright/toml.py")


def fingerprint(ingredients: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of all ingredients."""
    return sha256_bytes(canonical_json(ingredients))


def code_of(source: Path, folder: Path | None = None) -> dict[str, str]:
    """Digests of a source file and of what it imports from the project, at any depth.

    The project is ours, a recipe's `folder`, and the source's own package unless it is an installed one. Comments,
    docstrings and layout don't count: the digest is of the syntax tree.
    """
    roots, seen = _closure(source, folder)
    named = {_name(path, roots): digest for path, (digest, _) in seen.items()}
    return {name: digest for name, digest in sorted(named.items()) if name not in SHOWN_ONLY}


def libraries_of(source: Path, folder: Path | None = None) -> dict[str, str]:
    """Versions of the libraries that a source, and what it imports from the project, import at any depth.

    Only those whose module is named as what was installed: torch, transformers ... What a recipe names may build on
    libraries that no step of ours knows of.
    """
    _, seen = _closure(source, folder)
    tops = {module.partition(".")[0] for _, modules in seen.values() for module in modules}
    found = libraries(sorted(tops - {"", *PACKAGES, *sys.stdlib_module_names}))
    return {name: version for name, version in found.items() if version != "none"}


def _closure(source: Path, folder: Path | None) -> tuple[tuple[Path, ...], dict[Path, tuple[str, tuple[str, ...]]]]:
    """(the project's folders, {file: (digest, modules that it imports)}) of a source and of all that it imports."""
    roots = tuple(dict.fromkeys([ROOT, *([folder.resolve()] if folder else []), *_home(source.resolve())]))
    seen: dict[Path, tuple[str, tuple[str, ...]]] = {}
    waiting = [source.resolve()]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen[path] = _read(path)
        for module in seen[path][1]:
            waiting.extend(found for found in _files_of(module, path, roots) if found not in seen)
    return roots, seen


def _home(source: Path) -> list[Path]:
    """The folder that a source's package is imported from; none for a library, whose version speaks for it."""
    if {"site-packages", "dist-packages"} & set(source.parts):
        return []
    folder = source.parent
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    return [folder]


def libraries(names: Iterable[str]) -> dict[str, str]:
    """Installed versions; "none" where a library isn't installed. Python's own is always there."""
    found = {"python": ".".join(map(str, sys.version_info[:2]))}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


def changes(old: Any, new: Any, path: str = "") -> list[str]:
    """What differs between two sets of ingredients, one line each: `parameters.epochs: 3 > 6`."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        lines = []
        for key in sorted({*old, *new}):
            lines += changes(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
        return lines
    if old == new:
        return []
    return [f"{path}: {_short(old)} > {_short(new)}"]


def _short(value: Any) -> str:
    if value is None:
        return "nothing"
    text = str(value)
    return text[:12] if len(text) == 64 else text if len(text) < 60 else text[:57] + "..."


@functools.cache
def _read(path: Path) -> tuple[str, tuple[str, ...]]:
    """(digest of the syntax tree, names of the modules that it imports)."""
    source = path.read_bytes()
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # an extension module, say
        return sha256_bytes(source), ()
    modules: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            below = base if base.endswith(".") else base + "."
            modules += [base, *(below + alias.name for alias in node.names)]
        body = getattr(node, "body", None)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and body:
            first = body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                first.value.value = ""
    return sha256_bytes(ast.dump(tree).encode()), tuple(modules)


def _files_of(module: str, importer: Path, roots: tuple[Path, ...]) -> list[Path]:
    """The project's files behind a module's name, its packages' `__init__.py` among them; [] for libraries."""
    if module.startswith("."):
        level = len(module) - len(module.lstrip("."))
        base = importer.parents[level - 1]
        return _below(base, module.lstrip("."))
    top = module.split(".")[0]
    files: list[Path] = []
    for root in roots:
        if root != ROOT or top in PACKAGES:
            files += _below(root, module)
    return files


def _below(root: Path, module: str) -> list[Path]:
    files, place = [], root
    for part in module.split(".") if module else ():
        place = place / part
        for candidate in (place / "__init__.py", place.with_suffix(".py")):
            if candidate.is_file():
                files.append(candidate)
    return files


def _name(path: Path, roots: tuple[Path, ...]) -> str:
    for root in roots:
        if path.is_relative_to(root):
            return path.relative_to(root).as_posix()
    return path.name
