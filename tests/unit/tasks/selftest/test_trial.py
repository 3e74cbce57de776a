"""Which gates a trial names, and how trials are counted and shown."""

from datetime import UTC, datetime

import pytest
from support.judging.judgements import measured, protocol, timed_answers
from support.paths import ROOT

from tasks.judging import SpeedResult
from tasks.judging.gates import all_gates
from tasks.selftest.faults import CLIENT, PLANTED, Expected, names
from tasks.selftest.page import WHAT_IT_SHOWS, live_section
from tasks.selftest.results import Control, LiveSelfTest, Row
from tasks.selftest.trial import Trial, TrialOutcome, found_by

ASKED = protocol(samples=200)


def trial(outcome: TrialOutcome, *gates: str) -> Trial:
    return Trial(planted="x", seed=1, texts=40, outcome=outcome, gates=gates, reason="because")


def row(expected: Expected, *trials: Trial) -> Row:
    return Row(name="x", does="does x", expected=expected, gates=("regret", "slo", CLIENT), trials=trials)


def found(*rows: Row, controls: tuple[Control, ...] = ()) -> LiveSelfTest:
    began = datetime(2026, 11, 28, tzinfo=UTC)
    return LiveSelfTest(began_at=began, host="a host, 2 cores", repeats=2, rows=rows, controls=controls)


def test_the_gates_that_reject_are_named_and_speed_does_not_matter() -> None:
    regrets = [1.5] * 200
    outcome, gates, reason = found_by(measured(ASKED.digest, regrets, ratio=0.2), ASKED)
    assert (outcome, gates) == ("rejected", ("regret", "gross errors", "depth"))
    assert reason.startswith("Mean regret is 1.5")
    assert found_by(measured(ASKED.digest, [0.0] * 200, ratio=0.2), ASKED)[0] == "passed"


def test_timed_answers_are_judged_where_answers_are_undecided() -> None:
    few = protocol(samples=3)
    made = measured(few.digest, [0.0] * 3, ratio=2.0)
    assert isinstance(made.speed, SpeedResult)
    assert found_by(made, few)[0] == "undecided"
    cheat = made.speed.model_copy(update={"timed": timed_answers(missing=16)})
    outcome, gates, _ = found_by(made.model_copy(update={"speed": cheat}), few)
    assert (outcome, gates) == ("rejected", ("timed answers",))


@pytest.mark.parametrize(
    ("expected", "outcome", "holds"),
    [
        ("found", "rejected", True),
        ("found", "refused", True),
        ("found", "objective-missed", True),
        ("found", "undecided", False),
        ("found", "passed", False),
        ("harmless", "undecided", True),
        ("harmless", "passed", True),
        ("harmless", "rejected", False),
        ("within-limits", "passed", True),
    ],
)
def test_how_something_has_to_come_out(expected: Expected, outcome: TrialOutcome, holds: bool) -> None:
    good: TrialOutcome = "rejected" if expected == "found" else "passed"
    one = row(expected, trial(good, "regret"), trial(outcome, "length", "regret"))
    assert one.holds == holds
    assert found(one).failing == (() if holds else ("x",))


def test_what_is_to_be_found_is_to_be_found_by_a_gate_that_is_named() -> None:
    assert row("found", trial("refused", CLIENT)).holds
    unnamed = Row(
        name="x", does="does x", expected="found", gates=("length",), trials=(trial("refused", CLIENT),)
    )
    assert not unnamed.holds, "a stream that the test itself breaks is refused, too"


def test_the_section_gives_every_outcome_with_its_gates_and_the_small_number_of_trials() -> None:
    both = row("found", trial("rejected", "regret", "tokenizer"), trial("undecided", "length"))
    itself = Control(name="aa", does="holds 1", came_out=("1.000 [0.9, 1.1]", "2 [1.5, 3]"), held=1)
    page = live_section(found(both, controls=(itself,)))
    assert "Measured on 2026-11-28 on a host, 2 cores." in page
    assert "rejected (`regret`, `tokenizer`) 1 x, undecided (`length`) 1 x" in page
    assert "| 1 of 2 [0.013, 0.987] |" in page
    assert "| `aa` | holds 1 | 1.000 [0.9, 1.1]; 2 [1.5, 3] | 0.500 [0.013, 0.987] |" in page
    assert found(controls=(itself,)).failing == ("aa",)


def test_entries_have_names_of_their_own_and_name_gates_that_exist() -> None:
    assert len(set(names())) == len(names())
    known = {gate.name for gate in all_gates()} | {CLIENT}
    for one in PLANTED:
        assert set(one.gates) <= known, one.name
        assert bool(one.gates) == (one.expected != "harmless"), one.name
        assert one.note or one.expected != "within-limits", f"{one.name}: why may it pass?"


def test_the_documented_table_has_every_entry() -> None:
    page = (ROOT / "docs" / "selftest.md").read_text(encoding="utf-8")
    section = page.partition("## Planted damage and cheats")[2]
    rows = [line.split(" | ")[0].strip("|` ") for line in section.splitlines() if line.startswith("| ")]
    shown = [name for name in rows if name not in ("planted", "case", "---")]
    assert all(line in section for line in WHAT_IT_SHOWS), "what was asked is not what is asked now"
    assert shown == list(names()), "run: enginery selftest --repetitions 1000 --live > docs/selftest.md"
