"""A release's .deb, installed by dpkg on ARM boards' doubles, and its programs run there on the real ARM runtimes."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from device_agents.farm.device import Device, open_device
from device_agents.runtimes import System, fetch
from edgewright.files import sha256_file
from pipeline.release.content import Content
from pipeline.release.packages import deb, examples
from tests.doubles.arm import ArmDouble
from tests.doubles.arm_root import missing
from tests.pipeline.release.packages import onnxruntime_cpp, runnable
from tests.prerequisites import require

pytestmark = [pytest.mark.slow, pytest.mark.device]

FILES = {"onnxruntime": "onnx", "litert": "int8", "tflite-runtime": "float32"}
"""By runtime, the file of tests/pipeline/release/packages/runnable.py that it is given."""
BOARDS = {"raspberry-pi": tuple(FILES), "raspberry-pi-32": ("tflite-runtime",)}
"""Which runtimes a board is asked."""


class _Installed(ArmDouble):
    """A double whose disk has had packages installed before it started: its user is no root. They are of all
    architectures and bring no scripts, so this machine's dpkg does on the disk what the board's own would."""

    def __init__(self, folder: Path, like: str, packages: list[Path]) -> None:
        super().__init__(folder / "double", like)
        self._disk = folder / "disk"
        self._packages = packages

    def _setting(self, lower: Path) -> dict[str, Any]:
        # Not shutil.copytree: it would read the root's /dev/zero.
        subprocess.run(["cp", "-a", str(lower), str(self._disk)], check=True)
        state = self._disk / "var/lib/dpkg"
        for name in ("info", "updates", "triggers"):
            (state / name).mkdir(parents=True, exist_ok=True)
        (state / "status").touch()
        # The root's own packages were unpacked past dpkg, which so knows of no python3.
        command = [
            "dpkg",
            f"--root={self._disk}",
            "--force-depends",
            "--log=/dev/null",
            "-i",
            *map(str, self._packages),
        ]
        subprocess.run(command, check=True, capture_output=True)
        return {**super()._setting(lower), "lower": str(self._disk)}

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        shutil.rmtree(self._disk, ignore_errors=True)


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Content]:
    """By runtime, what is released: each a model of its own, so that all can be installed at once."""
    folder = tmp_path_factory.mktemp("contents")
    found = {}
    for runtime, kind in FILES.items():
        own = folder / runtime
        named = {"model": f"tiny-{kind}", "target": "some-board"}
        found[runtime] = runnable.onnx(own, **named) if kind == "onnx" else runnable.tflite(own, kind, **named)
    return found


@pytest.fixture(scope="module")
def boards(
    tmp_path_factory: pytest.TempPathFactory, contents: dict[str, Content], cache: Path
) -> Iterator[dict[str, Device]]:
    """The boards by name, with the packages installed, and open."""
    require(missing() is None, missing() or "")
    require(shutil.which("dpkg"), "dpkg is not installed: apt-get install dpkg")
    with ExitStack() as stack:
        found = {}
        for board, runtimes in BOARDS.items():
            folder = tmp_path_factory.mktemp(board)
            packages = []
            for runtime in runtimes:
                content = contents[runtime]
                packages.append(folder / deb.names(content).file)
                example = examples.files(content, content.bundle.model_file)
                deb.write(packages[-1], content, example, examples.MODES)
            double = stack.enter_context(_Installed(folder, board, packages))
            found[board] = stack.enter_context(open_device(double.entry(), state=folder / "state", cache=cache))
        yield found


@pytest.mark.parametrize(("board", "runtime"), [(board, runtime) for board in BOARDS for runtime in BOARDS[board]])
def test_installed_command_gives_the_expected_answer(
    boards: dict[str, Device], contents: dict[str, Content], board: str, runtime: str
) -> None:
    device, content = boards[board], contents[runtime]
    modules = f"PYTHONPATH={device.prepare(runtime).folder}"
    command = deb.names(content).command
    done = device.connection.run(["env", modules, command, "--check", "--json"], timeout=300)
    assert done.status == 0, (done.stdout, done.stderr)
    told = json.loads(done.stdout)
    assert told["runtime"].startswith({"litert": "ai-edge-litert"}.get(runtime, runtime))
    assert told["worst"] <= content.sample.tolerance
    (expected,) = content.sample.expected.values()
    assert told["top"][0]["class"] == int(expected.argmax())


def test_without_a_runtime_the_command_says_what_to_install(
    boards: dict[str, Device], contents: dict[str, Content]
) -> None:
    # Debian's numpy is there on this one, as the package asks for; the runtime isn't.
    named = deb.names(contents["tflite-runtime"])
    done = boards["raspberry-pi-32"].connection.run([named.command, "--check"], timeout=300)
    assert done.status == 2
    assert f"pip install -r {named.folder}/requirements.txt" in done.stderr.decode()


def test_cpp_program_gives_the_expected_answer(
    boards: dict[str, Device], contents: dict[str, Content], cache: Path, tmp_path: Path
) -> None:
    """Compiled for arm64 here, run there with the library of the very wheel that Python runs."""
    compiler = shutil.which("aarch64-linux-gnu-g++")
    require(compiler, "no compiler for arm64: apt-get install --no-install-recommends g++-aarch64-linux-gnu")
    include, how = onnxruntime_cpp.headers()
    require(include, how)
    content, device = contents["onnxruntime"], boards["raspberry-pi"]
    example = runnable.unpacked(content, tmp_path / "example")
    wheels = fetch("onnxruntime", System((3, 11), "cpython", "aarch64", ("glibc", "2.36")), cache).wheels
    (wheel,) = (one.path for one in wheels if one.path.name.startswith("onnxruntime-"))
    library = onnxruntime_cpp.library(wheel, tmp_path / "lib")
    command = [
        str(compiler),
        "-std=c++17",
        "-O2",
        "-Wall",
        "-Wextra",
        "-Werror",
        f"-I{include}",
        "run.cpp",
        "runtime.cpp",
    ]
    command += [f'-DMODEL_FOLDER="{deb.names(content).folder}"', "-o", "run", str(library), "-Wl,-rpath,$ORIGIN"]
    subprocess.run(command, cwd=example, check=True)
    there = f"{device.root}/cpp"
    device.connection.mkdir(there)
    for local, name in ((example / "run", "run"), (library, "libonnxruntime.so.1")):
        device.connection.push(local, f"{there}/{name}", sha256_file(local))
    device.connection.run(["chmod", "755", f"{there}/run"])
    done = device.connection.run([f"{there}/run", "--check"], timeout=300)
    assert (done.status, b"as expected, worst difference" in done.stdout) == (0, True), (done.stdout, done.stderr)
