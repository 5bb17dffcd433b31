"""The site in a real browser: what a reader does, on a phone and on a wide screen, with strangers' names on the board."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bench_leaderboard.site import build_site

from bench.store.store import Store

playwright = pytest.importorskip("playwright.sync_api", reason="`tox run -e browser` installs Playwright")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="`tox run -e browser` installs axe-core")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")

NAMES = ["plain", "<script>hacked=1</script>", "\N{HEBREW LETTER ALEF}\N{RIGHT-TO-LEFT OVERRIDE}abc", "\N{PILE OF POO}" * 20]
LONG = f"long[text={'x' * 9900}]"
WIDTHS = {"phone": 390, "wide": 1440}
PATIENCE = 600  # seconds that a page may take on a busy machine
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def site(put_run: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("store")
    Store(store).prepare()
    for number, name in enumerate(NAMES):
        put_run(store, name, 0.05 + number / 100)
    put_run(store, "long", 0.045, spec=LONG)
    for number in range(60):
        put_run(store, f"m{number:02d}", 0.001 * number)
    put_run(store, "late", 0.5, late=True)
    put_run(store, "failed", 0.0, failure="RuntimeError: <b>no</b>")
    put_run(store, "retrain", 0.19, control=True)
    put_run(store, "plain", 0.05, models=64)
    put_run(store, "other", 0.08, models=64)
    site = tmp_path_factory.mktemp("site")
    build_site(store, site)
    return site


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        playwright.expect.set_options(timeout=1000 * PATIENCE)
        launched = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def visit(browser: Any, site: Path) -> Iterator[Open]:
    """Open a page; afterwards nothing may have been complained about, and nothing asked for outside of the folder."""
    seen: list[str] = []
    contexts = []

    def opened(page: str, width: int = 1440, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        context.set_default_timeout(1000 * PATIENCE)
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: seen.append(message.text))
        tab.on("pageerror", lambda error: seen.append(str(error)))
        tab.on("dialog", lambda dialog: seen.append(dialog.message))
        tab.on("request", lambda request: None if request.url.startswith((site.as_uri(), "data:")) else seen.append(request.url))
        tab.goto(f"{site.as_uri()}/{page}")
        return tab

    yield opened
    for context in contexts:
        context.close()
    assert not seen


def _drawn(tab: Any) -> None:
    """Wait until every figure that the page shows is there."""
    playwright.expect(tab.locator("figure:not([hidden]) .chart:not(:has(.main-svg))")).to_have_count(0)


def _page(site: Path, pattern: str) -> str:
    return sorted(site.glob(pattern))[0].name


@pytest.mark.parametrize(("theme", "width"), [("light", "wide"), ("dark", "phone")])
@pytest.mark.parametrize(
    "pattern", ["index.html", "run-plain*", "run-failed*", "method-m00*", "compare.html", "reading.html", "data.html"]
)
def test_every_page_is_accessible_and_fits(visit: Open, site: Path, pattern: str, theme: str, width: str) -> None:
    tab = visit(_page(site, pattern), WIDTHS[width], color_scheme=theme)
    _drawn(tab)
    assert tab.evaluate("document.documentElement.scrollWidth") <= WIDTHS[width]
    found = axe.Axe().run(tab, options={"preload": False})
    told = [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found.response["violations"]]
    assert not told
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        tab.screenshot(path=f"{folder}/{pattern.strip('*').removesuffix('.html')}-{theme}-{width}.png", full_page=True)


def _names(tab: Any) -> list[str]:
    names: list[str] = tab.locator("#board tbody th").all_inner_texts()
    return names


def _sort(tab: Any, direction: str) -> None:
    final = tab.locator("#board thead th", has_text=re.compile("^final"))
    final.click()
    playwright.expect(final).to_have_attribute("aria-sort", direction)


def test_sorting_leaves_what_is_not_ranked_where_it_is(visit: Open) -> None:
    tab = visit("index.html")
    for direction, first in (("descending", NAMES[-1]), ("ascending", "m00")):  # best first
        _sort(tab, direction)
        assert _names(tab)[0] == first
        assert set(tab.locator("#failing tbody th").all_inner_texts()) == {"late", "failed"}
    assert tab.locator("#board tfoot th").all_inner_texts() == ["retrain", "retrained models"]


def test_the_keyboard_reaches_content_and_sorts(visit: Open) -> None:
    tab = visit("index.html")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"
    header = tab.locator("#board thead th", has_text=re.compile("^final"))
    for _ in range(40):
        tab.keyboard.press("Tab")
        if header.evaluate("cell => cell.contains(document.activeElement)"):
            break
    tab.keyboard.press("Enter")
    playwright.expect(header).to_have_attribute("aria-sort", re.compile("ascending|descending"))


def test_search_and_columns(visit: Open) -> None:
    tab = visit("index.html")
    tab.get_by_label("Search").fill("m07")
    playwright.expect(tab.locator("#board tbody th")).to_have_text(["m07"])
    tab.get_by_label("Search").fill("")
    package = tab.locator("#board thead th", has_text="package")
    assert not package.count()
    tab.get_by_text("Columns").click()
    tab.get_by_label("package").check()
    assert package.is_visible()


def test_the_view_is_in_the_address(visit: Open) -> None:
    tab = visit("index.html")
    tab.get_by_label("Search").fill("m1")
    _sort(tab, "descending")
    playwright.expect(tab).to_have_url(re.compile("search=m1&order=4-desc"))
    address = tab.url.partition("#")[2]
    again = visit(f"index.html#{address}")
    playwright.expect(again.get_by_label("Search")).to_have_value("m1")
    assert _names(again) == _names(tab) == [f"m{number}" for number in range(19, 9, -1)]


def test_a_link_to_a_row_finds_its_page(visit: Open, site: Path) -> None:
    slug = _page(site, "run-m00*").removeprefix("run-").removesuffix(".html")
    row = visit(f"index.html#row-{slug}").locator("tr.reached")
    assert "m00" in row.inner_text()
    assert row.is_visible()


def test_a_click_on_a_point_leads_to_its_row(visit: Open) -> None:
    tab = visit("index.html")
    point = tab.locator("#chart-2 .scatterlayer .point").last
    point.wait_for()
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    tab.mouse.move(*middle)
    tab.mouse.click(*middle)
    tab.wait_for_selector("tr.reached")
    assert "#row-" in tab.url


def test_the_theme_is_chosen_and_kept(visit: Open) -> None:
    tab = visit("index.html", color_scheme="light")
    light = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    tab.get_by_role("button", name="Use dark colours").click()
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") != light
    tab.get_by_role("link", name="How to read this").first.click()
    playwright.expect(tab).to_have_url(re.compile("reading"))
    playwright.expect(tab.locator("html")).to_have_attribute("data-theme", "dark")


def test_divisions_can_be_linked_to(visit: Open) -> None:
    tab = visit("index.html")
    tab.get_by_role("link", name="N = 64").click()
    playwright.expect(tab).to_have_url(re.compile("division-"))
    playwright.expect(tab.locator("#board tbody th")).to_have_text(["other", "plain"])


def test_two_runs_are_compared(visit: Open, site: Path) -> None:
    slugs = [_page(site, f"run-{name}-*").removeprefix("run-").removesuffix(".html") for name in ("m01", "m59")]
    tab = visit(f"compare.html#a={slugs[0]}&b={slugs[1]}")
    told = "m59 has less memory left: 71 % against 100 % for m01. m59 has the better final score: 0.0590 against 0.0010 for m01."
    playwright.expect(tab.locator("#verdict")).to_have_text(told)
    final = tab.locator("#differences tbody tr", has_text="final score").locator("td").all_inner_texts()
    assert final[:3] == ["0.0010", "0.0590", "-0.0580"]
    assert final[4] == "yes"
    tab.get_by_label("Run B").select_option(label="m01")
    assert tab.locator("#verdict").inner_text() == "Choose two different runs."
    tab.get_by_label("Division").select_option(index=1)
    playwright.expect(tab.locator("#verdict")).to_contain_text("other")


def test_a_run_is_compared_with_another_one_without_being_asked(visit: Open, site: Path) -> None:
    for name in ("m59", "plain"):  # whatever its place
        slug = _page(site, f"run-{name}-*").removeprefix("run-").removesuffix(".html")
        tab = visit(f"compare.html#a={slug}")
        assert tab.get_by_label("Run A").input_value() != tab.get_by_label("Run B").input_value()


def test_pictures_do_not_stay_from_runs_before(visit: Open, site: Path) -> None:
    slugs = [_page(site, f"run-{name}-*").removeprefix("run-").removesuffix(".html") for name in ("m01", "m02")]
    tab = visit(f"compare.html#a={slugs[0]}&b={slugs[1]}")
    playwright.expect(tab.locator("#epsilons")).to_be_visible()
    tab.evaluate("runs.get(at('b').value).details = {}; show()")
    for figure in ("epsilons", "forget_loss", "roc"):
        playwright.expect(tab.locator(f"#{figure}")).to_be_hidden()


def test_a_link_to_a_row_ends_a_search_that_hides_it(visit: Open, site: Path) -> None:
    slug = _page(site, "run-m00*").removeprefix("run-").removesuffix(".html")
    tab = visit("index.html")
    tab.get_by_label("Search").fill("plain")
    tab.evaluate(f"location.hash = 'row-{slug}'")
    playwright.expect(tab.locator("tr.reached")).to_contain_text("m00")


def test_print_is_light_whatever_the_screen(visit: Open) -> None:
    tab = visit("index.html", color_scheme="dark")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 22, 22)"
    tab.emulate_media(media="print", color_scheme="dark")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_names_of_strangers_are_harmless(visit: Open, site: Path) -> None:
    for pattern in ("index.html", "run-script*", "run-long*", "method-script*", "run-abc*"):
        tab = visit(_page(site, pattern), 390)
        _drawn(tab)
        assert tab.evaluate("typeof hacked") == "undefined"
        assert tab.evaluate("document.documentElement.scrollWidth") == 390
    tab = visit("index.html")
    assert "<script>hacked=1</script>" in _names(tab)
    heights = [row.bounding_box()["height"] for row in tab.locator("#board tbody tr").all()[:6]]
    assert max(heights) < 90


def test_the_table_is_readable_without_scripts(visit: Open) -> None:
    tab = visit("index.html", java_script_enabled=False)
    assert tab.locator("#board tbody tr, #failing tbody tr").count() == 67
    assert tab.locator("#board tbody tr").last.is_visible()
    assert not tab.locator(".tools").is_visible()
