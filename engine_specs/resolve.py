"""From a spec to its variants, each one whole: nothing inherited or implied, the target's facts inside."""

from pydantic import Field

from engine_specs.merge import merged
from engine_specs.models import Spec
from engine_specs.names import Slug
from engine_specs.rules import needs_calibration
from engine_specs.targets import Target, load_targets
from engine_specs.variant import Quantization, VariantBase, VariantSettings


class ResolvedVariant(VariantBase):
    """One engine to build, with everything explicit.

    `quantization.calibration` is None where the recipe does not calibrate, so that texts nobody reads never
    count as an input of the engine.
    """

    name: Slug = Field(description="Name of the variant, unique in the spec.")
    target: Target = Field(description="What the engine is built for.")

    @property
    def devices(self) -> int:
        """Devices that one engine occupies."""
        return self.tensor_parallel * self.pipeline_parallel


def resolve_variants(spec: Spec) -> tuple[ResolvedVariant, ...]:
    """Merge every variant over the defaults; in the order of the spec."""
    defaults = spec.defaults.model_dump(exclude_unset=True)
    return tuple(_resolved(merged(defaults, v.model_dump(exclude_unset=True))) for v in spec.variants)


def _resolved(settings: dict[str, object]) -> ResolvedVariant:
    whole = VariantSettings.model_validate(settings)
    parts = {name: getattr(whole, name) for name in VariantBase.model_fields}
    parts["quantization"] = _without_unused(whole.quantization)
    return ResolvedVariant(name=whole.name, target=load_targets()[whole.target], **parts)


def _without_unused(quantization: Quantization) -> Quantization:
    if needs_calibration(quantization.recipe, quantization.kv_cache):
        return quantization
    return quantization.model_copy(update={"calibration": None})
