"""Rounds that others disturbed are made again, by their load alone; too many of them are no result."""

import asyncio
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, count, repeat

import pytest
from support.judging.fake_completions import Behaviour, fake_server
from support.judging.judgements import SUBJECT, TOGETHER, endpoint, planted_round, protocol, terms, workload
from support.judging.measured_fakes import TEXTS, ignore

from artifacts.progress import Say
from artifacts.settings import QuietHost
from engine_specs.spec import Lengths
from tasks.errors import HostBusy
from tasks.judging import (
    Conditions,
    Endpoint,
    HostLoad,
    JudgingProtocol,
    LoadPlan,
    NotMeasured,
    PlacementChoice,
    Resident,
    SideMemory,
    SpeedResult,
)
from tasks.judging.conditions import host_in_words
from tasks.judging.decide import has_looked, is_conclusive, is_exhausted
from tasks.judging.endpoint import Side
from tasks.judging.judge import baseline_load, judge_engine, measure_engine
from tasks.judging.measure import Budget, MeasuredRound, Repeats, measure_speed
from tasks.judging.measure.contest import blocks
from tasks.judging.measure.contest.block_budget import LEAST_ROUNDS
from tasks.judging.measure.contest.order import in_order
from tasks.judging.measure.contest.pairings import Contest
from tasks.judging.measure.contest.stages import Spent

QUIET = HostLoad(cores=2, foreign=0.02, steal=0.0)
BUSY = HostLoad(cores=2, foreign=0.5, steal=0.0, busiest=("process 7 (burner, 1.00 cores)",))
STOLEN = HostLoad(cores=2, foreign=0.0, steal=0.06)
VISITED = HostLoad(cores=2, foreign=0.0, steal=0.0, on_gpus=("process 8 (train, 2.0 GB)",))
# Next to no budget: as many pairs as the first stage has.
ASKED = protocol(resolution=500.0, budget_minutes=0.001, first_pairs=4, pairs_elsewhere=3)


ENDS = Behaviour(stops_after=7)
# Next to which the engine is faster, so both are asked in open loop.
SLOWER = Behaviour(stops_after=7, per_token_s=0.004)


class Planted:
    """Observes what a test says, round by round; then a quiet host."""

    def __init__(
        self,
        loads: Sequence[HostLoad | None],
        then: HostLoad | None = QUIET,
        quiet_host: QuietHost = "require",
    ) -> None:
        self._loads: Iterator[HostLoad | None] = chain(loads, repeat(then))
        self.quiet_host: QuietHost = quiet_host
        self.waits = 0
        self.patience = 1000

    def await_quiet(self, say: Say) -> None:
        self.waits += 1
        if self.waits > self.patience:
            raise HostBusy("others kept it busy", where="process 7 (burner, 1.00 cores)")

    def begin_round(self) -> None: ...

    def end_round(self, side: Side, begin_s: float) -> HostLoad | None:
        return next(self._loads)

    def throttled(self, side: Side, begin_s: float, end_s: float) -> tuple[str, ...]:
        return ()

    def memory(self) -> tuple[SideMemory, ...]:
        return ()


class BusyOnce(Planted):
    """Observes a quiet host, and a busy one from when a line is said that begins like this."""

    def __init__(self, begin: str) -> None:
        super().__init__([])
        self._begin = begin
        self._is_busy = False

    def say(self, line: str) -> None:
        self._is_busy = self._is_busy or line.startswith(self._begin)

    def end_round(self, side: Side, begin_s: float) -> HostLoad | None:
        return BUSY if self._is_busy else QUIET


class InTurn:
    """Sides that are up one at a time, each start on a server of its own."""

    resident = False

    def __init__(self, observer: Planted, reference: Behaviour | None = None) -> None:
        self.observer = observer
        self.starts: list[str] = []
        self._reference = reference or Behaviour()

    @contextmanager
    def serving(self, sides: Sequence[Side]) -> Iterator[list[Endpoint]]:
        (one,) = sides
        self.starts.append(one.name)
        with fake_server(Behaviour() if one.name == "engine" else self._reference) as server:
            yield [Endpoint(base_url=server.base_url, side=one, start=len(self.starts))]

    def conditions(self) -> Conditions:
        return Conditions(placement=PlacementChoice(name="in-turn", reason="a test"))


