"""ARM userlands for the device doubles: Debian for arm64 or armhf, unpacked by mmdebstrap and run through qemu-user.

No package's own script runs, since under emulation these take minutes: a root is there in seconds. Made once, then kept
under the cache folder; named by a digest of this file and of what was asked.
"""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass
from pathlib import Path

from edgewright.errors import EdgewrightError
from edgewright.files import canonical_json, sha256_bytes, sha256_file
from edgewright.places import cache_folder

PACKAGES = ("openssh-server", "openssh-client", "qemu-user-static", "mmdebstrap")
_INCLUDED = ["base-files", "base-passwd", "bash", "dash", "coreutils", "sed", "grep", "libc-bin", "python3"]
_INCLUDED += ["libstdc++6", "libgcc-s1"]  # the runtimes' wheels need them
# PyPI has no numpy for 32-bit ARM; as on a real 32-bit Pi it is Debian's.
_INCLUDED_32 = ["python3-numpy", "libblas3", "liblapack3"]
_BINFMT = Path("/proc/sys/fs/binfmt_misc")
_QEMU = {"arm64": "qemu-aarch64", "armhf": "qemu-arm"}
_NATIVE = {"arm64": "aarch64", "armhf": "armv7l"}
_KEYRINGS = ("debian-archive-keyring.gpg", "debian-archive-keyring.pgp")
_EVERY_SESSION = "json,subprocess,threading,zipfile,ctypes,platform,glob,shutil,tempfile,typing,hashlib,re,traceback"
_PYTHONS = {"bullseye": "3.9", "bookworm": "3.11", "trixie": "3.13"}


class RootError(EdgewrightError):
    """An ARM root can't be made or run on this machine."""


@dataclass(frozen=True)
class RootRecipe:
    """Which userland. arch: arm64 or armhf; suite: bullseye (Python 3.9, glibc 2.31), bookworm (3.11, 2.36) or trixie
    (3.13, 2.41): the suites under Raspberry Pi OS 11, 12 and 13."""

    arch: str = "arm64"
    suite: str = "bookworm"

    @property
    def packages(self) -> list[str]:
        return _INCLUDED + (_INCLUDED_32 if self.arch == "armhf" else [])

    @property
    def python(self) -> str:
        return _PYTHONS[self.suite]

    @property
    def folder(self) -> Path:
        """Where the root lies, or will: any change of this file or of the recipe gives another folder."""
        key = sha256_bytes(canonical_json([sha256_file(Path(__file__)), *astuple(self)]))
        return cache_folder() / "arm" / f"{self.arch}-{self.suite}-{key[:16]}"


def emulated(arch: str) -> bool:
    """Whether this machine needs qemu for that architecture."""
    return platform.machine() != _NATIVE[arch]


def missing() -> str | None:
    """What this machine lacks to run an ARM double, and the command that brings it; None where all is there."""
    install = f"apt-get install --no-install-recommends {' '.join(PACKAGES)}"
    if sys.platform != "linux":
        return "ARM doubles need Linux (namespaces, overlay, binfmt_misc)"
    if os.geteuid() != 0:
        return "ARM doubles need root (mounts, binfmt_misc): run the tests as root, e.g. sudo -E ./inv test --all"
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    for program in ("mmdebstrap", "sshd", "ssh-keygen", "unshare", "mount", "apt-get"):
        if shutil.which(program, path=path) is None:
            return f"{program} is not installed: {install}"
    for arch, name in _QEMU.items():
        if emulated(arch) and not _description(name).is_file():
            return f"{name} is not installed: {install}"
    if not _BINFMT.is_dir():
        return "this kernel has no binfmt_misc: modprobe binfmt_misc"
    tried = subprocess.run(
        ["unshare", "-m", "-u", "-p", "-f", "--kill-child", "--mount-proc", "true"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if tried.returncode != 0:
        return f"no namespaces may be made here (a container without privileges?): {tried.stderr.decode().strip()}"
    return None


def _description(name: str) -> Path:
    """How qemu-user-static describes itself to binfmt_misc, in the format of the kernel's `register` file."""
    return Path("/usr/lib/binfmt.d", f"{name}.conf")


def enable(arch: str) -> None:
    """Has the kernel run programs of `arch` by qemu-user, also inside a chroot (flag F). Raises RootError.

    It stays so until the machine restarts, as after an installation of qemu-user-static under systemd.
    """
    if not emulated(arch):
        return
    name = _QEMU[arch]
    entry = _BINFMT / name
    try:
        if not (_BINFMT / "register").exists():
            subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(_BINFMT)], check=True, capture_output=True)
        if not entry.exists():
            (_BINFMT / "register").write_bytes(_description(name).read_bytes().strip())
        registered = entry.read_text()
    except subprocess.CalledProcessError as error:
        raise _not_enabled(name, error.stderr.decode().strip()) from error
    except OSError as error:
        raise _not_enabled(name, error.strerror or str(error)) from error
    flags = next((line.partition(":")[2] for line in registered.splitlines() if line.startswith("flags")), "")
    if not registered.startswith("enabled") or "F" not in flags:
        raise RootError(
            f"{name} is registered without the flag F, so it isn't found inside a chroot.",
            where=str(entry),
            remedy=f"echo -1 > {entry}, then run again",
        )


def _not_enabled(name: str, said: str) -> RootError:
    return RootError(
        f"The kernel can't be told to run ARM programs by {name}: {said}",
        where=str(_BINFMT / "register"),
        remedy=f"apt-get install --no-install-recommends {' '.join(PACKAGES)}; a container must be privileged",
    )


