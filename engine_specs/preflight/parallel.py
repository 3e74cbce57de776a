"""Pre-flight of how a model is spread over devices: heads, layers and dimensions must divide evenly."""

from collections.abc import Iterator
from math import lcm

from engine_specs.preflight.model_facts import ModelFacts
from engine_specs.preflight.weights import Weight
from engine_specs.reading import Problem
from engine_specs.spec import ResolvedVariant
from engine_specs.tables import KindFacts, Recipe, load_kinds, load_recipes


def divides(model: ModelFacts, tensor_parallel: int) -> bool:
    """Whether a layer can be spread over that many devices: key-value heads may repeat, nothing else may.

    The vocabulary need not divide: every tool here pads its rows.
    """
    heads, kv_heads = model.attention_heads, model.key_value_heads
    whole_heads = heads % tensor_parallel == 0
    whole_kv_heads = kv_heads % tensor_parallel == 0 or tensor_parallel % kv_heads == 0
    return whole_heads and whole_kv_heads and model.intermediate_size % tensor_parallel == 0


def parallel_problems(variant: ResolvedVariant, model: ModelFacts) -> Iterator[Problem]:
    """Yield parallel sizes that do not divide the heads, the inner dimension or the layers evenly."""
    where = f"variants.{variant.name}"
    asked = variant.tensor_parallel
    if not divides(model, asked):
        fitting = (n for n in range(1, model.attention_heads + 1) if divides(model, n))
        nearest = min(fitting, key=lambda n: (abs(n - asked), n))
        accepted = (
            f"{nearest}: {model.attention_heads} attention heads, {model.key_value_heads} key-value heads "
            f"and an intermediate size of {model.intermediate_size} have to divide evenly"
        )
        yield Problem(f"{where}.tensor_parallel", str(asked), accepted)
    yield from _pipeline(variant, model, load_kinds()[variant.engine.kind], f"{where}.pipeline_parallel")


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
    elif kind.export_format == "tensorrt-llm" and layers % asked:
        fitting = (n for n in range(1, layers + 1) if layers % n == 0)
        nearest = min(fitting, key=lambda n: (abs(n - asked), n))
        yield Problem(field, str(asked), f"{nearest}: {layers} layers have to divide evenly for {kind.name}")


def input_multiple(variant: ResolvedVariant, recipe: Recipe) -> int:
    """Return what the input dimension of every quantized weight must be a multiple of, on one device."""
    kind = load_kinds()[variant.engine.kind]
    names = [recipe.name, *(variant.quantization.search.candidates if variant.quantization.search else ())]
    supported = [row.weight_input_multiple for name in names if (row := kind.recipe(name))]
    return lcm(*(load_recipes()[name].weight_input_multiple for name in names), *supported)


def dimension_problems(variant: ResolvedVariant, model: ModelFacts) -> Iterator[Problem]:
    """Yield quantized weights whose input dimension on a device is not the multiple that the recipe needs."""
    recipe = load_recipes()[variant.quantization.recipe]
    multiple, tensor = input_multiple(variant, recipe), variant.tensor_parallel
    quantized = [one for one in model.weights if not one.is_left_out(recipe.left_out)]
    odd = [one for one in quantized if one.inputs_with(tensor) % multiple]
    if not odd or not divides(model, tensor):  # `parallel_problems` reports what does not divide at all
        return
    narrower = (
        n
        for n in range(tensor - 1, 0, -1)
        if divides(model, n) and all(one.inputs_with(n) % multiple == 0 for one in quantized)
    )
    nearest = next(narrower, None)
    accepted = f"recipe none, or a model whose weights' input dimensions are multiples of {multiple}" + (
        f" on each device; or tensor_parallel {nearest}" if nearest else ""
    )
    field = f"variants.{variant.name}.quantization.recipe"
    yield Problem(field, f"{recipe.name} with {', '.join(_dimension(one, tensor) for one in odd)}", accepted)


def _dimension(weight: Weight, tensor: int) -> str:
    divided = f" / tp {tensor}" if weight.split == "inputs" and tensor > 1 else ""
    return f"{weight.module} {weight.inputs}{divided}"
