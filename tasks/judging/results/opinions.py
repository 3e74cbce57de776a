"""Second opinions: what other tools find of an engine, or why they find nothing. They decide nothing."""

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


class Opinion(Frozen):
    """The scores of one side on tasks by another tool."""

    tool: str = Field(description="Its name and version.")
    right: dict[str, float] = Field(description="Share of right answers, by the name of the task.")


class SecondOpinion(Frozen):
    """The scores of both sides on one task by another tool."""

    tool: str = Field(description="Its name and version.")
    engine: float = Field(ge=0, le=1, description="Share of the questions that the engine answers right.")
    reference: float = Field(ge=0, le=1, description="The same of the reference.")


class NoOpinion(Frozen):
    """There is no second opinion, although the spec asks for it."""

    reason: str = Field(min_length=1, description="Why there is none, as the rest of a sentence.")
    log: str = Field(
        default="",
        description="Name of the tool's log in `logs` below ENGINERY_HOME, on the host that measured; empty "
        "if it wrote none.",
    )

    def text(self) -> str:
        """Write it as the rest of a sentence."""
        return self.reason + (f" (its log: logs/{self.log})" if self.log else "")
