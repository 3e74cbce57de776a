"""What the check builds and judges: kinds with recipes, by names such as vllm/fp8/tp2@in-turn. Pure."""

import re
from collections.abc import Callable

from pydantic import Field

from artifacts.frozen import Frozen
from engine_specs.tables import Target, load_kinds
from flows.errors import BadArgument

PATTERN = re.compile(
    r"(?P<kind>[a-z0-9-]+)/(?P<recipe>[a-z0-9_]+)(?:/tp(?P<tensor_parallel>[1-9]))?"
    r"(?:@(?P<placement>[a-z-]+))?"
)
VLLM = "vllm"
# Besides unquantized weights, the first of these that the kind supports here.
QUANTIZED = ("fp8", "nvfp4", "int4_awq", "int8_weight_only")


class CheckVariant(Frozen):
    """One engine that the check builds and judges."""

    kind: str = Field(description="Name of the kind.")
    recipe: str = Field(description="Recipe of the weights.")
    tensor_parallel: int = Field(default=1, ge=1, description="GPUs that each layer is spread over.")
    placement: str = Field(default="", description="The placement that is forced; empty: the automatic one.")

    @property
    def name(self) -> str:
        """The name by which it is asked for."""
        parallel = f"/tp{self.tensor_parallel}" if self.tensor_parallel > 1 else ""
        return f"{self.kind}/{self.recipe}{parallel}{f'@{self.placement}' if self.placement else ''}"

    @property
    def slug(self) -> str:
        """The same for names of files and specs."""
        return re.sub(r"[^a-z0-9]+", "-", self.name)


def parse_variant(text: str) -> CheckVariant:
    """Return the variant of a name such as vllm/fp8/tp2@in-turn.

    Raises:
        BadArgument: it is not such a name, or there is no such kind.
    """
    match = PATTERN.fullmatch(text.strip())
    if match is None or match["kind"] not in load_kinds():
        kinds = ", ".join(load_kinds())
        raise BadArgument(
            f"{text!r} names no variant: it is KIND/RECIPE, with /tpN and @PLACEMENT if need be",
            fix=f"name one such as aot-inductor/none; the kinds are: {kinds}",
        )
    return CheckVariant(
        kind=match["kind"],
        recipe=match["recipe"],
        tensor_parallel=int(match["tensor_parallel"] or 1),
        placement=match["placement"] or "",
    )


def vllm_itself(placement: str) -> CheckVariant:
    """Return what vLLM is compared with itself on, in a placement; an empty name is the automatic one.

    That is the checkpoint as it was trained, on one device per side, whatever else is checked: one device
    holds it, as one has trained it; and two sides, each spread over two, would need four to be up together.
    """
    return CheckVariant(kind=VLLM, recipe="none", placement=placement)


def default_variants(
    target: Target, devices: int, passes: Callable[[CheckVariant], bool]
) -> tuple[CheckVariant, ...]:
    """Return, for each kind of this accelerator, unquantized weights and one recipe that passes pre-flight.

    On two or more GPUs, one more is spread over two: the last one of a maintained kind that can be.
    """
    variants = []
    for kind in load_kinds().values():
        if target.accelerator in kind.accelerators and target.platform in kind.platforms:
            listed = [name for name in QUANTIZED if kind.recipe(name)]
            asked = [CheckVariant(kind=kind.name, recipe=name) for name in listed]
            variants.append(CheckVariant(kind=kind.name, recipe="none"))
            variants += [one for one in asked if passes(one)][:1]
    if devices > 1 and (spread := [one for one in variants if _can_spread(one)]):
        variants.append(spread[-1].model_copy(update={"tensor_parallel": 2}))
    return tuple(variants)


def _can_spread(variant: CheckVariant) -> bool:
    kind = load_kinds()[variant.kind]
    return kind.max_tensor_parallel > 1 and kind.end_of_life is None
