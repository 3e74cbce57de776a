"""What the command line prints of a build."""

import pytest

from flows.prefect_run import BuildSummary, describe
from flows.prefect_run.summary import BUSY_FIX, BUSY_ROW, StepSummary, VariantSummary
from tasks.judging.gates import all_gates

ROWS = [rule.id for gate in all_gates() for rule in gate.rules]


KEPT = "20261128T181011123456Z-0a1b2c3d"


def summary(row: str) -> BuildSummary:
    variant = VariantSummary(
        name="small",
        required=True,
        verdict="inconclusive",
        row=row,
        reasons=("W.",),
        tree=None,
        report="a" * 64,
        verdict_id=KEPT,
    )
    return BuildSummary(
        spec="demo",
        commit="c" * 40,
        version=None,
        publication="not published",
        variants=(variant,),
        stages=(),
        duration_s=1.0,
    )


@pytest.mark.parametrize("row", ROWS)
def test_only_a_busy_host_is_answered_with_another_run(row: str) -> None:
    assert (BUSY_FIX in describe(summary(row))) == (row == BUSY_ROW)


def test_the_row_of_a_busy_host_is_one_of_the_table() -> None:
    assert BUSY_ROW in ROWS


def test_the_report_of_a_verdict_without_release_is_one_command_away() -> None:
    assert f"  report: enginery report demo --verdict {KEPT}" in describe(summary(BUSY_ROW)).splitlines()


def test_stages_that_measured_are_counted_as_not_reused() -> None:
    steps = [
        StepSummary(stage=stage, variant="small", reused=reused, reason="why", duration_s=1.0, result="tree")
        for stage, reused in (("fetch", True), ("baseline", False), ("build", True), ("measure", False))
    ]
    done = summary(BUSY_ROW).model_copy(update={"steps": tuple(steps)})
    assert "stages: 2 of 4 reused, 1 s in total" in describe(done).splitlines()
