"""The live table as a part of a Markdown page."""

from collections import Counter
from collections.abc import Sequence

from tasks.selftest.questions import IN_FLIGHT, LIMITS, WORKLOAD
from tasks.selftest.results import LiveSelfTest, Row

MARGINS = " and ".join(f"{margin:g} with {texts} texts" for texts, margin, _ in LIMITS.values())
ASKED = f"{WORKLOAD['input_tokens']} + {WORKLOAD['output_tokens']} tokens, up to {max(IN_FLIGHT)} in flight"
WHAT_IT_SHOWS = (
    "Damage and cheats, planted on a running engine of the demo's spec and judged by the gates of any engine",
    "but those of speed and money, against vLLM on the same host. What is asked is not the demo's:",
    f"{ASKED}, and a margin of regret of {MARGINS}",
    "(nats per token), as fewer texts cannot exclude less. `client`: the judge's client refuses the answer,",
    "so there is nothing to judge. Rates have their interval of Clopper and Pearson at 95 %; with so few",
    "repeats it is wide.",
)
HAS_TO_BE = {
    "found": "found",
    "harmless": "not found",
    "within-limits": "anything",
}


def live_section(found: LiveSelfTest) -> str:
    """Return the section as `docs/selftest.md` holds it."""
    lines = [
        "## Planted damage and cheats",
        "",
        f"Rendered by `enginery selftest --live --repeats {found.repeats}`.",
        f"Measured on {found.began_at:%Y-%m-%d} on {found.host}.",
        *WHAT_IT_SHOWS,
        "",
        *_table(
            ("planted", "what it does", "has to be", "came out as", "texts", "found"),
            [_cells(row) for row in found.rows],
        ),
    ]
    if found.controls:
        lines += [
            "",
            "### What must not be found",
            "",
            *_table(
                ("case", "what it is", "came out as", "as it has to"),
                [
                    (f"`{one.name}`", one.does, "; ".join(one.came_out), one.rate.text())
                    for one in found.controls
                ],
            ),
        ]
    notes = [f"- `{row.name}`: {row.note}" for row in found.rows if row.note]
    if notes:
        lines += ["", "What may pass, and why:", "", *notes]
    return "\n".join(lines) + "\n"


def _cells(row: Row) -> tuple[str, ...]:
    return (
        f"`{row.name}`",
        row.does,
        HAS_TO_BE[row.expected],
        came_out(row),
        str(row.trials[0].texts),
        f"{row.found.times} of {row.found.runs} {_bounds(row)}",
    )


def _bounds(row: Row) -> str:
    return f"[{row.found.interval.lower:.3f}, {row.found.interval.upper:.3f}]"


def came_out(row: Row) -> str:
    """Return the outcomes of a row's trials, with the gates that decided them."""
    counted = Counter(
        f"{one.outcome} ({', '.join(f'`{gate}`' for gate in one.gates)})" if one.gates else one.outcome
        for one in row.trials
    )
    return ", ".join(f"{what} {times} x" if len(counted) > 1 else what for what, times in counted.items())


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(heads)} |",
        f"|{' --- |' * len(heads)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
