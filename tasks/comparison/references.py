"""Which references an engine is held against, and why. Pure.

Unless the spec declares them, they are, in this order:

1. vLLM with its own defaults, on the unquantized checkpoint. It also reads texts and scores answers.
2. vLLM with what is recommended for the model and hardware, if that is anything.
3. vLLM on the very weights that the engine was made of if they are quantized and vLLM loads them; otherwise,
   with weights that it quantizes by itself. It has the engine's format of the KV cache, and what is
   recommended.

4. vLLM that drafts tokens in the same way as the engine, if that does, on the weights of 3, or of 1.

So what quantizing and drafting give is distinguished from what compiling gives. If the time is short, those
that come first are left out first (`tasks.judging.measure.contest`).
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine_specs.spec import ResolvedVariant, Spec, VllmConfiguration
from engine_specs.tables import load_kinds, load_recipes, load_references
from tasks.hosts import need_of
from tasks.judging import Role, Side
from tasks.kinds import kv_cache_settings, loading_settings, vllm_serve_command, vllm_settings

# CPU flags in /proc/cpuinfo of instructions that multiply bfloat16, on x86-64 and on Arm.
BFLOAT16_FEATURES = {"avx512_bf16", "amx_bf16", "bf16"}
# ModelOpt's layout of checkpoints that vLLM reads.
LOADED_LAYOUT = "hf"
# The kind whose table says which ready-made checkpoints vLLM loads.
REFERENCE_KIND = "vllm"


@dataclass(frozen=True, slots=True)
class ReferenceTrees:
    """Digests of the trees that references are served from; an empty one is a tree that none is served from.

    Attributes:
        checkpoint: the unquantized checkpoint.
        weights: what the engine is made of.
        drafted: one with a draft below it: `weights` if vLLM loads these, otherwise `checkpoint`.
    """

    checkpoint: str
    weights: str = ""
    drafted: str = ""


NOTHING_SERVED = ReferenceTrees(checkpoint="")


@dataclass(frozen=True, slots=True)
class Reference:
    """One reference.

    Attributes:
        side: how it is served, and in which roles it takes part.
        why: why it takes part, as part of a sentence.
    """

    side: Side
    why: str


@dataclass(frozen=True, slots=True)
class References:
    """All references of a variant.

    Attributes:
        taken: those that take part; the first one serves the unquantized checkpoint, and scores accuracy.
        absent: why there is none in a role, by role.
    """

    taken: tuple[Reference, ...]
    absent: Mapping[Role, str]


def reference_sides(
    spec: Spec,
    variant: ResolvedVariant,
    trees: ReferenceTrees = NOTHING_SERVED,
    cpu_features: Collection[str] = (),
) -> tuple[Side, ...]:
    """Return the references as sides; see `references_of`."""
    found = references_of(spec, variant, trees, cpu_features)
    return tuple(one.side for one in found.taken)


def loads_weights(spec: Spec, variant: ResolvedVariant) -> bool:
    """Whether vLLM serves the very weights that the engine is made of."""
    return _References(spec, variant, NOTHING_SERVED, ()).loads_weights


def references_of(
    spec: Spec,
    variant: ResolvedVariant,
    trees: ReferenceTrees = NOTHING_SERVED,
    cpu_features: Collection[str] = (),
) -> References:
    """Return the references of a variant, with the reason for each, and for each role that nobody has.

    Args:
        spec: gives model and declared references.
        variant: gives target, shape, quantization and devices.
        trees: what they are served from; by default, only names, commands and reasons are asked for.
        cpu_features: CPU flags of the host that measures, besides those that the target requires.
    """
    return _References(spec, variant, trees, cpu_features).all()


class _References:
    def __init__(
        self,
        spec: Spec,
        variant: ResolvedVariant,
        trees: ReferenceTrees,
        cpu_features: Collection[str],
    ) -> None:
        self._spec = spec
        self._variant = variant
        self._trees = trees
        self._cpu_features = cpu_features
        self._table = load_references()
        self._recommended = self._table.recommendation(spec.checkpoint.repo, variant.target)

    def all(self) -> References:
        declared = self._spec.validation.reference.configurations
        absent: dict[Role, str] = {}
        if declared is not None:
            found = list(self._declared(declared))
            return References((*found, *self._drafting(declared[0].settings(), absent)), absent)
        found = [*self._plain(absent), *self._quantized(absent)]
        own = {"dtype": "float32"} if self._lacks_bfloat16 else {}
        return References((*found, *self._drafting({**self._settings, **own}, absent)), absent)

    def _declared(self, declared: Collection[VllmConfiguration]) -> Iterator[Reference]:
        """Yield what the spec declares; the first one is unquantized."""
        unquantized = [one for one in declared if one.quantization is None]
        if not unquantized:
            yield self._reference("vllm", {}, ("defaults",), "it scores accuracy: all declared are quantized")
        for one in (*unquantized, *(one for one in declared if one.quantization is not None)):
            settings = one.settings()
            name = " ".join(["vllm", *(f"{key}={value}" for key, value in settings.items())])
            yield self._reference(name, settings, ("declared",), "the spec declares it")

    def _plain(self, absent: dict[Role, str]) -> Iterator[Reference]:
        """Yield those on the unquantized checkpoint."""
        roles: tuple[Role, ...] = ("defaults",)
        why = "vLLM with its own defaults"
        if not self._is_quantized:
            roles, why = (*roles, "same-weights"), f"{why}, on the weights that the engine is made of"
        yield self._reference("vllm", {}, roles, why)
        if self._settings:
            why = f"vLLM with what {self._recipes} recommends for {self._on}"
            yield self._reference("vllm recommended", self._settings, ("recommended",), why)
        if self._lacks_bfloat16:
            why = "the processor does not compute in bfloat16, so vLLM is faster in float32"
            name, settings = "vllm dtype=float32", {**self._settings, "dtype": "float32"}
            yield self._reference(name, settings, ("recommended",), why)
        elif self._recommended is None:
            absent["recommended"] = f"{self._recipes} says nothing about {self._on}"
        elif not self._settings:
            absent["recommended"] = f"{self._recipes} has nothing beyond vLLM's defaults for {self._on}"

    def _quantized(self, absent: dict[Role, str]) -> Iterator[Reference]:
        """Yield the one with quantized weights, or say why there is none."""
        if not self._is_quantized:
            return
        target, quantization = self._variant.target, self._variant.quantization
        cache = kv_cache_settings(quantization.kv_cache, target)
        recommended: tuple[Role, ...] = ("recommended",) if self._settings else ()
        loading = self._loading()
        if loading is not None and self._layout == LOADED_LAYOUT:
            yield self._reference(
                "vllm same-weights",
                {**self._settings, **loading, **cache},
                ("same-weights", *recommended),
                "vLLM on the quantized weights that the engine is made of",
                tree=self._trees.weights,
            )
            return
        absent["same-weights"] = self._not_loaded()
        if (own := self._table.quantizing(target)) is not None:
            settings = own.settings if load_recipes()[quantization.recipe].form != "none" else {}
            yield self._reference(
                "vllm own-quantization",
                {**self._settings, **settings, **cache},
                ("own-quantization", *recommended),
                "vLLM with weights that it quantizes by itself, as it does not load the engine's",
            )
        else:
            absent["own-quantization"] = f"on {target.name}, vLLM quantizes nothing by itself"

    def _drafting(self, settings: Mapping[str, Any], absent: dict[Role, str]) -> Iterator[Reference]:
        """Yield the one that drafts as the engine does, or say why there is none.

        Args:
            settings: what it has besides.
            absent: gets the reason.
        """
        asked, target = self._variant.speculative, self._variant.target
        if asked is None:
            return
        row = load_kinds()[REFERENCE_KIND].speculation(asked.method)
        if row is None or not row.takes(target.compute_capability):
            absent["declared"] = f"on {target.name}, vLLM does not draft with {asked.method}"
            return
        quantized, own = self._quantized_settings(), vllm_settings(asked, "{tree}")
        plain = self._trees.weights if self.loads_weights else self._trees.checkpoint
        tree = self._trees.drafted if asked.draft else plain
        why = f"vLLM that drafts tokens as the engine does ({asked.text()})"
        yield self._reference(
            f"vllm {asked.method}", {**settings, **quantized, **own}, ("declared",), why, tree=tree
        )

    def _quantized_settings(self) -> Mapping[str, Any]:
        """Return the settings for weights and cache like the engine's; none if it is not quantized."""
        if not self._is_quantized:
            return {}
        quantization, target = self._variant.quantization, self._variant.target
        cache = kv_cache_settings(quantization.kv_cache, target)
        if self.loads_weights:
            return {**(self._loading() or {}), **cache}
        own = self._table.quantizing(target)
        quantizes = own is not None and load_recipes()[quantization.recipe].form != "none"
        return {**(own.settings if own and quantizes else {}), **cache}

    @property
    def loads_weights(self) -> bool:
        """Whether vLLM serves the very weights that the engine is made of."""
        if not self._is_quantized:
            return True
        return self._layout == LOADED_LAYOUT and self._loading() is not None

    def _loading(self) -> Mapping[str, Any] | None:
        """Return the settings with which vLLM loads the engine's weights; None if it may not load them.

        The format of a ready-made checkpoint is not known here: vLLM has to load all that the kind takes.
        """
        recipe, target = self._variant.quantization.recipe, self._variant.target
        if self._variant.quantization.source is None:
            return loading_settings(recipe, target)
        taken, loaded = (
            {(row.tool, row.format) for row in kind.ready_made if row.takes(target.compute_capability)}
            for kind in (load_kinds()[self._variant.engine.kind], load_kinds()[REFERENCE_KIND])
        )
        return {} if taken <= loaded else None

    def _not_loaded(self) -> str:
        recipe = self._variant.quantization.recipe
        if self._variant.quantization.source is not None:
            kind, target = self._variant.engine.kind, self._variant.target.name
            return f"vLLM does not load all formats of ready-made checkpoints that {kind} takes on {target}"
        if self._layout != LOADED_LAYOUT:
            return f"the engine is made of a checkpoint in {self._layout}'s layout, which vLLM does not load"
        return f"vLLM does not load weights of recipe {recipe} on {self._variant.target.name}"

    def _reference(
        self,
        name: str,
        settings: Mapping[str, Any],
        roles: tuple[Role, ...],
        why: str,
        tree: str | None = None,
    ) -> Reference:
        need = need_of(self._variant)
        side = Side(
            name=name,
            roles=roles,
            serve=vllm_serve_command(settings, self._variant),
            tree=self._trees.checkpoint if tree is None else tree,
            devices=need.count,
            gpu_names=need.names,
        )
        return Reference(side, why)

    @property
    def _settings(self) -> Mapping[str, Any]:
        return {} if self._recommended is None else self._recommended.settings

    @property
    def _recipes(self) -> str:
        return f"vllm-project/recipes@{self._table.commit[:12]}"

    @property
    def _on(self) -> str:
        return f"{self._spec.checkpoint.repo} on {self._variant.target.name}"

    @property
    def _layout(self) -> str:
        return load_kinds()[self._variant.engine.kind].export_format

    @property
    def _is_quantized(self) -> bool:
        """Whether the engine is made of anything but the weights and the cache format of the checkpoint."""
        quantization = self._variant.quantization
        return load_recipes()[quantization.recipe].form != "none" or quantization.kv_cache != "none"

    @property
    def _lacks_bfloat16(self) -> bool:
        target = self._variant.target
        has_bfloat16 = BFLOAT16_FEATURES & {*target.cpu_features, *self._cpu_features}
        return target.accelerator == "cpu" and not has_bfloat16
