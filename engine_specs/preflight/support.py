"""Pre-flight of what a kind, a GPU and a line of ModelOpt can do together, according to the tables."""

from collections.abc import Iterator, Sequence

from engine_specs.preflight.decoder import Config, is_dense
from engine_specs.preflight.model_facts import architectures
from engine_specs.reading import Problem
from engine_specs.spec import ResolvedVariant, Spec
from engine_specs.tables import (
    KindFacts,
    KvCacheSupport,
    Presets,
    Recipe,
    RecipeSupport,
    Target,
    load_config_defaults,
    load_kinds,
    load_kv_caches,
    load_recipes,
    load_targets,
)

Support = RecipeSupport | KvCacheSupport
AS_STORED_BITS = 16
# The kind that computes as the reference does.
REFERENCE = "vllm"
# Lines of ModelOpt whose `auto_quantize` takes no `method`: it goes by gradients.
SEARCHES_BY_GRADIENT = ("0.37",)


def support_problems(
    repo: str, variant: ResolvedVariant, kind: KindFacts, config: Config
) -> Iterator[Problem]:
    """Yield combinations that no row of the tables names, each with what the rows do name."""
    architecture = _architecture(config)
    yield from _architectures(repo, kind, config, architecture)
    yield from _served_on(variant, kind, architecture)
    yield from _stated(repo, kind, config, architecture)
    yield from _options(variant, kind, architecture)
    yield from table_problems(variant, kind, architecture)


def table_problems(
    variant: ResolvedVariant, kind: KindFacts, architecture: str | None = None
) -> Iterator[Problem]:
    """Yield what recipe, KV cache, GPU and ModelOpt cannot do together, whatever the checkpoint is."""
    yield from _devices(variant)
    yield from _recipes(variant, kind, architecture)
    yield from _kv_caches(variant, kind, architecture)
    yield from _search(variant, kind)
    yield from _speculation(variant, kind)
    yield from _modelopt(variant, kind, load_recipes()[variant.quantization.recipe], "recipe")
    yield from _modelopt(variant, kind, load_kv_caches()[variant.quantization.kv_cache], "kv_cache")


def task_problems(spec: Spec, kind: KindFacts) -> Iterator[Problem]:
    """Yield tasks that the kind's server cannot answer."""
    if kind.scores_options:
        return
    able = ", ".join(one.name for one in load_kinds().values() if one.scores_options)
    for index, task in enumerate(spec.validation.tasks):
        if task.form == "multiple-choice":
            yield Problem(
                f"validation.tasks[{index}].form",
                f"multiple-choice with kind {kind.name}, whose server is not known to score options",
                f"exact-match, or a kind whose server does: {able}",
            )


def takes(row: Support | None, target: Target) -> bool:
    """Whether a row of a kind covers a target."""
    return row is not None and row.takes(target.compute_capability)


def usable_recipes(
    kind: KindFacts, target: Target, architecture: str | None, device: str | None
) -> tuple[str, ...]:
    """Return the recipes that kind, GPU, architecture and ModelOpt all support, in the kind's order."""
    row = kind.architecture(architecture) if architecture else None
    allowed = row.recipes if row and row.recipes is not None else tuple(one.name for one in kind.recipes)
    return tuple(
        one.name
        for one in kind.recipes
        if one.name in allowed and takes(one, target) and _made_by(load_recipes()[one.name], kind, device)
    )


def usable_kv_caches(kind: KindFacts, target: Target, device: str | None) -> tuple[str, ...]:
    """Return the KV cache formats that kind, GPU and ModelOpt all support, in the kind's order."""
    return tuple(
        one.name
        for one in kind.kv_caches
        if takes(one, target) and _made_by(load_kv_caches()[one.name], kind, device)
    )


def usable_targets(kind: KindFacts, *rows: Support | None) -> tuple[Target, ...]:
    """Return the targets that a kind builds for and that all of these rows cover."""
    return tuple(
        target
        for target in load_targets().values()
        if target.accelerator in kind.accelerators
        and target.platform in kind.platforms
        and all(takes(row, target) for row in rows)
    )


def _architecture(config: Config) -> str | None:
    names = architectures(config)
    return names[0] if len(names) == 1 else None


def _architectures(repo: str, kind: KindFacts, config: Config, architecture: str | None) -> Iterator[Problem]:
    if architecture is not None and kind.architecture(architecture) is not None:
        return
    named = config.get("architectures")
    found = ", ".join(architectures(config)) or "no architectures in config.json"
    if not is_dense(config):
        found += ", a mixture of experts,"
    if named and not architectures(config):
        found = f"architectures that are {named!r} in config.json, not a list of names,"
    others = [one.name for one in load_kinds().values() if architecture and one.architecture(architecture)]
    accepted = f"an architecture that {kind.name} compiles: {', '.join(kind.architecture_names)}" + (
        f"; or a kind that compiles {architecture}: {', '.join(others)}" if others else ""
    )
    if not is_dense(config):
        accepted += f"; of mixtures of experts, {kind.name} builds {_listed(_with_experts(kind))}"
    yield Problem("checkpoint.repo", f"{found} in {repo}", accepted)


