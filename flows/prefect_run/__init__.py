"""What Prefect shows of a run: its summary, page, tables, log and errors."""

from flows.prefect_run.cancellation import cancellable, settle_cancelled
from flows.prefect_run.delivery import deliver
from flows.prefect_run.errors import log_error
from flows.prefect_run.log import RunLog
from flows.prefect_run.summary import (
    DONE,
    BuildSummary,
    StepSummary,
    VariantSummary,
    describe,
    measured_step,
    publication_line,
    reference,
    run_name,
    run_tags,
    state_message,
    summarize_variant,
    tree_step,
    verdicts,
)
from flows.prefect_run.tables import Row, as_code, baseline_figures, cell, engine_figures

__all__ = [
    "DONE",
    "BuildSummary",
    "Row",
    "RunLog",
    "StepSummary",
    "VariantSummary",
    "as_code",
    "baseline_figures",
    "cancellable",
    "cell",
    "deliver",
    "describe",
    "engine_figures",
    "log_error",
    "measured_step",
    "publication_line",
    "reference",
    "run_name",
    "run_tags",
    "settle_cancelled",
    "state_message",
    "summarize_variant",
    "tree_step",
    "verdicts",
]
