"""The bench's own rules: which rows there are, what is taken of a search, what counts as a loss; and its quick run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_agents.bundle import read_bundle
from device_agents.farm.paired import Ratio
from pipeline.search.constraints import Contradiction
from tests.bench.compression import aims, speed, stages
from tests.bench.compression.__main__ import _parser, _setting, main
from tests.bench.compression.lines import Line
from tests.bench.compression.made import BASE, FIGURES, entry, line, matmul, ours, search
from tests.bench.compression.making import Maker
from tests.bench.compression.rows import ROLES, WAYS, rows_of
from tests.bench.compression.run import BEFORE, JSON, ROWS, Bench, put_aside
from tests.bench.compression.setting import full, quick
from tests.bench.compression.work import artifacts, searched
from tests.bench.pruning.cells import Cell, Cells


@pytest.mark.parametrize("setting", [full(), full("minilm-sentiment"), quick()], ids=lambda one: one.model)
def test_rows_come_after_what_they_came_from(setting: Any) -> None:
    rows = rows_of(setting, 3)
    keys = [row.key for row in rows]
    assert len(set(keys)) == len(keys) and keys[0] == "fp32"
    assert all(row.parent is None or keys.index(row.parent) < keys.index(row.key) for row in rows)
    assert [row.key for row in rows if row.parent is None] == ["fp32"]


def test_quick_run_has_every_kind_of_row() -> None:
    rows = rows_of(quick(), 1)
    assert {row.family for row in rows} == {"base", "peer", "ours"}
    assert {row.role for row in rows if row.role} == set(ROLES)
    assert {row.cell.what["way"] for row in rows if "way" in row.cell.what} == {*WAYS} - {"ort-dynamic", "litert-float"}


def test_only_the_headline_floor_has_several_seeds() -> None:
    seeds: dict[float, set[int]] = {}
    for row in rows_of(full("resnet20"), 3):
        if row.floor is not None and row.seed is not None:
            seeds.setdefault(row.floor, set()).add(row.seed)
    assert seeds == {0.5: {0}, 1.0: {0, 1, 2}, 3.0: {0}}


def test_candidate_is_held_against_the_float_one_of_its_cut() -> None:
    found = search(
        entry("float", faster=3.0),
        entry("int8", precision="int8", faster=2.0, bytes=40),
        entry("int8@litert", precision="int8", runtime="litert", faster=2.0, bytes=40),  # no float one: the base
        entry("wide", faster=0.7, shrink={"filters": 0.5}),
        entry("large", faster=1.5, bytes=2000, shrink={"filters": 0.1}),
        chosen="int8",
    )
    tried, shipped = stages.of_search("x", found)
    assert (tried.artifacts, tried.slower, tried.larger, tried.losses) == (5, ["int8", "wide"], ["large"], 3)
    assert (shipped.artifacts, shipped.slower, shipped.larger) == (1, ["int8"], [])


def test_same_name_in_two_searches_is_two_artifacts() -> None:
    both = stages.added("ours", [stages.Stages("", 2, ["a"], ["a"]), stages.Stages("", 3, ["a"], [])])
    assert (both.artifacts, len(both.slower), len(both.larger), both.losses) == (5, 2, 1, 2)


def test_row_loses_where_its_whole_interval_does() -> None:
    lines = [
        BASE,
        line("slow", parent="fp32", beside=Ratio(0.7, 0.6, 0.8)),
        line("undecided", parent="fp32", beside=Ratio(0.9, 0.7, 1.1)),
        line("large", parent="fp32", beside=Ratio(2.0, 1.9, 2.1), plain=1100),
        line("as large", parent="fp32", beside=Ratio(2.0, 1.9, 2.1), plain=1010),
        line("not measured", parent="fp32"),
    ]
    found = stages.of_lines("peers", lines)
    assert (found.artifacts, found.slower, found.larger) == (4, ["slow"], ["large"])


@pytest.mark.parametrize(
    ("lines", "verdict"),
    [
        ([ours(0, 12.5, 0.925), ours(1, 13.5, 0.922)], "met, stretch too"),
        ([ours(0, 10.0, 0.925), ours(1, 9.0, 0.925)], "met; stretch short by 2.50x"),
        ([ours(0, 4.5, 0.925)], "short by 4.50x (50 %)"),
        ([ours(0, 10.0, 0.915)], "not met: 10.00x, but 1.50 points were lost, 1 allowed"),
        ([], "not reached: not measured"),
    ],
)
def test_aim_is_met_or_short_by_a_figure(lines: list[Line], verdict: str) -> None:
    found = aims.reached("resnet20", [BASE, *lines])
    assert found[0].aim.role == "fastest" and found[0].verdict == verdict
    assert all(one.verdict.startswith("not reached") for one in found[1:])


def test_aim_beside_peers_takes_the_best_within_the_floor() -> None:
    peers = [
        line("tp-good", faster=4.0, metric=0.925),
        line("tp-too much lost", faster=8.0, metric=0.915),
        line("control", family="control", faster=9.0),
    ]
    (found,) = aims.reached("mobilenetv2", [BASE, *peers, ours(0, 8.0, 0.925)])
    assert (found.peer, found.peer_label, found.value, found.verdict) == (4.0, "tp-good", 2.0, "met")


def test_aim_beside_peers_is_open_where_no_peer_cut_a_network() -> None:
    (found,) = aims.reached("mobilenetv2", [BASE, line("ort-set", faster=1.1), ours(0, 8.0, 0.925)])
    assert (found.value, found.verdict) == (None, "not reached: not measured")
    assert "without networks" in found.peer_label


def test_seed_without_its_row_leaves_the_aim_open() -> None:
    broken = line("ours-1", family="ours", role="fastest", floor=1.0, seed=1, metric=None, error="it was cut off")
    assert aims.reached("resnet20", [BASE, ours(0, 20.0, 0.93), broken])[0].verdict == "not reached: it was cut off"


def _cells(folder: Path, made: list[str], fails: str) -> Cells:
    def network(what: Mapping[str, Any], out: Path) -> dict[str, Any]:
        made.append("network")
        if fails == "network" and what["cut"]:
            raise RuntimeError("no such layer")
        return {**FIGURES, "validation": 0.9}

    def artifact(what: Mapping[str, Any], out: Path) -> dict[str, Any]:
        cells.get(Cell("network", what["network"]))
        made.append(what["way"])
        if what["way"] == fails:
            raise ValueError("first line\nsecond line")
        return {**FIGURES, "plain": 3, "lean": 2, "package": 1}

    def search(what: Mapping[str, Any], out: Path) -> dict[str, Any]:
        made.append("search")
        raise searched.SearchFailed("It is gone", where="here", remedy="again")

    cells = Cells(folder, {"network": network, "artifact": artifact, "search": search}, {}, {})
    return cells


def test_small_file_is_searched_for_by_itself() -> None:
    rows = [row for row in rows_of(_setting(_parser().parse_args([])), 1) if row.family == "ours"]
    small = {(row.role, row.floor) for row in rows if "max_kb" in row.cell.what}
    assert small == {("smallest", 1.0), ("lightest", 1.0)}
    assert len({row.cell.key for row in rows if row.floor == 1.0}) == 6  # a seed each
    assert all("58 kB" in row.label for row in rows if "max_kb" in row.cell.what)
    rows = rows_of(_setting(_parser().parse_args(["--max-kb", "0"])), 1)
    assert not any("max_kb" in row.cell.what for row in rows)
    with pytest.raises(Contradiction):
        _setting(_parser().parse_args(["--max-kb", "0.1"]))


def test_uncut_leaves_out_the_networks_that_peers_cut() -> None:
    keys = [
        [row.key for row in rows_of(_setting(_parser().parse_args(["--model", "mobilenetv2", *words])), 1)]
        for words in ([], ["--uncut"])
    ]
    assert keys[1] == [key for key in keys[0] if not key.startswith(("tp-", "masks-"))]
    assert len(keys[1]) < len(keys[0])


def test_row_that_fails_costs_no_other_and_is_not_tried_twice(tmp_path: Path) -> None:
    made: list[str] = []
    setting = quick()
    maker = Maker(_cells(tmp_path, made, "nncf"))
    lines = {row.key: maker.make(row)[0] for row in rows_of(setting, 1)}
    assert lines["nncf"].error == "ValueError: first line"
    assert lines["ort-set"].plain == 3 and not lines["ort-set"].error
    assert {line.error for line in lines.values() if line.family == "ours"} == {"It is gone"}
    assert made.count("search") == 1 and made.count("network") == 1 + len(setting.cuts)


def test_network_that_fails_is_made_once_for_all_its_forms(tmp_path: Path) -> None:
    made: list[str] = []
    setting = quick()
    maker = Maker(_cells(tmp_path, made, "network"))
    lines = [maker.make(row)[0] for row in rows_of(setting, 1) if row.family == "peer"]
    assert [one.error for one in lines].count("RuntimeError: no such layer") == 5
    assert made.count("network") == 1 + len(setting.cuts)


def test_rows_that_nobody_asked_for_again_are_put_aside(tmp_path: Path) -> None:
    for content in ("first", "second"):
        (tmp_path / ROWS).mkdir()
        (tmp_path / ROWS / "row").write_text(content)
        put_aside(tmp_path)
    assert not (tmp_path / ROWS).exists() and (tmp_path / BEFORE / "row").read_text() == "second"
    put_aside(tmp_path)
    assert (tmp_path / BEFORE / "row").read_text() == "second"


def test_rows_of_an_earlier_run_are_not_made_again(tmp_path: Path) -> None:
    made: list[str] = []
    for _ in range(2):
        maker = Maker(_cells(tmp_path, made, "nncf"))
        for row in rows_of(quick(), 1):
            maker.make(row)
    assert made.count("ort-set") == 3 and made.count("nncf") == 2  # once a network; what failed is tried again


def test_bundle_of_a_peer_is_the_file_as_its_tool_wrote_it(tmp_path: Path) -> None:
    file = matmul(tmp_path / "model.onnx")
    samples = np.zeros((2, 2), np.float32)
    made = artifacts.artifact(tmp_path, FIGURES, "float", samples, "some", tmp_path)
    bundle = read_bundle(tmp_path / artifacts.BUNDLE)
    assert bundle.model_file.read_bytes() == file.read_bytes()
    assert made["plain"] == file.stat().st_size > made["lean"] + 500
    assert (bundle.manifest.runtime, bundle.manifest.inputs[0].shape) == ("onnxruntime", [1, 2])


def test_missing_nncf_is_said_in_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    matmul(tmp_path / "model.onnx")
    with pytest.raises(artifacts.Refused, match="not installed"):
        artifacts.artifact(tmp_path, FIGURES, "nncf", np.zeros((2, 2), np.float32), "some", tmp_path)


def test_network_that_litert_refused_says_why(tmp_path: Path) -> None:
    with pytest.raises(artifacts.Refused, match="no lowering"):
        figures = {**FIGURES, "refused": "no lowering"}
        artifacts.artifact(tmp_path, figures, "litert-int8", np.zeros((2, 2), np.float32), "some", tmp_path)


def _result(name: str, ns: float, value: float | None = 0.9) -> dict[str, Any]:
    blocks = [{"process": 0, "round": turn, "samples_ns": [ns] * 3, "batch": 1} for turn in range(4)]
    return {"name": name, "blocks": blocks, "accuracy": None if value is None else {"name": "top-1", "value": value}}


def test_lines_get_the_figures_of_the_session() -> None:
    lines = [line("fp32", family="base"), line("a", parent="fp32"), line("b", parent="a"), line("gone")]
    report = {"results": [_result("fp32", 4e6), _result("a", 2e6, 0.8), {"name": "gone", "blocks": [], "error": "x"}]}
    speed.put_in(lines, report, {"fp32": "fp32", "a": "a", "b": "a", "gone": "gone"})
    _, a, b, gone = lines
    assert (a.metric, a.p50_ms) == (0.8, 2.0) and a.speedup is not None and a.beside is not None
    assert a.speedup.value == pytest.approx(2.0) == a.beside.value
    assert b.metric == 0.8 and b.beside is not None and b.beside.value == pytest.approx(1.0)  # the same file as a's
    assert gone.error == "the runtime gave no sample: x"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--floors", "much"], "are no points"),
        (["--floors", "-1"], "are no points"),
        (["--seeds", "0"], "0 seeds"),
        (["--model", "nobody"], "There is no model"),
    ],
)
def test_bad_arguments_end_with_the_next_command(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--out", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert said in told and "next:" in told and list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_quick_run_makes_every_row_and_goes_on_from_what_there_is(project_root: Path, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "EDGEWRIGHT_STATE": str(tmp_path / "state"),
        "EDGEWRIGHT_ROOT": str(project_root),
        "PYTHONPATH": str(project_root),
    }
    command = [sys.executable, "-m", "tests.bench.compression", "--quick", "--out", str(tmp_path / "out")]
    made = []
    for words in ([], ["--resume"]):
        done = subprocess.run([*command, *words], cwd=project_root, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        made.append({file: file.stat().st_mtime_ns for file in (tmp_path / "out").glob("digits/rows/*/result.json")})
    assert made[0] == made[1] and made[0]
    bench = Bench.read(tmp_path / "out" / "digits" / JSON)
    assert bench is not None
    assert [line.key for line in bench.lines if line.error] == []
    assert all(line.speedup and line.metric is not None and line.package for line in bench.lines)
    assert {one["said"]: one["artifacts"] for one in bench.stages}["peers"] == 9
    assert "<circle" in (tmp_path / "out" / "bench.html").read_text()
    assert "## digits" in (tmp_path / "out" / "bench.md").read_text()
