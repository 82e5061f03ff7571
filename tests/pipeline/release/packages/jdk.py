"""Compiles and runs Java beside a release's wrapper: the programs in jvm/, on this machine's JDK."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from pipeline.release.packages import java
from tests.prerequisites import require

PROGRAMS = Path(__file__).parent / "jvm"
JDK = "no JDK here: apt-get install openjdk-17-jdk-headless"


def compiler() -> Path:
    """javac, or the test ends."""
    found = java.javac()
    require(found, JDK)
    assert found is not None
    return found


def compiled(folder: Path, *sources: Path, classpath: Sequence[Path | str] = ()) -> Path:
    """A folder of the classes of `sources`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = ":".join(str(one) for one in (folder, *classpath))
    done = subprocess.run(
        [compiler(), "-nowarn", "-cp", path, "-d", folder, *sources], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return folder


def run(*arguments: str | Path, classpath: Sequence[Path | str]) -> subprocess.CompletedProcess[str]:
    """A Java program with its arguments."""
    path = ":".join(str(one) for one in classpath)
    command = ["java", "-XX:TieredStopAtLevel=1", "-cp", path, *(str(one) for one in arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)