@contextmanager
def placed(observer: Planted, reference: Behaviour = ENDS) -> Iterator[Resident]:
    with fake_server(ENDS) as engine, fake_server(reference) as vllm:
        sides = [endpoint("engine", engine.base_url), endpoint("vllm", vllm.base_url)]
        yield Resident(sides, TOGETHER, observer)


def speed_of(
    observer: Planted, asked: JudgingProtocol = ASKED, say: Say = ignore, reference: Behaviour = ENDS
) -> SpeedResult | NotMeasured:
    with placed(observer, reference) as placement:
        return measure_speed(placement, asked.engine, asked.references, asked, text=None, say=say)


@pytest.mark.parametrize("load", [BUSY, STOLEN, VISITED])
def test_a_pair_that_others_disturbed_is_made_again_after_a_quiet_while(load: HostLoad) -> None:
    observer, lines = Planted([QUIET, QUIET, QUIET, load]), list[str]()
    made = speed_of(observer, say=lines.append)
    assert isinstance(made, SpeedResult)
    point = made.at_operating_point
    assert point.made_again == 1
    assert sum(one.made_again for one in made.points) == 1
    assert observer.waits == 2, "once before the first round, once before the pair was made again"
    assert lines[1] == f"made again: {load.text()}"
    assert [one.index for one in point.rounds] == list(range(8)), "the disturbed pair is not among them"
    assert {one.load for one in point.rounds} == {QUIET}


def test_if_more_than_a_quarter_had_to_be_made_again_the_host_was_busy() -> None:
    made = speed_of(Planted([BUSY, QUIET] * 2))
    assert isinstance(made, NotMeasured)
    assert made.cause == "host-busy"
    assert made.reason == (
        "Host busy: others disturbed rounds: 2 had to be made again for 4 that are needed (25% are allowed) "
        "(others used 50.0% of 2 cores; process 7 (burner, 1.00 cores))."
    )


def test_what_was_made_again_before_does_not_use_up_the_tries_of_later_rounds() -> None:
    asked = protocol(resolution=500.0, budget_minutes=0.001, first_pairs=20, pairs_elsewhere=3)
    made = speed_of(Planted([BUSY, QUIET] * 4 + [QUIET] * 40 + [BUSY]), asked)
    assert isinstance(made, SpeedResult), made
    assert [one.made_again for one in made.points] == [1, 4], "5 of 23 pairs, and a quarter is allowed"


def test_the_share_that_was_made_again_is_of_all_that_was_made() -> None:
    async def disturbed(load: HostLoad) -> list[MeasuredRound]:
        made = MeasuredRound(planted_round("engine", 0, 2, 500.0), gaps_ms=())
        return [replace(made, result=made.result.model_copy(update={"load": load}))]

    async def make(repeats: Repeats, loads: Sequence[HostLoad]) -> None:
        following = iter(loads)
        for left in range(8, 0, -1):
            await repeats.undisturbed(lambda: disturbed(next(following)), units=left)

    repeats = Repeats(Planted([]), ignore)
    asyncio.run(make(repeats, [BUSY, BUSY, *[QUIET] * 8]))
    repeats.require_few()
    repeats = Repeats(Planted([]), ignore)
    asyncio.run(make(repeats, [BUSY] * 3 + [QUIET] * 8))
    with pytest.raises(HostBusy, match="3 had to be made again for 8 that are needed"):
        repeats.require_few()
    asyncio.run(make(repeats, [QUIET] * 8))
    repeats.require_few()


def test_a_host_that_is_always_busy_is_not_asked_for_ever() -> None:
    observer = Planted([], then=BUSY)
    made = speed_of(observer)
    assert isinstance(made, NotMeasured)
    assert observer.waits == 5, "no more often than pairs are needed"


