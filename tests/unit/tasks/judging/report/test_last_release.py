"""Then and now: a change counts only if bounds show it, and what does not compare is said."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.judging.judgements import PRICES, SUBJECT, measured, protocol, terms
from support.judging.report_page import rows_of

from tasks.judging.judge import judge_engine
from tasks.judging.judgement import JudgedResult
from tasks.judging.report.last_release import (
    FIGURES_FILE,
    KeptFigures,
    LastRelease,
    Row,
    compare,
    figures_of,
    figures_without_engine,
)
from tasks.judging.report.report import render_report

PUBLISHED = datetime(2026, 11, 20, tzinfo=UTC)


def judged(ratio: float, regret: float = 0.0) -> JudgedResult:
    asked = protocol(samples=400, margin=0.02, first_pairs=6)
    made = measured(asked.digest, [regret] * 400, ratio=ratio)
    return judge_engine(made, asked, terms(PRICES, compile_mode="always"), SUBJECT)


def last(then: KeptFigures | None, **changes: Any) -> LastRelease:
    return LastRelease(name="demo@0.1.0", published_at=PUBLISHED, then=then, **changes)


def row(rows: tuple[Row, ...], label: str) -> Row:
    return next(one for one in rows if one.label == label)


@pytest.fixture(scope="module")
def slow() -> KeptFigures:
    return figures_of(judged(1.4), 12_000_000)


def test_a_change_that_the_bounds_show_is_named_in_the_sentence(slow: KeptFigures) -> None:
    fast = figures_of(judged(2.8), 15_000_000)
    found = compare(last(slow), fast)
    speed = row(found.rows, "speed: goodput per device")
    assert speed.change == "better"
    then, now = (next(f for f in one.figures if f.label == speed.label) for one in (slow, fast))
    assert speed.then.startswith(f"{then.measured} [{then.lower}, {then.upper}]")
    assert speed.now.startswith(f"{now.measured} [{now.lower}, {now.upper}]")
    assert found.sentence == (
        "The last release is demo@0.1.0 of 2026-11-20: this one is better in speed: goodput per device."
    )
    assert row(found.rows, "size") == Row("size", "12.0 MB", "15.0 MB")
    assert row(compare(last(fast), slow).rows, "speed: goodput per device").change == "worse"


def test_bounds_that_overlap_show_nothing(slow: KeptFigures) -> None:
    found = compare(last(slow), figures_of(judged(1.41), 12_000_000))
    assert found.sentence.endswith(": nothing is shown to be better or worse.")
    assert row(found.rows, "speed: goodput per device").change == "no clear difference"
    assert row(found.rows, "SLO: late first tokens").change == "no clear difference"
    assert row(found.rows, "economics: net").change == "", "it has no bounds"
    assert found.caveats == ()


def test_what_does_not_compare_is_said(slow: KeptFigures) -> None:
    then = slow.model_copy(update={"host": "another processor", "workload": "one token in"})
    first, second = compare(last(then), slow).caveats
    assert first == "The host was another: another processor. Speed and start do not compare."
    assert second.startswith("The workload was another: one token in.")


def test_a_release_without_an_engine_compares_by_its_verdict(slow: KeptFigures) -> None:
    then = figures_without_engine(SUBJECT, "stay-on-vllm", protocol().workload)
    found = compare(last(then), slow)
    assert found.sentence.endswith(", whose verdict was stay-on-vllm: no figure has bounds then and now.")
    assert row(found.rows, "verdict") == Row("verdict", "stay-on-vllm", "compile")
    assert {one.then for one in found.rows} == {"-", "stay-on-vllm"}
    back = compare(last(slow), then)
    assert [one.label for one in back.rows] == ["verdict", "start of the server", "size"]


def test_a_last_release_that_cannot_be_read_is_named_with_the_reason(slow: KeptFigures) -> None:
    found = compare(last(None, unreadable="it has no report"), slow)
    assert found.sentence == (
        "The last release is demo@0.1.0 of 2026-11-20; its figures cannot be read: it has no report."
    )
    assert found.rows == ()


def test_the_page_shows_it_and_leaves_figures_for_the_next_one(slow: KeptFigures, tmp_path: Path) -> None:
    now = judged(2.8)
    text = render_report(now, tmp_path, size_bytes=15_000_000, last=last(slow)).read_text(encoding="utf-8")
    rows = rows_of(text, "Then and now")
    assert ["verdict", "compile", "compile", ""] in rows
    assert ["size", "12.0 MB", "15.0 MB", ""] in rows
    assert "\nThe last release is demo@0.1.0 of 2026-11-20: " in text.partition("<textarea")[2], "in Markdown"
    kept = KeptFigures.model_validate_json((tmp_path / FIGURES_FILE).read_bytes())
    assert kept == figures_of(now, 15_000_000)


def test_the_page_of_a_first_release_compares_nothing(tmp_path: Path) -> None:
    assert "Since the last release" not in render_report(judged(1.4), tmp_path).read_text(encoding="utf-8")
