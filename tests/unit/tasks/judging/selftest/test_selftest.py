"""The simulated table: reproducible, through the functions that judge, and able to fail."""

import math

import numpy as np
import pytest
from support.judging.judgements import speed_point
from support.paths import ROOT

from tasks.judging.gates.answers import length as length_gate
from tasks.judging.gates.rounds.speed import judge_speed
from tasks.judging.selftest import depth, length, run_selftest, slo, speed, table, task_scores
from tasks.judging.selftest import noise as of
from tasks.judging.selftest.noise import ENGINE, Noise, Shape
from tasks.judging.selftest.rates import Rate, Row
from tasks.judging.selftest.speed import BAR, EXCESS, FASTER, SCENARIOS, Scenario, simulate
from tasks.judging.statistics import Limits, Misses, limits_of, ratio_bounds

FEW = 60
QUICK = tuple(
    one
    for one in SCENARIOS
    if one.name
    in (
        "normal, quiet",
        "no noise at all",
        "skewed: slow rounds of the engine",
        "engine's noise lasts (AR .8)",
        "host: period of 4 rounds",
        "5 % of the engine's rounds take 2 x",
        "in turn: starts differ by 3 %",
        "loud, 24 pairs, until conclusive (5 times)",
        "4 references, three 5 % slower",
        "4 references, engine's noise lasts (AR .8)",
    )
)


def test_both_errors_are_rare_in_a_few_runs_of_the_hard_scenarios() -> None:
    assert len(QUICK) == 10
    rows = speed.speed_rows(FEW, 3, QUICK)
    assert [row.scenario for row in rows if not row.holds] == []
    assert rows[0].found.times == FEW


def test_a_judge_that_ignores_stalls_and_lasting_noise_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratio_bounds, "STALL", 1.0)
    monkeypatch.setattr(ratio_bounds, "LEAST_BATCHES", 10_000)
    monkeypatch.setattr(speed, "CONFIDENCE", 0.8)
    hard = Scenario("lasting", of.lasting(ENGINE, 0.9))
    (row,) = speed.speed_rows(FEW, 3, (hard,))
    assert not row.false_alarm.is_rare
    assert not row.holds


def test_the_same_seed_gives_the_same_table(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {"speed": lambda repetitions, seed: speed.speed_rows(repetitions, seed, QUICK[:2])}
    monkeypatch.setattr(table, "FAMILIES", few)
    lines: list[str] = []
    first, second = (run_selftest(10, say=lines.append) for _ in range(2))
    assert first == second
    assert first != run_selftest(10, seed=5, say=lines.append)
    assert first.failing == ()
    assert "gate speed" in lines[0]


def test_a_frequent_error_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    bad, rare = Rate.of(30, 100), Rate.of(1, 100)
    row = Row(scenario="bad", false_alarm=bad, found=rare, missed=rare, inconclusive=rare, work={"pairs": 8})
    monkeypatch.setattr(table, "FAMILIES", {"speed": lambda _repetitions, _seed: [row]})
    assert run_selftest(1, say=lambda _line: None).failing == ("speed: bad",)


def test_the_true_ratio_is_the_smaller_one_of_both_views() -> None:
    """If rounds stall, the ratio by time is smaller than by round: an engine at the bar has the bar there."""
    (pairs,) = speed._pairs(Scenario("stalls", of.stalls(ENGINE, 3), 400), 0.0, 200, np.random.default_rng(1))
    totals = pairs.seconds.sum((0, 1))
    assert totals[1] / totals[0] == pytest.approx(BAR, rel=1e-6)
    assert math.exp(float(pairs.by_round().mean())) > BAR


def test_noise_of_the_host_is_the_same_for_whichever_side_is_asked() -> None:
    def only_host(_source: np.random.Generator, shape: Shape) -> Noise:
        return Noise(np.zeros(shape.of_sides), np.broadcast_to(np.arange(2.0 * shape.pairs), shape.of_host))

    (pairs,) = speed._pairs(Scenario("host", only_host, 8), 0.0, 50, np.random.default_rng(1))
    slower = np.sort(np.log(pairs.seconds) + np.array([math.log(BAR), 0.0]), -1)
    assert slower.reshape(50, -1) == pytest.approx(np.broadcast_to(np.arange(16.0), (50, 16)))
    assert pairs.by_round().reshape(50, 4, 2).mean(-1) == pytest.approx(math.log(BAR))


def test_the_ratio_to_the_strongest_of_several_equal_references_errs_against_the_engine() -> None:
    """The winner's curse: the smallest of several estimates is shown, so on average it is too small."""
    scenario = Scenario("equal", of.normal(), 32, references=4)
    pairs = speed._pairs(scenario, 0.0, 400, np.random.default_rng(1))
    estimates = np.array([ratio_bounds.log_bounds(one, 0.95)[0] for one in pairs])
    assert estimates.shape == (4, 400)
    assert estimates.min(0).mean() < math.log(BAR)
    assert (np.exp(estimates.min(0)) > BAR * 1.05).mean() < 0.01


def test_references_of_equal_speed_do_not_make_a_slow_engine_faster() -> None:
    """Chosen by two rounds, the slower one of two was held against the engine half of the time."""
    found = simulate(Scenario("near", of.normal(), references=2, slower=0.04), -0.02, FEW, 5)
    assert found.share(FASTER).times == 0


def test_the_gate_says_what_the_simulation_counts() -> None:
    """The simulation compares bounds as the gate does; here the gate judges rounds of such a ratio."""
    scenario = Scenario("normal", of.normal())
    found = simulate(scenario, 0.3, 20, 1)
    assert found.share(FASTER).times == 20
    outcome = judge_speed(speed_point(BAR * 1.3, noise=0.07, pairs=32, ended="clear"), scenario.plan())
    assert outcome.outcome == FASTER


def test_a_budget_that_is_too_small_is_inconclusive_and_hardly_spent() -> None:
    small = Scenario("small", of.normal(), 24)
    found = simulate(small, EXCESS, FEW, 1)
    assert found.share(speed.INCONCLUSIVE).times == FEW
    assert found.pairs.mean() < 16


def test_an_engine_that_answers_as_badly_as_it_may_seldom_passes_and_seldom_fails() -> None:
    rows = task_scores.task_rows(FEW, 3, task_scores.SCENARIOS[:4])
    assert [row.scenario for row in rows if not row.holds] == []
    at_margin = task_scores.simulate(task_scores.SCENARIOS[3], 0.02, 4 * FEW, 5)
    assert Rate.of(at_margin.count("fail"), 4 * FEW).is_rare


def test_a_gate_on_tasks_that_compares_estimates_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        task_scores,
        "_judged",
        lambda questions, lost, gained, margin: "pass" if (lost - gained) / questions <= margin else "fail",
    )
    (row,) = task_scores.task_rows(FEW, 3, task_scores.SCENARIOS[3:4])
    assert not row.false_alarm.is_rare


