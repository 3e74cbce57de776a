"""Rules between fields: what no field can check by itself.

Each rule reads plain data and yields violations at locations of that data. A value that is missing or could
not be read is None here, and a rule that needs it stays silent: that error is already reported. So all rules
run over the whole file, whatever else is wrong with it.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from engine_specs.reading import (
    RESERVED_VARIANTS,
    Data,
    Loc,
    is_commit,
    is_reserved,
    origin,
    suggestion,
)
from engine_specs.spec.rules.parallel import parallel_violations
from engine_specs.spec.rules.speculative import speculative_violations
from engine_specs.spec.rules.tasks import task_violations
from engine_specs.spec.rules.violation import UNREADABLE, View, Violation
from engine_specs.tables import (
    KindFacts,
    load_kinds,
    load_kv_caches,
    load_llm_args,
    load_recipes,
    load_targets,
)

# The recipe of a variant whose quantized checkpoint is a source, implied by it.
READY_MADE: Final = "ready_made"
CHUNKED: Final = "enable_chunked_prefill"
DEFAULT_CONFIDENCE: Final = 0.95


def violations(spec: Data, variants: Sequence[Data | None]) -> tuple[Violation, ...]:
    """Return every broken rule of a spec; what a default breaks is reported once per variant.

    Args:
        spec: the spec as written.
        variants: the merged variants, in order; None for one that could not be merged.
    """
    view = View(spec)
    found = list(_spec_rules(view, [View(v) for v in variants if v is not None]))
    for index, variant in enumerate(variants):
        if variant is not None:
            found += _located(_variant_rules(View(variant), view), index, view)
            found += _renamed_dataset(index, view)
    return tuple(found)


def _located(found: Iterable[Violation], index: int, view: View) -> Iterator[Violation]:
    defaults, overrides = view.get("defaults") or {}, view.get("variants")[index]
    for item in found:
        yield Violation(origin(item.loc, index, defaults, overrides), item.found, item.accepted)


def _spec_rules(view: View, variants: list[View]) -> Iterator[Violation]:
    yield from _checkpoint_pin(view)
    yield from _text_source(view, ("validation", "accuracy"))
    for index in range(len(view.get("validation", "tasks") or ())):
        yield from _text_source(view, ("validation", "tasks", index))
    yield from task_violations(view)
    yield from _operating_point(view)
    yield from _arrivals(view)
    yield from _repeats(view, ("workload", "concurrency"))
    yield from _repeats(view, ("workload", "sweep"))
    yield from _repeats(view, ("channels",))
    yield from _repeats(view, ("validation", "reference", "configurations"))
    yield from _variant_names(view)
    if variants and all(variant.get("required") is False for variant in variants):
        yield Violation(("variants",), "no required variant", "at least one variant with required: true")


def _variant_rules(variant: View, spec: View) -> Iterator[Violation]:
    yield from _shape(variant)
    yield from _recipe_form(variant)
    yield from _source(variant)
    yield from _workload_fits(variant, spec)
    yield from _kind(variant)
    yield from _calibration(variant)
    yield from speculative_violations(variant, spec)


def _checkpoint_pin(view: View) -> Iterator[Violation]:
    yield from _pin(view.get("checkpoint", "revision"), view.get("checkpoint", "track"), ("checkpoint",))


def _pin(revision: str | None, track: bool | None, loc: Loc) -> Iterator[Violation]:
    if revision is None:
        return
    if not is_commit(revision) and not track:
        accepted = "a commit of 40 hexadecimal digits; a branch or tag only together with track: true"
        yield Violation((*loc, "revision"), repr(revision), accepted)
    if is_commit(revision) and track:
        yield Violation(
            (*loc, "track"),
            "true with a commit",
            "false: a commit never moves, so there is nothing to follow",
        )


def _text_source(view: View, loc: Loc) -> Iterator[Violation]:
    source = View(view.get(*loc))
    if not isinstance(source.data, Mapping):
        return
    no_dataset, no_path = source.lacks("dataset"), source.lacks("path")
    if no_dataset and no_path:
        yield Violation(loc, "neither dataset nor path", "a dataset on the Hub or the path of a file")
    elif not no_dataset and not no_path:
        yield Violation(
            (*loc, "path"), "a path next to a dataset", "one of the two (an override removes one with null)"
        )
    elif no_path:
        for key in ("revision", "split"):
            if source.lacks(key):
                yield Violation((*loc, key), "", f"required: a dataset on the Hub needs its {key}")
        yield from _pin(source.get("revision"), source.get("track"), loc)
    else:
        for key in ("revision", "split", "track"):
            if source.get(key):
                yield Violation(
                    (*loc, key),
                    repr(source.get(key)),
                    "nothing: this is for datasets on the Hub, not for files",
                )


def _renamed_dataset(index: int, view: View) -> Iterator[Violation]:
    loc: Loc = ("variants", index, "quantization", "calibration")
    own = View(view.get("variants")[index]).get("quantization", "calibration")
    inherited = view.get("defaults", "quantization", "calibration", "revision")
    if isinstance(own, Mapping) and own.get("dataset") and "revision" not in own and inherited:
        accepted = "required with dataset: an inherited revision belongs to another repository"
        yield Violation((*loc, "revision"), "", accepted)


def _operating_point(view: View) -> Iterator[Violation]:
    point, levels = view.get("workload", "operating_point"), view.get("workload", "concurrency")
    if point is not None and levels and UNREADABLE not in levels and point not in levels:
        yield Violation(
            ("workload", "operating_point"), str(point), f"one of concurrency: {', '.join(map(str, levels))}"
        )


def _arrivals(view: View) -> Iterator[Violation]:
    arrivals = View(view.get("workload", "arrivals"))
    if arrivals.get("per_s") is not None and arrivals.get("share_of_capacity") is not None:
        loc = ("workload", "arrivals", "share_of_capacity")
        yield Violation(loc, "a share next to per_s", "one of the two: a rate per second needs no share")
    yield from _enough_arrivals(view, arrivals.get("per_s"))


def _enough_arrivals(view: View, per_s: float | None) -> Iterator[Violation]:
    """Refuse a rate at which the budget cannot show a 99th percentile, even without a miss."""
    speed = View(view.get("validation", "speed"))
    minutes, confidence = speed.get("budget_minutes"), speed.get("confidence") or DEFAULT_CONFIDENCE
    if per_s is None or minutes is None:
        return
    requests = math.ceil(math.log(1 - confidence) / math.log(0.99))
    if requests / per_s > minutes * 60:
        accepted = (
            f"at least {math.ceil(requests / per_s / 60)}: a 99th percentile takes {requests} requests "
            f"without a miss, and workload.arrivals.per_s sends {per_s:g} per second"
        )
        yield Violation(("validation", "speed", "budget_minutes"), f"{minutes:g}", accepted)


def _repeats(view: View, loc: tuple[str, ...]) -> Iterator[Violation]:
    items = view.get(*loc) or ()
    for i, item in enumerate(items):
        if item is not UNREADABLE and item in items[:i]:
            yield Violation((*loc, i), "the same value again", "each value once")


def _variant_names(view: View) -> Iterator[Violation]:
    seen: dict[str, int] = {}
    for i, variant in enumerate(view.get("variants") or ()):
        name = View(variant).get("name")
        if name in seen:
            yield Violation(
                ("variants", i, "name"), repr(name), f"a unique name; variants[{seen[name]}] has this one"
            )
        elif name is not None:
            seen[name] = i
        if name is not None and is_reserved(name):
            taken = ", ".join(RESERVED_VARIANTS)
            accepted = f"another name: hosts that install it use {taken} and versions for their own records"
            yield Violation(("variants", i, "name"), repr(name), accepted)


def _shape(variant: View) -> Iterator[Violation]:
    input_len, seq_len = variant.get("shape", "max_input_len"), variant.get("shape", "max_seq_len")
    if input_len is not None and seq_len is not None and input_len >= seq_len:
        accepted = (
            f"at least {input_len + 1}: a prompt of max_input_len ({input_len}) and one token of output"
        )
        yield Violation(("shape", "max_seq_len"), str(seq_len), accepted)
    tokens = variant.get("shape", "max_num_tokens")
    bounds = {"max_batch_size": "every sequence advances by a token in one iteration"}
    if not _reads_in_pieces(variant):
        bounds["max_input_len"] = "a whole prompt is read in one iteration, without enable_chunked_prefill"
    for key, why in bounds.items():
        need = variant.get("shape", key)
        if tokens is not None and need is not None and tokens < need:
            yield Violation(("shape", "max_num_tokens"), str(tokens), f"at least {need} ({key}): {why}")


def _reads_in_pieces(variant: View) -> bool:
    """Whether the kind reads a long prompt in several iterations, by the spec or the kind's default."""
    facts = load_kinds().get(variant.get("engine", "kind") or "")
    declared = {option.name: option.default for option in facts.options} if facts else {}
    if CHUNKED not in declared:
        return False
    chosen = variant.get("engine", "options", CHUNKED)
    return bool(declared[CHUNKED] if chosen is None else chosen)


