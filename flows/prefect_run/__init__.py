"""What a run shows in Prefect: its summary, its page, its tables, its log and its errors."""

from flows.prefect_run.errors import tell
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
    step_of,
    summarize_variant,
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
    "cell",
    "describe",
    "engine_figures",
    "measured_step",
    "publication_line",
    "reference",
    "run_name",
    "run_tags",
    "state_message",
    "step_of",
    "summarize_variant",
    "tell",
    "verdicts",
]
