"""No measurement needs two sides up at once: every phase brings up one side, and keeps what it answers."""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
from support.judging.accuracy import measure_accuracy
from support.judging.fake_completions import Behaviour, FakeServer, fake_server
from support.judging.judgements import SUBJECT, endpoint, protocol, resident, side, terms, workload
from support.judging.measured_fakes import ASKED, SPEECHES, TEXTS, ignore, wrong_now_and_then

from tasks.judging import (
    AccuracyResult,
    Conditions,
    Endpoint,
    JudgingProtocol,
    Measured,
    NotMeasured,
    PlacementChoice,
    Side,
    SpeedResult,
    Start,
)
from tasks.judging.decide import is_conclusive
from tasks.judging.judge import judge_engine, measure_engine
from tasks.judging.measure import Budget, measure_speed
from tasks.judging.measure.accuracy import AccuracyPhases
from tasks.judging.measure.accuracy.answers import Answers
from tasks.judging.measure.accuracy.questions import Questions
from tasks.judging.measure.contest import blocks
from tasks.judging.measure.contest.block_budget import (
    LEAST_ROUNDS,
    MOST_ROUNDS,
    affordable_references,
    first_block_cycles,
    rounds_of_a_block,
)
from tasks.judging.measure.contest.order import in_order
from tasks.judging.measure.phases import budget as budget_module
from tasks.judging.measure.rounds import RoundRunner
from tasks.judging.placement import Unobserved
from tasks.judging.statistics import point_ratio
from tasks.runs import KeptPhases


class OneAtATime:
    """Starts a side when it is asked for, and ends it before another one may be."""

    resident = False
    observer = Unobserved()

    def __init__(self, behaviours: Mapping[str, Behaviour], ready_s: float = 0.0) -> None:
        self._behaviours = behaviours
        self.ready_s = ready_s
        self.up: list[str] = []
        self.starts: list[str] = []
        self.servers: list[FakeServer] = []

    @contextmanager
    def serving(self, sides: Sequence[Side]) -> Iterator[list[Endpoint]]:
        (one,) = sides
        assert self.up == [], f"{one.name} was asked for while {self.up} was up"
        self.up.append(one.name)
        self.starts.append(one.name)
        with fake_server(self._behaviours[one.name]) as server:
            self.servers.append(server)
            start = {"start": len(self.starts), "ready_s": self.ready_s}
            yield [Endpoint(base_url=server.base_url, side=one, **start)]
        self.up.remove(one.name)

    def conditions(self) -> Conditions:
        """Every start took as long as a test wants."""
        starts = tuple(Start(side=name, ready_s=self.ready_s) for name in self.starts)
        return Conditions(placement=PlacementChoice(name="in-turn", reason="a test"), starts=starts)


@pytest.fixture(params=SPEECHES)
def behaviours(request: pytest.FixtureRequest) -> dict[str, Behaviour]:
    """An engine that is wrong now and then, of each kind of server, and its reference."""
    return {
        "engine": Behaviour(next_token=wrong_now_and_then, speaks=request.param),
        "vllm": Behaviour(regret_of=lambda _token: 1.5),
    }


def asked_of(behaviours: Mapping[str, Behaviour]) -> JudgingProtocol:
    return ASKED.model_copy(update={"engine": side("engine", behaviours["engine"].speaks)})


def test_accuracy_is_the_same_whether_sides_are_up_in_turn_or_together(
    behaviours: dict[str, Behaviour],
) -> None:
    asked, in_turn = asked_of(behaviours), OneAtATime(behaviours)
    apart = measure_accuracy(in_turn, asked.engine, TEXTS, asked, say=ignore)
    assert in_turn.starts == ["vllm", "engine", "vllm"]
    with fake_server(behaviours["engine"]) as engine, fake_server(behaviours["vllm"]) as reference:
        both = [
            Endpoint(base_url=engine.base_url, side=asked.engine),
            endpoint("vllm", reference.base_url),
        ]
        assert measure_accuracy(resident(both), asked.engine, TEXTS, asked, say=ignore) == apart
    assert sum(len(sample.departures) for sample in apart.samples) > 40