def _workload_fits(variant: View, spec: View) -> Iterator[Violation]:
    given, output = spec.get("workload", "input_tokens"), spec.get("workload", "output_tokens")
    input_len, seq_len = variant.get("shape", "max_input_len"), variant.get("shape", "max_seq_len")
    if given is not None and input_len is not None and given > input_len:
        yield Violation(
            ("shape", "max_input_len"), str(input_len), f"at least {given}: the workload's input_tokens"
        )
    if None not in (given, output, seq_len) and given + output > seq_len:
        accepted = f"at least {given + output}: the workload's input_tokens and output_tokens"
        yield Violation(("shape", "max_seq_len"), str(seq_len), accepted)
    yield from _sweep_fits(variant, spec)
    point, batch = spec.get("workload", "operating_point"), variant.get("shape", "max_batch_size")
    copies = variant.get("data_parallel") or 1
    if point is not None and batch is not None and point > batch * copies:
        least = math.ceil(point / copies)
        accepted = f"at least {least}: otherwise requests always wait at the workload's operating_point"
        yield Violation(("shape", "max_batch_size"), str(batch), accepted)


def _sweep_fits(variant: View, spec: View) -> Iterator[Violation]:
    """Check the lengths that are measured besides; the smallest shape that holds all of them is named."""
    for key, parts in (
        ("max_input_len", ["input_tokens"]),
        ("max_seq_len", ["input_tokens", "output_tokens"]),
    ):
        most = variant.get("shape", key)
        lengths = [[View(one).get(part) for part in parts] for one in spec.get("workload", "sweep") or ()]
        needed = max((sum(one) for one in lengths if None not in one), default=0)
        if most is not None and needed > most:
            accepted = f"at least {needed}: the {' and '.join(parts)} of workload.sweep"
            yield Violation(("shape", key), str(most), accepted)


