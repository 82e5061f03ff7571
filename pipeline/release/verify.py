"""Is a release folder what its owner signed? Every file, the signature, and what the files say of each other."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from device_agents.agent import trust
from device_agents.bundle import Manifest
from device_agents.foreign import printable
from edgewright.files import sha256_bytes, sha256_file
from pipeline.release import manifest as manifests
from pipeline.release import processing, provenance
from pipeline.release.errors import NoRelease
from pipeline.release.keys import PublicKey
from pipeline.release.manifest import ReleaseManifest
from pipeline.release.places import is_folder
from pipeline.release.signing import BUNDLE_SIGNATURE, ENVELOPE, SUMS, BadEnvelope, opened

if TYPE_CHECKING:
    from device_agents.farm.opening import AnyDevice

BUNDLE = f"{manifests.MODEL}/bundle.json"
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
_MOST_BYTES = 16 << 20
_NEEDED = (manifests.FILE, BUNDLE, BUNDLE_SIGNATURE, provenance.FILE, processing.FILE, "sample/sample.json")


@dataclass(frozen=True)
class Finding:
    """Something that is not as it was signed, or contradicts the rest. file: relative to the folder."""

    file: str
    problem: str

    def __str__(self) -> str:
        return f"{printable(self.file, 300)}: {printable(self.problem)}"


def verify(
    folder: Path,
    keys: Sequence[PublicKey],
    device: AnyDevice | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[Finding]:
    """What is wrong with a release folder; nothing where it is whole, and signed by one of `keys`.

    device: an open one, on which the sample input must give the expected output too; asked only where all else is well,
    for nothing that was tampered with goes to a device. say: is told what was found in order. Raises NoRelease where
    there is no folder, and what a device raises.
    """
    if not is_folder(folder):
        raise NoRelease("No release there.", where=str(folder), remedy="./inv release.verify RELEASE_FOLDER")
    there, findings = _walked(folder)
    payload, signed = _signed(folder, there, keys, say)
    listed, unreadable = _listed(payload)
    findings += signed + unreadable
    whole = {}
    for path in sorted(set(listed) | there - {SUMS, ENVELOPE}):
        if path not in there:
            findings.append(Finding(path, "is missing"))
        elif path not in listed:
            findings.append(Finding(path, f"is not in {SUMS}"))
        elif (problem := _otherwise(folder / path, listed[path])) is not None:
            findings.append(Finding(path, problem))
        else:
            whole[path] = listed[path]
    say(f"files      {len(whole)} of {len(listed)} as {SUMS} says")
    findings += [Finding(path, "is missing") for path in _NEEDED if path not in listed]
    if not findings:
        findings += _Content(folder, whole, keys).findings(say)
    if not findings and device is not None:
        from pipeline.release.on_device import differs

        if (problem := differs(folder, device, say)) is not None:
            findings.append(Finding("sample/expected.npy", problem))
    return findings


def _otherwise(path: Path, digest: str) -> str | None:
    """What is wrong with a file that should have that SHA-256; None for nothing."""
    try:
        if sha256_file(path) == digest:
            return None
    except OSError as error:
        return f"can't be read: {error.strerror}"
    return f"was changed: its digest is not the one in {SUMS}"


def _walked(folder: Path) -> tuple[set[str], list[Finding]]:
    """Every plain file, relative to the folder; links and other things, which are never followed, are findings."""
    there: set[str] = set()
    findings: list[Finding] = []

    def closed(error: OSError) -> None:
        place = Path(error.filename).relative_to(folder).as_posix()
        findings.append(Finding(place, f"can't be looked into: {error.strerror}"))

    for place, folders, files in os.walk(folder, onerror=closed, followlinks=False):
        for name in [*folders, *files]:
            path = Path(place, name)
            relative = path.relative_to(folder).as_posix()
            if path.is_symlink():
                findings.append(Finding(relative, "is a link: a release holds plain files only"))
            elif (problem := _bad_path(relative)) is not None:
                findings.append(Finding(relative, problem))
            elif path.is_file():
                there.add(relative)
            elif not path.is_dir():
                findings.append(Finding(relative, "is neither a file nor a folder"))
    return there, findings


def _bad_path(path: str) -> str | None:
    """Why a path can be none of a release's; None for a good one."""
    if not path.isprintable() or not path.isascii() or "\\" in path:
        return "its name holds a character that no name in a release holds"
    if path.startswith("/") or re.match(r"[A-Za-z]:", path) or {"", ".", ".."} & set(path.split("/")):
        return "its name leads out of the folder"
    return None


def _signed(
    folder: Path, there: set[str], keys: Sequence[PublicKey], say: Callable[[str], None]
) -> tuple[bytes, list[Finding]]:
    """The list of digests that files are held against: the signed one, else what lies there."""
    missing = [Finding(name, "is missing") for name in (SUMS, ENVELOPE) if name not in there]
    try:
        on_disk = _read(folder / SUMS) if SUMS in there else b""
    except OSError as error:
        on_disk, missing = b"", [*missing, Finding(SUMS, f"can't be read: {error.strerror}")]
    if ENVELOPE not in there:
        return on_disk, missing
    try:
        payload, key = opened(_read(folder / ENVELOPE), keys)
    except OSError as error:
        return on_disk, [*missing, Finding(ENVELOPE, f"can't be read: {error.strerror}")]
    except BadEnvelope as bad:
        return on_disk, [*missing, Finding(ENVELOPE, str(bad))]
    say(f"signature  by {key.keyid[:16]} {printable(key.comment, 100)}".rstrip())
    if not missing and payload != on_disk:
        missing.append(Finding(SUMS, "was changed: it is not the list that was signed"))
    return payload, missing


