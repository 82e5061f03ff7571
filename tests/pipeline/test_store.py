"""The store: whole or absent, checked when read, shrunk by use, safe for two processes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.store import Artifact, CorruptArtifact, Store, StoreBusy

PREPARE = """
import os, signal, sys, time
from pathlib import Path
import pipeline.store
from pipeline.store import Store

store = Store(Path(sys.argv[1]))
record = {"fingerprint": "f" * 64, "step": "step", "node": "a/step", "summary": {}, "seconds": 1.0, "ingredients": {}}
out = store.scratch("f" * 64) / "out"
out.mkdir(exist_ok=True)
(out / "one.bin").write_bytes(b"1" * 1000)
(out / "two.bin").write_bytes(b"2" * 1000)
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def _commit(store: Store, letter: str, files: dict[str, bytes], made: int = 0) -> Artifact:
    fingerprint = letter * 64
    out = store.scratch(fingerprint) / "out"
    out.mkdir()
    for name, content in files.items():
        (out / name).write_bytes(content)
    artifact = store.commit(
        {
            "fingerprint": fingerprint, "step": "step", "node": f"{letter}/step", "summary": {"n": 1}, "seconds": 1.0,
            "ingredients": {"letter": letter},
        },
        out,
    )  # fmt: skip
    store.discard_scratch(fingerprint)
    os.utime(store.artifacts / f"{fingerprint}.json", (made, made))
    return artifact


def _object(store: Store, artifact: Artifact, name: str) -> Path:
    digest = artifact.files[name]["sha256"]
    return store.objects / digest[:2] / digest


def _run(project_root: Path, store: Store, script: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PREPARE + script, str(store.folder)]
    return subprocess.run(command, cwd=project_root, capture_output=True, text=True)


