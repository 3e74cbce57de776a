"""The options of the check, as its command line reads them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, get_args

from cyclopts import Parameter

from artifacts.settings import Settings
from engine_specs.tables import Accelerator
from flows.errors import BadArgument
from flows.gpu_check.sizes import ModelSize, parse_size, size_near
from flows.gpu_check.specs import IN_TURN, INPUT_TOKENS, SHAPE, CheckTerms
from flows.gpu_check.variants import CheckVariant, parse_variant

RESULTS = Path("docs/results")
# Fewer say little about the time between tokens.
LEAST_OUTPUT_TOKENS = 8
AUTOMATIC, NONE = "auto", "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is checked, and how long."""

    size: Annotated[
        str, Parameter(help="Parameters of the checkpoint that is trained, such as 1B or 350M.")
    ] = "1B"
    minutes: Annotated[float, Parameter(help="Minutes of training.")] = 2.0
    rounds_minutes: Annotated[
        float, Parameter(help="Budget of timed rounds of each variant, in minutes.")
    ] = 2.0
    in_turn_minutes: Annotated[
        float, Parameter(help="The same if sides are forced to run in turn, where starts count, too.")
    ] = 8.0
    output_tokens: Annotated[int, Parameter(help="Tokens that every timed request generates.")] = 128
    variant: Annotated[
        tuple[str, ...],
        Parameter(
            help="KIND/RECIPE[/tpN][@PLACEMENT] to build and judge, such as vllm/fp8@in-turn; may be "
            "repeated. By default each kind unquantized and quantized; on two GPUs, one is spread over both.",
            negative="",
        ),
    ] = ()
    itself: Annotated[
        tuple[str, ...],
        Parameter(
            help="Placement in which vLLM is compared with itself, `auto` or `none`; may be repeated.",
            negative="",
        ),
    ] = (AUTOMATIC, IN_TURN)
    allowed_minutes: Annotated[
        float | None, Parameter(help="Nothing begins after this time; the page says what was left out.")
    ] = None
    results: Annotated[
        Path | None,
        Parameter(help="Where page and JSON go; by default docs/results, but not of a rehearsal."),
    ] = None
    stdlib: Annotated[
        Path | None,
        Parameter(help="Sources to train on; by default the library of the toolchain that trains."),
    ] = None
    train_only: Annotated[bool, Parameter(help="Stop once the checkpoint is trained.", negative="")] = False
    keep_stack: Annotated[bool, Parameter(help="Leave the local stack running.", negative="")] = False
    cpu: Annotated[
        bool, Parameter(help="Rehearse the check on the CPU: it then says nothing about GPUs.", negative="")
    ] = False

    @property
    def accelerator(self) -> Accelerator:
        """What is trained and built on."""
        return "cpu" if self.cpu else "cuda"

    @property
    def dimensions(self) -> ModelSize:
        """The dimensions of the checkpoint; raises BadArgument."""
        return size_near(parse_size(self.size))

    @property
    def terms(self) -> CheckTerms:
        """What the user decides of every spec."""
        return CheckTerms(self.rounds_minutes, self.in_turn_minutes, self.output_tokens)

    @property
    def variants(self) -> tuple[CheckVariant, ...]:
        """What to build and judge; empty for the default. Raises BadArgument."""
        variants = tuple(map(parse_variant, self.variant))
        _require_placements([one.placement for one in variants if one.placement])
        return variants

    @property
    def placements(self) -> tuple[str, ...]:
        """Placements in which vLLM is compared with itself; an empty name is the automatic one.

        Raises:
            BadArgument: there is no such placement.
        """
        named = [name for name in self.itself if name != NONE]
        _require_placements([name for name in named if name != AUTOMATIC])
        return tuple("" if name == AUTOMATIC else name for name in named)

    def require_valid(self) -> None:
        """Raise BadArgument for the first option that is invalid."""
        _ = self.dimensions, self.variants, self.placements
        if min(self.minutes, self.rounds_minutes, self.in_turn_minutes, self.allowed_minutes or 1) <= 0:
            raise BadArgument("minutes have to be more than 0", fix="name a number such as 2 or 0.5")
        most = SHAPE["max_seq_len"] - INPUT_TOKENS
        if not LEAST_OUTPUT_TOKENS <= self.output_tokens <= most:
            raise BadArgument(
                f"{self.output_tokens} output tokens cannot be timed with the shape of the check",
                fix=f"--output-tokens from {LEAST_OUTPUT_TOKENS} to {most}",
            )

    def directory(self, settings: Settings) -> Path:
        """Return where page and JSON go."""
        return self.results or (settings.home / "gpu-check" / "results" if self.cpu else RESULTS)


def placement_names() -> tuple[str, ...]:
    """Return the placements that the settings know."""
    field = Settings.model_fields.get("placement")
    choices = get_args(field.annotation) if field else ()
    return tuple(
        name for choice in choices for name in get_args(choice) or (choice,) if isinstance(name, str)
    )


def _require_placements(names: list[str]) -> None:
    known = placement_names()
    if unknown := [name for name in names if name not in known]:
        raise BadArgument(
            f"there is no placement {unknown[0]!r}", fix=f"the placements are: {', '.join(known) or 'none'}"
        )