def test_what_a_phase_leaves_for_the_next_is_data(behaviours: dict[str, Behaviour]) -> None:
    asked, placement = asked_of(behaviours), OneAtATime(behaviours)
    phases = AccuracyPhases(placement, asked, say=ignore)
    questions = Questions.model_validate_json(phases.questions(TEXTS).model_dump_json())
    answers = Answers.model_validate_json(phases.answers(asked.engine, questions).model_dump_json())
    (result,) = phases.scores(questions, [answers]).results
    assert AccuracyResult.model_validate_json(result.model_dump_json()) == result
    assert len(result.samples) == len(result.lengths) == 40
    assert placement.starts == ["vllm", "engine", "vllm"]


def test_answers_of_several_sides_are_scored_while_the_reference_is_up_once() -> None:
    asked = ASKED.model_copy(update={"references": (side("vllm"), side("vllm fp8"), side("vllm int8"))})
    placement = OneAtATime({name: Behaviour() for name in ("vllm", "vllm fp8", "vllm int8")})
    phases = AccuracyPhases(placement, asked, say=ignore)
    questions = phases.questions(TEXTS)
    kept = [phases.answers(one, questions) for one in asked.references[1:]]
    assert [one.side for one in phases.scores(questions, kept).results] == ["vllm fp8", "vllm int8"]
    assert placement.starts == ["vllm", "vllm fp8", "vllm int8", "vllm"]


def order(asked: JudgingProtocol, cycle: int) -> list[str]:
    """The sides of a cycle, in the order in which it asks them."""
    sides = (asked.engine, *asked.references)
    return [one.name for _, one in in_order(sides, sides, asked.seed, cycle)]


SLOW = Behaviour(per_token_s=0.004)
"""A reference next to which an engine is faster, so that the engine is asked in open loop as well."""


def speed_in_turn(placement: OneAtATime, asked: JudgingProtocol) -> SpeedResult:
    measured = measure_speed(placement, asked.engine, asked.references, asked, text=None, say=ignore)
    assert isinstance(measured, SpeedResult)
    return measured


def test_blocks_of_sides_that_are_up_in_turn_alternate_and_each_is_a_start() -> None:
    asked = protocol(resolution=500.0, first_block_pairs=4)
    placement = OneAtATime({"engine": Behaviour(), "vllm": SLOW})
    result = speed_in_turn(placement, asked)
    blocks = [name for cycle in range(4) for name in order(asked, cycle)]
    rest = ["engine", "vllm", "vllm"]
    assert placement.starts == [*blocks, *rest], "open loop; at last, the reference reads what was timed"
    assert result.open_loop.engine.summary is not None
    assert [one.side for one in result.blocks] == blocks
    decisive = result.at_operating_point
    assert [one.index for one in decisive.rounds] == list(range(8 * LEAST_ROUNDS))
    assert [one.block for one in decisive.rounds] == [
        place for place in range(8) for _ in range(LEAST_ROUNDS)
    ]
    assert len(point_ratio(decisive, asked.speed).log_ratios) == asked.speed.first_block_pairs == 4
    (elsewhere,) = (point for point in result.points if point.concurrency == 1)
    assert [one.block for one in elsewhere.rounds] == list(range(6)), "three pairs are declared elsewhere"
    digests = [one.prompts_sha256 for point in result.points for one in point.rounds]
    assert len(set(digests)) == len(digests)


def test_a_block_costs_the_budget_its_start_and_its_stop_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = count(step=10.0)
    monkeypatch.setattr(blocks, "perf_counter", lambda: next(clock))
    asked = protocol(resolution=500.0, first_block_pairs=3)
    placement, budget = OneAtATime({"engine": Behaviour(), "vllm": Behaviour()}, ready_s=9.0), Budget(1000)
    made = measure_speed(
        placement, asked.engine, asked.references, asked, text=None, budget=budget, say=ignore
    )
    assert isinstance(made, SpeedResult)
    assert {one.spent_s for one in made.blocks} == {10.0}, "from before its start until after its stop"
    in_open_loop_s = made.open_loop.engine.spent_s + made.open_loop.reference.spent_s
    assert 60_000 - budget.left_s == pytest.approx(10 * len(made.blocks) + in_open_loop_s)


