"""Pre-flight of a ready-made quantized checkpoint: a variant's source, which is used as it is.

Invariants:
- Its format is what its own files say, never what a spec or a name says; a kind loads the formats of its own
  table (`ready_made` in kinds/NAME.yaml), and no others.
- It is the model of the spec: dimensions, positions and tokenizer are compared, as accuracy is judged
  against the spec's checkpoint.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from pydantic import Field

from engine_specs.preflight.decoder import Config, decoder_config, rope_scaling, rope_type
from engine_specs.preflight.model_facts import (
    ModelFacts,
    StoredWeights,
    UnknownFacts,
    read_model_facts,
)
from engine_specs.preflight.quantized_checkpoint.formats import MXFP4, Recognised, recognise
from engine_specs.preflight.quantized_checkpoint.plain import SmallFiles, tensor_signs
from engine_specs.reading import Problem, StrictFrozen
from engine_specs.spec import ResolvedVariant
from engine_specs.tables import KindFacts, load_kv_caches, load_recipes, load_targets

# What of two models has to be the same; lm_head may be stored next to a tied table in one of them.
SAME = (
    "architecture",
    "layers",
    "hidden_size",
    "intermediate_size",
    "attention_heads",
    "key_value_heads",
    "head_dim",
    "vocab_size",
    "max_positions",
    "experts",
    "latent",
)
# Keys of tokenizer_config.json that change what a prompt becomes.
TOKENIZER_KEYS = ("add_bos_token", "add_eos_token", "bos_token")
TOKENIZER_CONFIG = "tokenizer_config.json"
DEFAULT_THETA = 10_000.0
# With 4-bit weights, scales and tables in 16 bits, files hold a quarter of the plain ones or more.
LEAST_SHARE = 0.15


class ReadyMade(StrictFrozen):
    """What is known of a ready-made checkpoint without its weights."""

    repo: str = Field(description="Its repository on the Hub.")
    commit: str = Field(description="Its commit.")
    config: dict[str, Any] = Field(description="Content of its config.json.")
    file_bytes: dict[str, int] = Field(description="Size of each of its files, by path.")
    small: SmallFiles = Field(description="Its other small files, and types of its tensors.")
    tokenizer: str = Field(description="Digest of what its tokenizer.json says (`content_digest`).")
    base_tokenizer: str | None = Field(description="The same of the spec's checkpoint; null: not known.")
    base_small: SmallFiles = Field(description="Small files of the spec's checkpoint.")

    @property
    def name(self) -> str:
        """Repository and commit."""
        return f"{self.repo}@{self.commit[:12]}"


def stored_weights(config: Config, file_bytes: Mapping[str, int], small: SmallFiles) -> StoredWeights:
    """Return what the files of a quantized checkpoint hold, and how its keys and values are stored."""
    found = recognise(config, small)
    caches = {row.quant_algo: row.name for row in load_kv_caches().values()}
    return StoredWeights(
        bytes=sum(size for name, size in file_bytes.items() if name.endswith(".safetensors")),
        kv_cache=caches.get(found.kv_cache if found else None, "none"),
        padded=found is not None and MXFP4 in found.formats,
    )


def ready_made_problems(
    variant: ResolvedVariant, kind: KindFacts, base: Config, source: ReadyMade
) -> Iterator[Problem]:
    """Yield why a kind cannot use a ready-made checkpoint in place of one that is quantized here.

    Args:
        variant: names the source.
        kind: its kind.
        base: config.json of the spec's checkpoint.
        source: the ready-made checkpoint.
    """
    where = f"variants.{variant.name}.quantization.source"
    for problem in (*_format(variant, kind, source), *_same_model(base, source), *_same_tokenizer(source)):
        yield replace(problem, field=where)


def _format(variant: ResolvedVariant, kind: KindFacts, source: ReadyMade) -> Iterator[Problem]:
    found = recognise(source.config, source.small)
    if found is None:
        yield _problem(
            f"{source.name}, whose files do not say that it is quantized", "a quantized checkpoint"
        )
        return
    yield from _loads(variant, kind, source, found)
    if source.small.tensor_types and not any(tensor_signs(source.small.tensor_types)):
        yield _problem(
            f"{source.name}, whose files say {found.text} and whose tensors are not quantized",
            "a checkpoint whose weights are what its files say",
        )


def _loads(
    variant: ResolvedVariant, kind: KindFacts, source: ReadyMade, found: Recognised
) -> Iterator[Problem]:
    """Yield a format of weights or of the KV cache that kind, GPU or architecture lack."""
    target, capability = variant.target, variant.target.compute_capability
    on = f"{target.name} (compute capability {capability})" if capability else target.name
    loaded = [
        row for row in kind.ready_made if row.tool == found.tool and row.takes(target.compute_capability)
    ]
    accepted = f"a format that {kind.name} loads there: {_formats(kind, variant)}"
    missing = [one for one in found.formats if one not in {row.format for row in loaded}]
    if missing or not found.formats:
        fitting = _targets(kind, found)
        elsewhere = f"; or a target for this one: {', '.join(fitting)}" if fitting else ""
        yield _problem(f"{found.text} in {source.name}, for {kind.name} on {on}", accepted + elsewhere)
    else:
        yield from _by_architecture(kind, source, found)
    yield from _cache(kind, source, found, capability, on)


def _cache(
    kind: KindFacts, source: ReadyMade, found: Recognised, capability: str | None, on: str
) -> Iterator[Problem]:
    """Yield a format of the KV cache that the kind lacks there, next to these weights, or for this model."""
    caches = {row.quant_algo: row.name for row in load_kv_caches().values()}
    name = caches.get(found.kv_cache, "")
    cache, said = kind.kv_cache(name), f"a KV cache in {found.kv_cache}"
    if cache is None or not cache.takes(capability):
        taken = [row.name for row in kind.kv_caches if row.takes(capability)]
        yield _problem(
            f"{said} in {source.name}, for {kind.name} on {on}",
            f"a checkpoint with a KV cache that {kind.name} keeps there: {', '.join(taken)}; "
            f"{kind.why_not('kv_caches', name, capability)}",
        )
        return
    algos = None if cache.recipes is None else [load_recipes()[one].quant_algo for one in cache.recipes]
    if algos is not None and not set(found.formats) <= set(algos):
        yield _problem(
            f"{said} next to weights in {' and '.join(found.formats)} in {source.name}",
            f"one next to weights in {', '.join(map(str, algos))}; {cache.source}",
        )
    named = str(next(iter(source.config.get("architectures") or ()), ""))
    if cache.architectures is not None and named not in cache.architectures:
        yield _problem(
            f"{said} for {named} in {source.name}",
            f"one for {', '.join(cache.architectures)}; {cache.source}",
        )


def _by_architecture(kind: KindFacts, source: ReadyMade, found: Recognised) -> Iterator[Problem]:
    """Yield formats that a kind is known to load, but not for this architecture."""
    named = next(iter(source.config.get("architectures") or ()), "")
    row = kind.architecture(str(named))
    if row is None or (row.recipes is None and row.ready_made is None):
        return
    known = {algo for one in row.recipes or () if (algo := load_recipes()[one].quant_algo)}
    known = known if row.ready_made is None else set(row.ready_made)
    if missing := [one for one in found.formats if one not in known]:
        yield _problem(
            f"{', '.join(missing)} for {named} in {source.name}",
            f"a format that {kind.name} is known to load for it: {_listed(known)}",
        )


def _same_model(base: Config, source: ReadyMade) -> Iterator[Problem]:
    ours, theirs = read_model_facts(base, {}), read_model_facts(source.config, source.file_bytes)
    if isinstance(theirs, UnknownFacts):
        yield from (_problem(f"{one.found} in {source.name}", one.accepted) for one in theirs.problems)
        return
    if isinstance(ours, UnknownFacts):
        return
    differing = [name for name in SAME if getattr(ours, name) != getattr(theirs, name)]
    listed = [f"{name} {getattr(theirs, name)}, not {getattr(ours, name)}" for name in differing]
    if _positions(base) != _positions(source.config):
        listed.append("other rotary positions")
    if listed:
        accepted = "a quantized checkpoint of the spec's own model, which accuracy is judged against"
        yield _problem(f"another model in {source.name} ({'; '.join(listed)})", accepted)
    yield from _whole(ours, theirs, source)


def _whole(ours: ModelFacts, theirs: ModelFacts, source: ReadyMade) -> Iterator[Problem]:
    held, plain = theirs.checkpoint_bytes, ours.counted_bytes
    if ours.tied_embeddings:  # quantizers may write lm_head next to the table
        plain += ours.table_parameters * ours.dtype_bytes
    if not LEAST_SHARE * plain <= held <= plain:
        yield _problem(
            f"{held:,} B of weights in {source.name}; config.json counts {plain:,} B unquantized",
            "a checkpoint that holds fewer bytes than that, and at least 15 % of them",
        )


def _positions(config: Config) -> dict[str, Any]:
    """Return what rotary positions are computed from, whichever transformers wrote it."""
    config = decoder_config(config)
    scaling = {**rope_scaling(config)}
    theta = scaling.pop("rope_theta", None) or config.get("rope_theta") or DEFAULT_THETA
    scaling.pop("type", None)
    return {**scaling, "rope_type": rope_type(config), "theta": theta}


def _same_tokenizer(source: ReadyMade) -> Iterator[Problem]:
    accepted = (
        "a checkpoint with the tokenizer of the spec's: prompts and answers are compared token by token"
    )
    if source.base_tokenizer is not None and source.tokenizer != source.base_tokenizer:
        yield _problem(f"another tokenizer.json in {source.name}", accepted)
    ours, theirs = (one.content(TOKENIZER_CONFIG) for one in (source.base_small, source.small))
    if not ours or not theirs:
        return
    differing = [key for key in TOKENIZER_KEYS if _token(ours.get(key)) != _token(theirs.get(key))]
    if differing:
        yield _problem(f"another {', '.join(differing)} in {TOKENIZER_CONFIG} of {source.name}", accepted)


def _token(value: object) -> object:
    """Return a token's text: it is written as text or as a mapping; what is absent is off."""
    return (value.get("content") if isinstance(value, Mapping) else value) or None


def _formats(kind: KindFacts, variant: ResolvedVariant) -> str:
    taken = [
        f"{row.tool} {row.format}" for row in kind.ready_made if row.takes(variant.target.compute_capability)
    ]
    return ", ".join(taken) or "none"


def _targets(kind: KindFacts, found: Recognised) -> list[str]:
    """Return the targets on which a kind loads all formats of a checkpoint."""
    rows = [row for row in kind.ready_made if row.tool == found.tool and row.format in found.formats]
    if not found.formats or len({row.format for row in rows}) < len(found.formats):
        return []
    return [
        target.name
        for target in load_targets().values()
        if target.accelerator in kind.accelerators
        and all(row.takes(target.compute_capability) for row in rows)
    ]


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _problem(found: str, accepted: str) -> Problem:
    return Problem("", found, accepted)
