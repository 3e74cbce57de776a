"""Pre-flight: what can be refused from metadata alone, before anything is downloaded, loaded or compiled.

Pure: it reads a checkpoint's config.json and the sizes of its files, and finds every problem at once. What
needs a stage's output (the size of quantized weights, say) is not judged here.
"""

from collections.abc import Iterator, Mapping
from math import lcm
from typing import Any

from engine_specs.errors import Problem
from engine_specs.kind_facts import KindFacts, load_kinds
from engine_specs.models import Spec
from engine_specs.recipes import load_recipes
from engine_specs.resolve import ResolvedVariant

Config = Mapping[str, Any]

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def preflight(
    spec: Spec, variant: ResolvedVariant, config: Config, file_bytes: Mapping[str, int]
) -> tuple[Problem, ...]:
    """Return every reason why this variant cannot work on this checkpoint, and what would.

    Args:
        spec: the spec, for the checkpoint that it names.
        variant: one of its resolved variants.
        config: the checkpoint's config.json.
        file_bytes: size in bytes of each file of the checkpoint, by its path in the repository.
    """
    kind = load_kinds()[variant.engine.kind]
    where = f"variants.{variant.name}"
    return (
        *_files(spec.checkpoint.repo, file_bytes),
        *_architecture(spec.checkpoint.repo, kind, config),
        *_already_quantized(spec.checkpoint.repo, config),
        *_positions(variant, config, where),
        *_parallelism(variant, config, where),
        *_weight_dimensions(variant, kind, config, where),
    )


def _files(repo: str, file_bytes: Mapping[str, int]) -> Iterator[Problem]:
    weights = [name for name, size in file_bytes.items() if name.endswith(".safetensors") and size > 0]
    if not weights:
        pickles = sorted(name for name in file_bytes if name.endswith(PICKLES))
        found = f"pickled weights only ({pickles[0]})" if pickles else "no weights"
        accepted = "a repository with .safetensors files: pickles run code when read, and are never loaded"
        yield Problem("checkpoint.repo", f"{found} in {repo}", accepted)
    if "tokenizer.json" not in file_bytes:
        accepted = "a repository with tokenizer.json: the server of an engine reads no other tokenizer"
        yield Problem("checkpoint.repo", f"no tokenizer.json in {repo}", accepted)


def _architecture(repo: str, kind: KindFacts, config: Config) -> Iterator[Problem]:
    names = config.get("architectures") or []
    if len(names) != 1 or names[0] not in kind.architecture_names:
        found = ", ".join(map(str, names)) or "no architectures in config.json"
        accepted = f"an architecture that {kind.name} compiles: {', '.join(kind.architecture_names)}"
        yield Problem("checkpoint.repo", f"{found} in {repo}", accepted)


def _already_quantized(repo: str, config: Config) -> Iterator[Problem]:
    present = config.get("quantization_config")
    if present:
        method = present.get("quant_method", "unknown method") if isinstance(present, Mapping) else present
        accepted = "a checkpoint that is not quantized yet: engines are judged against vLLM on plain weights"
        yield Problem("checkpoint.repo", f"weights in {repo} that are quantized already ({method})", accepted)


def _positions(variant: ResolvedVariant, config: Config, where: str) -> Iterator[Problem]:
    positions = config.get("max_position_embeddings")
    if not isinstance(positions, int):
        yield _unknown("max_position_embeddings")
        return
    lengths = {f"{where}.shape.max_seq_len": variant.shape.max_seq_len}
    if variant.quantization.calibration is not None:
        lengths[f"{where}.quantization.calibration.sequence_length"] = (
            variant.quantization.calibration.sequence_length
        )
    for field, length in lengths.items():
        if length > positions:
            yield Problem(field, str(length), f"at most {positions}, the positions of the model")


def _parallelism(variant: ResolvedVariant, config: Config, where: str) -> Iterator[Problem]:
    heads, layers = config.get("num_attention_heads"), config.get("num_hidden_layers")
    if not isinstance(heads, int) or not isinstance(layers, int):
        yield _unknown("num_attention_heads and num_hidden_layers")
        return
    kv_heads = config.get("num_key_value_heads") or heads
    fitting = [n for n in range(1, heads + 1) if heads % n == 0 and (kv_heads % n == 0 or n % kv_heads == 0)]
    asked = variant.tensor_parallel
    if asked not in fitting:
        nearest = min(fitting, key=lambda n: (abs(n - asked), n))
        accepted = f"{nearest}: {heads} attention heads and {kv_heads} key-value heads have to divide evenly"
        yield Problem(f"{where}.tensor_parallel", str(asked), accepted)
    if variant.pipeline_parallel > layers:
        yield Problem(
            f"{where}.pipeline_parallel",
            str(variant.pipeline_parallel),
            f"at most {layers}, the layers of the model",
        )


def _weight_dimensions(
    variant: ResolvedVariant, kind: KindFacts, config: Config, where: str
) -> Iterator[Problem]:
    recipe = load_recipes()[variant.quantization.recipe]
    support = kind.recipe(recipe.name)
    multiple = lcm(recipe.weight_input_multiple, support.weight_input_multiple if support else 1)
    if multiple == 1:
        return
    dimensions = _input_dimensions(config)
    if not dimensions:
        yield _unknown("hidden_size, intermediate_size and num_attention_heads")
    odd = [f"{name} {size}" for name, size in dimensions.items() if size % multiple]
    if odd:
        accepted = f"recipe none, or a model whose weights' input dimensions divide by {multiple}"
        yield Problem(f"{where}.quantization.recipe", f"{recipe.name} with {', '.join(odd)}", accepted)


def _input_dimensions(config: Config) -> dict[str, int]:
    """Input dimensions of a decoder layer's weights; empty where config.json does not tell them."""
    hidden, inner, heads = (
        config.get(k) for k in ("hidden_size", "intermediate_size", "num_attention_heads")
    )
    if not (isinstance(hidden, int) and isinstance(inner, int) and isinstance(heads, int)):
        return {}
    head = config.get("head_dim") or hidden // heads
    return {"hidden_size": hidden, "intermediate_size": inner, "attention output": heads * head}


def _unknown(keys: str) -> Problem:
    return Problem(
        "checkpoint.repo", f"a config.json without {keys}", "a checkpoint whose config.json gives them"
    )
