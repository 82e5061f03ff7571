"""The same bundle and version give the same bytes: elsewhere, later, by somebody else, in another language and zone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from pipeline.release import checksums
from tests.pipeline.release import accepted
from tests.pipeline.release.accepted import released

LATER_S = 3600

# What somebody else does in a shell of their own, an hour later.
ELSEWHERE = """
import os, sys, time
from pathlib import Path

root, state, out = map(Path, sys.argv[1:])
os.umask(0o077)
clock = time.time
time.time = lambda: clock() + 3600
from pipeline.project import Project
from tests.pipeline.release.accepted import released
released(Project(root, state, root / "cache", None), out=out)
"""


def test_release_is_the_same_to_the_bit_elsewhere_and_later(tmp_path: Path, state: Path, project_root: Path) -> None:
    project = accepted.project(tmp_path / "project", state)
    bundle = accepted.bundle(tmp_path)
    accepted.accept(project, bundle, (accepted.report(bundle), accepted.report(bundle, device=accepted.DESK)))
    first = released(project)
    there = tmp_path / "somewhere else" / "deeper"
    shutil.copytree(project.root, there / "their project", ignore=shutil.ignore_patterns("releases"))
    shutil.copytree(state, there / "their state")
    for path in there.rglob("*"):
        os.utime(path, (path.stat().st_mtime + LATER_S,) * 2)
    environment = {
        **os.environ,
        **{"TZ": "Pacific/Kiritimati", "LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8", "PYTHONHASHSEED": "7"},
        **{"USER": "somebody", "LOGNAME": "somebody", "HOME": str(there), "SOURCE_DATE_EPOCH": "1000000000"},
        **{"PYTHONPATH": str(project_root), "EDGEWRIGHT_STATE": str(there / "their state")},
    }
    arguments = [str(there / "their project"), str(there / "their state"), str(there / "out")]
    child = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, *arguments],
        cwd=there,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    second = there / "out" / first.folder.name
    assert checksums.paths(first.folder) == checksums.paths(second)
    assert checksums.differing(first.folder, second) == []
    for one, other in ((first.folder / path, second / path) for path in checksums.paths(second)):
        assert one.read_bytes() == other.read_bytes() and one.stat().st_mode == other.stat().st_mode


def test_nothing_in_a_release_names_this_machine_or_person(tmp_path: Path, state: Path) -> None:
    project = accepted.project(tmp_path / "project", state)
    accepted.accept(project, accepted.bundle(tmp_path))
    folder = released(project).folder
    for path in checksums.paths(folder):
        content = (folder / path).read_bytes()
        for named in (str(tmp_path), str(state), os.uname().nodename):
            assert named.encode() not in content, (path, named)