def test_a_host_that_does_not_become_quiet_is_inconclusive_and_never_used_again() -> None:
    observer = Planted([])
    observer.patience = 0
    asked = protocol(resolution=500.0, margin=0.3)
    with placed(observer) as placement:
        made = measure_engine(placement, TEXTS, asked, say=ignore)
    assert not is_conclusive(made, asked)
    result = judge_engine(made, asked, terms(), SUBJECT)
    assert (result.verdict.verdict, result.verdict.row) == ("inconclusive", "host-busy")
    assert result.verdict.reasons[0].startswith("Host busy: others kept it busy (process 7")


# Rounds at the operating point, and at the other concurrency, of `ASKED`.
DECISIVE, ELSEWHERE = 2 * 4, 2 * 3


@pytest.mark.parametrize(
    ("quiet_units", "looked"),
    [(DECISIVE - 1, False), (DECISIVE, True), (DECISIVE + ELSEWHERE, True)],
    ids=["before the first look", "after it", "in open loop"],
)
def test_a_look_counts_as_an_attempt_although_others_came_after_it(quiet_units: int, looked: bool) -> None:
    asked = protocol(resolution=500.0, budget_minutes=5.0, first_pairs=4, pairs_elsewhere=3, margin=0.3)
    with placed(Planted([QUIET] * quiet_units, then=BUSY), SLOWER) as placement:
        made = measure_engine(placement, TEXTS, asked, say=ignore)
    assert isinstance(made.speed, NotMeasured)
    assert (made.speed.cause, made.speed.looked) == ("host-busy", looked)
    assert has_looked(made) == looked, "whoever looks often enough finds what they want"
    assert not is_exhausted(made, asked), "the next time, the host may be quiet"
    assert NotMeasured.model_validate(made.speed.model_dump(mode="json")) == made.speed