def root_of(recipe: RootRecipe, say: object = None) -> Path:
    """The folder of a root, made first where it isn't there (some seconds and about 50 MB of packages).

    say: called with a sentence before anything that takes time. Raises RootError.
    """
    enable(recipe.arch)
    folder = recipe.folder
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder.parent / f"{folder.name}.lock"):
        if folder.is_dir():  # somebody else was quicker
            return folder
        if callable(say):
            say(f"making a Debian {recipe.suite} userland for {recipe.arch}, once (some seconds, about 50 MB) ...")
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
            made = Path(temporary, "root")
            _unpack(recipe, made)
            _complete(recipe, made)
            made.chmod(0o755)
            made.rename(folder)
        _remove_older(folder)
    return folder


def _remove_older(folder: Path) -> None:
    """Removes roots of the same kind that an earlier version of this file made, unless a double still runs on them."""
    kind = folder.name.rpartition("-")[0]
    for other in folder.parent.glob(f"{kind}-*.lock"):
        if other.stem == folder.name:
            continue
        with other.open("r") as lock, suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(other.with_suffix(""), ignore_errors=True)
            other.unlink()


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _mirror() -> str:
    """The Debian archive that this machine's own apt uses; EDGEWRIGHT_DEBIAN names another."""
    if named := os.environ.get("EDGEWRIGHT_DEBIAN"):
        return named
    listed = subprocess.run(
        [
            "apt-get",
            "indextargets",
            "--format",
            "$(ORIGIN)|$(COMPONENT)|$(RELEASE)|$(REPO_URI)",
            "Created-By: Packages",
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    for line in listed.stdout.splitlines():
        origin, component, release, address = line.split("|", 3)
        if origin == "Debian" and component == "main" and "-" not in release:
            return address
    raise RootError(
        "This machine's apt knows no Debian archive.",
        where="apt-get indextargets",
        remedy="apt-get update; on other systems than Debian: EDGEWRIGHT_DEBIAN=<address of a Debian mirror>",
    )


def _unpack(recipe: RootRecipe, made: Path) -> None:
    keyring = next((found for name in _KEYRINGS if (found := Path("/usr/share/keyrings", name)).is_file()), None)
    signed = f"[signed-by={keyring}] " if keyring else ""
    command = ["mmdebstrap", "--quiet", "--mode=root", f"--arch={recipe.arch}", "--variant=extract"]
    command += [f"--include={','.join(recipe.packages)}", recipe.suite, str(made)]
    command += [f"deb {signed}{_mirror()} {recipe.suite} main"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if line.startswith("E:")] or done.stderr.splitlines()[-1:]
        raise RootError(
            f"mmdebstrap could not make a {recipe.suite} root for {recipe.arch}: {' '.join(said)[:400]}",
            where=" ".join(command[:5]),
            remedy="check the network and the disk, then run again (apt-get install debian-archive-keyring for keys)",
        )


def _complete(recipe: RootRecipe, made: Path) -> None:
    """What the scripts of the packages would have done, as far as a double needs it."""
    for name in ("passwd", "group"):
        shutil.copyfile(made / "usr/share/base-passwd" / f"{name}.master", made / "etc" / name)
    for folder in ("proc", "sys", "dev", "tmp", "run"):
        (made / folder).mkdir(exist_ok=True)
    (made / "tmp").chmod(0o1777)
    if recipe.arch == "armhf":
        libraries = made / "usr/lib/arm-linux-gnueabihf"
        for name in ("blas", "lapack"):
            (libraries / f"lib{name}.so.3").symlink_to(f"{name}/lib{name}.so.3")
    for waste in ("usr/share/doc", "usr/share/locale", "usr/share/man", "usr/share/info"):
        shutil.rmtree(made / waste, ignore_errors=True)
    python = python_of(recipe.python)
    if python is not None:
        compile_natively(python, made / "usr/lib/python3", made / f"usr/lib/python{recipe.python}", root=made)
        return
    # Under emulation only what every session imports: all of it would take minutes. qemu's own default CPU is many
    # times slower, since it signs every return address.
    command = ["chroot", str(made), "python3", "-c", f"import {_EVERY_SESSION}"]
    subprocess.run(command, check=False, capture_output=True, env={**os.environ, "QEMU_CPU": "cortex-a72"})


def python_of(version: str) -> str | None:
    """A Python of this machine with that version, so with the same bytecode; None where there is none."""
    if f"{sys.version_info[0]}.{sys.version_info[1]}" == version:
        return sys.executable
    found = shutil.which(f"python{version}")
    if found is None:
        return None
    works = subprocess.run([found, "-c", "pass"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return found if works.returncode == 0 else None


def compile_natively(python: str, *folders: Path, root: Path) -> None:
    """Makes the bytecode of everything under `folders`; what doesn't compile is left as it is.

    root: what is `/` for those who will run it, for the file names in tracebacks.
    """
    left_out = r"/(test|tests|idlelib|lib2to3|tkinter|ensurepip|turtledemo|pydoc_data)/"
    command = [python, "-I", "-m", "compileall", "-q", "-x", left_out, "-j", "0", "-s", str(root), "-p", "/"]
    # Tied to nothing: the files are never edited, and their times change on the way through archives and overlays.
    command += ["--invalidation-mode", "unchecked-hash", *map(str, folders)]
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)


def main() -> int:
    """`python -m tests.doubles.arm_root [ARCH [SUITE]]` makes a root and says how long it took."""
    if reason := missing():
        print(reason, file=sys.stderr)
        return 1
    began = time.monotonic()
    recipe = RootRecipe(*sys.argv[1:3])
    print(root_of(recipe, print), f"{time.monotonic() - began:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
