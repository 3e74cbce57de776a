"""The verdict is total: every combination of outcomes has a row that decides it; docs show that very table.

What is said here of the gates that there are holds next to further ones, too: no test lists them all.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from support.judging.cases import measured_unasked
from support.judging.judgements import PRICES, SUBJECT, measured, protocol, terms
from support.judging.verdict_combinations import matched, require_total, timed_conditions
from support.paths import ROOT

from tasks.judging.decide import is_conclusive, lacks_engine_in_open_loop
from tasks.judging.decide.table import Row, conditions, markdown_table, row_for, verdict_table
from tasks.judging.gates import all_gates
from tasks.judging.judge import judge_engine
from tasks.judging.judgement import JudgedResult
from tasks.judging.results import NotMeasured

DOCS = ROOT / "docs" / "verdicts.md"
KNOWN_GOOD = {
    "baseline": "go",
    "tokenizer": "same",
    "regret": "pass",
    "gross errors": "pass",
    "length": "pass",
    "task scores": "pass",
    "slo": "met",
    "reference slo": "not-missed",
    "speed": "faster",
    "economics": "positive",
    "compile": "when-justified",
}
PAYS = next(row for row in verdict_table() if row.id == "pays")
GOOD = {name: PAYS.when.get(name, values)[0] for name, values in conditions().items()}
UNTIMED = dict.fromkeys(timed_conditions(), "not-measured")


def test_every_combination_has_a_row_that_decides_it_and_every_row_decides_some() -> None:
    require_total(verdict_table())


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows[:-1],
        lambda rows: (*rows, rows[3]),
        lambda rows: (*rows[:-1], replace(rows[-1], when=rows[-2].when)),
        lambda rows: (*rows, replace(rows[-1], id="never", when={"speed": ("no such word",)})),
    ],
    ids=["one-missing", "one-twice", "one-like-another", "one-never-reached"],
)
def test_a_table_that_is_not_total_is_found_out(
    change: Callable[[tuple[Row, ...]], tuple[Row, ...]],
) -> None:
    with pytest.raises(AssertionError):
        require_total(change(verdict_table()))


def test_what_is_good_of_each_gate_is_what_pays() -> None:
    assert KNOWN_GOOD.items() <= GOOD.items()
    assert row_for(GOOD) == PAYS


def test_every_row_names_known_conditions() -> None:
    for row in verdict_table():
        assert all(set(accepted) <= set(conditions()[name]) for name, accepted in row.when.items())


def test_nothing_is_compiled_unless_every_proof_was_given() -> None:
    proofs = {"tokenizer": "same", "regret": "pass", "gross errors": "pass", "length": "pass", "slo": "met"}
    compiled = [box for row in verdict_table() if row.verdict == "compile" for box in matched(row)]
    assert compiled
    for box in compiled:
        assert all(box[name] == {proof} for name, proof in proofs.items())
        only_engine = box["reference slo"] == {"missed"}
        pays = box["economics"] == {"positive"} or box["compile"] == {"always"}
        assert only_engine or (box["speed"] == {"faster"} and pays)


def test_nobody_stays_on_a_vllm_that_misses_what_the_engine_meets() -> None:
    stays = [box for row in verdict_table() if row.verdict == "stay-on-vllm" for box in matched(row)]
    assert stays
    for box in stays:
        alone = "met" in box["slo"] and "missed" in box["reference slo"]
        assert not ("go" in box["baseline"] and alone)


@pytest.mark.parametrize(
    ("change", "verdict", "row"),
    [
        ({}, "compile", "pays"),
        ({"baseline": "stay"}, "stay-on-vllm", "baseline-suffices"),
        ({"tokenizer": "different"}, "rejected", "tokenizer-differs"),
        ({"regret": "fail"}, "rejected", "accuracy-fails"),
        ({"gross errors": "fail"}, "rejected", "gross-errors"),
        ({"gross errors": "underpowered"}, "inconclusive", "gross-errors-underpowered"),
        ({"length": "fail"}, "rejected", "length-fails"),
        ({"task scores": "fail"}, "rejected", "task-scores-fail"),
        ({"task scores": "underpowered"}, "inconclusive", "task-scores-underpowered"),
        ({"task scores": "not-asked"}, "compile", "pays"),
        ({"regret": "underpowered"}, "inconclusive", "accuracy-underpowered"),
        ({"length": "underpowered"}, "inconclusive", "length-underpowered"),
        ({"slo": "missed", "speed": "noisy"}, "stay-on-vllm", "slo-missed"),
        ({"slo": "missed", "reference slo": "missed"}, "stay-on-vllm", "slo-missed-by-both"),
        ({"slo": "underpowered"}, "inconclusive", "pays-slo-underpowered"),
        ({"slo": "underpowered", "reference slo": "missed"}, "inconclusive", "slo-underpowered-next-to-vllm"),
        ({"slo": "underpowered", "regret": "fail"}, "rejected", "accuracy-fails"),
        ({"slo": "underpowered", "speed": "noisy"}, "inconclusive", "speed-noisy"),
        ({"slo": "underpowered", "speed": "not-faster"}, "stay-on-vllm", "not-faster"),
        ({"slo": "underpowered", "economics": "negative"}, "stay-on-vllm", "does-not-pay"),
        ({"length": "underpowered", "speed": "not-faster"}, "stay-on-vllm", "not-faster"),
        ({"regret": "underpowered", "slo": "missed"}, "stay-on-vllm", "slo-missed"),
        ({"depth": "underpowered", "economics": "negative"}, "stay-on-vllm", "does-not-pay"),
        ({"regret": "underpowered", "timed answers": "wrong"}, "rejected", "timed-answers-wrong"),
        ({"regret": "underpowered", **UNTIMED}, "inconclusive", "accuracy-underpowered"),
        (
            {"slo": "underpowered", "economics": "negative", "compile": "always"},
            "inconclusive",
            "always-slo-underpowered",
        ),
        ({"reference slo": "missed", "speed": "not-faster"}, "compile", "slo-met-by-engine-alone"),
        ({"reference slo": "missed", "economics": "negative"}, "compile", "slo-met-by-engine-alone"),
        ({"reference slo": "missed", "regret": "fail"}, "rejected", "accuracy-fails"),
        ({"speed": "noisy"}, "inconclusive", "speed-noisy"),
        ({"speed": "underpowered"}, "inconclusive", "speed-underpowered"),
        ({"speed": "not-faster"}, "stay-on-vllm", "not-faster"),
        ({"economics": "negative"}, "stay-on-vllm", "does-not-pay"),
        ({"economics": "negative", "compile": "always"}, "compile", "always-compile"),
        ({"regret": "fail", "speed": "noisy", "slo": "missed"}, "rejected", "accuracy-fails"),
        ({"regret": "fail", **UNTIMED}, "rejected", "accuracy-fails"),
        ({"length": "fail", **UNTIMED}, "rejected", "length-fails"),
        ({"tokenizer": "different", **UNTIMED}, "rejected", "tokenizer-differs"),
        (UNTIMED, "inconclusive", "speed-not-measured"),
    ],
)
def test_one_thing_that_is_different_decides(change: dict[str, str], verdict: str, row: str) -> None:
    found = row_for(GOOD | change)
    assert (found.verdict, found.id) == (verdict, row)


def test_the_documented_table_is_the_one_in_code() -> None:
    assert DOCS.read_text(encoding="utf-8") == markdown_table(), (
        "run: python -m tasks.judging.decide > docs/verdicts.md"
    )


def judged(regrets: list[float], *, ratio: float, **changes: Any) -> JudgedResult:
    asked = protocol(samples=400, margin=0.02, first_pairs=6)
    prices = PRICES.model_copy(update={"requests_per_day": 20_000_000, **changes})
    made = measured(asked.digest, regrets, ratio=ratio)
    return judge_engine(
        made, asked, terms(prices, compile_mode="when-justified", build_device_hours=0.2), SUBJECT
    )


@pytest.mark.parametrize(
    ("regrets", "ratio", "verdict"),
    [
        ([0.0] * 400, 1.4, "compile"),
        ([0.0] * 200 + [0.8] * 200, 1.4, "rejected"),
        ([0.0] * 100, 1.4, "inconclusive"),
        ([0.0] * 400, 0.8, "stay-on-vllm"),
    ],
)
def test_measurements_become_a_verdict_with_reasons(regrets: list[float], ratio: float, verdict: str) -> None:
    result = judged(regrets, ratio=ratio)
    assert result.verdict.verdict == verdict
    assert len(result.verdict.reasons) == sum(gate.asked_by(result.protocol) for gate in all_gates())
    assert all(any(digit.isdigit() for digit in reason) for reason in result.verdict.reasons)
    assert JudgedResult.model_validate_json(result.model_dump_json()) == result


def test_an_engine_that_was_not_timed_is_rejected_by_its_answers_alone() -> None:
    asked = protocol(samples=400, margin=0.02)
    left_out = NotMeasured(reason="No round was timed.")
    made = measured(asked.digest, [0.8] * 400, ratio=1.4).model_copy(update={"speed": left_out})
    result = judge_engine(made, asked, terms(PRICES, compile_mode="always", build_device_hours=0.2), SUBJECT)
    assert (result.verdict.verdict, result.verdict.row) == ("rejected", "accuracy-fails")
    assert len(result.verdict.reasons) == 1 + sum(
        gate.asks == "answers" and gate.asked_by(asked) for gate in all_gates()
    )
    assert left_out.reason in result.verdict.reasons
    assert JudgedResult.model_validate_json(result.model_dump_json()) == result


def test_an_accurate_engine_on_a_busy_host_is_inconclusive_and_not_measured_for_good() -> None:
    asked = protocol(samples=400, margin=0.02)
    busy = NotMeasured(cause="host-busy", reason="Host busy: others used 52.0% of 2 cores.")
    made = measured(asked.digest, [0.0] * 400, ratio=1.4).model_copy(update={"speed": busy})
    result = judge_engine(made, asked, terms(PRICES), SUBJECT)
    assert (result.verdict.verdict, result.verdict.row) == ("inconclusive", "host-busy")
    assert result.verdict.reasons[0] == busy.reason
    assert result.outcomes.conditions()["speed"] == "host-busy"
    assert not is_conclusive(made, asked)


@pytest.mark.parametrize(
    ("regrets", "ratio", "verdict"),
    [
        ([0.0] * 100, 0.8, "stay-on-vllm"),
        ([0.0] * 400, 0.8, "stay-on-vllm"),
        ([0.0] * 100, 1.4, "inconclusive"),
        ([0.0] * 400, 1.4, "compile"),
    ],
)
def test_a_measurement_is_conclusive_if_its_verdict_is_a_decision_whatever_a_gate_could_not_tell(
    regrets: list[float], ratio: float, verdict: str
) -> None:
    """Otherwise it would never be measured again, however old the verdict."""
    result = judged(regrets, ratio=ratio)
    assert result.verdict.verdict == verdict
    assert is_conclusive(result.measured, result.protocol) == (verdict != "inconclusive")


def test_a_faster_engine_that_does_not_pay_is_not_published() -> None:
    result = judged([0.0] * 400, ratio=1.4, requests_per_day=1000)
    assert result.verdict.row == "does-not-pay"
    assert "it pays from" in result.verdict.reasons[0]


@pytest.mark.parametrize(("late", "variants", "lacks"), [(0, 1, False), (4, 6, False), (4, 1, True)])
def test_an_engine_that_was_not_asked_is_measured_again_if_fewer_variants_show_that_vllm_misses(
    late: int, variants: int, lacks: bool
) -> None:
    """4 of 64 late first tokens show it to a single variant, but not to one of six."""
    asked, made = protocol(variants=variants), measured_unasked(protocol(), late)
    assert is_conclusive(made, asked) is not lacks
    assert lacks_engine_in_open_loop(made, asked) is lacks