def test_a_look_is_announced_before_it_is_taken_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run that is ended later leaves: whoever saw a ratio has spent an attempt."""
    seen: list[str] = []
    look = Contest.look

    def noted(contest: Contest, spent: Spent, budget_s: float) -> None:
        seen.append("look")
        look(contest, spent, budget_s)

    monkeypatch.setattr(Contest, "look", noted)
    asked = protocol(resolution=0.001, first_pairs=4)

    def measured(observer: Planted) -> list[str]:
        seen.clear()
        budget = Budget(0.05)
        with placed(observer) as placement:
            measure_speed(
                placement,
                asked.engine,
                asked.references,
                asked,
                text=None,
                budget=budget,
                say=ignore,
                on_look=lambda: seen.append("announced"),
            )
        return list(seen)

    looked = measured(Planted([]))
    assert looked[:2] == ["announced", "look"]
    assert looked.count("announced") == 1
    assert measured(Planted([], then=BUSY)) == []


def test_a_look_at_blocks_counts_although_others_came_after_it() -> None:
    asked = protocol(resolution=500.0, first_block_pairs=4)
    per_block = LEAST_ROUNDS + 1  # one of them with another number in flight, in the first cycles
    quiet = 2 * (3 * per_block + LEAST_ROUNDS)
    for units, looked in ((quiet - 1, False), (quiet, True)):
        placement = InTurn(Planted([QUIET] * units, then=BUSY), Behaviour(per_token_s=0.004))
        made = measure_speed(placement, asked.engine, asked.references, asked, text=None, say=ignore)
        assert isinstance(made, NotMeasured)
        assert made.looked == looked


def test_a_host_that_need_not_be_quiet_is_measured_as_it_is_and_the_verdict_says_so() -> None:
    observer = Planted([], then=BUSY, quiet_host="record")
    asked = protocol(resolution=500.0)
    with placed(observer) as placement:
        made = measure_engine(placement, TEXTS, asked, say=ignore)
    assert isinstance(made.speed, SpeedResult)
    assert sum(one.made_again for one in made.speed.points) == 0
    reason = judge_engine(made, asked, terms(), SUBJECT).outcomes.gates["speed"].reason
    said = r"The host was not required to be quiet\. Others disturbed (\d+) of \1 rounds; at most"
    assert re.search(said, reason)


def test_a_pair_of_blocks_that_others_disturbed_is_made_again() -> None:
    asked = protocol(resolution=500.0, first_block_pairs=4)
    # The engine is faster, so it is asked in open loop as well.
    placement = InTurn(Planted([QUIET, QUIET, BUSY]), Behaviour(per_token_s=0.004))
    made = measure_speed(placement, asked.engine, asked.references, asked, text=None, say=ignore)
    assert isinstance(made, SpeedResult)
    sides = (asked.engine, *asked.references)
    cycles = (0, 0, 1, 2, 3)
    asked_in_turn = [one.name for cycle in cycles for _, one in in_order(sides, sides, asked.seed, cycle)]
    rest = ["engine", "vllm", "vllm"]
    assert placement.starts == [*asked_in_turn, *rest], (
        "the first pair twice; open loop; what was timed is read"
    )
    assert made.at_operating_point.made_again == 1
    assert {one.load for one in made.at_operating_point.rounds} == {QUIET}


class Hot(Planted):
    """A quiet host whose driver lowers the clocks while one side is asked."""

    def throttled(self, side: Side, begin_s: float, end_s: float) -> tuple[str, ...]:
        return ("power cap",) if side.name == "vllm" else ()


def test_a_block_during_which_clocks_were_lowered_is_marked_and_the_verdict_says_so() -> None:
    asked = protocol(resolution=500.0, first_block_pairs=4)
    placement = InTurn(Hot([]), Behaviour(per_token_s=0.004))
    made = measure_engine(placement, TEXTS, asked, say=ignore)
    assert isinstance(made.speed, SpeedResult)
    marked = {(one.side, one.throttled) for one in made.speed.blocks}
    assert marked == {("engine", ()), ("vllm", ("power cap",))}
    reason = judge_engine(made, asked, terms(), SUBJECT).outcomes.gates["speed"].reason
    said = r"The driver lowered the clocks during (\d+) of \1 rounds of vllm \(power cap\)\."
    assert re.search(said, reason)


def test_others_who_come_only_during_the_sweep_cost_no_more_than_the_sweep() -> None:
    swept = workload(sweep=(Lengths(input_tokens=12, output_tokens=9),))
    asked = protocol(load=swept, resolution=500.0, budget_minutes=5.0)
    quiet = speed_of(Planted([]), asked, reference=SLOWER)
    assert isinstance(quiet, SpeedResult)
    assert len(quiet.sweep) == 2
    # The last that is said before the sweep; how many rounds there are until then differs from run to run.
    observer = BusyOnce("open loop, vllm:")
    made = speed_of(observer, asked, say=observer.say, reference=SLOWER)
    assert isinstance(made, SpeedResult), made
    assert made.sweep == ()
    assert [one.split(":")[0] for one in made.omitted] == [
        "12 + 9 tokens, 1 in flight",
        "12 + 9 tokens, 2 in flight",
    ]
    assert all("others kept the host busy" in one for one in made.omitted)


def test_blocks_that_others_disturbed_count_against_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = count(step=10.0)
    monkeypatch.setattr(blocks, "perf_counter", lambda: next(clock))
    asked = protocol(resolution=500.0, first_block_pairs=4)

    def spent_s(*loads: HostLoad) -> float:
        budget, placement = Budget(1000), InTurn(Planted(loads))
        made = measure_speed(
            placement, asked.engine, asked.references, asked, text=None, budget=budget, say=ignore
        )
        assert isinstance(made, SpeedResult)
        return 60_000 - budget.left_s

    assert spent_s(QUIET, QUIET, BUSY) > spent_s() + 20, "each of the two blocks took 10 s"


def test_blocks_on_a_host_that_stays_busy_are_given_up() -> None:
    placement = InTurn(Planted([], then=BUSY))
    made = measure_speed(placement, ASKED.engine, ASKED.references, ASKED, text=None, say=ignore)
    assert isinstance(made, NotMeasured)
    assert (made.cause, len(placement.starts)) == ("host-busy", 6)


def test_a_cycle_of_several_references_is_made_again_as_a_whole() -> None:
    asked = protocol(resolution=500.0, references=["vllm", "vllm fp8"], first_pairs=4)
    observer = Planted([QUIET, QUIET, BUSY])
    with placed(observer) as placement, fake_server(Behaviour()) as other:
        third = endpoint("vllm fp8", other.base_url)
        sides = [*placement._endpoints.values(), third]
        made = measure_speed(
            Resident(sides, TOGETHER, observer), asked.engine, asked.references, asked, text=None, say=ignore
        )
    assert isinstance(made, SpeedResult)
    assert observer.waits == 2
    assert {one.load for point in made.deciding for one in point.rounds} == {QUIET}
    assert [point.made_again for point in made.deciding] == [1, 1]


def test_a_baseline_on_a_busy_host_is_measured_but_decides_nothing() -> None:
    plan = LoadPlan(workload=ASKED.workload, vocabulary=ASKED.vocabulary, speed=ASKED.speed)
    observer = Planted([])
    observer.patience = 0
    with placed(observer) as placement:
        load = baseline_load(placement, ASKED.references[0], TEXTS, plan, say=ignore)
    assert load.host_busy == "others kept it busy (process 7 (burner, 1.00 cores))"
    assert [len(one.rounds) for one in load.points] == [plan.rounds_per_point] * 2


def test_a_baseline_that_others_disturb_in_open_loop_decides_nothing() -> None:
    speed = protocol(budget_minutes=3).speed
    plan = LoadPlan(workload=ASKED.workload, vocabulary=ASKED.vocabulary, speed=speed)
    rounds = plan.rounds_per_point * len(plan.workload.concurrency)
    observer = Planted([QUIET] * rounds, then=BUSY)
    with placed(observer) as placement:
        load = baseline_load(placement, ASKED.references[0], TEXTS, plan, suffices=lambda _: True, say=ignore)
    assert load.open_loop is None
    assert load.host_busy.startswith("others disturbed rounds: 5 had to be made again")
    assert {one.load for point in load.points for one in point.rounds} == {QUIET}


def test_a_round_of_the_baseline_that_others_disturbed_is_made_again() -> None:
    plan = LoadPlan(workload=ASKED.workload, vocabulary=ASKED.vocabulary, speed=ASKED.speed)
    observer = Planted([QUIET, BUSY])
    with placed(observer) as placement:
        load = baseline_load(placement, ASKED.references[0], TEXTS, plan, say=ignore)
    assert (load.host_busy, observer.waits) == ("", 2)
    assert {one.load for point in load.points for one in point.rounds} == {QUIET}


def test_each_number_in_flight_of_the_baseline_has_tries_of_its_own() -> None:
    plan = LoadPlan(workload=ASKED.workload, vocabulary=ASKED.vocabulary, speed=ASKED.speed)
    observer = Planted([BUSY, QUIET, BUSY, QUIET, QUIET] * 2)
    with placed(observer) as placement:
        load = baseline_load(placement, ASKED.references[0], TEXTS, plan, say=ignore)
    assert load.host_busy == ""
    assert {one.load for point in load.points for one in point.rounds} == {QUIET}


@pytest.mark.parametrize(
    ("load", "disturbs"),
    [
        (HostLoad(cores=2, foreign=0.10, steal=0.05), False),
        (HostLoad(cores=2, foreign=0.101, steal=0.0), True),
        (HostLoad(cores=2, foreign=0.0, steal=0.051), True),
        (VISITED, True),
    ],
)
def test_what_disturbs_a_round(load: HostLoad, disturbs: bool) -> None:
    assert load.disturbs == disturbs


def test_a_quiet_host_that_had_to_be_quiet_is_nothing_to_speak_of() -> None:
    assert list(host_in_words("require", [QUIET] * 8)) == []
    said = " ".join(host_in_words("require", [QUIET, None], made_again=1, pairs=8))
    assert said == (
        "Nobody can say what others used of it meanwhile. For others' load, 1 of 8 pairs were made again."
    )