def test_what_is_kept_for_open_loop_includes_a_start_of_each_side() -> None:
    lines: list[str] = []
    asked = protocol(resolution=500.0, first_block_pairs=3, budget_minutes=1000.0)
    placement = OneAtATime({"engine": Behaviour(), "vllm": Behaviour()}, ready_s=600.0)
    measure_speed(placement, asked.engine, asked.references, asked, text=None, say=lines.append)
    (kept,) = re.findall(r"open loop and other concurrencies take about (\d+) min", "\n".join(lines))
    assert int(kept) >= 2 * 600 / 60, "two starts, and some seconds of arrivals"


def test_each_start_is_warmed_up_before_its_rounds_count() -> None:
    asked = protocol(resolution=500.0, first_block_pairs=4)
    placement = OneAtATime({"engine": Behaviour(), "vllm": Behaviour()})
    speed_in_turn(placement, asked)
    discarded = asked.rounds.warmup_requests
    at_two, at_one = (asked.rounds.requests(concurrency) for concurrency in (2, 1))
    for place, server in enumerate(placement.servers[:8]):
        elsewhere = at_one + at_one + discarded if place < 6 else 0
        assert len(server.timed_requests) == at_two + LEAST_ROUNDS * (at_two + discarded) + elsewhere


def test_a_block_of_a_slow_start_has_more_rounds() -> None:
    asked = protocol(resolution=500.0, first_block_pairs=3)
    placement = OneAtATime({"engine": Behaviour(), "vllm": Behaviour()}, ready_s=9.0)
    assert {one.rounds for one in speed_in_turn(placement, asked).blocks} == {MOST_ROUNDS}


@pytest.mark.parametrize(
    ("ready_s", "round_s", "rounds"), [(60, 10, 6), (60, 1, 12), (0.3, 5, 3), (31, 10, 4)]
)
def test_the_rounds_of_a_block_take_about_as_long_as_its_start(
    ready_s: float, round_s: float, rounds: int
) -> None:
    assert rounds_of_a_block(ready_s, round_s) == rounds


def test_all_references_are_started_in_every_cycle_until_it_is_decided() -> None:
    asked = protocol(resolution=500.0, references=["vllm", "vllm fp8"])
    behaviours = {"engine": Behaviour(), "vllm": Behaviour(per_token_s=0.02), "vllm fp8": Behaviour()}
    placement = OneAtATime(behaviours)
    result = speed_in_turn(placement, asked)
    assert [one.reference.side for one in result.deciding] == ["vllm fp8", "vllm"]
    assert placement.starts[:9] == [name for cycle in range(3) for name in order(asked, cycle)]


def test_references_that_the_budget_does_not_allow_are_left_out_first_of_all_vllm_as_it_is() -> None:
    names = ["vllm", "vllm tuned", "vllm fp8"]
    asked = protocol(references=names, budget_minutes=20.0, resolution=500.0)
    starts = dict.fromkeys(["engine", *names], 60.0)
    left, out = affordable_references(starts, asked.references, asked)
    assert [one.name for one in left] == ["vllm tuned", "vllm fp8"]
    assert [one.reference for one in out] == ["vllm"]
    assert out[0].reason == "blocks of all references take 24 min at least, and the budget is 20 min"
    slow = dict.fromkeys(["engine", *names], 600.0)
    assert [one.name for one in affordable_references(slow, asked.references, asked)[0]] == ["vllm fp8"]
    declared = [one.model_copy(update={"roles": ("declared",)}) for one in asked.references]
    assert affordable_references(slow, declared, asked) == (declared, ())


def test_a_reference_that_is_left_out_is_never_started_to_be_timed_and_the_verdict_says_so() -> None:
    references = (side("vllm"), side("vllm fp8"))
    speed = protocol(budget_minutes=20.0, resolution=500.0).speed
    asked = ASKED.model_copy(update={"references": references, "speed": speed})
    ends = Behaviour(stops_after=7)
    placement = OneAtATime(dict.fromkeys(["engine", "vllm", "vllm fp8"], ends), ready_s=90.0)
    made = measure_engine(placement, TEXTS, asked, say=ignore)
    assert isinstance(made.speed, SpeedResult)
    assert [one.reference for one in made.speed.left_out] == ["vllm"]
    assert {one.side for one in made.speed.blocks} == {"engine", "vllm fp8"}
    reason = judge_engine(made, asked, terms(), SUBJECT).outcomes.gates["speed"].reason
    assert "vllm was not timed: blocks of all references take 27 min at least" in reason


