"""Resolving a spec into whole variants: nothing inherited or implied, the target's facts included."""

from pydantic import Field

from engine_specs.reading import Slug, merged
from engine_specs.spec.models import Spec
from engine_specs.spec.rules import needs_calibration
from engine_specs.spec.variant import Engine, Quantization, VariantBase, VariantSettings
from engine_specs.tables import Target, load_kinds, load_targets


class ResolvedVariant(VariantBase):
    """One engine to build, with everything explicit.

    `engine.options` holds every option of the kind, and `quantization.device` the device.
    `quantization.calibration` is None if the recipe does not calibrate, so that texts nobody reads never
    count as an input of the engine.
    """

    name: Slug = Field(description="Name of the variant, unique in the spec.")
    target: Target = Field(description="What the engine is built for.")

    @property
    def devices(self) -> int:
        """Devices that one engine occupies."""
        return self.layer_devices * self.pipeline_parallel

    @property
    def layer_devices(self) -> int:
        """Devices that one layer spreads over: all that hold some of its experts."""
        return self.tensor_parallel * self.data_parallel


def resolve_variants(spec: Spec) -> tuple[ResolvedVariant, ...]:
    """Merge every variant over the defaults; returned in the order of the spec."""
    defaults = spec.defaults.model_dump(exclude_unset=True)
    return tuple(_resolved(merged(defaults, v.model_dump(exclude_unset=True))) for v in spec.variants)


def _resolved(settings: dict[str, object]) -> ResolvedVariant:
    whole = VariantSettings.model_validate(settings)
    target = load_targets()[whole.target]
    parts = {name: getattr(whole, name) for name in VariantBase.model_fields}
    parts["engine"] = _with_options(whole.engine)
    parts["quantization"] = _on_device(_without_unused(whole.quantization), target)
    return ResolvedVariant(name=whole.name, target=target, **parts)


def _with_options(engine: Engine) -> Engine:
    defaults = {option.name: option.default for option in load_kinds()[engine.kind].options}
    return engine.model_copy(update={"options": defaults | engine.options})


def _on_device(quantization: Quantization, target: Target) -> Quantization:
    return quantization.model_copy(update={"device": quantization.device or target.accelerator})


def _without_unused(quantization: Quantization) -> Quantization:
    if needs_calibration(quantization.recipe, quantization.kv_cache):
        return quantization
    return quantization.model_copy(update={"calibration": None})
