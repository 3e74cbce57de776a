"""What the report shows of the second opinion on speed, next to our own figures. Pure."""

from dataclasses import dataclass

from tasks.judging.results import Measured, NoOpinion, NotMeasured, Quantiles, SpeedOpinion


@dataclass(frozen=True, slots=True)
class SpeedRow:
    """Figures of the engine at the operating point by one observer; times in milliseconds.

    Attributes:
        by: who measured.
        requests: how many requests.
        tokens_per_s: output tokens per second and device.
        token_ms: mean time per token after the first one.
        ttft: time to the first token.
        e2e: time of a whole request.
    """

    by: str
    requests: int
    tokens_per_s: float
    token_ms: float
    ttft: Quantiles
    e2e: Quantiles


@dataclass(frozen=True, slots=True)
class SpeedOpinionView:
    """The second opinion.

    Attributes:
        sentence: what it is, or why there is none.
        rows: ours and the tool's; empty if there is none.
    """

    sentence: str
    rows: tuple[SpeedRow, ...] = ()


def speed_opinion_view(measured: Measured, devices: int) -> SpeedOpinionView | None:
    """Return what is shown; None if no second opinion was asked for, or no round was timed."""
    opinion, speed = measured.speed_opinion, measured.speed
    if opinion is None or isinstance(speed, NotMeasured):
        return None
    if isinstance(opinion, NoOpinion):
        return SpeedOpinionView(f"The tool's own benchmark gave no second opinion: {opinion.text()}.")
    ours = speed.at_operating_point.engine
    rows = (
        SpeedRow(
            by="this judge",
            requests=ours.requests,
            tokens_per_s=ours.throughput_per_device.estimate,
            token_ms=ours.itl_ms.mean,
            ttft=ours.ttft_ms,
            e2e=ours.e2e_ms,
        ),
        SpeedRow(
            by="its benchmark",
            requests=opinion.requests,
            tokens_per_s=opinion.output_tokens_per_s / devices,
            token_ms=opinion.tpot_ms.mean,
            ttft=opinion.ttft_ms,
            e2e=opinion.e2e_ms,
        ),
    )
    return SpeedOpinionView(_sentence(opinion), rows)


def _sentence(opinion: SpeedOpinion) -> str:
    return (
        f"{opinion.tool} asked the same engine afterwards, without a server: {opinion.requests} requests of "
        f"{opinion.mean_input_tokens:g} tokens in and {opinion.mean_output_tokens:g} out in the mean, "
        f"{opinion.mean_in_flight:.1f} of at most {opinion.concurrency} in flight. It decides nothing."
    )
