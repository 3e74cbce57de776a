"""The time budget: everything that is measured counts, a part is kept, and what was left out is named."""

import pytest
from support.judging.fake_completions import Behaviour, fake_server
from support.judging.judgements import SUBJECT, endpoint, protocol, resident, terms
from support.judging.measured_fakes import ASKED, TEXTS

from tasks.judging import Measured, SpeedResult
from tasks.judging.decide import is_conclusive, is_exhausted
from tasks.judging.judge import judge_engine, measure_engine
from tasks.judging.measure import Budget
from tasks.judging.measure.contest.stages import elsewhere_s, left_for_pairs_s
from tasks.judging.measure.phases import budget as budget_module
from tasks.judging.measure.phases import in_words, left_in_words


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_what_is_spent_is_gone_and_never_more_than_there_was(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(budget_module, "perf_counter", clock)
    budget = Budget(2.0)
    with budget.spending():
        clock.now_s += 30
    assert budget.left_s == 90
    budget.spend(100)
    assert budget.left_s == 0
    assert budget.in_words == "the budget of 2 min"


@pytest.mark.parametrize(("seconds", "words"), [(0.2, "1 s"), (119.5, "120 s"), (121, "3 min")])
def test_seconds_are_rounded_up(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_what_comes_after_the_pairs_is_kept_for_it_and_said() -> None:
    asked, lines = protocol(budget_minutes=3), list[str]()
    assert left_for_pairs_s(120.0, 30.0, asked, lines.append) == 90.0
    assert left_for_pairs_s(20.0, 30.0, asked, lines.append) == 20.0
    first, second = lines
    assert first.startswith("open loop and other concurrencies take about 30 s, which are kept of the 2 min")
    assert second.endswith("20 s are left of the budget of 3 min: too little to show the objective")


def test_pairs_elsewhere_take_as_long_as_their_requests() -> None:
    # Three pairs and a warm-up of 2 requests each at concurrency 1, by pairs of 4 requests in 6 s.
    assert elsewhere_s(6.0, protocol()) == pytest.approx(4 * 3.0)


def measured_within(minutes: float) -> tuple[Measured, list[str]]:
    lines: list[str] = []
    gate = ASKED.speed.gate.model_copy(update={"budget_minutes": minutes})
    asked = ASKED.model_copy(update={"speed": ASKED.speed.model_copy(update={"gate": gate})})
    with fake_server(Behaviour(stops_after=7)) as engine, fake_server(Behaviour(stops_after=7)) as vllm:
        up = [endpoint("engine", engine.base_url), endpoint("vllm", vllm.base_url)]
        return measure_engine(resident(up), TEXTS, asked, say=lines.append), lines


def test_a_budget_that_answers_have_spent_leaves_out_open_loop_and_says_so() -> None:
    made, lines = measured_within(0.001)
    assert isinstance(made.speed, SpeedResult)
    left_out = made.speed.open_loop
    assert (left_out.engine.ended, left_out.reference.ended) == ("budget", "budget")
    assert "0 s are left of the budget of 0.001 min" in left_out.engine.stopped
    assert any("too little to show the objective" in line for line in lines)
    result = judge_engine(made, ASKED, terms(), SUBJECT)
    outcome = result.outcomes.gates["slo"]
    assert outcome.outcome == "underpowered"
    assert "Without a miss, 390 requests show that the objective is met." in outcome.reason
    assert not is_conclusive(made, ASKED)
    assert is_exhausted(made, ASKED), "only a larger budget changes that"


def test_answers_count_against_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each phase takes a minute by this clock, so two of two minutes are gone before rounds begin."""
    clock = Clock()

    def later() -> float:
        clock.now_s += 60
        return clock.now_s

    monkeypatch.setattr(budget_module, "perf_counter", later)
    made, _ = measured_within(2.0)
    assert isinstance(made.speed, SpeedResult)
    assert made.speed.open_loop.engine.ended == "budget"


@pytest.mark.parametrize(
    ("needed_s", "left_s"), [(13.9, 13.2), (119.2, 119.1), (130.0, 125.0), (500.0, 481.0)]
)
def test_what_takes_longer_than_is_left_is_the_larger_number(needed_s: float, left_s: float) -> None:
    needed, left = (words.split() for words in (in_words(needed_s), left_in_words(left_s)))
    assert needed[1] == left[1]
    assert int(needed[0]) > int(left[0])
