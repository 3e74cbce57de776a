"""A judgement next to that of the last release: then, now, and a sentence.

Every report leaves its few figures in `figures.json`; the next report of the variant reads them. A last
release that cannot be read is named with the reason, and keeps nothing from being judged.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from pydantic import AwareDatetime, Field

from artifacts.errors import IntegrityError, NotFound
from artifacts.frozen import Frozen
from artifacts.releases import Release, VariantRelease, published_versions, read_release
from engine_specs.spec import Workload
from tasks.judging.gates import Figure, Use, VerdictName
from tasks.judging.judgement import JudgedResult, Subject

if TYPE_CHECKING:
    from artifacts.store import Store

FIGURES_FILE = "figures.json"
Change = Literal["better", "worse", "no clear difference", ""]


class KeptFigures(Frozen):
    """What the next release is compared with."""

    verdict: VerdictName
    host: str = Field(description="The processor or the GPUs that it was judged on.")
    workload: str = Field(description="What was asked, in words.")
    figures: tuple[Figure, ...] = Field(
        default=(), description="Those that decide and have a limit; none if nothing was compiled."
    )
    start_s: float | None = Field(
        default=None, description="From the start of the engine's server until it is ready."
    )
    size_bytes: int | None = Field(default=None, ge=0, description="Size of the engine's tree.")


class LastRelease(Frozen):
    """The newest release of a variant that other measurements decided."""

    name: str = Field(description="Such as demo@0.1.0.")
    published_at: AwareDatetime | None = Field(description="None if the release itself cannot be read.")
    then: KeptFigures | None = Field(description="Its figures; None if they cannot be read.")
    unreadable: str = Field(default="", description="Why they cannot be read.")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: what it is, its value then and now, and what that means."""

    label: str
    then: str
    now: str
    change: Change = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the report shows.

    Attributes:
        sentence: what changed.
        caveats: why figures may not compare.
        rows: then and now; empty if the last release cannot be read.
    """

    sentence: str
    caveats: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()


def last_release(store: "Store", name: str, variant: str, measurements: Sequence[str]) -> LastRelease | None:
    """Return the newest release that other measurements decided, with its figures; None if there is none.

    Args:
        store: where releases are.
        name: name of the spec.
        variant: name of the variant.
        measurements: ids of those that decide now: a release that they decided as well is this one.
    """
    for version in reversed(published_versions(store, name)):
        try:
            release = read_release(store, name, version)
        except IntegrityError as error:
            return LastRelease(
                name=f"{name}@{version}", published_at=None, then=None, unreadable=_line(error)
            )
        entry = next((one for one in release.variants if one.name == variant), None)
        if entry is not None and entry.measurements != tuple(measurements):
            return _read(store, release, entry)
    return None


def figures_without_engine(subject: Subject, verdict: VerdictName, workload: Workload) -> KeptFigures:
    """Return what the next release is compared with if nothing was compiled."""
    return KeptFigures(verdict=verdict, host=subject.host, workload=_in_words(workload))


def figures_of(result: JudgedResult, size_bytes: int | None) -> KeptFigures:
    """Return what the next release is compared with."""
    protocol, starts = result.protocol, result.measured.conditions.starts
    own = [one.ready_s for one in starts if one.side == protocol.engine.name]
    return KeptFigures(
        verdict=result.verdict.verdict,
        host=result.subject.host,
        workload=_in_words(protocol.workload),
        figures=tuple(
            _finite(figure)
            for gate, shown in result.shown()
            for figure in shown.figures
            if figure.decisive and (figure.use is not None or gate.asks == "prices")
        ),
        start_s=own[-1] if own else None,
        size_bytes=size_bytes,
    )


def compare(last: LastRelease, now: KeptFigures) -> Comparison:
    """Compare with the last release. A change counts only if the bounds then and now do not overlap."""
    then, on = last.then, f" of {last.published_at:%Y-%m-%d}" if last.published_at else ""
    lead = f"The last release is {last.name}{on}"
    if then is None:
        return Comparison(f"{lead}; its figures cannot be read: {last.unreadable}.")
    before = {figure.label: figure for figure in then.figures}
    rows = [_row(before.get(figure.label), figure) for figure in now.figures]
    verdict = "" if then.verdict == now.verdict else f", whose verdict was {then.verdict}"
    sentence = f"{lead}{verdict}: {_outcome(rows)}."
    rows += [
        Row("verdict", then.verdict, now.verdict),
        Row("start of the server", _seconds(then.start_s), _seconds(now.start_s)),
        Row("size", _megabytes(then.size_bytes), _megabytes(now.size_bytes)),
    ]
    return Comparison(sentence, tuple(_caveats(then, now)), tuple(rows))


def _outcome(rows: Sequence[Row]) -> str:
    """Say what the changes of the figures come to, as part of a sentence."""
    if not any(row.change for row in rows):
        return "no figure has bounds then and now"
    changed = [
        f"{change} in {', '.join(found)}"
        for change in ("better", "worse")
        if (found := [row.label for row in rows if row.change == change])
    ]
    return f"this one is {' and '.join(changed)}" if changed else "nothing is shown to be better or worse"


def _read(store: "Store", release: Release, entry: VariantRelease) -> LastRelease:
    then, unreadable = None, "it has no report"
    if entry.report is not None:
        try:
            then, unreadable = store.read_document(entry.report, FIGURES_FILE, KeptFigures), ""
        except (IntegrityError, NotFound) as error:
            unreadable = _line(error)
    name = f"{release.name}@{release.version}"
    return LastRelease(name=name, published_at=release.created_at, then=then, unreadable=unreadable)


def _row(then: Figure | None, now: Figure) -> Row:
    if then is None:
        return Row(now.label, "-", _text(now))
    change: Change = "" if then.use is None or now.use is None else _change(then.use, now.use)
    return Row(now.label, _text(then), _text(now), change)


def _change(then: Use, now: Use) -> Change:
    """Return what the bounds show; less of a limit is better. A figure without bounds shows nothing."""
    if then.lower == then.upper or now.lower == now.upper:
        return ""
    if now.upper < then.lower:
        return "better"
    return "worse" if now.lower > then.upper else "no clear difference"


def _caveats(then: KeptFigures, now: KeptFigures) -> list[str]:
    return [
        f"The {what} was another: {old}. {consequence}"
        for what, old, new, consequence in (
            ("host", then.host, now.host, "Speed and start do not compare."),
            ("workload", then.workload, now.workload, "Figures of speed do not compare."),
        )
        if old != new
    ]


def _line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".")


def _finite(figure: Figure) -> Figure:
    """Return a figure that JSON can hold: a limit that no value can keep has no share."""
    use = figure.use
    if use is None or all(map(math.isfinite, (use.estimate, use.lower, use.upper))):
        return figure
    return replace(figure, use=None)


def _text(figure: Figure) -> str:
    bounds = f" [{figure.lower}, {figure.upper}]" if figure.lower and figure.upper else ""
    return f"{figure.measured}{bounds} {figure.unit}"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


def _megabytes(size_bytes: int | None) -> str:
    return "-" if size_bytes is None else f"{size_bytes / 1e6:,.1f} MB"


def _in_words(workload: Workload) -> str:
    asked = "windows of texts" if workload.prompts == "text" else "token ids at random"
    return (
        f"{workload.input_tokens} tokens in ({asked}), {workload.output_tokens} out, "
        f"{workload.operating_point} in flight"
    )