@contextlib.contextmanager
def _process(project_root: Path, store: Store, script: str) -> Iterator[subprocess.Popen[str]]:
    """A process that runs `script`, has printed its first line, and is gone afterwards."""
    command = [sys.executable, "-uc", PREPARE + script, str(store.folder)]
    with subprocess.Popen(
        command, cwd=project_root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_commit_is_found_again_with_all_it_was_given(store: Store) -> None:
    made = _commit(store, "a", {"model.bin": b"content", "empty": b""})
    found = store.find("a" * 64)
    assert found == made
    assert found is not None
    assert found.path("model.bin").read_bytes() == b"content"
    assert (found.summary, found.ingredients, found.bytes) == ({"n": 1}, {"letter": "a"}, 7)
    assert store.find("b" * 64) is None
    assert not (store.work / ("a" * 64)).exists()


def test_same_content_is_kept_once_and_has_the_same_digest(store: Store) -> None:
    one = _commit(store, "a", {"x": b"same", "y": b"other"})
    two = _commit(store, "b", {"x": b"same", "y": b"other"})
    three = _commit(store, "c", {"z": b"same", "y": b"other"})
    assert one.digest == two.digest != three.digest
    assert sum(1 for _ in store.objects.glob("*/*")) == 2


def test_objects_are_read_only(store: Store) -> None:
    artifact = _commit(store, "a", {"x": b"1"})
    assert artifact.path("x").stat().st_mode & 0o222 == 0


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_damaged_object_is_noticed_by_path_and_by_verify(store: Store, damage: str) -> None:
    artifact = _commit(store, "a", {"x": b"content", "y": b"whole"})
    _commit(store, "b", {"z": b"unharmed"})
    place = _object(store, artifact, "x")
    place.chmod(0o644)
    if damage == "gone":
        place.unlink()
    else:
        place.write_bytes(b"CONTENT" if damage == "flipped" else b"con")
    with pytest.raises(CorruptArtifact) as caught:
        artifact.path("x")
    assert "'x'" in caught.value.what
    assert "./inv store.verify --remove" in caught.value.remedy
    assert artifact.path("y").read_bytes() == b"whole"
    assert [fingerprint for fingerprint, _ in store.broken()] == ["a" * 64]
    # What is visibly short is made anew without being asked; a flipped bit is found when the file is read.
    assert (store.find("a" * 64) is None) == (damage != "flipped")
    store.drop_broken("a" * 64)
    assert store.broken() == []
    assert store.find("a" * 64) is None
    assert _commit(store, "a", {"x": b"content"}).path("x").read_bytes() == b"content"


@pytest.mark.parametrize("content", ["{", "[]", '{"fingerprint": 1}', ""])
def test_damaged_record_is_named_and_can_be_dropped(store: Store, content: str) -> None:
    _commit(store, "a", {"x": b"1"})
    _commit(store, "b", {"x": b"1"})
    (store.artifacts / f"{'a' * 64}.json").write_text(content)
    with pytest.raises(CorruptArtifact, match="record") as caught:
        store.find("a" * 64)
    assert "store.verify --remove" in caught.value.remedy
    assert store.broken() == [("a" * 64, "its record can't be read")]
    assert [artifact.fingerprint for artifact in store.all()] == ["b" * 64]
    store.drop_broken("a" * 64)
    assert store.find("a" * 64) is None
    assert store.broken() == []


def test_commit_killed_between_objects_and_record_leaves_nothing_half(store: Store, project_root: Path) -> None:
    done = _run(
        project_root,
        store,
        "pipeline.store.write_atomically = lambda path, data: os.kill(os.getpid(), signal.SIGKILL)\n"
        "store.commit(record, out)\n",
    )
    assert done.returncode == -9, done.stderr
    assert sum(1 for _ in store.objects.glob("*/*")) == 2  # it did get that far
    assert store.find("f" * 64) is None
    assert list(store.all()) == []
    assert store.broken() == []
    assert _run(project_root, store, "store.commit(record, out)\n").returncode == 0
    found = store.find("f" * 64)
    assert found is not None
    assert found.path("one.bin").read_bytes() == b"1" * 1000


def test_collect_keeps_what_was_used_last_within_the_budget(store: Store) -> None:
    for used, letter in enumerate("abcd"):
        _commit(store, letter, {"x": letter.encode() * 1000}, made=1000 + used)
    first = store.find("a" * 64)
    assert first is not None
    store.touch(first)
    dropped, freed = store.collect(2500)
    assert dropped == 2
    assert freed >= 2000
    assert {artifact.fingerprint[0] for artifact in store.all()} == {"a", "d"}
    assert sum(1 for _ in store.objects.glob("*/*")) == 2
    assert store.broken() == []


def test_collect_counts_and_keeps_shared_content_once(store: Store) -> None:
    _commit(store, "a", {"x": b"s" * 1000, "y": b"a" * 10}, made=1)
    _commit(store, "b", {"x": b"s" * 1000, "y": b"b" * 10}, made=2)
    assert store.collect(1100)[0] == 0
    assert store.collect(1015)[0] == 1
    left = store.find("b" * 64)
    assert left is not None
    assert left.path("x").read_bytes() == b"s" * 1000


def test_collect_drops_objects_that_nothing_names_and_work_left_by_a_kill(store: Store) -> None:
    _commit(store, "a", {"x": b"1"})
    (store.objects / "zz").mkdir()
    (store.objects / "zz" / "zz-orphan").write_bytes(b"9" * 100)
    (store.scratch("d" * 64) / "checkpoint").write_bytes(b"9" * 100)
    assert store.collect(10**9)[0] == 0
    assert store.find("a" * 64) is not None
    assert not (store.objects / "zz" / "zz-orphan").exists()
    assert not store.work.exists()


def test_collect_of_an_empty_store_does_nothing(store: Store) -> None:
    assert store.collect(0) == (0, 0)


def test_collect_while_another_process_builds_is_refused(store: Store, project_root: Path) -> None:
    _commit(store, "a", {"x": b"1"})
    with _process(project_root, store, "with store.using():\n    print('building'); sys.stdin.read()\n") as building:
        assert _line(building) == "building"
        with pytest.raises(StoreBusy) as caught:
            store.collect(0)
        assert caught.value.remedy
        assert store.find("a" * 64) is not None
        with store.using():  # a second build may run beside it
            pass
    assert store.collect(0)[0] == 1  # its holder is dead, so the lock is free


def test_making_waits_for_another_process_and_then_finds_it_made(store: Store, project_root: Path) -> None:
    script = (
        "with store.making('f' * 64, lambda: None):\n"
        "    print('making'); sys.stdin.readline(); store.commit(record, out)\n"
        "print('made'); sys.stdin.read()\n"
    )
    with _process(project_root, store, script) as maker:
        assert _line(maker) == "making"
        assert store.find("f" * 64) is None
        said = []

        def on_wait() -> None:
            said.append("waiting")
            assert maker.stdin is not None
            maker.stdin.write("go on\n")
            maker.stdin.flush()

        with store.making("f" * 64, on_wait):
            found = store.find("f" * 64)
        assert said == ["waiting"]
        assert found is not None
        assert found.path("one.bin").read_bytes() == b"1" * 1000


def test_making_is_free_again_after_its_maker_is_killed(store: Store, project_root: Path) -> None:
    script = "with store.making('f' * 64, lambda: None):\n    print('making'); sys.stdin.read()\n"
    with _process(project_root, store, script) as maker:
        assert _line(maker) == "making"
        maker.kill()
        maker.wait()
        with store.making("f" * 64, lambda: pytest.fail("it waited for the dead")):
            pass


def test_latest_is_the_one_made_last_for_the_same_place(store: Store) -> None:
    _commit(store, "a", {"x": b"1"})
    assert store.latest("a/step", "step") is not None
    assert store.latest("a/step", "other") is None
    assert store.latest("b/step", "step") is None
