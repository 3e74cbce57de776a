"""Pre-flight of how a model is spread over devices: heads, layers and dimensions must divide evenly."""

from collections.abc import Iterator
from math import lcm

from engine_specs.preflight.decoder import Experts, Spread, Weight, spread_of
from engine_specs.preflight.model_facts import ModelFacts
from engine_specs.reading import Problem
from engine_specs.spec import ResolvedVariant
from engine_specs.tables import KindFacts, Recipe, load_kinds, load_recipes


def divides(model: ModelFacts, spread: Spread) -> bool:
    """Whether a layer can be spread that way: key-value heads may repeat, nothing else may.

    The vocabulary need not divide: every tool here pads its rows.
    """
    return _heads_divide(model, spread.tensor) and not any(
        width % parts for width, parts in _widths(model, spread).values()
    )


def widened(variant: ResolvedVariant, size: int) -> ResolvedVariant:
    """Return a variant with another tensor_parallel; experts that were whole on each device stay so."""
    update = {"tensor_parallel": size}
    if variant.expert_parallel > 1 and variant.expert_parallel == variant.layer_devices:
        update["expert_parallel"] = size * variant.data_parallel
    return variant.model_copy(update=update)


def parallel_problems(variant: ResolvedVariant, model: ModelFacts) -> Iterator[Problem]:
    """Yield parallel sizes that do not divide heads, inner dimensions, experts or layers evenly."""
    where = f"variants.{variant.name}"
    asked = variant.tensor_parallel
    if model.experts is None:
        yield from _without_experts(variant, model)
    else:
        yield from _groups(variant, model.experts)
    if not divides(model, spread_of(variant)):
        fitting = (
            n for n in range(1, model.attention_heads + 1) if divides(model, spread_of(widened(variant, n)))
        )
        nearest = min(fitting, key=lambda n: (abs(n - asked), n), default=None)
        accepted = f"{nearest or 'none'}: {_dividing(model)} have to divide evenly"
        yield Problem(f"{where}.tensor_parallel", str(asked), accepted)
    yield from _pipeline(variant, model, load_kinds()[variant.engine.kind], f"{where}.pipeline_parallel")


def _heads_divide(model: ModelFacts, tensor: int) -> bool:
    heads, kv_heads = model.attention_heads, model.key_value_heads
    whole_kv_heads = kv_heads % tensor == 0 or tensor % kv_heads == 0
    return heads % tensor == 0 and whole_kv_heads


def _widths(model: ModelFacts, spread: Spread) -> dict[str, tuple[int, int]]:
    """Return the inner widths of blocks that the model has, each with what divides it."""
    experts = model.experts
    if experts is None:
        return {"an intermediate size": (model.intermediate_size, spread.tensor)}
    widths = {"experts with a width": (experts.inner, spread.within)}
    if experts.shared:
        widths["shared experts with a width"] = (experts.shared, spread.shared)
    if len(experts.layers) < model.layers:
        widths["dense layers with a width"] = (model.intermediate_size, spread.tensor)
    return widths


def _dividing(model: ModelFacts) -> str:
    widths = _widths(model, Spread(tensor=1, within=1, shared=1))
    named = [f"{what} of {width}" for what, (width, _) in widths.items()]
    heads = [f"{model.attention_heads} attention heads", f"{model.key_value_heads} key-value heads"]
    *others, last = [*heads, *named]
    return f"{', '.join(others)} and {last}"


def _without_experts(variant: ResolvedVariant, model: ModelFacts) -> Iterator[Problem]:
    """Yield parallelism of experts for a model that has none."""
    for key in ("expert_parallel", "data_parallel"):
        asked = getattr(variant, key)
        if asked > 1:
            found = f"{asked} for {model.architecture}, which has no experts"
            yield Problem(f"variants.{variant.name}.{key}", found, "1: it is for mixtures of experts")


def _groups(variant: ResolvedVariant, experts: Experts) -> Iterator[Problem]:
    """Yield groups that would have unequal numbers of experts."""
    asked = variant.expert_parallel
    if experts.count % asked:
        fitting = [n for n in range(1, variant.layer_devices + 1) if experts.count % n == 0]
        listed = ", ".join(str(n) for n in fitting if variant.layer_devices % n == 0)
        accepted = f"one of {listed}: {experts.count} experts of a layer have to divide evenly"
        yield Problem(f"variants.{variant.name}.expert_parallel", str(asked), accepted)


