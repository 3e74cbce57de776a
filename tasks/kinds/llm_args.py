"""Arguments of TensorRT-LLM's LLM class: what a spec decides, with what it passes through on top.

Invariants:
- A path with dots leads to one argument: `kv_cache_config.enable_block_reuse`. A section that is switched off
  is decided as a whole: `cuda_graph_config` is null.
- What a spec passes may only add to what is decided: another value for a decided argument is a problem.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine_specs.reading import Problem
from engine_specs.spec import ResolvedVariant
from engine_specs.tables import load_llm_args


@dataclass(frozen=True, slots=True)
class Decided:
    """The value of an argument, and what in the spec decides it."""

    value: Any
    by: str


def shape_args(variant: ResolvedVariant, *names: str) -> dict[str, Decided]:
    """Return arguments that are named like sizes of the variant's shape."""
    return {name: Decided(getattr(variant.shape, name), f"shape.{name}") for name in names}


def option_args(variant: ResolvedVariant, at: str, *names: str) -> dict[str, Decided]:
    """Return arguments in a section that are named like options of the kind; `at` may be empty."""
    options, prefix = variant.engine.options, f"{at}." if at else ""
    return {f"{prefix}{name}": Decided(options[name], f"engine.options.{name}") for name in names}


def whole_args(variant: ResolvedVariant, decided: Mapping[str, Decided]) -> dict[str, Any]:
    """Return all arguments, nested as the tool takes them: what is decided, and what the spec passes."""
    nested: dict[str, Any] = {}
    for path, one in decided.items():
        *sections, name = path.split(".")
        holder = nested
        for section in sections:
            holder = holder.setdefault(section, {})
        holder[name] = one.value
    return _with(nested, plain(variant.engine.llm_args))


def passed_problems(variant: ResolvedVariant, decided: Mapping[str, Decided]) -> Iterator[Problem]:
    """Yield passed arguments that contradict what the spec decides, and nested ones that are not whole."""
    where = f"variants.{variant.name}.engine.llm_args"
    for path, value in _leaves(plain(variant.engine.llm_args)):
        for at, one in decided.items():
            adds_nothing = value == {} and path != at
            same = path == at and value == one.value
            if _overlap(path, at) and not (same or adds_nothing):
                accepted = f"nothing: {at} is {one.value!r} by {one.by}"
                yield Problem(f"{where}.{path}", repr(value), accepted)
    without = "a value: it has no default, and others next to it are given"
    for path in load_llm_args()[variant.engine.kind].missing(whole_args(variant, decided)):
        yield Problem(f"{where}.{path}", "nothing", without)


def unchecked_args(variant: ResolvedVariant) -> tuple[str, ...]:
    """Return the paths of passed arguments that the table of the release does not have, sorted."""
    table = load_llm_args().get(variant.engine.kind)
    if table is None:
        return ()
    return tuple(sorted(".".join(one.path) for one in table.unknown(variant.engine.llm_args)))


def plain(value: Any) -> Any:
    """Return data with lists instead of the YAML reader's tuples."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def _with(decided: Mapping[str, Any], passed: Mapping[str, Any]) -> dict[str, Any]:
    """Add what is passed; where it contradicts what is decided, the latter stays."""
    result = dict(passed)
    for name, value in decided.items():
        base = passed.get(name)
        inner = base if isinstance(base, Mapping) else {}
        result[name] = _with(value, inner) if isinstance(value, Mapping) else value
    return result


def _leaves(passed: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in passed.items():
        path = f"{at}.{name}" if at else name
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, path)
        else:
            yield path, value


def _overlap(path: str, at: str) -> bool:
    return path == at or path.startswith(f"{at}.") or at.startswith(f"{path}.")
