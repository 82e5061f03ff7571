"""The page: everything is on it, nothing in it can run or call out, and a real browser shows it."""

from __future__ import annotations

import copy
import html
import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from device_agents.farm.figures import show_ms
from device_agents.farm.page import TEMPLATES, readable_json, render, write
from tests.bench.screenshot import Browser, browser, chromium
from tests.device_agents.farm.dashboard.read import Page
from tests.device_agents.farm.sample import SHAPES, make_outcome, make_report
from tests.prerequisites import require

HOSTILE = (
    "<script>document.title='owned'</script>",
    '"onload="document.title=\'owned\'" x="',
    "'><img src=x onerror=document.title='owned'>",
    "</script></style></pre></title><script>document.title='owned'</script>",
    "{{ 7 * 7 }}{% raw %}",
    "<!--<script>",
    "&lt;b&gt;",
    "javascript:document.title='owned'",
    "\u202ereversed\x00\x1b[31m",
)


@pytest.fixture(scope="module")
def whole() -> tuple[dict[str, Any], dict[str, Any]]:
    report = make_report()
    return make_outcome(report), report


@pytest.fixture
def outcome(whole: tuple[dict[str, Any], dict[str, Any]]) -> dict[str, Any]:
    return copy.deepcopy(whole[0])


@pytest.fixture
def report(whole: tuple[dict[str, Any], dict[str, Any]]) -> dict[str, Any]:
    return copy.deepcopy(whole[1])


def _everywhere(value: Any, text: str) -> Any:
    """The same structure with `text` for every string, names included, so that they still fit each other."""
    if isinstance(value, str):
        return text + value
    if isinstance(value, dict):
        return {key: _everywhere(item, text) for key, item in value.items()}
    return [_everywhere(item, text) for item in value] if isinstance(value, list) else value


def test_render_shows_every_variant_with_its_figures_verdict_and_reason(
    outcome: dict[str, Any], report: dict[str, Any]
) -> None:
    text = " ".join(Page(render(outcome, report)).text.split())
    for variant in outcome["variants"]:
        assert variant["name"] in text
        assert variant["verdict"] in text
        assert " ".join(variant["reason"].split()) in text
        assert f"p50 {show_ms(variant['latency_ms']['p50'])}" in text
    for figure in ("1.11 MiB", "86.3 KiB", "77.8 k", "2.59 M", "93.3 %", "13.1x", "0.6", "points top-1 lost"):
        assert figure in text
    assert "pruned + int8 ships" in text


def test_render_of_a_sparse_variant_that_ships_shows_its_zeros_and_the_smaller_download() -> None:
    shapes = [SHAPES[0], ("sparse", "trained", "float32", 1_160_475, 272_186, 8_600_000, 0.211, 0.9311, ())]
    report = make_report(shapes, noise=0.002, between=0.001)
    text = " ".join(Page(render(make_outcome(report, shapes), report)).text.split())
    assert "sparse ships" in text
    assert "onnx float32 90 % zeros" in text
    for figure in ("4.50x", "smaller download", "to 227 KiB"):
        assert figure in text


def test_render_shows_steps_state_facts_and_provenance(outcome: dict[str, Any], report: dict[str, Any]) -> None:
    text = Page(render(outcome, report)).text
    for step in outcome["steps"]:
        assert step["label"] in text and step["fingerprint"][:12] in text
    for said in ("2,400 MHz", "performance", "A made-up CPU", "fashion-mnist", "models/resnet20.toml", "cd" * 32):
        assert said in text
    assert "0 \N{DEGREE SIGN}C" not in text
    assert "not known" in text


def test_render_says_beside_every_group_of_figures_that_a_stand_in_is_not_the_board(
    outcome: dict[str, Any], report: dict[str, Any]
) -> None:
    page = render(outcome, report)
    sections = page.count("<section") - 2  # how it was made, and the raw data, hold no figure of a device
    assert page.count("on this machine, not a raspberry-pi") == sections + 1
    real = make_report(stand_in=False)
    assert "not a raspberry-pi" not in render(make_outcome(real), real)


def test_render_is_loud_about_an_invalid_report(outcome: dict[str, Any], report: dict[str, Any]) -> None:
    assert "invalid measurement" not in render(outcome, report)
    page = render({**outcome, "valid": False, "problems": ["the governor changed", "throttled"]}, report)
    text = Page(page).text
    assert "This measurement is invalid" in text and "the governor changed" in text and "throttled" in text
    assert page.count('class="tag bad"') >= 6


def test_render_of_a_page_where_nothing_ships_says_so(outcome: dict[str, Any], report: dict[str, Any]) -> None:
    text = Page(render({**outcome, "shipped": None, "bundle": None}, report)).text
    assert "Nothing ships" in text and "ships nothing" in text


