"""All families of scenarios, and the page that shows them."""

from collections.abc import Callable

from pydantic import Field

from artifacts.frozen import Frozen
from artifacts.progress import Say
from tasks.judging.selftest.depth import depth_rows
from tasks.judging.selftest.length import length_rows
from tasks.judging.selftest.rates import Row
from tasks.judging.selftest.slo import slo_rows
from tasks.judging.selftest.speed import speed_rows
from tasks.judging.selftest.task_scores import task_rows

REPETITIONS = 400
SEED = 20_261_128

WHAT_IT_SHOWS = (
    "Judgements are simulated with the functions that judge. Each rate has its 95 % Monte Carlo interval.",
    "Required: false alarms and misses in at most 5 % of judgements each. What the budget does not allow to",
    "find has to be called inconclusive.",
)

FAMILIES: dict[str, Callable[[int, int], list[Row]]] = {
    "speed": speed_rows,
    "depth": depth_rows,
    "length": length_rows,
    "task scores": task_rows,
    "slo": slo_rows,
}
"""By name of the gate: from repetitions and seed to rows."""

MEANINGS = {
    "speed": "False alarm: an engine exactly at the bar is called `faster`. Found, missed (`not-faster`) and "
    "inconclusive are those of an engine 5 % above the bar. Work is in pairs of rounds or of blocks.",
    "depth": "False alarm: an engine that is wrong where the name says passes. Found: it is rejected. "
    "Missed: an engine without that damage, whose mean regret is half of the margin everywhere unless the "
    "name says otherwise, is rejected. Inconclusive is said of that one. Wrong tokens have a regret of 5 "
    "nats in the mean, unless the name says otherwise. Texts are as many as the spec declares.",
    "length": "False alarm: an engine that is damaged as the name says passes. Found: it is rejected. "
    "Missed: an engine that is at all of its limits at once is rejected. Inconclusive is said of that one. "
    "Answers may have 64 tokens; half of them are continued that far by both sides.",
    "task scores": "False alarm: an engine that loses exactly as much as it may passes. Found, missed "
    "(`fail`) and inconclusive are those of an engine that loses nothing. Work is the number of questions.",
    "slo": "False alarm: the objective is called `met` where as many requests, or gaps, miss it as the name "
    "says; 1 % may. Found, missed and inconclusive are those of a side where .1 % miss it, as many at a "
    "time. Work is in requests.",
}
"""What the columns mean, by name of the gate."""


class SelfTest(Frozen):
    """The simulated table."""

    repetitions: int = Field(ge=1, description="Simulated judgements per scenario and true value.")
    seed: int
    families: dict[str, tuple[Row, ...]] = Field(description="Rows by name of the gate.")

    @property
    def failing(self) -> tuple[str, ...]:
        """Scenarios in which an error is more frequent than declared."""
        rows = [(name, row) for name, rows in self.families.items() for row in rows]
        return tuple(f"{name}: {row.scenario}" for name, row in rows if not row.holds)


def run_selftest(repetitions: int = REPETITIONS, *, seed: int = SEED, say: Say) -> SelfTest:
    """Simulate all scenarios of all families."""
    families = {}
    for name, rows in FAMILIES.items():
        say(f"gate {name}: simulating {repetitions} judgements per scenario and true value")
        families[name] = tuple(rows(repetitions, seed))
    return SelfTest(repetitions=repetitions, seed=seed, families=families)


def markdown_page(found: SelfTest) -> str:
    """Return the page as `docs/selftest.md` holds it."""
    lines = [
        "# How often the judge is wrong",
        "",
        f"Rendered by `enginery selftest --repetitions {found.repetitions}`.",
        *WHAT_IT_SHOWS,
    ]
    for name, rows in found.families.items():
        lines += ["", f"## Gate `{name}`", "", MEANINGS[name], "", *_table(rows)]
    return "\n".join(lines) + "\n"


def _table(rows: tuple[Row, ...]) -> list[str]:
    work = list(rows[0].work)
    heads = ["scenario", "false alarm", "found", "missed", "inconclusive", *(f"work {one}" for one in work)]
    return [
        f"| {' | '.join(heads)} |",
        f"|{' --- |' * len(heads)}",
        *(f"| {' | '.join(_cells(row))} |" for row in rows),
    ]


def _cells(row: Row) -> list[str]:
    rates = [row.false_alarm, row.found, row.missed, row.inconclusive]
    work = [f"{value:.0f}" for value in row.work.values()]
    return [row.scenario, *(rate.text() for rate in rates), *work]
