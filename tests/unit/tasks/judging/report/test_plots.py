"""The plots of loads: both sides, the objective, bounds, and a field for every load that was timed."""

import html
import re

import pytest
from support.judging.judgements import PRICES, SUBJECT, open_loop, protocol, terms
from support.judging.loads import OMITTED, SWEEP, many_loads, measured_loads
from support.judging.report_page import rows_of

from tasks.judging import SpeedResult
from tasks.judging.judge import judge_engine
from tasks.judging.judgement import JudgedResult
from tasks.judging.report.plots import limits_plot, load_curve, open_loop_plot, region_maps
from tasks.judging.report.report import render_report
from tasks.judging.statistics import RegionPoint, region

LOAD = many_loads()
ASKED = protocol(samples=400, margin=0.02, first_pairs=6, load=LOAD)
DECISIVE = (256, 64, 16)


@pytest.fixture(scope="module")
def result() -> JudgedResult:
    made = measured_loads(ASKED.digest, LOAD)
    return judge_engine(made, ASKED, terms(PRICES, compile_mode="always"), SUBJECT)


@pytest.fixture(scope="module")
def speed(result: JudgedResult) -> SpeedResult:
    assert isinstance(result.measured.speed, SpeedResult)
    return result.measured.speed


@pytest.fixture(scope="module")
def page(result: JudgedResult, tmp_path_factory: pytest.TempPathFactory) -> str:
    return render_report(result, tmp_path_factory.mktemp("report")).read_text(encoding="utf-8")


def texts_of(drawing: str) -> list[str]:
    return [html.unescape(one) for one in re.findall(r"<text[^>]*>([^<]*)</text>", drawing)]


def test_one_curve_has_both_sides_the_objective_the_operating_point_and_open_loop(speed: SpeedResult) -> None:
    drawn = load_curve(speed.points, speed.open_loop, operating_point=16, slo=LOAD.slo)
    texts = texts_of(drawn)
    legend = ("vllm", "engine", "objective", "operating point", "open loop")
    assert all(texts.count(one) == 1 for one in legend)
    for concurrency in LOAD.concurrency:
        assert texts.count(str(concurrency)) >= 4, "on both sides, in both panels"
    assert {"first token p99, ms", "gap p99, ms", "output tokens/s per device"} <= set(texts)


def test_a_side_that_was_not_asked_in_open_loop_is_not_in_the_plots(speed: SpeedResult) -> None:
    nobody = open_loop(requests=0)
    drawn = load_curve(speed.points, nobody, operating_point=16, slo=LOAD.slo)
    assert "open loop" not in texts_of(drawn)
    engine_alone = speed.open_loop.model_copy(update={"reference": nobody.reference})
    assert {"vllm", "engine"} & set(texts_of(open_loop_plot(engine_alone, slo=LOAD.slo))) == {"engine"}


def test_an_objective_far_from_what_was_seen_is_drawn_all_the_same(speed: SpeedResult) -> None:
    lenient = LOAD.slo.model_copy(update={"ttft_p99_ms": 60_000.0, "itl_p99_ms": 60_000.0})
    for drawn in (
        load_curve(speed.points, speed.open_loop, operating_point=16, slo=lenient),
        open_loop_plot(speed.open_loop, slo=lenient),
    ):
        assert "10000" in texts_of(drawn), "the axis reaches the limit, by powers of ten"


def test_quantiles_of_open_loop_are_drawn_against_the_objective(speed: SpeedResult) -> None:
    texts = texts_of(open_loop_plot(speed.open_loop, slo=LOAD.slo))
    assert all(texts.count(name) == 2 for name in ("p50", "p90", "p99"))
    assert {"objective", "vllm", "engine", "first token, ms", "gap, ms"} <= set(texts)


def test_every_load_is_a_field_with_its_outcome_ratio_and_bounds(
    result: JudgedResult, speed: SpeedResult
) -> None:
    points = region(speed, result.protocol)
    (drawn,) = region_maps(points, DECISIVE)
    texts = texts_of(drawn)
    assert {one.outcome for one in points} == {"wins", "loses", "not-shown"}
    for one in points:
        assert any(text.startswith(f"[{one.ratio.lower:.2f}, ") for text in texts)
    words = [text.removesuffix(" *") for text in texts]
    for outcome in ("wins", "loses", "not-shown"):
        expected = sum(one.outcome == outcome for one in points)
        assert words.count(outcome.replace("-", " ")) == expected
    beyond = sum(one.missed for one in points)
    assert sum(text.endswith(" *") for text in texts) == beyond > 0
    assert texts.count("measured") == 1, "the load that the budget did not allow"
    assert {"256 + 64", *(f"{one.input_tokens} + {one.output_tokens}" for one in SWEEP)} <= set(texts)


def test_many_numbers_of_requests_are_several_maps_and_one_load_is_none(
    result: JudgedResult, speed: SpeedResult
) -> None:
    (first, *_) = region(speed, result.protocol)

    def at(concurrency: int) -> RegionPoint:
        return first.model_copy(update={"concurrency": concurrency})

    assert region_maps([first], DECISIVE) == ()
    maps = region_maps([at(2**power) for power in range(9)], DECISIVE)
    assert [sum(str(2**power) in texts_of(one) for power in range(9)) for one in maps] == [4, 4, 1]


def test_the_plot_of_limits_grows_with_its_rows(result: JudgedResult) -> None:
    every = (figure for _, shown in result.shown() for figure in shown.figures)
    used = next(figure for figure in every if figure.use is not None)

    def height(count: int) -> float:
        found = re.search(r'viewBox="0 0 \S+ ([\d.]+)"', limits_plot([used] * count))
        assert found
        return float(found.group(1))

    assert height(20) > 1.5 * height(10)


def test_what_is_drawn_is_in_tables_as_well(page: str, result: JudgedResult, speed: SpeedResult) -> None:
    rows = rows_of(page, "What users wait for in open loop")[1:]
    assert [row[:2] for row in rows] == [
        [side, wait] for side in ("engine", "vllm") for wait in ("first token", "gap between tokens")
    ]
    summary = speed.open_loop.engine.summary
    assert summary is not None
    bounds = summary.ttft_ms.p99_bounds
    assert rows[0][6] == f"{summary.ttft_ms.p99:.1f}[{bounds.lower:.1f}, {bounds.upper:.1f}]"
    assert rows[0][7] == "400"
    assert rows[2][6].endswith(", unknown]"), "64 requests give no upper bound of what one in 100 waits"
    loads = rows_of(page, "Ratio at every load")[1:]
    assert [row[-1].replace(" ", "-") for row in loads] == [
        one.outcome for one in region(speed, result.protocol)
    ]
    assert [row[:2] for row in loads if row[1].endswith("decides")] == [["256 + 64", "16 decides"]]


def test_what_was_not_measured_is_said_next_to_the_map(page: str) -> None:
    assert f"Not measured: {OMITTED}" in page