def _served_on(variant: ResolvedVariant, kind: KindFacts, architecture: str | None) -> Iterator[Problem]:
    """Yield a target on which the kind's tool does not start an architecture."""
    row = kind.architecture(architecture) if architecture else None
    if row is None or row.accelerators is None or variant.target.accelerator in row.accelerators:
        return
    accepted = f"a target of {_listed(row.accelerators)}: {kind.name} starts it on no other"
    yield Problem(f"variants.{variant.name}.target", f"{architecture} on {variant.target.name}", accepted)


def _stated(repo: str, kind: KindFacts, config: Config, architecture: str | None) -> Iterator[Problem]:
    """Yield keys that config.json leaves out, although a side then computes another model.

    A side is the kind itself, or vLLM as the reference.
    """
    for side in dict.fromkeys((kind.name, REFERENCE)):
        row = load_kinds()[side].architecture(architecture) if architecture else None
        lacking = [
            f"{key} {value}" for key, value in (row.states if row else {}).items() if config.get(key) != value
        ]
        if lacking and kind.architecture(architecture or "") is not None:
            found = (
                f"a config.json in {repo} without {', '.join(lacking)}, which {side} takes for another model"
            )
            yield Problem("checkpoint.repo", found, "a checkpoint whose config.json states them")


def _with_experts(kind: KindFacts) -> list[str]:
    """Return the architectures with experts that a kind builds."""
    mixtures = {row.architecture for row in load_config_defaults().values() if row.num_experts}
    return [name for name in kind.architecture_names if name in mixtures]


def _devices(variant: ResolvedVariant) -> Iterator[Problem]:
    """Yield an engine for several GPUs of a type of which a host has one."""
    gpu, devices = variant.target.gpu, variant.devices
    if gpu is not None and gpu.link is None and devices > 1:
        size = "tensor_parallel" if variant.tensor_parallel > 1 else "pipeline_parallel"
        accepted = f"one device: a host has one {variant.target.name}, and engines are served on one host"
        yield Problem(f"variants.{variant.name}.{size}", f"{devices} devices", accepted)


def _recipes(variant: ResolvedVariant, kind: KindFacts, architecture: str | None) -> Iterator[Problem]:
    asked, target = variant.quantization.recipe, variant.target
    row, field = kind.recipe(asked), f"variants.{variant.name}.quantization.recipe"
    usable = _listed(usable_recipes(kind, target, architecture, variant.quantization.device))
    if row is not None and not takes(row, target):
        accepted = (
            f"a recipe that {kind.name} supports there: {usable}; or a target for {asked}: "
            f"{_listed([one.name for one in usable_targets(kind, row)])}; "
            f"{kind.why_not('recipes', asked, target.compute_capability)}"
        )
        yield Problem(field, f"{asked} on {_named(target)}", accepted)
    facts = kind.architecture(architecture) if architecture else None
    listed = facts.recipes if facts else None
    # Which formats a ready-made checkpoint may have is for `quantized.ready_made` to say.
    if listed is not None and asked not in listed and load_recipes()[asked].form != "source":
        accepted = f"a recipe that {kind.name} supports for it on {_named(target)}: {usable}"
        if facts is not None and facts.ready_made:
            accepted += f"; or quantization.source, a checkpoint in {_listed(facts.ready_made)}"
        yield Problem(field, f"{asked} for {architecture}", accepted)


def _kv_caches(variant: ResolvedVariant, kind: KindFacts, architecture: str | None) -> Iterator[Problem]:
    asked, target = variant.quantization.kv_cache, variant.target
    row, field = kind.kv_cache(asked), f"variants.{variant.name}.quantization.kv_cache"
    facts = kind.architecture(architecture) if architecture else None
    listed = facts.kv_caches if facts else None
    if listed is not None and asked not in listed:
        accepted = f"{_listed(listed)}: that {kind.name} quantizes its KV cache is not established"
        yield Problem(field, f"{asked} for {architecture}", accepted)
    if row is None:
        return
    if not takes(row, target):
        usable = _listed(usable_kv_caches(kind, target, variant.quantization.device))
        accepted = (
            f"a format that {kind.name} supports there: {usable}; or a target for {asked}: "
            f"{_listed([one.name for one in usable_targets(kind, row)])}; "
            f"{kind.why_not('kv_caches', asked, target.compute_capability)}"
        )
        yield Problem(field, f"{asked} on {_named(target)}", accepted)
    recipe = variant.quantization.recipe
    if row.recipes is not None and recipe not in row.recipes:
        accepted = f"it with recipe {_listed(row.recipes)}; {row.source}"
        yield Problem(field, f"{asked} with recipe {recipe}", accepted)
    if row.architectures is not None and architecture is not None and architecture not in row.architectures:
        accepted = f"it for {_listed(row.architectures)}; {row.source}"
        yield Problem(field, f"{asked} for {architecture}", accepted)


