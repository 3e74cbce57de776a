"""The page that a check writes, as Markdown; it says so where a figure is missing. Pure."""

import re
from collections.abc import Iterable, Iterator

from flows.gpu_check.result import (
    CheckResult,
    PointFigures,
    StartFigures,
    ToolchainSummary,
    VariantResult,
)
from tasks.judging import Interval

UNAVAILABLE = "unavailable"
WHAT_IS_SHOWN = "Times between tokens are means over all tokens, times to the first one medians."
GB = 1e9
MOST_DIFFERENCES = 12


def page_name(result: CheckResult) -> str:
    """Return the name of the page without its suffix, such as 2026-11-23-gpu-check-h100-80gb-hbm3."""
    what = result.host.gpus.split(" (")[0].removeprefix("1 x ").removeprefix("NVIDIA ")
    what = "cpu-rehearsal" if result.rehearsal else what
    return f"{result.day:%Y-%m-%d}-gpu-check-{re.sub(r'[^a-z0-9]+', '-', what.lower()).strip('-')}"


def page(result: CheckResult) -> str:
    """Return the page."""
    parts = (_head, _verdicts, _steps_of_decode, _starts, _memory, _itself, _details, _toolchains, _steps)
    return "\n".join(line for part in parts for line in part(result)) + "\n"


def _head(result: CheckResult) -> Iterator[str]:
    kind = "GPU check, rehearsed on a CPU" if result.rehearsal else "GPU check"
    yield from (f"# {kind}, {result.day:%Y-%m-%d}", "")
    if result.rehearsal:
        yield from ("This run tries the check itself. It says nothing about any GPU.", "")
    checkpoint = result.checkpoint
    yield from _table(("", ""), _facts(result))
    if checkpoint is not None:
        figures = checkpoint.figures
        yield (
            f"The checkpoint was trained for {figures.get('minutes', UNAVAILABLE)} min "
            f"({figures.get('rows', UNAVAILABLE)} rows of 512 tokens per step, best step "
            f"{figures.get('best_step', UNAVAILABLE)}) on the standard library's source: "
            f"{_number(figures.get('validation_nats_per_token'))} nats per token on the validation split, "
            f"where token frequencies alone reach {_number(figures.get('unigram_nats_per_token'))}."
        )
        yield ""


def _facts(result: CheckResult) -> Iterator[tuple[str, str]]:
    host, checkpoint = result.host, result.checkpoint
    yield "hardware", f"{host.gpus}; {host.processor}, {host.cores} processors, {host.memory_gib} GiB"
    yield "target", host.target or UNAVAILABLE
    yield "CUDA of the driver", host.cuda or UNAVAILABLE
    yield "versions", _versions(result.toolchains) or "no tool has run"
    if checkpoint is None:
        yield "checkpoint", "none was trained"
    else:
        parameters = checkpoint.figures.get("parameters")
        count = f"{parameters / 1e6:,.1f} M parameters" if parameters else "size unknown"
        yield (
            "checkpoint",
            f"Llama, {count} (asked for: {checkpoint.asked}), {_gb(checkpoint.weight_bytes)} of weights",
        )
    yield "command", f"`{result.command}`"


def _verdicts(result: CheckResult) -> Iterator[str]:
    yield from ("## Verdicts", "")
    rows = [
        (
            one.name,
            one.verdict or "not run",
            one.row or "-",
            _interval(one.speedup),
            (one.measured.placement or UNAVAILABLE) if one.measured else "-",
            one.pulled.release if one.pulled else "-",
        )
        for one in result.variants
    ]
    header = (
        "variant",
        "verdict",
        "row of the table of verdicts",
        "engine / vLLM",
        "placement",
        "pulled and served",
    )
    yield from _table(header, rows)


def _steps_of_decode(result: CheckResult) -> Iterator[str]:
    yield from ("## Time between tokens next to the limit of the memory's bandwidth", "")
    rows = [
        (
            one.name,
            str(point.concurrency),
            point.ratio.text(),
            str(point.pairs),
            _next_to_limit(point.engine_itl_ms, point, one.limits.engine_ms if one.limits else None),
            _next_to_limit(point.reference_itl_ms, point, one.limits.reference_ms if one.limits else None),
            f"{point.engine_ttft_ms:.1f} / {point.reference_ttft_ms:.1f} ms",
        )
        for one in result.variants
        if one.measured
        for point in one.measured.points
    ]
    header = ("variant", "in flight", "engine / vLLM", "pairs", "engine", "vLLM", "first token, both")
    yield from _table(header, rows)
    limits = {one.limits.bandwidth_bytes_per_s for one in result.variants if one.limits}
    for bandwidth in sorted(limits):
        speed = f"{bandwidth / 1e12:.2f} TB/s per device"
        yield from (f"{WHAT_IS_SHOWN} The limit: a step reads every weight once, at {speed}.", "")
    if rows and not limits:
        yield from (f"{WHAT_IS_SHOWN} The limit is unavailable: the target names no bandwidth.", "")


def _next_to_limit(itl_ms: float, point: PointFigures, limit_ms: float | None) -> str:
    """Write a time between tokens, with its multiple of the limit if one request is in flight."""
    text = f"{itl_ms:.2f} ms"
    return (
        f"{text}, {itl_ms / limit_ms:.2f} x {limit_ms:.2f}" if limit_ms and point.concurrency == 1 else text
    )


