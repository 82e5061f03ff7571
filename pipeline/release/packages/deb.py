"""A .deb in our own few lines (deb(5), ar(5), deb-control(5)): the same bytes on every system, with dpkg or without.

The package holds the example and a command, /usr/bin/MODEL-run. No script runs when it is installed or removed.
"""

from __future__ import annotations

import hashlib
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

from edgewright.files import write_atomically
from pipeline.release.archive import EPOCH, Members, gz_bytes, tar_bytes
from pipeline.release.content import Content
from pipeline.release.packages.ends import ends
from pipeline.release.packages.errors import NoIdentifier
from pipeline.release.packages.examples import requirement, takes
from pipeline.release.packages.templating import rendered

MAINTAINER = "Edgewright <edgewright@release.invalid>"
"""A field that every package has. The domain exists nowhere (RFC 2606), so nobody else is written to."""
_DATE = "Tue, 01 Jan 1980 00:00:00 +0000"
_WIDTH = 76


@dataclass(frozen=True)
class Names:
    """package: "edgewright-resnet8-host"; model: "resnet8"; command: "resnet8-run"; version: as Debian spells it."""

    package: str
    model: str
    command: str
    version: str

    @property
    def file(self) -> str:
        return f"{self.package}_{self.version}_all.deb"

    @property
    def folder(self) -> str:
        """Where the example lies once it is installed."""
        return f"/usr/share/edgewright/{self.model}"


def names(content: Content) -> Names:
    """Raises NoIdentifier where nothing of a name may stand in a package's."""
    model, target = _name(content.model), _name(content.target)
    return Names(f"edgewright-{model}-{target}", model, f"{model}-run", debian_version(content.version))


def debian_version(version: str) -> str:
    """A semantic version as Debian orders it: 1.2.0-rc.1 comes before 1.2.0 as 1.2.0~rc.1 (deb-version(7)).

    A further hyphen would begin Debian's own revision: it becomes a dot.
    """
    release, _, pre = version.partition("-")
    return f"{release}~{pre.replace('-', '.')}" if pre else release


def _name(text: str) -> str:
    """What of a name a package may be called by: small letters, digits, + - . (deb-control(5))."""
    found = re.sub(r"[^a-z0-9+.-]+", "-", text.lower()).strip("+.-")
    if not found:
        raise NoIdentifier(
            f"Nothing of the name {text!r} can stand in a Debian package's",
            where="the release's packages",
            remedy="give the recipe's or the target's file a name with a letter of a to z in it",
        )
    return found


def write(path: Path, content: Content, example: Members, modes: dict[str, int]) -> None:
    """Writes the package, whole or not at all. example: what lies in Names.folder. Raises OSError, NoIdentifier."""
    named = names(content)
    members = {f"./{named.folder[1:]}/{name}": _bytes(data) for name, data in example.items()}
    modes = {f"./{named.folder[1:]}/{name}": mode for name, mode in modes.items()}
    command = f"./usr/bin/{named.command}"
    members[command] = rendered("linux/command.j2", folder=named.folder).encode()
    modes[command] = 0o755
    members |= _documents(content, named)
    sums = "".join(
        f"{hashlib.md5(data, usedforsecurity=False).hexdigest()}  {name[2:]}\n"
        for name, data in sorted(members.items())
    )
    control = tar_bytes(
        {"./control": _control(content, named, _installed_kib(members)), "./md5sums": sums.encode()}, folders=True
    )
    write_atomically(
        path,
        _ar(
            {
                "debian-binary": b"2.0\n",
                "control.tar.gz": gz_bytes(control),
                "data.tar.gz": gz_bytes(tar_bytes(members, modes, folders=True)),
            }
        ),
    )


def _bytes(data: bytes | Path) -> bytes:
    return data if isinstance(data, bytes) else data.read_bytes()


def _ar(members: dict[str, bytes]) -> bytes:
    """Unix ar's common format: 60 bytes of text before each member, which is padded to an even length."""
    made = b"!<arch>\n"
    for name, data in members.items():
        made += f"{name:<16}{EPOCH:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode()
        made += data + b"\n" * (len(data) % 2)
    return made


def _installed_kib(members: dict[str, bytes]) -> int:
    """Installed-Size as deb-substvars(5) estimates it: files rounded up to KiB, one for each folder."""
    folders = {str(parent) for name in members for parent in Path(name).parents}
    return sum(-(-len(data) // 1024) for data in members.values()) + len(folders)


def _control(content: Content, named: Names, kib: int) -> bytes:
    manifest = content.bundle.manifest
    given, _ = ends(manifest, content.classifies)
    fields = {
        "Package": named.package,
        "Version": named.version,
        "Architecture": "all",
        "Maintainer": MAINTAINER,
        "Installed-Size": str(kib),
        "Depends": "python3 (>= 3.8), python3-numpy",
        "Suggests": "python3-pil, python3-venv",
        # One model's packages for two targets have the same files.
        "Conflicts": f"edgewright-{named.model}",
        "Provides": f"edgewright-{named.model}",
        "Section": "science",
        "Priority": "optional",
        "Description": _synopsis(content),
    }
    about = [
        *([content.about.purpose] if content.about.purpose else []),
        f"The model {content.model} (variant {manifest.name}, {manifest.format}, {manifest.precision}), "
        f"shrunk for {content.target}. It takes {takes(given)}.",
        f"The command {named.command} needs {requirement(content)}, which is not in Debian: see README.md in "
        f"{named.folder}.",
    ]
    paragraphs = ["\n".join(f" {line}" for line in textwrap.wrap(" ".join(text.split()), _WIDTH)) for text in about]
    lines = "".join(f"{key}: {' '.join(value.split())}\n" for key, value in fields.items())
    return (lines + "\n .\n".join(paragraphs) + "\n").encode()


def _synopsis(content: Content) -> str:
    return f"neural network {content.model} for {content.target}"


def _documents(content: Content, named: Names) -> dict[str, bytes]:
    """What Debian's policy asks of every package: a copyright file, a changelog, a manual page of each command."""
    place = f"./usr/share/doc/{named.package}"
    given, _ = ends(content.bundle.manifest, content.classifies)
    changelog = f"{named.package} ({named.version}) stable; urgency=medium\n\n  * Release {content.version}.\n\n"
    manual = rendered(
        "linux/manual.1.j2",
        command=named.command,
        package=named.package,
        version=named.version,
        synopsis=_synopsis(content),
        folder=named.folder,
        takes=takes(given),
    )
    about = content.about
    return {
        f"{place}/copyright": rendered(
            "linux/copyright.j2",
            model=content.model,
            path=f"{named.folder[1:]}/{content.bundle.manifest.file}",
            weights=" ".join(about.weights_licence.split()) or "not-told",
            data=" ".join(about.data_licence.split()) or "its licence is not told",
        ).encode(),
        f"{place}/changelog.gz": gz_bytes(f"{changelog} -- {MAINTAINER}  {_DATE}\n".encode()),
        f"./usr/share/man/man1/{named.command}.1.gz": gz_bytes(manual.encode()),
    }