def _kind(variant: View) -> Iterator[Violation]:
    facts = load_kinds().get(variant.get("engine", "kind") or "")
    if facts is None:
        return
    yield from _kind_target(variant, facts)
    recipe, kv_cache = _recipe_of(variant), variant.get("quantization", "kv_cache")
    if recipe is not None and facts.recipe(recipe) is None:
        known = _known([row.name for row in facts.recipes], facts.why_not("recipes", recipe, None))
        yield Violation(
            ("quantization", "recipe"), repr(recipe), f"a recipe that {facts.name} supports: {known}"
        )
    if kv_cache is not None and facts.kv_cache(kv_cache) is None:
        known = _known([row.name for row in facts.kv_caches], facts.why_not("kv_caches", kv_cache, None))
        yield Violation(
            ("quantization", "kv_cache"), repr(kv_cache), f"a format that {facts.name} supports: {known}"
        )
    yield from _options(variant, facts)
    yield from _llm_args(variant, facts)
    yield from _quantize_device(variant, facts)
    yield from parallel_violations(variant, facts)


def _options(variant: View, facts: KindFacts) -> Iterator[Violation]:
    declared = {option.name: option for option in facts.options}
    for name, value in (variant.get("engine", "options") or {}).items():
        if name not in declared:
            known = ", ".join(declared) or "none"
            accepted = f"{suggestion(name, declared)}options of {facts.name}: {known}"
            yield Violation(("engine", "options", name), "an unknown option", accepted)
        elif value is not UNREADABLE and value is not None and (wanted := declared[name].refuse(value)):
            yield Violation(("engine", "options", name), repr(value), wanted)


