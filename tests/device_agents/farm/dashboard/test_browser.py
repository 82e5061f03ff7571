"""Real pages in a real browser: on a phone and a desk, light and dark, without a request, an error or a script."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_agents.farm.dashboard.names import series_file
from device_agents.farm.ledger.ledger import Ledger
from tests.bench.screenshot import Browser, browser, chromium
from tests.device_agents.farm.dashboard import year
from tests.device_agents.farm.ledger.made import canary_model, report
from tests.device_agents.farm.test_page import _CONTRAST
from tests.prerequisites import require

pytestmark = pytest.mark.slow

_PARTS = ("index", "series", "report", "compare", "month")


@pytest.fixture(scope="module")
def page() -> Iterator[Browser]:
    require(chromium(), "chromium is not installed: apt-get install chromium")
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One page of each kind, of a farm with a regression, a dead device and a name that never breaks."""
    state = tmp_path_factory.mktemp("browser")
    farm = year.Farm(devices=2)
    with Ledger.open(None, state) as ledger:
        year.fill(ledger, farm)
        odd = report("long", canary_model=canary_model(), purpose="compare", shapes=2)
        odd.device["name"] = "a-very-long-name-without-a-break-" * 4
        for reading in (odd.state_before, odd.state_after):
            reading["sensors"] = {"power": None, "temperature": "thermal-zone, vcgencmd", "throttling": "vcgencmd"}
        odd.warnings = ["a-very-long-warning-without-a-break-" * 5]
        ledger.append(odd)
        last = year.night(ledger, farm)
        dead = last.devices[0].model_copy(update={"state": "died", "problem": "x" * 200, "remedy": "./inv devices"})
        lost = last.jobs[0].model_copy(update={"state": "skipped", "problem": "its device died " * 9})
        night = last.model_copy(update={"devices": (dead, last.devices[1]), "jobs": (lost, *last.jobs[1:])})
        year.pages(ledger, state / "out", night)
    out = state / "out"
    return {
        "index": out / "index.html",
        "series": out / series_file(year.series_key()),
        "report": next((out / "reports").glob("2026*.html")),
        "compare": out / "reports/long.html",
        "month": out / "months/2026-01.html",
    }


def _troubles(page: Browser) -> list[str]:
    found = []
    for method, given in page.events:
        if method == "Network.requestWillBeSent" and not given["request"]["url"].startswith(("file:", "data:")):
            found.append(f"request {given['request']['url']}")
        elif method in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled") or (
            method == "Log.entryAdded" and given["entry"]["level"] == "error"
        ):
            found.append(json.dumps(given)[:300])
    return found


@pytest.mark.parametrize("part", _PARTS)
def test_browser_shows_a_page_with_its_style_and_without_a_request_or_an_error(
    page: Browser, pages: dict[str, Path], part: str
) -> None:
    page.events.clear()
    page.open(pages[part])
    assert _troubles(page) == []
    # The style sheet has come, also where it is a file beside the page.
    assert page.evaluate("getComputedStyle(document.querySelector('.page')).maxWidth") == "1080px"
    assert page.evaluate("document.querySelectorAll('script').length") == 0


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("part", _PARTS)
def test_browser_fits_a_page_on_a_phone_in_readable_contrast(
    page: Browser, pages: dict[str, Path], part: str, dark: bool
) -> None:
    page.events.clear()
    page.open(pages[part], width=360, dark=dark)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate(_CONTRAST) == []


# What a card cuts off or lets hang over the next one; long tables scroll in theirs.
_OVER = """Array.from(document.querySelectorAll(".card:not(.scroll)"))
    .filter(one => one.scrollWidth > one.clientWidth).map(one => one.innerText.slice(0, 60))"""


@pytest.mark.parametrize("part", _PARTS)
def test_browser_fits_every_table_into_its_card_on_a_desk(page: Browser, pages: dict[str, Path], part: str) -> None:
    page.events.clear()
    page.open(pages[part], width=1100)
    assert page.evaluate("document.documentElement.scrollWidth") <= 1100
    assert page.evaluate(_OVER) == []


def test_browser_shows_the_regression_on_the_first_screen_of_a_phone(page: Browser, pages: dict[str, Path]) -> None:
    page.events.clear()
    page.open(pages["index"], width=390, height=844)
    bottom = page.evaluate("document.querySelector('.worse li').getBoundingClientRect().bottom")
    assert bottom <= 844


# What Tab can reach, in the order of the page; a closed <details> hides what is in it, but not its summary.
_REACHABLE = """Array.from(document.querySelectorAll("a[href], summary, [tabindex='0']"))
    .filter(one => one.checkVisibility()).map((one, place) => (one.dataset.place = String(place)))"""


def test_browser_reaches_every_link_by_tab_and_shows_where_it_is(page: Browser, pages: dict[str, Path]) -> None:
    page.events.clear()
    page.open(pages["index"])
    page.ask("Emulation.setFocusEmulationEnabled", enabled=True)
    wanted = page.evaluate(_REACHABLE)
    assert len(wanted) > 10
    reached = []
    for number in range(len(wanted)):
        for kind in ("rawKeyDown", "keyUp"):
            page.ask("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        reached.append(page.evaluate("document.activeElement.dataset.place"))
        style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert style == "solid", page.evaluate("document.activeElement.outerHTML.slice(0, 200)")
        if number == 0:
            assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
            assert page.evaluate("document.activeElement.getBoundingClientRect().top") >= 0
    assert reached == wanted
