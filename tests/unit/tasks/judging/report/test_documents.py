"""docs/report.md describes the page that is made: its parts in their order, and what its plots show."""

import html
import re

import pytest
from support.judging.judgements import PRICES, SUBJECT, protocol, terms
from support.judging.loads import many_loads, measured_loads
from support.paths import ROOT

from tasks.judging.judge import judge_engine
from tasks.judging.judgement import JudgedResult
from tasks.judging.report import render_report
from tasks.judging.report.last_release import LastRelease, figures_of
from tasks.judging.report.plots.drawing import WIDE_RANGE
from tasks.judging.report.plots.region import MOST_COLUMNS

DOCUMENT = (ROOT / "docs" / "report.md").read_text(encoding="utf-8")
SENTENCES = " ".join(DOCUMENT.split())
# Headings of the page by the name that the document has for the part, if it is another one.
HEADINGS = {
    "since the last release": ["Since the last release"],
    "gates": ["Gates"],
    "accuracy": ["Accuracy"],
    "speed": ["Speed"],
    "economics": ["Economics"],
    "placement, protocol, provenance": ["Placement", "Protocol", "Provenance"],
    "as JSON or Markdown": ["As JSON or Markdown"],
}
BANNER = "banner"


@pytest.fixture(scope="module")
def result() -> JudgedResult:
    load = many_loads()
    asked = protocol(samples=400, margin=0.02, first_pairs=6, load=load)
    return judge_engine(
        measured_loads(asked.digest, load), asked, terms(PRICES, compile_mode="always"), SUBJECT
    )


@pytest.fixture(scope="module")
def page(result: JudgedResult, tmp_path_factory: pytest.TempPathFactory) -> str:
    last = LastRelease(name="demo@0.1.0", published_at=result.created_at, then=figures_of(result, 1))
    return render_report(result, tmp_path_factory.mktemp("report"), last=last).read_text(encoding="utf-8")


def test_the_parts_are_those_of_the_document_in_its_order(page: str) -> None:
    names = re.findall(r"(?m)^\| ([^|]+?) \|", DOCUMENT)[2:]
    assert names == [BANNER, *HEADINGS]
    found = re.findall(r"<(?:h2|details(?: class=\"screen\")?><summary)>(.*?)</", page)
    assert found == [heading for headings in HEADINGS.values() for heading in headings]


def test_the_banner_is_three_sentences_a_command_date_and_host(page: str, result: JudgedResult) -> None:
    assert "three sentences: what to do, whether it is safe, what it is worth" in SENTENCES
    (banner,) = re.findall(r'(?s)<div class="banner.*?</header>', page)
    sentences = [html.unescape(one) for one in re.findall(r"<p(?: class=\"do\")?>(.*?)</p>", banner)]
    assert len(sentences) == 3
    assert all(one.endswith(".") and not re.search(r"\. [A-Z]", one) for one in sentences)
    assert "<pre>enginery pull" in banner
    assert f"{result.created_at:%Y-%m-%d}" in banner
    assert result.subject.host in banner


@pytest.mark.parametrize("wait", ["first token", "gap"])
def test_curves_have_both_limits_rings_diamonds_and_shades(page: str, wait: str) -> None:
    assert "rings are around the operating point" in SENTENCES
    assert "diamonds are open loop" in SENTENCES
    (curve,) = re.findall(r"(?s)<svg[^>]*against throughput of both.*?</svg>", page)
    assert f"{wait} p99, ms" in curve
    for name in ("objective", "operating point", "open loop"):
        assert f">{name}<" in curve
    assert "What is shaded is beyond the objective." in page


def test_the_map_has_the_words_of_the_document(page: str) -> None:
    assert "wins, loses or not shown" in SENTENCES
    assert f"{ {4: 'Four'}[MOST_COLUMNS] } numbers of requests in flight fit" in SENTENCES
    assert "powers of ten" in SENTENCES
    assert WIDE_RANGE == 10
    (drawn,) = re.findall(r"(?s)<svg[^>]*Where compiling wins.*?</svg>", page)
    for word in ("wins", "loses", "not shown", "wins *"):
        assert f">{word}<" in drawn
    assert "*: a side is shown to miss the objective there." in page


def test_an_arrow_is_explained_where_there_is_one(page: str) -> None:
    assert "An arrow means that there are too few requests for an upper bound" in SENTENCES
    assert "An arrow: so few requests give no upper bound." in page


def test_the_map_of_money_reaches_as_far_as_the_document_says(result: JudgedResult) -> None:
    assert "(a tenth to ten times the declared one)" in SENTENCES
    assert "(half to twice)" in SENTENCES
    prices, cells = result.terms.prices, result.outcomes.gates["economics"].map
    loads = sorted({cell.requests_per_day / prices.requests_per_day for cell in cells})
    assert (loads[0], loads[-1]) == pytest.approx((0.1, 10))
    costs = sorted({cell.gpu_hour_usd / prices.gpu_hour_usd for cell in cells})
    assert (costs[0], costs[-1]) == pytest.approx((0.5, 2))