def test_render_of_a_base_that_ships_claims_no_gain(report: dict[str, Any]) -> None:
    shapes = [SHAPES[0], SHAPES[2]]
    text = Page(render(make_outcome(report, shapes), report)).text
    assert "trained ships" in text
    assert not re.search(r"x\s*faster", text)


@pytest.mark.parametrize("text", HOSTILE)
def test_render_lets_no_hostile_text_become_markup(outcome: dict[str, Any], report: dict[str, Any], text: str) -> None:
    # The same words, as long, without a character that HTML minds: the page must come out the same but for its text.
    harmless = re.sub(r"[^ +_/.-]", "x", text)
    usual = Page(render(_everywhere(outcome, harmless), _everywhere(report, harmless))).tags
    found = Page(render(_everywhere(outcome, text), _everywhere(report, text))).tags
    assert [tag for tag, _ in found] == [tag for tag, _ in usual]
    for (_, attributes), (_, expected) in zip(found, usual, strict=True):
        assert attributes.keys() == expected.keys()
        for name, value in attributes.items():
            assert name in ("title", "aria-label", "data-label") or value == expected[name]


@pytest.mark.parametrize("text", HOSTILE)
def test_render_keeps_the_raw_json_whole_whatever_it_holds(
    outcome: dict[str, Any], report: dict[str, Any], text: str
) -> None:
    outcome["variants"][0]["name"] = report["results"][0]["name"] = text
    page = render(outcome, report)
    found = re.search(r"<pre[^>]*>(.*?)</pre>", page, re.DOTALL)
    assert found is not None
    assert json.loads(html.unescape(found[1])) == {"outcome": outcome, "report": report}


def test_template_never_marks_anything_as_safe() -> None:
    source = (TEMPLATES / "report.html.j2").read_text()
    assert not re.search(r"\|\s*safe|autoescape|Markup|<script", source)


def test_page_refers_to_nothing_outside_of_itself_and_forbids_scripts(
    outcome: dict[str, Any], report: dict[str, Any]
) -> None:
    page = render(outcome, report)
    tags = Page(page).tags
    assert not [
        tag for tag, _ in tags if tag in ("script", "img", "iframe", "object", "embed", "video", "base", "form")
    ]
    references = [a[name] for _, a in tags for name in ("src", "href", "action", "data", "xlink:href") if name in a]
    assert references == ["data:,"]
    assert "url(" not in page and "@import" not in page
    policy = next(a["content"] for tag, a in tags if tag == "meta" and a.get("http-equiv"))
    assert policy is not None and "default-src 'none'" in policy and "script-src" not in policy


def test_page_has_headings_in_order_scoped_headers_and_named_pictures(
    outcome: dict[str, Any], report: dict[str, Any]
) -> None:
    tags = Page(render(outcome, report)).tags
    levels = [int(tag[1]) for tag, _ in tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert all(a.get("scope") in ("row", "col") for tag, a in tags if tag == "th")
    assert all(a.get("role") == "img" and a.get("aria-label") for tag, a in tags if tag == "svg")
    assert next(a for tag, a in tags if tag == "html")["lang"] == "en"


@pytest.mark.parametrize(
    "part",
    ["results", "canary", "facts", "state_before", "state_after", "job", "runtime", "agent", "device", "started"],
)
def test_render_survives_a_report_that_lacks_a_part(outcome: dict[str, Any], report: dict[str, Any], part: str) -> None:
    del report[part]
    assert "pruned + int8" in render(outcome, report)


def test_render_survives_failed_variants_and_an_outcome_without_extras(report: dict[str, Any]) -> None:
    shapes = [SHAPES[0], ("lost", "trained", "int8", 5, 5, 5, None, None, ())]
    failed = make_report(shapes)
    outcome = make_outcome(failed, shapes)
    for extra in ("steps", "provenance", "floor", "limits", "problems", "warnings"):
        del outcome[extra]
    text = Page(render(outcome, failed)).text
    assert "it failed: the worker was killed" in text
    everything = make_report([(s[0], s[1], s[2], s[3], s[4], s[5], None, None, s[8]) for s in SHAPES])
    assert "Nothing ships" in Page(render(make_outcome(everything, shapes=_failed()), everything)).text


def _failed() -> list[Any]:
    return [(s[0], s[1], s[2], s[3], s[4], s[5], None, None, s[8]) for s in SHAPES]


def test_write_leaves_a_whole_file_also_for_text_that_is_no_unicode(
    tmp_path: Path, outcome: dict[str, Any], report: dict[str, Any]
) -> None:
    outcome["bundle"] = "caf\udce9"
    write(tmp_path / "a b" / "report.html", outcome, report)
    assert (tmp_path / "a b" / "report.html").read_text("utf-8").rstrip().endswith("</html>")
    assert [path.name for path in (tmp_path / "a b").iterdir()] == ["report.html"]


def test_readable_json_is_the_same_value_with_samples_on_one_line() -> None:
    value = {"a": [{"s": list(range(2000)), "n": None}, {}], "b": [], "c": {"d": [[1], [2]], "e": "x\n"}}
    text = readable_json(value)
    assert json.loads(text) == value
    assert len(text.splitlines()) < 25


@pytest.fixture(scope="module")
def page() -> Any:
    require(chromium(), "chromium is not installed: apt-get install chromium")
    with browser() as opened:
        yield opened


def _troubles(page: Browser) -> list[str]:
    """What a page said or asked for that it should not have."""
    found = []
    for method, given in page.events:
        if method == "Network.requestWillBeSent" and not given["request"]["url"].startswith(("file:", "data:")):
            found.append(f"request {given['request']['url']}")
        elif method == "Runtime.exceptionThrown":
            found.append(f"exception {given['exceptionDetails']['text']}")
        elif method == "Runtime.consoleAPICalled" or (
            method == "Log.entryAdded" and given["entry"]["level"] == "error"
        ):
            found.append(f"console {json.dumps(given)[:300]}")
    return found


@pytest.mark.slow
def test_browser_check_notices_a_page_that_calls_out_or_fails(tmp_path: Path, page: Browser) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<!doctype html><img src='http://example.invalid/x.png'><script>console.error('no'); nosuch()</script>"
    )
    page.events.clear()
    page.open(bad)
    found = " ".join(_troubles(page))
    assert "request http://example.invalid/x.png" in found and "exception" in found and "console" in found


