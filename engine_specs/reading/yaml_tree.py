"""Reading YAML text into plain data in which every value keeps its line.

Invariants:
- Scalars follow YAML 1.2's core rules: `no`, `on`, `1:30` and `2026-01-01` stay text, `1e-3` is a number.
- Nothing is executed, interpolated or shared: tags, aliases and merge keys are refused. What a spec says is
  on the line that says it.
- A key that is given twice is an error on the line of the second.

Text is read by libyaml, which takes a fifth of the time; text that it refuses is read again by PyYAML itself,
which says more precisely what is wrong.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.composer import Composer, ComposerError
from yaml.resolver import Resolver

from engine_specs.reading.errors import Problem

Loc = tuple[str | int, ...]

_TAG = "tag:yaml.org,2002:"
_CORE_RULES = [
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    # A leading zero means octal to some readers and decimal to others: left as text, and refused as a number.
    ("int", r"^[-+]?(?:0|[1-9][0-9]*)$", list("-+0123456789")),
    (
        "float",
        r"^[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$",
        list("-+.0123456789"),
    ),
]
# How PyYAML words most of what it finds instead of something else.
_EXPECTATION = re.compile(r"(?:did not find )?expected (?P<accepted>.+), but (?:got|found) (?P<found>.+)")


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a value was written: 1-based line and column of its key, or of itself inside a list."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML document as plain data (dict, tuple, str, int, float, bool, None) with its marks.

    Attributes:
        value: the data; None if the text is broken.
        marks: where each value was written, by its location.
        texts: each scalar as written, by its location (`1.10` reads as the number 1.1).
        problems: broken syntax, tags, aliases, and keys that are given twice.
    """

    value: Any
    marks: dict[Loc, Mark] = field(default_factory=dict)
    texts: dict[Loc, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def mark(self, loc: Loc) -> Mark:
        """Return where `loc` was written; if it is missing, where the nearest value around it was."""
        while loc not in self.marks and loc:
            loc = loc[:-1]
        return self.marks.get(loc, Mark(1, 1))


def dotted(loc: Loc) -> str:
    """Format a location as people write it: `variants[0].shape.max_batch_size`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return text.removeprefix(".")


def parse(text: str) -> Document:
    """Read one YAML document; what is wrong with it is returned in `problems`, never raised."""
    try:
        root = _composed(text)
    except yaml.MarkedYAMLError as error:
        return Document(None, problems=(_syntax_problem(error),))
    except yaml.reader.ReaderError as error:
        return Document(None, problems=(_character_problem(text, error.position),))
    except RecursionError:
        return Document(None, problems=(Problem("YAML", "", "less nesting: it is too deep to read", 1),))
    if root is None:
        return Document(None)
    reader = _TreeReader()
    value = reader.value(root, ())
    return Document(value, reader.marks, reader.texts, tuple(reader.problems))


def _composed(text: str) -> yaml.Node | None:
    with suppress(yaml.YAMLError, UnicodeError):
        return yaml.compose(text, Loader=_FastLoader)
    return yaml.compose(text, Loader=_Loader)


class _PlainNodes(Composer, Resolver):
    """Composes nodes by the core rules for scalars, and without aliases."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (PyYAML's own name)
    # Of the parser that a class below adds.
    check_event: Callable[..., bool]
    get_event: Callable[[], Any]

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.get_event()
            raise ComposerError(problem=f"alias *{event.anchor}", problem_mark=event.start_mark)
        return super().compose_node(parent, index)


for _name, _pattern, _first in _CORE_RULES:
    _PlainNodes.add_implicit_resolver(_TAG + _name, re.compile(_pattern), _first)


class _Loader(_PlainNodes, yaml.SafeLoader):
    """The nodes that PyYAML reads by itself."""


class _FastLoader(_PlainNodes, yaml.CSafeLoader):
    """The nodes that libyaml reads."""

    def __init__(self, stream: str) -> None:
        yaml.CSafeLoader.__init__(self, stream)
        Composer.__init__(self)


class _TreeReader:
    """Walks composed nodes once, collecting values, marks and problems."""

    def __init__(self) -> None:
        self.marks: dict[Loc, Mark] = {}
        self.texts: dict[Loc, str] = {}
        self.problems: list[Problem] = []

    def value(self, node: yaml.Node, loc: Loc) -> Any:
        self.marks.setdefault(loc, _mark_of(node))
        kind = node.tag.removeprefix(_TAG)
        if isinstance(node, yaml.MappingNode) and kind == "map":
            return self._mapping(node, loc)
        if isinstance(node, yaml.SequenceNode) and kind == "seq":
            return tuple(self.value(item, (*loc, i)) for i, item in enumerate(node.value))
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, kind, loc)
        return self._refuse(node, loc, node.tag, "no tag: plain values only")

    def _mapping(self, node: yaml.MappingNode, loc: Loc) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._refuse(key_node, loc, "a list or mapping as key", "a name as key")
                continue
            key = key_node.value
            if key in result:
                first = self.marks[(*loc, key)].line
                self._refuse(
                    key_node, (*loc, key), "the same key again", f"one value; the first is on line {first}"
                )
                continue
            self.marks[(*loc, key)] = _mark_of(key_node)
            result[key] = self.value(value_node, (*loc, key))
        return result

    def _scalar(self, node: yaml.ScalarNode, kind: str, loc: Loc) -> Any:
        text: str = node.value
        self.texts[loc] = text
        match kind:
            case "str":
                return text
            case "null":
                return None
            case "bool" if text.lower() in ("true", "false"):
                return text.lower() == "true"
            case "int" | "float":
                return self._number(node, kind, loc)
            case _:
                return self._refuse(node, loc, node.tag, "no tag: plain values only")

    def _number(self, node: yaml.ScalarNode, kind: str, loc: Loc) -> int | float | None:
        try:
            return int(node.value) if kind == "int" else float(node.value)
        except ValueError:
            # Reached by an explicit tag on other text, and by integers beyond Python's limit of 4300 digits.
            self._refuse(node, loc, node.value[:40], "a plain number")
            return None

    def _refuse(self, node: yaml.Node, loc: Loc, found: str, accepted: str) -> None:
        mark = _mark_of(node)
        self.problems.append(Problem(dotted(loc) or "YAML", found, accepted, mark.line, mark.column))


def _mark_of(node: yaml.Node) -> Mark:
    return Mark(node.start_mark.line + 1, node.start_mark.column + 1)


def _syntax_problem(error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    said = error.problem or error.context or "broken syntax"
    context = f" ({error.context})" if error.context else ""
    if said.startswith("alias "):
        found, accepted = said, "the value itself; what variants share belongs in defaults"
    elif "'\\t'" in said:
        found, accepted = "a tab", "spaces, with which YAML is indented"
    elif said.startswith("mapping values"):
        found, accepted = "a colon", "quotes around text that holds one, or the indentation of the line above"
    elif expectation := _EXPECTATION.fullmatch(said):
        found, accepted = expectation["found"], f"{expectation['accepted']}{context}"
    else:
        found = re.sub(r"^(?:but found|found|could not find expected) ", "", said)
        found, accepted = (f"no {found}" if "could not" in said else found), f"valid YAML{context}"
    found = found.replace("'<stream end>'", "the end of the file")
    return Problem("YAML", found, accepted, line, column)


def _character_problem(text: str, position: int) -> Problem:
    before = text[:position]
    line, column = before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1
    return Problem("YAML", f"the character {text[position]!a}", "printable text", line, column)