def _llm_args(variant: View, facts: KindFacts) -> Iterator[Violation]:
    given, where = variant.get("engine", "llm_args"), ("engine", "llm_args")
    unchecked, table = bool(variant.get("engine", "unchecked")), load_llm_args().get(facts.name)
    if not isinstance(given, Mapping) or not given:
        if unchecked:
            yield Violation(("engine", "unchecked"), "true without llm_args", "nothing: it is about llm_args")
        return
    if table is None:
        known = ", ".join(load_llm_args())
        yield Violation(where, f"arguments for {facts.name}", f"nothing: only {known} take llm_args")
        return
    for problem in table.refused(given):
        yield Violation((*where, *problem.path), problem.found, problem.accepted)
    for problem in () if unchecked else table.unknown(given):
        accepted = f"{problem.accepted}; or engine.unchecked: true, which plan and release then say"
        yield Violation((*where, *problem.path), problem.found, accepted)


def _quantize_device(variant: View, facts: KindFacts) -> Iterator[Violation]:
    target = load_targets().get(variant.get("target") or "")
    asked = variant.get("quantization", "device") or (target.accelerator if target else None)
    if asked is not None and asked not in facts.toolchains.quantize:
        known = ", ".join(facts.toolchains.quantize)
        accepted = f"a device that {facts.name}'s ModelOpt runs on: {known}"
        yield Violation(("quantization", "device"), repr(asked), accepted)


def _kind_target(variant: View, facts: KindFacts) -> Iterator[Violation]:
    target = load_targets().get(variant.get("target") or "")
    if target is None:
        return
    if target.accelerator not in facts.accelerators or target.platform not in facts.platforms:
        targets = load_targets().values()
        fitting = [
            t.name for t in targets if t.accelerator in facts.accelerators and t.platform in facts.platforms
        ]
        yield Violation(
            ("target",), repr(target.name), f"a target that {facts.name} builds for: {', '.join(fitting)}"
        )


def _known(names: Sequence[str], why_not: str) -> str:
    return f"{', '.join(names)}; not this one: {why_not}"


def _recipe_of(variant: View) -> str | None:
    """Return the recipe that is written or implied; None if it is missing or unreadable."""
    if variant.lacks("quantization", "recipe") and variant.get("quantization", "source"):
        return READY_MADE
    name: str | None = variant.get("quantization", "recipe")
    return name


def _source(variant: View) -> Iterator[Violation]:
    """Check the pin of a ready-made checkpoint, and that nothing else says how it is quantized."""
    source = variant.get("quantization", "source")
    if source is None:
        if variant.lacks("quantization", "recipe"):
            accepted = "required: none, or how weights are quantized; or source, a quantized checkpoint"
            yield Violation(("quantization", "recipe"), "", accepted)
        return
    revision = View(source).get("revision")
    if revision is not None and not is_commit(revision):
        accepted = "a commit of 40 hexadecimal digits: what is used as it is may not change"
        yield Violation(("quantization", "source", "revision"), repr(revision), accepted)
    kv_cache = variant.get("quantization", "kv_cache")
    if kv_cache not in (None, "none"):
        accepted = "nothing: the source's own files say how keys and values are stored"
        yield Violation(("quantization", "kv_cache"), repr(kv_cache), accepted)


def _recipe_form(variant: View) -> Iterator[Violation]:
    recipe = load_recipes().get(_recipe_of(variant) or "")
    for key, form in (("file", "file"), ("search", "search"), ("source", "source")):
        given = not variant.lacks("quantization", key)
        if recipe is not None and recipe.form == form and not given:
            yield Violation(("quantization", key), "", f"required: recipe {recipe.name} reads it")
        elif recipe is not None and recipe.form != form and given:
            owner = next((row.name for row in load_recipes().values() if row.form == form), None)
            yield Violation(("quantization", key), "a mapping", f"nothing: only recipe {owner} reads it")


def needs_calibration(recipe: str | None, kv_cache: str | None) -> bool:
    """Whether this quantization has scales that only text can give; unknown names have none."""
    recipe_row, cache_row = load_recipes().get(recipe or ""), load_kv_caches().get(kv_cache or "")
    return any(row is not None and row.needs_calibration for row in (recipe_row, cache_row))


def _calibration(variant: View) -> Iterator[Violation]:
    recipe, kv_cache = _recipe_of(variant), variant.get("quantization", "kv_cache")
    if not variant.lacks("quantization", "calibration"):
        yield from _text_source(variant, ("quantization", "calibration"))
    elif needs_calibration(recipe, kv_cache) and not variant.get("quantization", "source"):
        what = f"recipe {recipe}" if needs_calibration(recipe, None) else f"kv_cache {kv_cache}"
        yield Violation(
            ("quantization", "calibration"), "", f"required: {what} finds its scales by running text"
        )