def test_an_objective_that_is_not_kept_is_seldom_called_met() -> None:
    hard = tuple(
        one for one in slo.SCENARIOS if one.name in ("2 % miss, one look", "4 % miss, four at a time")
    )
    rows = slo.slo_rows(FEW, 3, hard)
    assert [row.holds for row in rows] == [True, True]
    assert rows[0].false_alarm.times <= 1
    assert rows[0].found.times > FEW / 2
    assert rows[0].work["if it is"] == 390


def test_a_judge_of_estimates_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was: the 99th percentile of 128 requests, without a bound."""

    def estimates(misses: Misses, confidence: float, **_draws: int) -> Limits:
        exact = [
            one.model_copy(update={"upper": one.estimate, "lower": one.estimate})
            for one in limits_of(misses, confidence)
        ]
        return Limits(*exact)

    monkeypatch.setattr(slo, "requests_of_look", lambda _confidence, _number: 128)
    monkeypatch.setattr(slo, "limits_of", estimates)
    (row,) = slo.slo_rows(FEW, 3, [one for one in slo.SCENARIOS if one.name == "2 % miss, one look"])
    assert not row.false_alarm.is_rare
    assert not row.holds


def test_the_documented_table_has_these_scenarios() -> None:
    page = (ROOT / "docs" / "selftest.md").read_text(encoding="utf-8").partition("## Planted")[0]
    rows = [
        line.split(" | ")[0].removeprefix("| ")
        for line in page.splitlines()
        if line.startswith("| ") and "| --- |" not in line
    ]
    families = (SCENARIOS, depth.SCENARIOS, length.SCENARIOS, task_scores.SCENARIOS, slo.SCENARIOS)
    expected = [name for family in families for name in ("scenario", *(one.name for one in family))]
    assert rows == expected, "run: enginery selftest --repetitions 1000 > docs/selftest.md"


def test_damage_late_in_answers_and_after_long_contexts_hardly_ever_passes() -> None:
    hard = [one for one in depth.SCENARIOS if one.name.startswith("demo") and "garbage" in one.name]
    assert len(hard) >= 5
    rows = depth.depth_rows(8, 3, hard)
    assert [row.scenario for row in rows if not row.holds] == []
    assert sum(row.found.times for row in rows) >= 0.9 * 8 * len(rows)


def test_a_sound_engine_is_seldom_rejected_for_its_lengths_and_a_damaged_one_nearly_always() -> None:
    rows = length.length_rows(FEW, 3, length.SCENARIOS[:3])
    assert [row.scenario for row in rows if not row.holds] == []
    assert [row.false_alarm.times for row in rows] == [0, 0, 0]
    assert [row.found.times for row in rows[:2]] == [FEW, FEW]
    assert rows[2].found.times > 0.8 * FEW


def test_the_sound_engine_is_at_each_limit_of_lengths() -> None:
    answers, gate = length.at_the_limits(), length.PLAN.gate
    assert sum(answers.values()) == pytest.approx(1)
    assert min(answers.values()) > 0
    counted = [
        (one, share) for one, share in answers.items() if min(one.engine_tokens, one.reference_tokens) < 64
    ]
    ratio = sum(one.engine_tokens * share for one, share in counted) / sum(
        one.reference_tokens * share for one, share in counted
    )
    more = sum(
        share * ((one.engine_tokens < 64) - (one.reference_tokens < 64)) for one, share in answers.items()
    )
    assert ratio == pytest.approx(gate.min_length_ratio)
    assert more == pytest.approx(1 - gate.max_length_ratio)
    elsewhere = sum(share for one, share in answers.items() if one.end == "early")
    alike = sum(share for one, share in answers.items() if one.end == "alike")
    assert elsewhere / (alike + elsewhere) == pytest.approx(gate.max_gross_error_share)


def test_three_ways_to_reject_lengths_that_share_no_error_are_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(length_gate, "WAYS_TO_FAIL", 1)
    sound = length.simulate(length.Scenario("sound", length.never_ends, texts=1_600), 0.0, 4 * FEW, 3)
    assert not Rate.of(sound.count("fail"), len(sound)).is_rare
