"""Nothing public is there for tests alone: code that no other code uses is deleted.

Only names are compared, so a use counts for everything of that name.
"""

import ast
import re
from collections.abc import Iterator

from support.paths import ROOT

PACKAGES = ("artifacts", "engine_specs", "tasks", "flows")
# What libraries call: HTTP servers, torch, transformers, lm-eval, botocore and pydantic.
CALLED_BY_OTHERS = {
    *("do_GET", "do_HEAD", "do_POST", "log_message"),
    *("forward", "get_seq_length", "loglikelihood", "loglikelihood_rolling", "generate_until"),
    *("seekable", "settings_customise_sources"),
}
DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
WORD = re.compile(r"[A-Za-z_]\w*")


def defined(tree: ast.Module) -> Iterator[str]:
    """Functions, classes, methods and constants of a module, but for commands, which `App` collects."""
    for node in ast.walk(tree):
        if isinstance(node, DEFINITIONS) and not any(map(_registers, node.decorator_list)):
            yield node.name
    for statement in tree.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        yield from (name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name))


def _registers(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(called, ast.Attribute) and called.attr == "command"


def used(tree: ast.Module) -> Iterator[str]:
    """Names that a module reads, and words of its texts that are one name, such as `doctor:doctor`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " not in node.value:
            yield from WORD.findall(node.value)


def test_what_is_public_is_used_by_the_source() -> None:
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    trees = {file: ast.parse(file.read_text(encoding="utf-8")) for file in files}
    # Folders hand names on, which is no use of them.
    read = {name for file, tree in trees.items() if file.name != "__init__.py" for name in used(tree)}
    read |= {name for file, tree in trees.items() if file.name == "__init__.py" for name in _called(tree)}
    for template in (path for package in PACKAGES for path in (ROOT / package).rglob("*.j2")):
        read |= set(WORD.findall(template.read_text(encoding="utf-8")))
    assert len(read) > 1000
    unused = {
        f"{file.relative_to(ROOT)}: {name}"
        for file, tree in trees.items()
        for name in defined(tree)
        if not name.startswith("_") and name not in read | CALLED_BY_OTHERS
    }
    assert unused == set()


def _called(tree: ast.Module) -> Iterator[str]:
    """What the code in an `__init__` uses itself."""
    outside = [node for node in tree.body if not isinstance(node, ast.Assign | ast.ImportFrom)]
    return used(ast.Module(body=outside, type_ignores=[]))