def test_a_budget_that_is_too_small_for_blocks_is_said_before_they_start() -> None:
    asked = ASKED.model_copy(update={"speed": protocol(budget_minutes=20.0).speed})
    placement = OneAtATime({name: Behaviour(stops_after=7) for name in ("engine", "vllm")}, ready_s=190.0)
    made = measure_engine(placement, TEXTS, asked, say=ignore)
    assert isinstance(made.speed, NotMeasured)
    assert placement.starts == ["vllm", "engine", "vllm"], "accuracy alone was measured"
    said = "By the starts so far (engine 190 s, vllm 190 s), they take about 38 min"
    assert said in made.speed.reason
    assert not is_conclusive(made, asked)
    result = judge_engine(made, asked, terms(), SUBJECT)
    assert (result.verdict.verdict, result.verdict.row) == ("inconclusive", "speed-not-measured")
    assert result.verdict.reasons[0] == made.speed.reason


@pytest.mark.parametrize(("pair_s", "pairs"), [(1, 6), (60, 6), (150, 4), (600, 3)])
def test_before_the_first_look_there_are_as_many_pairs_as_the_budget_allows(
    pair_s: float, pairs: int
) -> None:
    plan = protocol(budget_minutes=10.0, first_block_pairs=6).speed
    assert first_block_cycles(plan, 600.0, pair_s) == pairs
    assert first_block_cycles(plan, 0.0, pair_s) == 3, "some of it was spent on answers"


class Ends(OneAtATime):
    """A placement that is ended when so many sides have been started."""

    def __init__(self, behaviours: Mapping[str, Behaviour], starts: int, ready_s: float = 0.0) -> None:
        super().__init__(behaviours, ready_s)
        self._starts = starts

    @contextmanager
    def serving(self, sides: Sequence[Side]) -> Iterator[list[Endpoint]]:
        if len(self.starts) == self._starts:
            raise KeyboardInterrupt
        with super().serving(sides) as endpoints:
            yield endpoints


def test_pairs_that_an_ended_run_finished_are_used_by_the_next(tmp_path: Path) -> None:
    speed = protocol(resolution=500.0, first_block_pairs=4).speed
    asked = ASKED.model_copy(update={"speed": speed, "workload": workload(prompts="text")})
    behaviours = {"engine": Behaviour(), "vllm": SLOW}

    lines: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        measure_engine(Ends(behaviours, 9), TEXTS, asked, say=ignore, kept=KeptPhases(tmp_path, say=ignore))
    placement = OneAtATime(behaviours)
    kept = KeptPhases(tmp_path, say=lines.append)
    made = measure_engine(placement, TEXTS, asked, say=ignore, kept=kept)
    reused = [
        "questions",
        "answers-engine",
        "scores-engine",
        "time-of-answers",
        "time-of-references",
        f"blocks-within-{speed.gate.budget_minutes:g}-min",
        *(f"cycle-00{cycle}-engine-vllm" for cycle in range(3)),
    ]
    assert lines == [f"phase {name}: reused from an earlier run" for name in reused]
    assert placement.starts[:2] == order(asked, 3), "the cycle that was not finished is made anew"
    assert placement.starts[2:] == ["engine", "vllm", "vllm"]
    assert isinstance(made.speed, SpeedResult)
    prompts = [one.prompts_sha256 for point in made.speed.points for one in point.rounds]
    assert len(set(prompts)) == len(prompts)


def test_what_an_ended_run_decided_before_its_first_block_holds_for_the_next(tmp_path: Path) -> None:
    """Later starts may be faster, and would bring in a reference that was left out."""
    references = (side("vllm"), side("vllm fp8"))
    speed = protocol(budget_minutes=20.0, resolution=500.0).speed
    asked = ASKED.model_copy(update={"references": references, "speed": speed})
    behaviours = dict.fromkeys(["engine", "vllm", "vllm fp8"], Behaviour(stops_after=7))
    slow, fast = Ends(behaviours, 7, ready_s=90.0), OneAtATime(behaviours)
    with pytest.raises(KeyboardInterrupt):
        measure_engine(slow, TEXTS, asked, say=ignore, kept=KeptPhases(tmp_path, say=ignore))
    assert slow.starts[5:] == ["engine", "vllm fp8"], "one cycle was made"
    made = measure_engine(fast, TEXTS, asked, say=ignore, kept=KeptPhases(tmp_path, say=ignore))
    assert isinstance(made.speed, SpeedResult)
    assert [one.reference for one in made.speed.left_out] == ["vllm"]
    assert {one.side for one in made.speed.blocks} == {"engine", "vllm fp8"}
    assert len(fast.starts) < len(made.speed.blocks) + 3, "the first cycle was not made again"


