"""The page: self-contained, escaped, with every gate; the JSON twin: every number, and readable again."""

import base64
import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from support.judging.judgements import PRICES, SUBJECT, capacity, measured, protocol, side, speed_point, terms
from support.judging.report_page import captions_of, rows_of, scopes_of

from engine_specs.tables import load_kinds
from tasks.judging import PlacementChoice, SideMemory, Start, WindowGroup
from tasks.judging.decide import Stay
from tasks.judging.decide.verdict import decide_baseline
from tasks.judging.gates import all_gates, compare_months
from tasks.judging.gates.figures import use_of_band
from tasks.judging.judge import judge_engine
from tasks.judging.judgement import JudgedResult
from tasks.judging.report.advice import advice_on
from tasks.judging.report.plots import limits_plot
from tasks.judging.report.report import render_baseline, render_report
from tasks.judging.results import (
    BlockCost,
    Conditions,
    IdleCheck,
    Interval,
    LoadPoint,
    LoadResult,
    NotMeasured,
    SpeedPoint,
    SpeedResult,
)
from tasks.toolchains import Provenance
from tasks.toolchains.records import Difference

HOSTILE = '<script>alert("x")</script>'
VOID = {"meta", "br", "link", "path", "use", "rect"}


class Balanced(HTMLParser):
    """Fails on a tag that is closed without having been opened last."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.outside += [value or "" for name, value in attrs if name in {"src", "href", "xlink:href"}]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def result() -> JudgedResult:
    asked = protocol(samples=400, margin=0.02, first_pairs=6)
    made = measured(asked.digest, [0.0] * 380 + [0.05] * 20, ratio=1.4)
    subject = SUBJECT.model_copy(update={"model": HOSTILE})
    return judge_engine(made, asked, terms(PRICES, compile_mode="always", build_device_hours=0.2), subject)


@pytest.fixture(scope="module")
def page(result: JudgedResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render_report(result, tmp_path_factory.mktemp("report"))


def test_the_page_shows_what_others_used_of_the_host(result: JudgedResult, tmp_path: Path) -> None:
    quiet = render_report(result, tmp_path).read_text(encoding="utf-8")
    assert "The host had to be quiet, and was." in quiet
    rows = rows_of(quiet, "Share of the cores")[1:]
    assert [row[:5] for row in rows[:2]] == [
        ["engine", "1", "1.2", "0.0", "0"],
        ["vllm", "1", "1.2", "0.0", "0"],
    ]
    speed = result.measured.speed
    assert isinstance(speed, SpeedResult)
    loose = result.measured.model_copy(update={"speed": speed.model_copy(update={"quiet_host": "record"})})
    page = render_report(result.model_copy(update={"measured": loose}), tmp_path)
    assert "The host was not required to be quiet." in page.read_text(encoding="utf-8")


def test_the_page_needs_nothing_from_outside(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    parser = Balanced()
    parser.feed(text)
    assert parser.open == []
    assert all(target.startswith(("#", "data:application/json;base64,")) for target in parser.outside)
    assert not re.search(r"url\((?!#)|@import|<script|<link", text)


def test_departures_are_shown_as_text_that_is_escaped_and_visible(page: Path, result: JudgedResult) -> None:
    text = page.read_text(encoding="utf-8")
    heading, *rows = rows_of(text, "The 12 largest of 20 departures")
    assert heading[1:4] == ["both had read", "the engine chose", "the reference would have chosen"]
    assert len(rows) == 12
    assert rows[0][1:] == ["…def f(x):⏎ return", "<b>⇥id 7", "␣xid 0", "0.2000"]
    assert "<bdi>…def f(x):⏎    return</bdi>" in text
    assert "<b>" not in text


def test_gross_errors_are_marked_among_the_departures(result: JudgedResult, tmp_path: Path) -> None:
    gate = result.protocol.accuracy.gate.model_copy(update={"gross_error_nats": 0.1})
    plan = result.protocol.accuracy.model_copy(update={"gate": gate})
    changed = result.model_copy(update={"protocol": result.protocol.model_copy(update={"accuracy": plan})})
    _, *rows = rows_of(render_report(changed, tmp_path).read_text(), "The 12 largest")
    assert {row[-1] for row in rows} == {"0.2000gross error"}


def test_what_a_spec_says_is_escaped(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert HOSTILE not in text
    assert "&lt;script&gt;" in text


def test_the_page_shows_verdict_gates_intervals_and_both_commands(page: Path, result: JudgedResult) -> None:
    text = page.read_text(encoding="utf-8")
    ratio = result.outcomes.gates["speed"].ratio
    for shown in (
        result.verdict.verdict,
        f"{ratio.estimate:.3f}",
        f"between {ratio.lower:.3f} and {ratio.upper:.3f}",
        f"upper bound {result.outcomes.gates['regret'].regret_nats.upper:.5f}",
        result.measured.protocol_digest,
        "{python} {tree}/serve.py",
        "2.13.0+cpu",
        "f" * 16,
        *result.outcomes.gates["economics"].lines,
    ):
        assert shown in text
    assert text.count("<svg") == 9
    assert text.count('<span class="mark') == len(result.outcomes.gates) + len(all_loads(result))


def all_loads(result: JudgedResult) -> list[SpeedPoint]:
    speed = result.measured.speed
    assert isinstance(speed, SpeedResult)
    return [*speed.points, *(one.point for one in speed.sweep)]


def test_next_to_its_command_it_says_what_the_server_lacks(page: Path, result: JudgedResult) -> None:
    (gap, *_) = load_kinds()[result.subject.kind].server_lacks
    assert f"that of {result.subject.kind} lacks: {gap.feature}; " in page.read_text()


def test_it_begins_with_what_to_do_why_and_how_to_get_it(page: Path, result: JudgedResult) -> None:
    banner = html.unescape(page.read_text(encoding="utf-8").partition("<h2>Gates</h2>")[0])
    gates = result.outcomes.gates
    asked = [gate for gate in all_gates() if gate.asked_by(result.protocol)]
    *others, last = (gate.name for gate in asked if gate.asks == "answers")
    ratio, lost = gates["speed"].ratio, -gates["economics"].net_usd
    bounds = f"between {ratio.lower:.2f} and {ratio.upper:.2f}; the bar is 1.1"
    fast = f"The engine is {ratio.estimate:.2f} times as fast as vllm with 2 in flight ({bounds})"
    for shown in (
        "Serve this engine instead of vLLM.",
        f"as far as {', '.join(others)} and {last} can show.",
        f"{fast}, and it would cost {lost:,.0f} USD a month more",
        "enginery pull demo --to ./engines --variant cpu-int8",
        f"Judged {result.created_at:%Y-%m-%d %H:%M} UTC on an unknown host.",
    ):
        assert shown in banner


def test_details_are_folded_and_open_in_print(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    folded = re.findall(r"<details[^>]*><summary>(.*?)</summary>", text)
    assert folded == ["Every load as a table", "Placement", "Protocol", "Provenance", "As JSON or Markdown"]
    assert "details::details-content { content-visibility: visible" in text


def test_every_heading_has_a_scope_and_every_table_a_caption(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert set(scopes_of(text)) == {"col", "row"}
    assert len(captions_of(text)) == 8
    assert all(captions_of(text))


def test_every_term_is_explained_next_to_where_it_is_used(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    terms = {
        heading: re.findall(r"<dfn>(.*?)</dfn>", part)
        for heading, part in re.findall(r"(?s)<(?:h2|details><summary)>(.*?)<(.*?)(?=<h2>|<details|$)", text)
    }
    assert "regret" in terms["Accuracy"]
    assert {"goodput", "TTFT", "ITL", "in flight"} <= set(terms["Speed"])
    assert "upkeep" in terms["Economics"]
    assert "steal" in terms["Placement"]
    everywhere = [term for found in terms.values() for term in found]
    assert len(set(everywhere)) == len(everywhere), "each is explained once"


def test_counts_and_lengths_are_words_that_fit_their_numbers(result: JudgedResult, tmp_path: Path) -> None:
    asked = result.protocol
    alike = WindowGroup(
        name="to-the-end", texts=64, min_context_tokens=192, max_context_tokens=192, continuation_tokens=63
    )
    accuracy = asked.accuracy.model_copy(update={"windows": (*asked.accuracy.windows, alike)})
    rounds = asked.rounds.model_copy(update={"warmup_rounds": 1, "warmup_requests": 2})
    changed = asked.model_copy(update={"accuracy": accuracy, "rounds": rounds})
    page = render_report(result.model_copy(update={"protocol": changed}), tmp_path).read_text(
        encoding="utf-8"
    )
    assert "64 with 192 tokens of context, continued by 63" in page
    assert "1 warm-up round per side and 2 requests before each round discarded" in page


def test_limits_are_plotted_on_one_scale(result: JudgedResult) -> None:
    figures = [figure for _, shown in result.shown() for figure in shown.figures]
    used = {figure.label: figure.use for figure in figures if figure.use is not None}
    gates = result.outcomes.gates
    margin = result.protocol.accuracy.gate.max_regret_nats_per_token
    assert used["accuracy: regret"].upper == gates["regret"].regret_nats.upper / margin
    bar = result.protocol.speed.gate.min_speedup
    assert used["speed: goodput per device"].upper == bar / gates["speed"].ratio.lower
    assert all(one.lower <= one.estimate <= one.upper for one in used.values())
    assert all(one.upper <= 1 for one in used.values()), "all gates are passed"
    drawn = limits_plot(figures)
    assert all(f">{label}<" in drawn for label in used)


@pytest.mark.parametrize(
    ("interval", "use"),
    [
        ((1.0, 0.95, 1.05), (0.0, 0.0, 0.5)),
        ((0.85, 0.8, 0.9), (1.5, 1.0, 2.0)),
        ((1.1, 1.05, 1.15), (1.0, 0.5, 1.5)),
    ],
)
def test_the_nearer_of_two_limits_counts(
    interval: tuple[float, float, float], use: tuple[float, float, float]
) -> None:
    estimate, lower, upper = interval
    found = use_of_band(Interval(estimate=estimate, lower=lower, upper=upper, confidence=0.95), 0.9, 1.1)
    assert (found.estimate, found.lower, found.upper) == pytest.approx(use)


def test_the_verdict_as_markdown_can_be_pasted(page: Path, result: JudgedResult) -> None:
    (area,) = re.findall(
        r"<textarea[^>]*>(.*?)</textarea>", page.read_text(encoding="utf-8"), flags=re.DOTALL
    )
    lines = html.unescape(area).splitlines()
    assert lines[0] == "## demo / cpu-int8: compile"
    assert lines[2] == "Serve this engine instead of vLLM."
    rows = [line for line in lines if line.startswith("| ")][2:]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == list(result.outcomes.reasons())
    assert lines[-2] == "enginery pull demo --to ./engines --variant cpu-int8"


@pytest.mark.parametrize(
    ("regrets", "ratio", "do", "safe", "pulls"),
    [
        ([0.0] * 400, 0.8, "Stay on vLLM.", "as good as vLLM's", True),
        ([0.2] * 400, 1.4, "Do not serve this engine", "not accepted by regret", False),
        ([0.0] * 40, 1.4, "Change nothing yet", "not accepted by regret", False),
    ],
)
def test_the_advice_follows_the_verdict(
    regrets: list[float], ratio: float, do: str, safe: str, *, pulls: bool
) -> None:
    asked = protocol(samples=400, margin=0.02, first_pairs=6)
    judged = judge_engine(
        measured(asked.digest, regrets, ratio=ratio), asked, terms(PRICES, compile_mode="always"), SUBJECT
    )
    advice = advice_on(judged)
    assert advice.do.startswith(do)
    assert safe in advice.safe
    assert advice.safe.startswith("The engine's answers ")
    assert not advice.worth.startswith("It "), "vLLM may be what was spoken of last"
    for sentence in (advice.do, advice.safe, advice.worth):
        assert sentence.endswith(".")
        assert not re.search(r"\. [A-Z]", sentence), "three sentences, whatever was decided"
    assert bool(advice.pull) is pulls


def test_the_page_says_which_stages_an_adopted_toolchain_made(tmp_path: Path, result: JudgedResult) -> None:
    (installed,) = result.subject.stages
    difference = Difference(name="numpy", locked="2.3.1", found="2.2.0")
    adopted = Provenance(
        name="aot-cpu", provider="host", adopted=True, identity="c" * 64, differences=(difference,)
    )
    stages = (
        installed.model_copy(update={"stage": "fetch", "toolchain": None}),
        installed,
        installed.model_copy(update={"toolchain": adopted}),
    )
    changed = result.model_copy(update={"subject": result.subject.model_copy(update={"stages": stages})})
    rows = rows_of(render_report(changed, tmp_path).read_text(), "What each stage took")[1:]
    said = ["-", "aot-cpu (lock)", "aot-cpu (host, adopted: 1 package differs from its lock)"]
    assert [row[3] for row in rows] == said
    kept = JudgedResult.model_validate(json.loads((tmp_path / "report.json").read_text())["result"])
    assert kept.subject.stages[2].toolchain == adopted


def test_plots_take_their_colours_from_the_page(page: Path) -> None:
    svg = re.findall(r"<svg.*?</svg>", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert all("var(--ink)" in one or "var(--muted)" in one for one in svg)
    assert not any(re.search(r"#0[1-6]0[1-6]0[1-6]", one) for one in svg)


def test_the_json_twin_holds_the_whole_result(page: Path, result: JudgedResult) -> None:
    document = json.loads((page.parent / "report.json").read_text(encoding="utf-8"))
    assert JudgedResult.model_validate(document["result"]) == result
    assert [one["concurrency"] for one in document["ratios"]] == [1, 2]
    assert document["ratios"][1]["lower"] == result.outcomes.gates["speed"].ratio.lower


def test_the_twin_can_be_downloaded_from_the_page_itself(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    ((name, content),) = re.findall(r'download="([^"]*)" href="data:application/json;base64,([^"]*)"', text)
    assert name == "report.json"
    assert base64.b64decode(content) == (page.parent / name).read_bytes()


def test_equal_results_give_equal_pages(page: Path, result: JudgedResult, tmp_path: Path) -> None:
    assert render_report(result, tmp_path).read_bytes() == page.read_bytes()


def test_the_page_of_an_engine_that_was_not_timed_says_why(tmp_path: Path) -> None:
    asked = protocol(samples=400, margin=0.02)
    left_out = NotMeasured(reason="No round was timed: the engine is rejected by regret.")
    made = measured(asked.digest, [0.8] * 400, ratio=1.4).model_copy(update={"speed": left_out})
    rejected = judge_engine(
        made, asked, terms(PRICES, compile_mode="always", build_device_hours=0.2), SUBJECT
    )
    text = render_report(rejected, tmp_path).read_text(encoding="utf-8")
    Balanced().feed(text)
    assert text.count(left_out.reason) == 3, "among the gates, under Speed, and in the Markdown"
    assert text.count("<svg") == 3
    assert text.count('<span class="mark') == len(rejected.outcomes.gates) + 1, "and that no round was timed"
    document = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert JudgedResult.model_validate(document["result"]) == rejected
    assert document["ratios"] == []


def test_the_page_of_a_baseline_shows_the_arithmetic(tmp_path: Path) -> None:
    asked = protocol()
    point = speed_point(1.0, noise=0.05, pairs=3, concurrency=2)
    rounds = tuple(one for one in point.rounds if one.side == "vllm")
    load = LoadResult(
        side=side("vllm"),
        protocol_digest="0" * 64,
        operating_point=2,
        points=(LoadPoint(summary=point.reference, rounds=rounds),),
    )
    hoped = compare_months(
        PRICES, asked.workload, reference=capacity(500.0), engine=capacity(1000.0), build_device_hours=0.0
    )
    stay = Stay("It meets the objective.", hoped)
    page = render_baseline(SUBJECT, load, stay, decide_baseline(stay), tmp_path, workload=asked.workload)
    text = page.read_text(encoding="utf-8")
    Balanced().feed(text)
    worth = f"even an engine as fast as can be hoped would cost {-hoped.net_usd:,.0f} USD a month more at the"
    for shown in ("stay-on-vllm", "baseline-suffices", "It meets the objective.", worth, *hoped.lines):
        assert shown in text
    assert "both by the upper bound of vLLM&#39;s rate" in text
    assert text.count("<svg") == 1, "the map of what the hoped-for engine is worth"
    assert all(captions_of(text))
    assert set(scopes_of(text)) == {"col", "row"}
    document = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert LoadResult.model_validate(document["load"]) == load


def test_the_page_shows_placement_starts_memory_and_lowered_clocks(tmp_path: Path) -> None:
    asked = protocol(samples=400, margin=0.02, first_pairs=6)
    made = measured(asked.digest, [0.0] * 400, ratio=1.4)
    assert isinstance(made.speed, SpeedResult)
    within = Interval(estimate=0.9, lower=0.8, upper=0.95, confidence=0.95)
    conditions = Conditions(
        placement=PlacementChoice(name="in-turn", reason=f"1 GPU is free {HOSTILE}"),
        idle=(IdleCheck(side="engine", ratio=within, log_ratios=(0.0,) * 4, tolerance=0.05),),
        starts=(Start(side="vllm", ready_s=46.12), Start(side="engine", ready_s=3.0)),
        memory=(
            SideMemory(
                side="engine", estimated_bytes=5_000_000_000, peak_bytes=4_120_000_000, read_by="process"
            ),
            SideMemory(side="vllm"),
        ),
    )
    costs = (("vllm", ()), ("engine", ("power cap",)))
    blocks = tuple(
        BlockCost(side=name, ready_s=46.12, spent_s=98.7, rounds=3, throttled=why) for name, why in costs
    )
    hot = tuple(
        point.model_copy(
            update={
                "rounds": tuple(one.model_copy(update={"throttled": ("power cap",)}) for one in point.rounds)
            }
        )
        for point in made.speed.points
    )
    speed = made.speed.model_copy(update={"blocks": blocks, "points": hot})
    made = made.model_copy(update={"conditions": conditions, "speed": speed})
    judged = judge_engine(made, asked, terms(PRICES, compile_mode="always"), SUBJECT)
    page = render_report(judged, tmp_path)
    text = page.read_text(encoding="utf-8")
    Balanced().feed(text)
    assert HOSTILE not in text
    for shown in (
        "in-turn (1 GPU is free",
        "next to idle sides, engine is 0.900 [0.800, 0.950] times as fast as alone",
        "vllm 46.1 s, engine 3.0 s",
        "in 104 of 104 rounds: power cap",
    ):
        assert shown in text
    memory = rows_of(text, "GPU memory of each side")[1:]
    assert memory == [["engine", "4.12", "5.00", "process"], ["vllm", "unknown", "unknown", ""]]
    assert rows_of(text, "Blocks")[2][-2:] == ["98.7", "power cap"]
    assert "during 48 of 48 rounds of engine and 48 of 48 rounds of vllm (power cap)." in text
    document = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert JudgedResult.model_validate(document["result"]).measured.conditions == conditions