def _pipeline(variant: ResolvedVariant, model: ModelFacts, kind: KindFacts, field: str) -> Iterator[Problem]:
    """Yield a pipeline size that the layers do not allow.

    ModelOpt's export for TensorRT-LLM cuts a pipeline only into equal stages (0.37.0,
    torch/export/postprocess.py); tools that read Hugging Face's layout give the first stages one layer more.
    """
    asked, layers = variant.pipeline_parallel, model.layers
    row = kind.architecture(model.architecture)
    most = row.max_pipeline_parallel if row else None
    if most is not None and asked > most:
        yield Problem(field, str(asked), f"at most {most} for {model.architecture} with {kind.name}")
    elif asked > layers:
        yield Problem(field, str(asked), f"at most {layers}, the layers of the model")
    elif kind.export_format == "tensorrt-llm" and asked > 1 and variant.quantization.search is not None:
        accepted = (
            "1 with recipe auto: the builder reads the format of each layer by its number in the whole model"
        )
        yield Problem(field, str(asked), f"{accepted}, and each stage numbers its own from 0")
    elif kind.export_format == "tensorrt-llm" and layers % asked:
        fitting = (n for n in range(1, layers + 1) if layers % n == 0)
        nearest = min(fitting, key=lambda n: (abs(n - asked), n))
        yield Problem(field, str(asked), f"{nearest}: {layers} layers have to divide evenly for {kind.name}")


def head_problems(variant: ResolvedVariant, model: ModelFacts) -> Iterator[Problem]:
    """Yield heads of a width that the kind's kernels for GPUs do not take."""
    kind = load_kinds()[variant.engine.kind]
    widths = kind.gpu_head_widths if variant.target.accelerator == "cuda" else None
    if widths is None or widths.takes(model.head_dim):
        return
    others = [one.name for one in load_kinds().values() if one.gpu_head_widths is None]
    accepted = (
        f"heads of a multiple of {widths.multiple} elements, at most {widths.widest}, which {kind.name} "
        f"takes on GPUs; or another kind: {', '.join(others)}"
    )
    yield Problem("checkpoint.repo", f"attention heads of {model.head_dim} elements", accepted)


def input_multiple(variant: ResolvedVariant, recipe: Recipe) -> int:
    """Return what the input dimension of every quantized weight must be a multiple of, on one device."""
    kind = load_kinds()[variant.engine.kind]
    names = [recipe.name, *(variant.quantization.search.candidates if variant.quantization.search else ())]
    supported = [row.weight_input_multiple for name in names if (row := kind.recipe(name))]
    return lcm(*(load_recipes()[name].weight_input_multiple for name in names), *supported)


def dimension_problems(variant: ResolvedVariant, model: ModelFacts) -> Iterator[Problem]:
    """Yield quantized weights whose input dimension on a device is not the multiple that the recipe needs."""
    recipe = load_recipes()[variant.quantization.recipe]
    multiple, spread = input_multiple(variant, recipe), spread_of(variant)
    quantized = [one for one in model.weights if not one.is_left_out(recipe.left_out)]
    odd = [one for one in quantized if one.inputs_with(spread) % multiple]
    if not odd or not divides(model, spread):  # `parallel_problems` reports what does not divide at all
        return
    narrower = (
        n
        for n in range(variant.tensor_parallel - 1, 0, -1)
        if divides(model, less := spread_of(widened(variant, n)))
        and all(one.inputs_with(less) % multiple == 0 for one in quantized)
    )
    nearest = next(narrower, None)
    accepted = f"recipe none, or a model whose weights' input dimensions are multiples of {multiple}" + (
        f" on each device; or tensor_parallel {nearest}" if nearest else ""
    )
    field = f"variants.{variant.name}.quantization.recipe"
    yield Problem(field, f"{recipe.name} with {', '.join(_dimension(one, spread) for one in odd)}", accepted)


def _dimension(weight: Weight, spread: Spread) -> str:
    parts = weight.parts(spread)
    divided = f" / tp {parts}" if weight.split == "inputs" and parts > 1 else ""
    return f"{weight.module} {weight.inputs}{divided}"