def test_what_a_budget_did_not_allow_is_decided_again_within_a_larger_one(tmp_path: Path) -> None:
    small = ASKED.model_copy(update={"speed": protocol(budget_minutes=20.0, resolution=500.0).speed})
    large = ASKED.model_copy(update={"speed": protocol(budget_minutes=200.0, resolution=500.0).speed})
    behaviours = {name: Behaviour(stops_after=7) for name in ("engine", "vllm")}
    for asked, timed in ((small, False), (large, True), (small, False)):
        placement = OneAtATime(behaviours, ready_s=190.0)
        made = measure_engine(placement, TEXTS, asked, say=ignore, kept=KeptPhases(tmp_path, say=ignore))
        assert isinstance(made.speed, SpeedResult) is timed


def test_the_time_of_answers_that_an_ended_run_kept_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the next run would have more of the budget, and make other cycles than those kept."""
    clock = count(step=60.0)
    monkeypatch.setattr(budget_module, "perf_counter", lambda: next(clock))
    asked = ASKED.model_copy(update={"speed": protocol(budget_minutes=30.0, resolution=500.0).speed})
    behaviours = {"engine": Behaviour(), "vllm": Behaviour()}
    with pytest.raises(KeyboardInterrupt):
        measure_engine(Ends(behaviours, 3), TEXTS, asked, say=ignore, kept=KeptPhases(tmp_path, say=ignore))
    monkeypatch.setattr(budget_module, "perf_counter", lambda: 0.0)
    lines: list[str] = []
    measure_engine(
        OneAtATime(behaviours), TEXTS, asked, say=lines.append, kept=KeptPhases(tmp_path, say=ignore)
    )
    (kept_of,) = (one for one in lines if "which are kept of" in one)
    assert "which are kept of the 28 min that are left of the budget of 30 min" in kept_of


def test_a_server_that_stays_up_is_warmed_up_once() -> None:
    asked = protocol()
    runner = RoundRunner(asked.workload, asked.vocabulary, None, asked.rounds, asked.seed, Unobserved())

    async def warm_up(one: Endpoint) -> None:
        async with runner.client(one) as client:
            await runner.warm_up(client, 2, "engine")

    with fake_server(Behaviour()) as server:
        up = endpoint("engine", server.base_url)
        asyncio.run(warm_up(up))
        once = len(server.requests)
        asyncio.run(warm_up(up))
        assert len(server.requests) == once > 0
        asyncio.run(warm_up(up.model_copy(update={"start": 2})))
        assert len(server.requests) == 2 * once


def measured_in_turn(behaviours: Mapping[str, Behaviour], asked: JudgingProtocol) -> Measured:
    return measure_engine(OneAtATime(behaviours), TEXTS, asked, say=ignore)


def test_a_whole_judgement_needs_one_side_at_a_time() -> None:
    asked = ASKED.model_copy(update={"references": (side("vllm"), side("vllm fp8"))})
    made = measured_in_turn(
        {name: Behaviour(stops_after=7) for name in ("engine", "vllm", "vllm fp8")}, asked
    )
    assert not isinstance(made.speed, NotMeasured)
    assert {one.reference.side for one in made.speed.deciding} == {"vllm", "vllm fp8"}
    result = judge_engine(made, asked, terms(), SUBJECT)
    assert {result.outcomes.gates[name].outcome for name in ("regret", "length")} == {"pass"}


def test_a_reference_that_is_not_accurate_enough_is_not_brought_up_to_be_timed() -> None:
    asked = ASKED.model_copy(update={"references": (side("vllm"), side("vllm fp8"))})
    behaviours = {
        "engine": Behaviour(),
        "vllm": Behaviour(regret_of=lambda _token: 1.5),
        "vllm fp8": Behaviour(next_token=wrong_now_and_then),
    }
    placement = OneAtATime(behaviours)
    made = measure_engine(placement, TEXTS, asked, say=ignore)
    assert judge_engine(made, asked, terms(), SUBJECT).disqualified == ("vllm fp8",)
    assert placement.starts.count("vllm fp8") == 1
