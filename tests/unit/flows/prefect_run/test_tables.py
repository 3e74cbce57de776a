"""What the artifacts of a run say, in the Markdown that the UI renders."""

import re

import pytest
from support.judging.judgements import PRICES, SUBJECT, measured, protocol, speed_point, terms, workload
from support.stores.releases import release, variant

from artifacts.releases import VariantRelease
from engine_specs.spec import Slo
from flows.nightly import NightlyRow, NightlySummary, table_row
from flows.prefect_run import (
    BuildSummary,
    StepSummary,
    VariantSummary,
    as_code,
    baseline_figures,
    cell,
    engine_figures,
    publication_line,
    run_name,
    run_tags,
    state_message,
)
from flows.prefect_run.summary import headline
from flows.prefect_run.tables import CELL_LINES, CELL_WIDTH, HARD_BREAK, stage_rows
from tasks.judging import Interval, JudgedResult, LoadResult, NotMeasured
from tasks.judging.judge import judge_engine
from tasks.judging.results import LoadPoint
from tasks.stages import Published, Withheld

RATIO = Interval(estimate=2.4321, lower=2.3, upper=2.55, confidence=0.95)


def one(name: str, verdict: str, speedup: Interval | None = None) -> VariantSummary:
    return VariantSummary(
        name=name,
        required=True,
        verdict=verdict,
        row="pays",
        reasons=("r",),
        speedup=speedup,
        tree=None,
        report=None,
        verdict_id="",
    )


def summary(*variants: VariantSummary, version: str | None = "0.1.0", publication: str = "") -> BuildSummary:
    return BuildSummary(
        spec="demo",
        commit="c",
        version=version,
        publication=publication,
        variants=variants,
        stages=(),
        duration_s=1,
    )


def judged(ratio: float = 1.4, regret: float = 0.0, slo_ms: float = 60_000) -> JudgedResult:
    load = workload(slo=Slo(ttft_p99_ms=slo_ms, itl_p99_ms=slo_ms))
    asked = protocol(samples=400, margin=0.02, first_pairs=6, load=load)
    made = measured(asked.digest, [regret] * 400, ratio=ratio)
    return judge_engine(
        made, asked, terms(PRICES, compile_mode="when-justified", build_device_hours=0.2), SUBJECT
    )


def test_one_variant_in_names_tags_and_the_state() -> None:
    made = summary(one("cpu", "compile", RATIO))
    assert headline(made) == state_message(made) == "compile: demo@0.1.0, 2.43 times vLLM [2.30, 2.55]"
    assert run_name(made, "0.1") == "demo@0.1.0 compile"
    assert run_tags(made) == {"verdict:compile", "release:demo@0.1.0"}


def test_without_a_release_the_state_says_why() -> None:
    made = summary(one("cpu", "rejected"), version=None, publication="not published: cpu is rejected")
    assert state_message(made) == "rejected: no release; not published: cpu is rejected"
    assert run_name(made, "0.1") == "demo 0.1 rejected"
    assert run_tags(made) == {"verdict:rejected"}


def test_several_variants_each_with_its_verdict() -> None:
    made = summary(one("h100", "compile", RATIO), one("l40s", "compile"), one("a100", "rejected"))
    assert run_name(made, "0.1") == "demo@0.1.0 2 compile, 1 rejected"
    assert headline(made).endswith("; h100 compile 2.43 times vLLM [2.30, 2.55]; l40s compile; a100 rejected")
    assert {
        "verdict:compile",
        "verdict:rejected",
        "verdict:h100:compile",
        "verdict:a100:rejected",
    } < run_tags(made)


def test_publishing_says_what_was_carried_over_and_what_nobody_judged() -> None:
    held: tuple[VariantRelease, ...] = (variant("cpu"),)
    line = publication_line(
        Published(release(*held), ("nightly",), False, ("h100 (judged)",), ("b200 (needs)",))
    )
    assert line == "published demo@1.4.0; carried over: h100 (judged); not judged yet: b200 (needs)"
    assert publication_line(Withheld("no reason")) == "not published: no reason"


def test_figures_have_limits_units_slo_and_tokenizer() -> None:
    rows = {row["gate"]: row for row in engine_figures(judged())}
    assert all(row["unit"] for row in rows.values())
    limits = {gate: row["limit"] for gate, row in rows.items() if row["outcome"]}
    known = {
        "tokenizer: texts that differ": "0",
        "accuracy: regret": "upper ≤ 0.02",
        "accuracy: length": "0.9 to 1.1",
        "SLO: late first tokens": "upper ≤ 1%",
        "SLO: long gaps": "upper ≤ 1%",
        "speed: goodput per device": "lower ≥ 1.1",
        "economics: net": "more than 0",
    }
    assert known.items() <= limits.items()
    assert all(limits.values())
    assert len({tuple(row) for row in rows.values()}) == 1, "the UI takes its columns from the first row"


