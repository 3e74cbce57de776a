"""The load an engine is judged under, and what users are promised."""

from typing import Annotated, Literal

from pydantic import Field

from engine_specs.reading import StrictFrozen

# Queues grow without bound as the load comes near to the capacity: at 80 % they are short, and a fifth of the
# devices is idle in the mean.
SHARE_OF_CAPACITY = 0.8

Concurrency = Annotated[int, Field(ge=1, le=65_536)]


class Slo(StrictFrozen):
    """What users are promised, while a server gets the load that it is planned for."""

    ttft_p99_ms: float = Field(gt=0, description="Time to the first token, 99th percentile.")
    itl_p99_ms: float = Field(gt=0, description="Time between tokens, 99th percentile.")


class Arrivals(StrictFrozen):
    """The load under which the objective is judged: requests arrive on their own, whatever a server does."""

    share_of_capacity: float = Field(
        default=SHARE_OF_CAPACITY,
        gt=0,
        le=1,
        description="Share of the most that a server can serve, which it gets at the peak of the load. "
        "Devices are bought by it.",
    )
    per_s: float | None = Field(
        default=None,
        gt=0,
        le=1_000_000,
        description="Requests per second that one server gets at the peak instead, of whichever side: for "
        "services that never load a server as much.",
    )


class Lengths(StrictFrozen):
    """The shape of requests."""

    input_tokens: int = Field(ge=1, le=10_000_000, description="Tokens of each prompt.")
    output_tokens: int = Field(ge=1, le=10_000_000, description="Tokens that each request generates.")


class Workload(Lengths):
    """Requests of one shape, at several numbers of simultaneous clients."""

    concurrency: Annotated[tuple[Concurrency, ...], Field(strict=False, min_length=1, max_length=32)] = Field(
        description="Numbers of simultaneous requests to measure, each once."
    )
    operating_point: int = Field(
        ge=1, description="The concurrency at which the verdict is reached; one of `concurrency`."
    )
    slo: Slo = Field(description="What users are promised, while a server gets the load it is planned for.")
    arrivals: Arrivals = Field(
        default=Arrivals(),
        exclude_if=lambda arrivals: arrivals == Arrivals(),
        description="The load under which the objective is judged.",
    )
    sweep: Annotated[tuple[Lengths, ...], Field(strict=False, max_length=16)] = Field(
        default=(),
        exclude_if=lambda sweep: not sweep,
        description="Further lengths, measured at every concurrency as far as the budget allows. They "
        "show where compiling wins, and decide nothing.",
    )
    prompts: Literal["text", "random-ids"] = Field(
        default="text",
        description="What is asked: windows of the held-out texts, each behind a few random tokens so that "
        "no prefix repeats; or token ids at random, which no user sends.",
    )

    @property
    def longest_tokens(self) -> int:
        """The tokens of the longest request, prompt and answer."""
        return max(one.input_tokens + one.output_tokens for one in (self, *self.sweep))

    def of_lengths(self, lengths: Lengths) -> "Workload":
        """Return the same with requests of other lengths, and no others."""
        return self.model_copy(update={**lengths.model_dump(), "sweep": ()})
