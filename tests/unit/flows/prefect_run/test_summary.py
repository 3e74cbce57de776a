"""What the command line prints of a build."""

import pytest

from flows.prefect_run import BuildSummary, describe
from flows.prefect_run.summary import BUSY_FIX, BUSY_ROW, VariantSummary
from tasks.judging.gates import all_gates

ROWS = [rule.id for gate in all_gates() for rule in gate.rules]


def summary(row: str) -> BuildSummary:
    variant = VariantSummary(
        name="small", required=True, verdict="inconclusive", row=row, reasons=("W.",), tree=None, report=None
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