def test_figures_say_that_vllm_misses_the_objective() -> None:
    rows = {row["gate"]: row for row in engine_figures(judged(slo_ms=2))}
    assert rows["SLO: late first tokens"]["outcome"] == "missed"
    assert rows["SLO: ITL p99, closed loop"]["vLLM"].endswith("(missed)")


def test_figures_of_an_engine_that_was_not_timed() -> None:
    result = judged(regret=5.0)
    made = result.measured.model_copy(update={"speed": NotMeasured(reason="rejected")})
    rows = engine_figures(judge_engine(made, result.protocol, terms(), SUBJECT))
    assert [row["outcome"] for row in rows if row["gate"] == "speed"] == ["not-measured"]
    assert {"accuracy: regret", "accuracy: length"} <= {row["gate"] for row in rows}
    assert not {"SLO: late first tokens", "economics: net"} & {row["gate"] for row in rows}


def test_figures_of_a_baseline_that_settled_it() -> None:
    point, plan = speed_point(1.0, noise=0.05, pairs=3), protocol()
    load = LoadResult(
        side=plan.references[0],
        protocol_digest="0" * 64,
        operating_point=1,
        points=(LoadPoint(summary=point.reference, rounds=()),),
    )
    rows = {row["gate"]: row for row in baseline_figures(load, Slo(ttft_p99_ms=1, itl_p99_ms=100))}
    assert rows["SLO: TTFT p99, closed loop"]["vLLM"].endswith("(missed)")
    gaps = rows["SLO: ITL p99, closed loop"]
    assert (gaps["limit"], gaps["unit"]) == ("≤ 100", "ms")
    assert not any(row["measured"] or row["outcome"] for row in rows.values()), "no engine was measured"
    assert len({tuple(row) for row in rows.values()}) == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("published demo@0.1.0", "published `demo@0.1.0`"),
        ("`demo@0.1.0` is code already", "`demo@0.1.0` is code already"),
        ("llama-3.1-8b-instruct@0.1.12; others", "`llama-3.1-8b-instruct@0.1.12`; others"),
        ("somebody@example.org", "somebody@example.org"),
    ],
)
def test_references_are_code_and_not_addresses_for_mail(text: str, shown: str) -> None:
    assert as_code(text) == shown


def test_a_cell_is_the_first_line_broken_to_what_a_column_holds() -> None:
    reason = (
        "5 of 5 variants left to other hosts: this one is x86_64 with no GPU: no driver (it was not found) "
        * 3
    )
    shown = cell(f"{reason}\n  h100: needs 1 x NVIDIA H100").split(HARD_BREAK)
    assert len(shown) == CELL_LINES
    assert all(len(line) <= CELL_WIDTH for line in shown)
    assert shown[-1].endswith("…")
    assert "h100: needs" not in " ".join(shown)
    assert cell("") == ""


def test_measuring_is_among_the_stages() -> None:
    step = StepSummary(
        stage="measure",
        variant="cpu",
        reused=False,
        reason="never measured",
        duration_s=61.5,
        result="20261128T062325",
    )
    (row,) = stage_rows([step])
    assert (row["stage"], row["result"], row["seconds"]) == ("measure", "made", 61.5)


def test_a_night_in_words_and_as_a_table() -> None:
    rows = (
        NightlyRow(
            spec="demo",
            outcome="built",
            verdict="compile",
            release="demo@0.1.1",
            reason="published demo@0.1.1",
            exit_code=0,
            run="http://localhost/runs/1",
            duration_s=75.2,
        ),
        NightlyRow(spec="bad", outcome="failed", reason="input: no such model\n  where: there", exit_code=4),
        NightlyRow(spec="other", outcome="skipped", reason="unchanged", exit_code=0),
    )
    night = NightlySummary(rows=rows)
    assert night.headline == "1 failed: bad; 1 built: demo@0.1.1 compile; 1 skipped: other"
    assert night.run_name == "nightly: 1 failed, 1 built, 1 skipped"
    assert night.run_tags == {"spec:demo", "release:demo@0.1.1"}
    assert night.exit_code == 1
    shown = [table_row(row) for row in rows]
    assert shown[0] == {
        "spec": "`demo`",
        "verdict": "compile",
        "release": "0.1.1",
        "why": "published `demo@0.1.1`",
        "run": "[run](http://localhost/runs/1)",
        "seconds": 75.2,
    }
    assert (shown[1]["verdict"], shown[1]["why"]) == ("failed", "input: no such model")
    assert not any(re.search(r"(?<!`)\b[\w.-]+@\d", str(value)) for row in shown for value in row.values())
