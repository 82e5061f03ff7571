"""The .deb: read by our own eyes, by dpkg and by lintian, installed and removed in a root of its own."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from itertools import pairwise
from pathlib import Path

import pytest

from pipeline.release.about import About
from pipeline.release.archive import EPOCH
from pipeline.release.content import Content
from pipeline.release.packages import deb, examples
from pipeline.release.packages.errors import NoIdentifier
from tests.pipeline.release.packages import runnable
from tests.prerequisites import require


def _written(content: Content, folder: Path) -> Path:
    path = folder / deb.names(content).file
    deb.write(path, content, examples.files(content, content.bundle.model_file), examples.MODES)
    return path


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deb")
    return _written(runnable.onnx(folder, version="1.2.0-rc.1"), folder)


def _members(path: Path) -> dict[str, bytes]:
    """What an ar archive holds, read by its definition (ar(5))."""
    data, place, found = path.read_bytes(), 8, {}
    assert data[:8] == b"!<arch>\n"
    while place < len(data):
        header = data[place : place + 60].decode("ascii")
        assert header[58:] == "`\n"
        assert [int(header[start:end]) for start, end in ((16, 28), (28, 34), (34, 40))] == [EPOCH, 0, 0]
        size = int(header[48:58])
        found[header[:16].strip()] = data[place + 60 : place + 60 + size]
        place += 60 + size + size % 2
    assert place == len(data)
    return found


def _tar(data: bytes) -> tarfile.TarFile:
    return tarfile.open(fileobj=io.BytesIO(gzip.decompress(data)))


def test_archive_has_the_three_members_in_order(package: Path) -> None:
    members = _members(package)
    assert list(members) == ["debian-binary", "control.tar.gz", "data.tar.gz"]
    assert members["debian-binary"] == b"2.0\n"
    assert _tar(members["control.tar.gz"]).getnames() == [".", "./control", "./md5sums"]  # no scripts


def test_every_file_is_roots_and_folders_come_before_what_is_in_them(package: Path) -> None:
    seen = {"."}
    for entry in _tar(_members(package)["data.tar.gz"]):
        assert (entry.uid, entry.gid, entry.mtime) == (0, 0, EPOCH)
        assert str(Path(entry.name).parent) in {"." if one == "." else one.removeprefix("./") for one in seen}
        seen.add(entry.name)
        programs = entry.name.endswith(("/run.py", "-run"))
        assert entry.mode == (0o755 if entry.isdir() or programs else 0o644)


def test_md5sums_are_of_the_files(package: Path) -> None:
    members = _members(package)
    listed = _tar(members["control.tar.gz"]).extractfile("./md5sums")
    assert listed is not None
    data = _tar(members["data.tar.gz"])
    told = {name: digest for digest, name in (line.split("  ") for line in listed.read().decode().splitlines())}
    files = [entry for entry in data if entry.isfile()]
    assert sorted(told) == sorted(entry.name.removeprefix("./") for entry in files)
    for entry in files:
        content = data.extractfile(entry)
        assert content is not None
        assert hashlib.md5(content.read()).hexdigest() == told[entry.name.removeprefix("./")]


def _dpkg_deb(*arguments: str | Path) -> str:
    require(shutil.which("dpkg-deb"), "dpkg-deb is not installed: apt-get install dpkg")
    done = subprocess.run(["dpkg-deb", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_dpkg_reads_it(package: Path, tmp_path: Path) -> None:
    fields = dict(line.split(": ", 1) for line in _dpkg_deb("-f", package).splitlines() if line[0] != " ")
    assert fields["Package"] == "edgewright-tiny-net-some-board"
    assert fields["Version"] == "1.2.0~rc.1"
    assert fields["Architecture"] == "all"
    assert fields["Depends"] == "python3 (>= 3.8), python3-numpy"
    assert package.name == f"{fields['Package']}_{fields['Version']}_all.deb"
    _dpkg_deb("-x", package, tmp_path)
    lies = tmp_path / "usr/share/edgewright/tiny-net"
    assert (lies / "sample/input.npy").is_file() and (tmp_path / "usr/bin/tiny-net-run").is_file()
    assert runnable.run(lies, "--check").returncode == 0


def test_words_of_a_person_stay_in_their_field(tmp_path: Path) -> None:
    about = About(purpose="It tells\nPre-Depends: evil\n.\n\tcats  from dogs.", weights_licence="MIT\nFiles: /etc/*")
    path = _written(runnable.onnx(tmp_path, about=about), tmp_path)
    shown = _dpkg_deb("-I", path)
    assert "\n  It tells Pre-Depends: evil . cats from dogs.\n" in shown
    assert "\n Pre-Depends" not in shown
    _dpkg_deb("-x", path, tmp_path / "x")
    licence = (tmp_path / "x/usr/share/doc/edgewright-tiny-net-some-board/copyright").read_text()
    assert "\nLicense: MIT Files: /etc/*\n" in licence


def test_versions_sort_as_semantic_ones_do() -> None:
    ordered = [
        "0.9.9",
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-beta-x.2",
        "1.0.0-rc.2",
        "1.0.0-rc.10",
        "1.0.0",
        "1.10.0",
    ]
    spelled = [deb.debian_version(version) for version in ordered]
    assert spelled[3] == "1.0.0~beta.x.2"
    require(shutil.which("dpkg"), "dpkg is not installed")
    for earlier, later in pairwise(spelled):
        assert subprocess.run(["dpkg", "--compare-versions", earlier, "lt", later], check=False).returncode == 0


@pytest.mark.parametrize(
    ("model", "target", "package"),
    [("My_Net v2", "Board", "edgewright-my-net-v2-board"), ("../../x", "y;z", "edgewright-x-y-z")],
)
def test_name_is_one_that_debian_takes(tmp_path: Path, model: str, target: str, package: str) -> None:
    assert deb.names(runnable.onnx(tmp_path, model=model, target=target)).package == package


def test_name_without_a_letter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoIdentifier, match="Debian"):
        deb.names(runnable.onnx(tmp_path, model="模型"))


@pytest.mark.slow
def test_lintian_finds_nothing(package: Path) -> None:
    require(shutil.which("lintian"), "lintian is not installed: apt-get install --no-install-recommends lintian")
    done = subprocess.run(
        ["lintian", "--allow-root", "--fail-on", "error,warning", str(package)],
        capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.slow
def test_dpkg_installs_upgrades_and_removes_it(package: Path, tmp_path: Path) -> None:
    require(shutil.which("dpkg") and os.geteuid() == 0, "dpkg installs for root alone")
    root = tmp_path / "root"
    state = root / "var/lib/dpkg"
    for name in ("info", "updates", "triggers"):
        (state / name).mkdir(parents=True)
    (state / "status").touch()

    def dpkg(*arguments: str | Path) -> str:
        command = ["dpkg", f"--root={root}", "--force-depends", "--log=/dev/null", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    dpkg("-i", package)
    assert runnable.run(root / "usr/share/edgewright/tiny-net", "--check").returncode == 0
    assert dpkg("-V", "edgewright-tiny-net-some-board") == ""
    later = _written(runnable.onnx(tmp_path / "later", version="1.2.0"), tmp_path)
    dpkg("-i", later)
    assert "1.2.0~rc.1" not in (state / "status").read_text()
    dpkg("-r", "edgewright-tiny-net-some-board")
    assert not (root / "usr").exists()
