"""Measuring: asking the sides, phase by phase. Nothing is decided here.

Promises:
- Protocol and seed alone decide what is asked; no two timed rounds ask the same prompts.
- A side is asked only in a phase for which the placement has brought it up.
- If a server leaves something out, or answers against the protocol, that is an error and never a sample.
"""

from tasks.judging.measure.baseline_load import baseline_runner, measure_load, with_open_loop
from tasks.judging.measure.contest import order_of, rounds_of_a_block, too_few_blocks
from tasks.judging.measure.disturbance import IdleChecks, Repeats, check_idle_sides
from tasks.judging.measure.phases import Budget, NothingKept, OnLook, PhaseKeeper, PhaseT, ignore_look
from tasks.judging.measure.prompts import Prompt, PromptText, new_prompts
from tasks.judging.measure.rounds import RoundRunner
from tasks.judging.measure.speed import measure_speed
from tasks.judging.measure.summaries import MeasuredRound, summarize_again, summarize_open_loop_again

__all__ = [
    "Budget",
    "IdleChecks",
    "MeasuredRound",
    "NothingKept",
    "OnLook",
    "PhaseKeeper",
    "PhaseT",
    "Prompt",
    "PromptText",
    "Repeats",
    "RoundRunner",
    "baseline_runner",
    "check_idle_sides",
    "ignore_look",
    "measure_load",
    "measure_speed",
    "new_prompts",
    "order_of",
    "rounds_of_a_block",
    "summarize_again",
    "summarize_open_loop_again",
    "too_few_blocks",
    "with_open_loop",
]