def _options(variant: ResolvedVariant, kind: KindFacts, architecture: str | None) -> Iterator[Problem]:
    """Yield options that the tool takes for other architectures only."""
    for option in kind.options:
        asked = variant.engine.options.get(option.name, option.default)
        if not option.architectures or asked == option.default or architecture in option.architectures:
            continue
        found = f"{asked} for {architecture or 'an unknown architecture'}"
        accepted = f"{option.default}: {kind.name} takes more for {_listed(option.architectures)} only"
        yield Problem(f"variants.{variant.name}.engine.options.{option.name}", found, accepted)


def _speculation(variant: ResolvedVariant, kind: KindFacts) -> Iterator[Problem]:
    """Yield a way to draft tokens that the kind does not have on this GPU or processor."""
    asked, target = variant.speculative, variant.target
    row = kind.speculation(asked.method) if asked else None
    if row is None or row.takes(target.compute_capability):
        return
    there = [one.method for one in kind.speculative if one.takes(target.compute_capability)]
    accepted = f"a method that {kind.name} has there: {_listed(there)}"
    yield Problem(
        f"variants.{variant.name}.speculative.method", f"{row.method} on {_named(target)}", accepted
    )


def _search(variant: ResolvedVariant, kind: KindFacts) -> Iterator[Problem]:
    """Check that every candidate of a search works by itself, and that the smallest is small enough."""
    search = variant.quantization.search
    if search is None:
        return
    where = f"variants.{variant.name}.quantization.search"
    usable = _candidates(variant, kind)
    refused = [name for name in search.candidates if name not in usable]
    if refused:
        accepted = (
            f"presets that {kind.name} supports on {_named(variant.target)} and ModelOpt {kind.modelopt} "
            f"makes on {variant.quantization.device}: {_listed(usable)}"
        )
        yield Problem(f"{where}.candidates", _listed(refused), accepted)
    if search.method != "gradient" and kind.modelopt in SEARCHES_BY_GRADIENT:
        accepted = f"gradient: ModelOpt {kind.modelopt}, whose exports {kind.name} reads, has no other"
        yield Problem(f"{where}.method", search.method, accepted)
    bits = {name: load_recipes()[name].weight_bits or AS_STORED_BITS for name in search.candidates}
    smallest = min(bits, key=lambda name: bits[name])
    if search.effective_bits < bits[smallest]:
        accepted = f"at least {bits[smallest]}, the bits of {smallest}, or a smaller candidate"
        yield Problem(f"{where}.effective_bits", f"{search.effective_bits:g}", accepted)


def _candidates(variant: ResolvedVariant, kind: KindFacts) -> list[str]:
    names = usable_recipes(kind, variant.target, None, variant.quantization.device)
    row = kind.recipe(variant.quantization.recipe)
    mixed = row.candidates if row else None
    presets = [name for name in names if load_recipes()[name].form == "preset"]
    return [name for name in presets if mixed is None or name in mixed]


def _modelopt(variant: ResolvedVariant, kind: KindFacts, row: Presets, key: str) -> Iterator[Problem]:
    """Report a preset that the kind's line of ModelOpt lacks, or has only on another device."""
    field, device = f"variants.{variant.name}.quantization", variant.quantization.device
    if not row.presets or _made_by(row, kind, device):
        return
    preset = row.preset(kind.modelopt)
    if preset is not None:
        accepted = f"{', '.join(preset.devices)}, where ModelOpt {kind.modelopt} exports {row.name}"
        yield Problem(f"{field}.device", f"{device} for {key} {row.name}", accepted)
        return
    usable = (
        usable_recipes(kind, variant.target, None, device)
        if isinstance(row, Recipe)
        else usable_kv_caches(kind, variant.target, device)
    )
    found = f"{row.name} with ModelOpt {kind.modelopt}, whose exports {kind.name} reads"
    yield Problem(f"{field}.{key}", found, f"one that this line has: {_listed(usable)}")


def _made_by(row: Presets, kind: KindFacts, device: str | None) -> bool:
    """Whether the kind's line of ModelOpt makes it on that device; what needs no preset works anywhere."""
    if not row.presets:
        return True
    preset = row.preset(kind.modelopt)
    return preset is not None and device in preset.devices


def _named(target: Target) -> str:
    capability = target.compute_capability
    return f"{target.name} (compute capability {capability})" if capability else target.name


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
