"""Judging kept evidence again: the same comes out the same, and whatever was changed is found."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from support.judging import evidence as planted

from artifacts.canonical import canonical_bytes
from artifacts.store import Measurement
from tasks.evidence import Evidence, Recomputed, judge_version, recompute
from tasks.evidence.conclusion import samples_digest
from tasks.evidence.judge_version import JudgeVersion, this_judge
from tasks.evidence.kept_evidence import Judgement, KeptEvidence
from tasks.judging import decide, gates, results, statistics
from tasks.judging.gates import all_gates


def stored(evidence: Evidence) -> KeptEvidence:
    """What is read back after it was kept."""
    kept = evidence.kept
    return KeptEvidence(
        judgement=Judgement.model_validate_json(kept.judgement.model_dump_json()),
        baseline=Measurement.model_validate_json(kept.baseline.model_dump_json()),
        measured=kept.measured and Measurement.model_validate_json(kept.measured.model_dump_json()),
    )


def judged_again(evidence: Evidence, kept: KeptEvidence | None = None, **entry: Any) -> Recomputed:
    return recompute(planted.entry_of(evidence, **entry), kept or stored(evidence), evidence.speed)


engine = cache(planted.engine)


@pytest.mark.parametrize(
    ("evidence", "verdict"), [(engine, "compile"), (planted.without_engine, "stay-on-vllm")]
)
def test_what_nobody_changed_comes_out_the_same(evidence: Callable[[], Evidence], verdict: str) -> None:
    found = judged_again(evidence())
    assert (found.said, found.changed, found.differing) == ("same", (), ())
    assert found.verdict == verdict
    assert found.compared > 40


def test_the_intervals_of_every_gate_and_point_are_among_what_is_compared() -> None:
    made: Any = engine().kept.judgement.conclusions["engine"]
    intervals = json.dumps(made).count('"upper"')
    assert made["ratios"].keys() == made["summaries"].keys() == {"1", "2", "1 of 64 + 32 tokens"}
    assert made["open_loop"].keys() == {"engine", "reference"}
    assert made["idle"].keys() == {"engine"}
    always = {gate.name for gate in all_gates()} - {"task scores"}  # of which the protocol declares none
    assert made["outcomes"]["gates"].keys() == always
    assert intervals >= 10


def with_samples(kept: KeptEvidence, change: Callable[[Any], None]) -> KeptEvidence:
    """The same with a changed result of the comparison."""
    assert kept.measured is not None
    result = json.loads(json.dumps(kept.measured.result))
    change(result)
    return replace(kept, measured=kept.measured.model_copy(update={"result": result}))


def with_digest_of_samples(kept: KeptEvidence, found: KeptEvidence) -> KeptEvidence:
    """Changed samples whose digest was changed with them."""
    assert found.measured is not None
    conclusions: Any = json.loads(json.dumps(kept.judgement.conclusions))
    conclusions["engine"]["samples"] = samples_digest(found.measured)
    return replace(found, judgement=kept.judgement.model_copy(update={"conclusions": conclusions}))


def less_regret(result: Any) -> None:
    sample = next(one for one in result["accuracy"]["samples"] if one["departures"])
    sample["departures"][0]["regret_nats"] *= 0.99


def faster_round(result: Any) -> None:
    point = next(one for one in result["speed"]["points"] if one["concurrency"] == 2)
    next(one for one in point["rounds"] if one["side"] == "engine")["wall_s"] *= 0.999


def shorter_wait(result: Any) -> None:
    point = next(one for one in result["speed"]["points"] if one["concurrency"] == 1)
    point["engine"]["ttft_ms"]["p90"] *= 0.5


def shorter_wait_in_open_loop(result: Any) -> None:
    result["speed"]["open_loop"]["engine"]["summary"]["ttft_ms"]["p99"] *= 0.5


def faster_round_of_the_sweep(result: Any) -> None:
    rounds = result["speed"]["sweep"][0]["point"]["rounds"]
    next(one for one in rounds if one["side"] == "engine")["wall_s"] *= 0.999


def cheaper_idle_side(result: Any) -> None:
    result["conditions"]["idle"][0]["ratio"]["lower"] += 0.01


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (less_regret, r"conclusions\.engine\.outcomes\.gates\..*\.upper: kept "),
        (faster_round, r"conclusions\.engine\.ratios\.2\.lower: kept "),
        (shorter_wait, r"measurement\.engine\.summaries\.1\.engine\.ttft_ms\.p90: kept "),
        (shorter_wait_in_open_loop, r"measurement\.engine\.open_loop\.engine\.ttft_ms\.p99: kept "),
        (faster_round_of_the_sweep, r"conclusions\.engine\.ratios\.1 of 64 \+ 32 tokens\.lower: kept "),
        (cheaper_idle_side, r"measurement\.engine\.idle\.engine\.lower: kept "),
    ],
)
def test_a_changed_sample_is_found_by_its_digest_and_by_what_follows_from_it(
    change: Callable[[Any], None], where: str
) -> None:
    kept = stored(engine())
    changed = with_samples(kept, change)
    found = judged_again(engine(), changed)
    assert found.said == "changed"
    assert "engine: samples are not those that were judged" in found.changed
    covered = judged_again(engine(), with_digest_of_samples(kept, changed))
    assert covered.said == "changed"
    assert covered.changed == ()
    assert any(re.match(where, one) for one in covered.differing), covered.differing


def test_a_changed_interval_is_found() -> None:
    kept = stored(engine())
    conclusions: Any = json.loads(json.dumps(kept.judgement.conclusions))
    conclusions["engine"]["ratios"]["2"]["lower"] += 0.01
    forged = replace(kept, judgement=kept.judgement.model_copy(update={"conclusions": conclusions}))
    found = judged_again(engine(), forged)
    assert found.said == "changed"
    (difference,) = found.differing
    assert difference.startswith("conclusions.engine.ratios.2.lower: kept ")


@pytest.mark.parametrize(
    "entry",
    [
        {"reasons": ("because",)},
        {"measurements": ("another",)},
    ],
)
def test_a_release_that_says_something_else_than_its_evidence_is_found(entry: dict[str, Any]) -> None:
    found = judged_again(engine(), **entry)
    assert found.said == "changed"
    assert found.changed[0].startswith("release and evidence contradict each other: ")


def by_another_judge(kept: KeptEvidence) -> KeptEvidence:
    other = kept.judgement.judge.model_copy(update={"sources": "0" * 64})
    return replace(kept, judgement=kept.judgement.model_copy(update={"judge": other}))


def test_another_version_of_the_judge_is_said_and_explains_figures_but_no_changed_sample() -> None:
    kept = by_another_judge(stored(engine()))
    assert judged_again(engine(), kept).said == "same"
    conclusions: Any = json.loads(json.dumps(kept.judgement.conclusions))
    conclusions["engine"]["ratios"]["2"]["lower"] += 0.01
    otherwise = replace(kept, judgement=kept.judgement.model_copy(update={"conclusions": conclusions}))
    assert judged_again(engine(), otherwise).said == "other-judge"
    assert judged_again(engine(), with_samples(otherwise, less_regret)).said == "changed"


def test_evidence_that_this_judge_cannot_read_is_said_to_be_another_judges() -> None:
    kept = by_another_judge(stored(engine()))
    rules = {**(kept.judgement.terms or {}), "a_later_term": 1}
    later = replace(kept, judgement=kept.judgement.model_copy(update={"terms": rules}))
    found = judged_again(engine(), later)
    assert found.said == "other-judge"
    assert "a_later_term" in found.differing[0]


def test_an_engine_that_was_not_timed_is_judged_again_and_has_the_speed_of_the_baseline() -> None:
    evidence = planted.untimed_engine()
    found = judged_again(evidence)
    assert (found.said, found.verdict) == ("same", "rejected")
    assert (evidence.speed.source, evidence.speed.engine) == ("baseline", None)


def test_the_version_of_the_judge_covers_what_judges_and_not_what_measures_or_shows() -> None:
    files = set(judge_version.judging_files())
    assert {"judging/judge.py", "judging/statistics/ratio_bounds.py", "evidence/conclusion.py"} <= files
    for folder in (decide, gates, results, statistics):
        root = Path(folder.__path__[0])
        assert {f"judging/{root.name}/{path.relative_to(root)}" for path in root.rglob("*.py")} <= files
    assert "judging/gates/money/economics.py" in files
    assert not any(name.startswith(("judging/report/", "judging/selftest/")) for name in files)


def test_libraries_are_named_in_one_order_whether_kept_or_of_this_judge() -> None:
    """The store sorts keys: two versions one below the other are compared by eye."""
    this = this_judge()
    kept = JudgeVersion.model_validate_json(canonical_bytes(this))
    assert list(kept.libraries) != list(this.libraries)
    assert kept.text() == this.text()