@pytest.mark.slow
@pytest.mark.parametrize("text", ["", *HOSTILE])
def test_browser_shows_the_page_without_a_request_an_error_or_a_script(
    tmp_path: Path, page: Browser, outcome: dict[str, Any], report: dict[str, Any], text: str
) -> None:
    if text:
        for variant, result in zip(outcome["variants"], report["results"], strict=True):
            variant["name"] = result["name"] = text + variant["name"]
        outcome["shipped"] = text + outcome["shipped"]
        outcome["device"] = outcome["model"] = outcome["target"] = report["id"] = text
    write(tmp_path / "report.html", outcome, report)
    page.events.clear()
    page.open(tmp_path / "report.html")
    assert _troubles(page) == []
    assert page.evaluate("document.title").endswith("Edgewright")
    shown = page.evaluate("document.getElementById('shipped').textContent")
    # HTML has no NUL: a browser leaves it out.
    assert shown == outcome["shipped"].replace("\x00", "")
    assert page.evaluate("document.querySelectorAll('script,img,[onload],[onerror]').length") == 0


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_browser_fits_the_page_on_a_phone_in_readable_contrast(
    tmp_path: Path, page: Browser, outcome: dict[str, Any], report: dict[str, Any], dark: bool
) -> None:
    outcome["variants"][1]["name"] = report["results"][1]["name"] = "a-very-long-name-without-a-break-" * 4
    write(tmp_path / "report.html", outcome, report)
    page.events.clear()
    page.open(tmp_path / "report.html", width=360, dark=dark)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    low = page.evaluate(_CONTRAST)
    assert low == []


_CONTRAST = """
(() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = (colour) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255]; };
  const over = (top, under) => top.slice(0, 3).map((v, i) => v * top[3] + under[i] * (1 - top[3]));
  const light = (c) => c.map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => { const layers = [];
    for (let n = node; n; n = n.parentElement) layers.unshift(rgba(getComputedStyle(n).backgroundColor));
    return layers.reduce((under, layer) => over(layer, under), [255, 255, 255]); };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement, text = walker.currentNode.data.trim();
    if (!text || node.closest('title, style')) continue;
    const back = behind(node), fore = over(rgba(getComputedStyle(node).color), back);
    const [a, b] = [light(fore), light(back)].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) found.push(`${((a + 0.05) / (b + 0.05)).toFixed(2)} ${text.slice(0, 40)}`);
  }
  return found;
})()
"""


def test_render_says_how_often_blocks_were_done_again_and_what_the_canary_model_took(
    outcome: dict[str, Any], report: dict[str, Any]
) -> None:
    assert "done again" in render(outcome, report)
    first = report["results"][0]
    first["redone"] = [dict(first["blocks"][0], attempt=0, canary_ratio=1.4)]
    report["canary_model"] = dict(first, name="(canary)")
    shown = render(outcome, report)
    kept = sum(len(result["blocks"]) for result in report["results"])
    assert f"1, beside {kept} that count" in shown
    assert "canary model, p50" in shown and "(canary)" not in shown.split("<pre")[0]
