"""What the tool's own benchmark says about the speed of an engine. It decides nothing."""

from pydantic import Field

from artifacts.frozen import Frozen
from tasks.judging.results.quantities import Quantiles


class SpeedOpinion(Frozen):
    """The figures of a tool's own benchmark, which asks an engine at the operating point without a server."""

    tool: str = Field(description="Its name, and the version of the tool.")
    concurrency: int = Field(ge=1, description="Requests in flight, at most.")
    mean_in_flight: float = Field(gt=0, description="Requests in flight in the mean, as it reports.")
    requests: int = Field(ge=1, description="Requests that it made, without those that warmed up.")
    mean_input_tokens: float = Field(gt=0, description="Tokens of a prompt in the mean, as it reports.")
    mean_output_tokens: float = Field(gt=0, description="Tokens of an answer in the mean, as it reports.")
    output_tokens_per_s: float = Field(gt=0, description="Output tokens per second of the whole engine.")
    ttft_ms: Quantiles
    tpot_ms: Quantiles = Field(
        description="Time per token after the first one: the mean of each request, and their quantiles."
    )
    e2e_ms: Quantiles
    took_s: float = Field(ge=0, description="Time that the program took, with loading the model.")


class NoSpeedOpinion(Frozen):
    """There are no such figures, although the spec asks for them."""

    reason: str = Field(min_length=1, description="Why there are none, in a sentence.")
