"""Layers of the longest stage of a pipeline, as a number and as text."""

from math import ceil

from engine_specs.preflight.model_facts import ModelFacts
from engine_specs.spec import ResolvedVariant


def stage_layers(variant: ResolvedVariant, model: ModelFacts) -> int:
    """Layers of the longest stage of the pipeline."""
    return ceil(model.layers / variant.pipeline_parallel)


def stage_text(variant: ResolvedVariant, model: ModelFacts) -> str:
    """Say how many layers it has, and why."""
    layers = stage_layers(variant, model)
    if variant.pipeline_parallel == 1:
        return f"{layers} layers"
    return f"{layers} layers (ceil({model.layers} / pp {variant.pipeline_parallel}))"
