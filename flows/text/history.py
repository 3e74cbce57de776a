"""The verdicts on a spec's variants as rows and lines: how fast both sides were, and what changed. Pure."""

from collections.abc import Iterator, Sequence

from tasks.evidence import Entry, JudgedSpeed
from tasks.judging import Interval

HEADERS = (
    "judged",
    "variant",
    "verdict",
    "release",
    "engine",
    "reference",
    "ratio",
    "host",
    "served by",
    "id",
)
UNIT = "engine and reference: tokens/s per device at the operating point, with bounds"


def history_rows(entries: Sequence[Entry]) -> list[tuple[str, ...]]:
    """Return one row per verdict, with the columns of `HEADERS`."""
    return [
        (
            f"{entry.judged_at:%Y-%m-%d %H:%M}",
            entry.variant,
            entry.verdict,
            ", ".join(entry.releases) or "none",
            *_speeds(entry.speed),
            entry.id,
        )
        for entry in entries
    ]


def drift_lines(entries: Sequence[Entry]) -> Iterator[str]:
    """Yield what changed, one line per verdict that can be compared with an earlier release."""
    for entry in entries:
        if entry.drift is not None:
            yield f"{entry.judged_at:%Y-%m-%d %H:%M} {entry.variant}: {entry.drift.text()}"


def _speeds(speed: JudgedSpeed | None) -> tuple[str, str, str, str, str]:
    if speed is None:
        return "", "", "", "", ""
    engine, reference = speed.engine, speed.reference
    served = [side.version or side.toolchain for side in (engine, reference) if side is not None]
    return (
        _rate(engine.speed) if engine else "not timed",
        f"{_rate(reference.speed)} ({reference.name})",
        speed.ratio.text() if speed.ratio else "",
        _host(speed),
        " / ".join(served),
    )


def _rate(interval: Interval) -> str:
    return interval.text("{:.0f}")


def _host(speed: JudgedSpeed) -> str:
    """Return the GPUs of the host, or its processor with the number of cores."""
    gpus = speed.host.get("gpus")
    if isinstance(gpus, list) and gpus:
        return ", ".join(dict.fromkeys(map(str, gpus)))
    return f"{speed.host.get('cpu_model', 'unknown')}, {speed.host.get('cores', '?')} cores"
