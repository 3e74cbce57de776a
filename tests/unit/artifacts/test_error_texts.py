"""Errors have one form: fragments in lower case without a period, printed after `enginery: ` and `fix: `.

The source is read, not run: every text that can become the `what` or `fix` of an error, through variables,
parameters, constants, conditions and functions. What is only known at run time is not looked at.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest
from support.paths import ROOT

PACKAGES = ("artifacts", "engine_specs", "tasks", "flows")
# Where the texts are in a call; all other errors begin with their `what`.
PLACES = {
    "Refusal": ("failure", "what", "where", "fix"),
    "Obstacle": ("reason", "fix"),
    "NoOpinion": ("reason",),
}
WORDED = ("what", "fix", "reason")
# They list problems.
WITHOUT_TEXT = {"SpecInvalid", "PreflightRefused"}
# It answers with the words of the Hub.
EXCEPTED = {"flows/demo/hub_server.py"}
# Names that are written like other words; GPU, S3 or ModelOpt have a second capital or a digit.
NAME = re.compile(r"(Python|Prefect|Content-Length)\b")
CAPITALIZED = re.compile(r"[A-Z][a-z]*\b")
SECOND_SENTENCE = re.compile(r"\. [A-Z]")
DEEPEST = 8


@dataclass(frozen=True)
class Part:
    """An expression that gives a text, or only how it begins or ends; `item` is its place in a tuple."""

    node: ast.expr
    begins: bool = True
    ends: bool = True
    item: int = -1


@dataclass
class Source:
    """Modules by path, with an index of where texts come from."""

    files: dict[str, str]
    scopes: dict[ast.AST, ast.AST] = field(default_factory=dict)
    paths: dict[ast.AST, str] = field(default_factory=dict)
    bases: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    calls: dict[str, list[ast.Call]] = field(default_factory=lambda: defaultdict(list))
    functions: dict[str, list[ast.FunctionDef]] = field(default_factory=lambda: defaultdict(list))
    returned: dict[ast.AST, list[ast.expr]] = field(default_factory=lambda: defaultdict(list))
    assigned: dict[tuple[ast.AST, str], list[Part]] = field(default_factory=lambda: defaultdict(list))
    constants: dict[str, list[Part]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        for path, text in self.files.items():
            tree = ast.parse(text)
            self._index(tree, tree, path)

    def _index(self, node: ast.AST, scope: ast.AST, path: str) -> None:
        self.scopes[node], self.paths[node] = scope, path
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self.functions[node.name].append(node)
                scope = node
            case ast.ClassDef():
                self.bases[node.name] |= {name(base) for base in node.bases}
            case ast.Call():
                self.calls[name(node.func)].append(node)
            case ast.Return(value=ast.expr() as value):
                self.returned[scope].append(value)
            case ast.Assign(targets=[target], value=value):
                self._assign(target, value, scope)
            case (
                ast.NamedExpr(target=target, value=value)
                | ast.AnnAssign(target=target, value=ast.expr() as value)
            ):
                self._assign(target, value, scope)
        for child in ast.iter_child_nodes(node):
            self._index(child, scope, path)

    def _assign(self, target: ast.expr, value: ast.expr, scope: ast.AST) -> None:
        pairs = enumerate(target.elts) if isinstance(target, ast.Tuple) else [(-1, target)]
        for item, each in pairs:
            if isinstance(each, ast.Name):
                self.assigned[scope, each.id].append(Part(value, item=item))
                if isinstance(scope, ast.Module):
                    self.constants[each.id].append(Part(value, item=item))

    def is_error(self, called: str) -> bool:
        """Whether this is a class of errors, by the names of its bases."""
        known = called in PLACES or called.endswith(("Error", "Exception"))
        return known or any(map(self.is_error, self.bases.get(called, ())))

    def given(self) -> Iterator[Part]:
        """Every argument that is the text of an error."""
        for called in filter(self.is_error, set(self.bases) - WITHOUT_TEXT):
            places = PLACES.get(called, ("what",))
            for call in self.calls[called]:
                if self.paths[call] not in EXCEPTED:
                    words = dict(zip(places, call.args, strict=False))
                    words |= {each.arg: each.value for each in call.keywords if each.arg}
                    yield from (Part(words[place]) for place in WORDED if place in words)

    def texts(self, part: Part, depth: int = 0) -> Iterator[tuple[ast.expr, bool, bool]]:
        """The literals that a text consists of, or begins or ends with."""
        node = part.node
        if depth > DEEPEST:
            return
        if isinstance(node, ast.JoinedStr) or (
            isinstance(node, ast.Constant) and isinstance(node.value, str)
        ):
            yield node, part.begins, part.ends
        for source in self._sources(part):
            yield from self.texts(source, depth + 1)

    def _sources(self, part: Part) -> Iterator[Part]:
        """What a text comes from, one step back: where else in the source it is written."""
        match part.node:
            case ast.Subscript(value=ast.Name() as table) if table.id.isupper():
                yield replace(part, node=table)
            case ast.Call(func=ast.Attribute(value=template, attr="format")):
                yield replace(part, node=template)
            case ast.Call(func=called):
                functions = self.functions.get(name(called), [])
                local = [each for each in functions if self.paths[each] == self.paths[part.node]]
                for function in local or functions:
                    yield from (replace(part, node=each) for each in self.returned[function])
            case ast.Name(id=variable):
                scope = self.scopes[part.node]
                given = self._arguments(scope, variable) if isinstance(scope, ast.FunctionDef) else ()
                assigned = self.assigned.get((scope, variable)) or self.constants.get(variable, [])
                for each in (*assigned, *given):
                    yield replace(part, node=each.node, item=each.item if each.item >= 0 else part.item)
            case _:
                yield from _pieces(part)

    def _arguments(self, function: ast.FunctionDef, parameter: str) -> Iterator[Part]:
        """What the callers of a function pass as a parameter."""
        names = [each.arg for each in (*function.args.posonlyargs, *function.args.args)]
        names = names[1:] if names[:1] in (["self"], ["cls"]) else names
        for call in self.calls[function.name]:
            if self.paths[call] == self.paths[function] or not function.name.startswith("_"):
                given = dict(zip(names, call.args, strict=False))
                given |= {each.arg: each.value for each in call.keywords if each.arg}
                if parameter in given:
                    yield Part(given[parameter])


def name(called: ast.expr) -> str:
    """The last name of `module.Class`."""
    return called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")


def _pieces(part: Part) -> Iterator[Part]:
    """The expressions that a text is chosen from, or begins and ends with."""
    match part.node:
        case ast.Tuple(elts=items) if part.item >= 0:
            yield replace(part, node=items[part.item], item=-1)
        case ast.JoinedStr(values=[first, *rest]):
            last = rest[-1] if rest else first
            if isinstance(first, ast.FormattedValue):
                yield Part(first.value, part.begins, ends=False)
            if isinstance(last, ast.FormattedValue):
                yield Part(last.value, begins=False, ends=part.ends)
        case ast.BinOp(left=left, right=right, op=ast.Add()):
            yield Part(left, part.begins, ends=False)
            yield Part(right, begins=False, ends=part.ends)
        case ast.IfExp(body=one, orelse=other):
            yield from (replace(part, node=each) for each in (one, other))
        case ast.BoolOp(values=values) | ast.Dict(values=values):
            yield from (replace(part, node=each) for each in values)


def wording(node: ast.expr) -> str:
    """A literal with `{}` for its values."""
    values = node.values if isinstance(node, ast.JoinedStr) else [node]
    return "".join(str(each.value) if isinstance(each, ast.Constant) else "{}" for each in values)


def faults(files: dict[str, str]) -> list[str]:
    """The texts of errors that do not have the form."""
    source = Source(files)
    parts = {text for given in source.given() for text in source.texts(given)}
    found = set()
    for node, begins, ends in parts:
        text = wording(node)
        capitalized = begins and CAPITALIZED.match(text) and not NAME.match(text)
        period = ends and text.endswith(".") and not text.endswith("..")
        if capitalized or period or SECOND_SENTENCE.search(text):
            found.add(f"{source.paths[node]}:{node.lineno}: {text}")
    return sorted(found)


ERRORS = "class Bad(EngineryError): ...\nclass Refusal(Exception): ...\n"


@pytest.mark.parametrize(
    "source",
    [
        'raise Bad("The disk is full")',
        'raise Bad("the disk is full.")',
        'raise Bad(f"Port {port} is taken")',
        'raise Bad("the disk is full. Free some space")',
        'raise Bad("it failed", fix="Try again")',
        'raise Refusal("input", "No such file")',
        'FIX = "Try again"\nraise Bad("it failed", fix=FIX)',
        'WHY = {1: "Too long"}\nraise Bad(f"{WHY[1]}: {name}")',
        'def f(bad):\n    what = "It failed" if bad else "it is odd"\n    raise Bad(what)',
        'def f():\n    what, fix = g()\n    raise Bad(what, fix=fix)\ndef g():\n    return "a", "Try again"',
        'def f(why):\n    raise Bad(f"it failed: {why}")\nf("no reason.")',
        'def f(why):\n    raise Bad(f"{why}: it failed")\nf(why="No reason")',
        'class Worse(Bad): ...\nraise Worse("it failed: " + "no reason.")',
    ],
)
def test_other_forms_are_found(source: str) -> None:
    assert len(faults({"module.py": ERRORS + source})) == 1


@pytest.mark.parametrize(
    "source",
    [
        'raise Bad("the disk is full", where="Anywhere.", fix="free some space; try again")',
        'raise Bad("GPU 3 is taken")',
        'raise Bad("S3 does not allow it, and neither does Prefect")',
        'raise Bad("TensorRT-LLM ended without an answer")',
        'raise Bad("Python 3.12 is needed")',
        'raise Bad("ModelOpt is missing")',
        'raise Bad(f"{name} has bytes {digest[:16]}.. instead")',
        'raise Bad(f"the digest is {digest[:16]}..")',
        'def f(why):\n    raise Bad(f"it failed: {why}")\nf("The disk is full")',
        'print("A sentence.")',
    ],
)
def test_the_form_is_not(source: str) -> None:
    assert faults({"module.py": ERRORS + source}) == []


def test_every_error_has_the_form() -> None:
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    files = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in paths}
    source = Source(files)
    assert len({text for given in source.given() for text in source.texts(given)}) > 600
    assert faults(files) == []
