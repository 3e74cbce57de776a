"""The report in a browser: on a phone, dark and printed nothing is cut or lost, and its twin can be saved."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page
from support.judging.judgements import PRICES, SUBJECT, measured, protocol, terms
from support.judging.loads import many_loads, measured_loads
from support.servers.browser import browser_page

from tasks.judging.judge import judge_engine
from tasks.judging.report import render_report
from tasks.judging.report.last_release import LastRelease, figures_of
from tasks.judging.results import Interval, NotMeasured, Quantiles, SpeedResult, TokenizerCheck

# The width of an A4 page without its margins, at 96 px per inch.
A4_PX = round((210 - 2 * 13) / 25.4 * 96)
# Elements that hold more than they show; a box that scrolls by itself is cut on paper.
CUT = """() => [...document.querySelectorAll('main *')]
    .filter(one => !one.closest('svg, textarea') && one.clientWidth && one.scrollWidth > one.clientWidth + 1)
    .map(one => `${one.tagName} ${one.className}: ${one.scrollWidth} of ${one.clientWidth}`)"""
# Labels of plots that reach beyond their drawing.
CUT_LABELS = """() => [...document.querySelectorAll('svg text')].flatMap(one => {
    const [own, all] = [one.getBoundingClientRect(), one.closest('svg').getBoundingClientRect()];
    const out = own.left < all.left - 1 || own.right > all.right + 1 || own.top < all.top - 1
        || own.bottom > all.bottom + 1;
    return out ? [one.textContent] : [];
})"""
# A browser refuses to navigate to longer addresses; saving one must work all the same.
LONGER_THAN_ADDRESSES = 3_000_000


def with_long_numbers(speed: SpeedResult | NotMeasured) -> SpeedResult:
    """The same rounds, summed up as those of a fast server that answers slowly."""
    assert isinstance(speed, SpeedResult)
    rate = Interval(estimate=123_456.0, lower=112_345.0, upper=134_567.0, confidence=0.95)
    slow = Quantiles(count=96, mean=12_345.6, p50=12_345.6, p90=23_456.7, p99=34_567.8)
    long = {"throughput_per_device": rate, "ttft_ms": slow, "itl_ms": slow, "e2e_ms": slow}
    points = [
        point.model_copy(
            update={
                "engine": point.engine.model_copy(update=long),
                "reference": point.reference.model_copy(update=long),
            }
        )
        for point in speed.points
    ]
    return speed.model_copy(update={"points": tuple(points)})


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    load = many_loads((1, 4, 16, 32, 64))
    asked = protocol(
        samples=400, margin=0.02, first_pairs=6, load=load, references=("vllm", "vllm-own-quantization")
    )
    made = measured_loads(asked.digest, load, reference="vllm-own-quantization")
    check = TokenizerCheck(text="x" * LONGER_THAN_ADDRESSES, same_ids=True, same_text=True)
    made = made.model_copy(
        update={
            "accuracy": made.accuracy.model_copy(update={"tokenizer": (check,)}),
            "speed": with_long_numbers(made.speed),
        }
    )
    result = judge_engine(made, asked, terms(PRICES, compile_mode="always"), SUBJECT)
    then = figures_of(result, 12_000_000)
    last = LastRelease(name="demo@0.1.0", published_at=result.created_at, then=then)
    return render_report(result, tmp_path_factory.mktemp("report"), size_bytes=12_000_000, last=last)


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    with browser_page() as page:
        yield page


@pytest.fixture
def page(browser: Page, report: Path) -> Page:
    browser.emulate_media(media="screen", color_scheme="light")
    browser.goto(report.as_uri())
    return browser


def unfold(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")


@pytest.mark.parametrize("width", [390, 768, 1440])
def test_nothing_is_cut_at_any_width(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    unfold(page)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(CUT) == []


@pytest.mark.parametrize("width", [390, 1440])
def test_no_label_of_a_plot_is_cut(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    assert page.locator("svg text").count() > 100
    assert page.evaluate(CUT_LABELS) == []


def test_no_label_is_cut_if_all_loads_have_one_length(browser: Page, tmp_path: Path) -> None:
    asked = protocol(samples=400, margin=0.02, first_pairs=6)
    made = measured(asked.digest, [0.0] * 400, ratio=1.4)
    result = judge_engine(made, asked, terms(PRICES, compile_mode="always"), SUBJECT)
    browser.goto(render_report(result, tmp_path).as_uri())
    assert browser.get_by_text("in + out").count() > 0
    assert browser.evaluate(CUT_LABELS) == []


def test_tables_are_cards_with_labels_on_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 900})
    cell = page.locator("td[data-label='the engine chose']").first
    assert cell.evaluate("one => getComputedStyle(one, '::before').content") == '"the engine chose"'
    assert not page.locator("table.cards thead").first.is_visible()


def test_print_is_light_whole_and_unfolded(page: Page) -> None:
    page.set_viewport_size({"width": A4_PX, "height": 900})
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(CUT) == []
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    folded = page.locator("details:not(.screen) dt")
    assert folded.count() > 10
    assert all(one.evaluate("one => one.checkVisibility()") for one in folded.all())
    assert not page.locator("details.screen").is_visible()


def test_plots_have_the_colours_of_the_page(page: Page) -> None:
    fill = "getComputedStyle(document.querySelector('svg text')).fill"
    light = page.evaluate(fill)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(fill) != light
    assert page.evaluate(fill) == page.evaluate("getComputedStyle(document.querySelector('.facts')).color"), (
        "labels of axes are as muted as other small print"
    )


def test_the_twin_is_saved_from_a_file_on_disk(page: Page, report: Path) -> None:
    unfold(page)
    with page.expect_download() as saving:
        page.get_by_text("Download as JSON").first.click()
    assert saving.value.suggested_filename == "report.json"
    saved = Path(saving.value.path()).read_bytes()
    assert len(saved) > LONGER_THAN_ADDRESSES
    assert saved == (report.parent / "report.json").read_bytes()