def _listed(sums: bytes) -> tuple[dict[str, str], list[Finding]]:
    """SHA-256 by path, as SHA256SUMS has them; lines that are none of ours are findings."""
    listed: dict[str, str] = {}
    findings = []
    # By "\n" alone, as sha256sum does: str.splitlines knows a dozen more.
    for number, line in enumerate(sums.decode(errors="replace").removesuffix("\n").split("\n"), 1):
        found = _LINE.fullmatch(line)
        problem = "is no digest and name" if found is None else _bad_path(found[2])
        if found is not None and problem is None and (found[2] in listed or found[2] in (SUMS, ENVELOPE)):
            problem = f"{found[2]} can't stand there"
        if problem is not None:
            findings.append(Finding(SUMS, f"line {number}: {problem}"))
        elif found is not None:
            listed[found[2]] = found[1]
    return listed, findings


class _Content:
    """What the files of a release say of each other. Each is whole and signed: only its maker can have erred."""

    def __init__(self, folder: Path, digests: dict[str, str], keys: Sequence[PublicKey]) -> None:
        self._folder = folder
        self._digests = digests
        self._keys = {key.keyid: (key.public, key.comment) for key in keys}

    def findings(self, say: Callable[[str], None]) -> list[Finding]:
        try:
            release = manifests.read(self._folder)
        except NoRelease as error:
            return [Finding(manifests.FILE, error.what)]
        try:
            told = _read(self._folder / BUNDLE)
            bundle = Manifest.model_validate_json(told)
        except ValidationError as error:
            return [Finding(BUNDLE, f"is no bundle's manifest: {error.errors()[0]['msg']}")]
        found = [
            *self._bundle(release, bundle, told),
            *self._files(release, bundle),
            *self._provenance(release),
        ]
        say(f"bundle     {release.bundle[:16]}, {bundle.name} of {printable(release.model, 100)}")
        return [Finding(file, problem) for file, problem in found]

    def _bundle(self, release: ReleaseManifest, bundle: Manifest, told: bytes) -> Iterator[tuple[str, str]]:
        if told != bundle.canonical():
            yield BUNDLE, "is not spelt as a bundle's manifest is, so no device would take it"
        if sha256_bytes(told) != release.bundle:
            yield BUNDLE, f"is not the bundle that {manifests.FILE} names"
        try:
            trust.judge(self._keys, told, _read(self._folder / BUNDLE_SIGNATURE))
        except trust.BundleNotTrusted as refused:
            yield BUNDLE_SIGNATURE, str(refused)
        signature = release.signature
        for name in ("model", "target", "runtime", "precision"):
            if getattr(release, name) != getattr(bundle, name):
                yield manifests.FILE, f"{name} is not the bundle's"
        for name in ("format", "inputs", "outputs", "labels", "preprocessing"):
            if getattr(signature, name) != getattr(bundle, name):
                yield manifests.FILE, f"signature.{name} is not the bundle's"

    def _files(self, release: ReleaseManifest, bundle: Manifest) -> Iterator[tuple[str, str]]:
        model = release.model_file
        if model.path != f"{manifests.MODEL}/{bundle.file}" or model.path not in self._digests:
            yield manifests.FILE, f"the model file that it names is not there: {model.path}"
        elif (model.sha256, model.bytes) != (self._digests[model.path], (self._folder / model.path).stat().st_size):
            yield model.path, f"is not the file that {manifests.FILE} names"
        if model.bundle_sha256 != bundle.sha256:
            yield manifests.FILE, "model_file.bundle_sha256 is not the bundle's"
        for package in release.packages:
            for file in package.files:
                if file not in self._digests and f"packages/{package.name}/{file}" not in self._digests:
                    yield manifests.FILE, f"the package {package.name} names a file that is not there: {file}"
        if release.signature.labels is not None:
            expected = processing.labels_file(release.signature.labels)
            if self._digests.get(processing.LABELS) != sha256_bytes(expected):
                yield processing.LABELS, f"holds other labels than {manifests.FILE}"

    def _provenance(self, release: ReleaseManifest) -> Iterator[tuple[str, str]]:
        try:
            told = json.loads(_read(self._folder / provenance.FILE))
            kinds, subjects = (told["_type"], told["predicateType"]), told["subject"]
            built = told["predicate"]["buildDefinition"]
            asked, needed = built["externalParameters"], built["resolvedDependencies"]
            named = {str(one["name"]): str(one["digest"]["sha256"]) for one in subjects}
            bundle = [one["digest"]["sha256"] for one in needed if one["name"] == "bundle"]
            version: Any = asked["version"]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            yield provenance.FILE, f"is no provenance statement ({type(error).__name__}: {error})"
            return
        if kinds != (provenance.STATEMENT, provenance.PREDICATE):
            yield provenance.FILE, "is a statement of another kind"
        for path, digest in named.items():
            if self._digests.get(path) != digest:
                yield provenance.FILE, f"speaks of another {printable(path, 200)} than the one that is there"
        if release.model_file.path not in named:
            yield provenance.FILE, "says nothing of the model file"
        if bundle != [release.bundle] or version != release.version:
            yield provenance.FILE, "speaks of another bundle or version"


def _read(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_MOST_BYTES)
