"""The load an engine is judged under, and what users are promised."""

from typing import Annotated, Literal

from pydantic import Field

from engine_specs.reading import StrictFrozen

Concurrency = Annotated[int, Field(ge=1, le=65_536)]


class Slo(StrictFrozen):
    """What users are promised at the operating point."""

    ttft_p99_ms: float = Field(gt=0, description="Time to the first token, 99th percentile.")
    itl_p99_ms: float = Field(gt=0, description="Time between tokens, 99th percentile.")


class Workload(StrictFrozen):
    """Requests of one shape, at several numbers of simultaneous clients."""

    input_tokens: int = Field(ge=1, le=10_000_000, description="Tokens of each prompt.")
    output_tokens: int = Field(ge=1, le=10_000_000, description="Tokens that each request generates.")
    concurrency: Annotated[tuple[Concurrency, ...], Field(strict=False, min_length=1, max_length=32)] = Field(
        description="Numbers of simultaneous requests to measure, each once."
    )
    operating_point: int = Field(
        ge=1, description="The concurrency at which the verdict is reached; one of `concurrency`."
    )
    slo: Slo = Field(description="What users are promised at the operating point.")
    prompts: Literal["text", "random-ids"] = Field(
        default="text",
        description="What is asked: windows of the held-out texts, each behind a few random tokens so that "
        "no prefix repeats; or token ids at random, which no user sends.",
    )