def _starts(result: CheckResult) -> Iterator[str]:
    yield from ("## Starts, seconds until ready", "")
    rows = [
        (
            one.name,
            _start_text(one.measured.starts if one.measured else ()),
            "; ".join(f"{name} {_seconds(taken)}" for name, taken in one.build_starts.items()) or "-",
            _pulled_start(one),
        )
        for one in result.variants
        if one.verdict
    ]
    rows += [
        (f"vLLM against itself, {one.placement}", _start_text(one.starts), "-", "-")
        for one in result.comparisons
    ]
    yield from _table(("what", "starts of the sides, in order", "starts in the build", "pulled engine"), rows)
    if rows:
        yield "The first start of vLLM compiles; later ones find what it left at that path."
        yield ""


def _memory(result: CheckResult) -> Iterator[str]:
    yield from ("## GPU memory, measured next to pre-flight's estimate", "")
    rows = []
    for one in result.variants:
        sides = one.measured.memory if one.measured else ()
        rows += [(one.name, side.side, _gb(side.estimated_bytes), _gb(side.peak_bytes)) for side in sides]
        if one.verdict and not sides:
            rows.append((one.name, "engine", _gb(one.estimated_bytes), UNAVAILABLE))
    for two in result.comparisons:
        name = f"vLLM against itself, {two.placement}"
        rows += [(name, side.side, _gb(side.estimated_bytes), _gb(side.peak_bytes)) for side in two.memory]
    yield from _table(("variant", "side", "estimate", "measured peak"), rows)
    if rows:
        yield from ("Both are of one GPU: the fullest one of a side that has several.", "")


def _itself(result: CheckResult) -> Iterator[str]:
    yield from ("## vLLM against itself", "")
    if not result.comparisons:
        yield from ("It was not compared with itself.", "")
        return
    rows = [
        (one.placement, str(point.concurrency), point.ratio.text(), str(point.pairs), _holds_one(point.ratio))
        for one in result.comparisons
        for point in one.points
    ]
    yield from _table(("placement", "in flight", "ratio", "pairs", "holds 1"), rows)
    yield from _bullets(
        sentence
        for one in result.comparisons
        for sentence in (f"placement: {one.why}", *one.idle, one.not_timed)
        if sentence
    )


def _holds_one(interval: Interval) -> str:
    return (
        "yes"
        if interval.lower <= 1 <= interval.upper
        else "no: order, client, placement or host favours a side"
    )


def _details(result: CheckResult) -> Iterator[str]:
    for one in result.variants:
        yield from (f"## {one.name}", "")
        if one.obstacles:
            yield from _bullets(f"not run: {obstacle}" for obstacle in one.obstacles)
            continue
        yield from _bullets(_detail_lines(one))


def _detail_lines(one: VariantResult) -> Iterator[str]:
    yield from one.reasons
    if one.measured:
        yield f"compared with: {one.measured.reference or UNAVAILABLE}"
        yield f"engine served by: `{' '.join(one.measured.serve)}`"
        yield from one.measured.idle
    if one.warmth:
        yield f"warm caches: {one.warmth}"
    if one.stages:
        yield f"stages, s: {', '.join(f'{name} {seconds:.1f}' for name, seconds in one.stages.items())}"
    if one.pulled:
        yield f"pulled as {one.pulled.release}, ready after {one.pulled.ready_s:.1f} s"
        yield f"it generated {one.pulled.tokens} tokens: {one.pulled.text!r}"
    else:
        yield "nothing was pulled"


def _toolchains(result: CheckResult) -> Iterator[str]:
    yield from ("## Toolchains", "")
    for one in result.toolchains:
        versions = ", ".join(f"{name} {version}" for name, version in one.versions.items())
        yield f"- {one.name} ({one.provider}): {versions or 'no versions'}; identity {one.identity[:12]}"
        if one.differences:
            shown = ", ".join(one.differences[:MOST_DIFFERENCES])
            more = len(one.differences) - MOST_DIFFERENCES
            rest = f", and {more} more (all of them are in the JSON)" if more > 0 else ""
            yield f"  - not as in its lock: {shown}{rest}"
    yield ""


def _steps(result: CheckResult) -> Iterator[str]:
    yield from ("## Steps", "")
    rows = [(one.name, one.state, f"{one.duration_s:.1f}", _cell(one.detail)) for one in result.steps]
    yield from _table(("step", "outcome", "s", "why"), rows)


def _versions(toolchains: Iterable[ToolchainSummary]) -> str:
    found = {f"{name} {version}" for one in toolchains for name, version in one.versions.items()}
    return ", ".join(sorted(found))


def _start_text(starts: Iterable[StartFigures]) -> str:
    return ", ".join(f"{one.side} {one.ready_s:.1f}" for one in starts) or UNAVAILABLE


def _seconds(taken: Iterable[float]) -> str:
    return ", ".join(f"{seconds:.1f}" for seconds in taken)


def _pulled_start(one: VariantResult) -> str:
    return f"{one.pulled.ready_s:.1f}" if one.pulled else "-"


def _interval(interval: Interval | None) -> str:
    return interval.text() if interval else "-"


def _gb(size: int | None) -> str:
    return UNAVAILABLE if size is None else f"{size / GB:.2f} GB"


def _number(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else UNAVAILABLE


def _bullets(lines: Iterable[str]) -> Iterator[str]:
    yield from (f"- {line}" for line in lines)
    yield ""


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    lines = [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows]
    if lines:
        yield from (f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}", *lines, "")
    else:
        yield from ("Nothing was measured.", "")


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
