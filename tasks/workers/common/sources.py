"""The source files of a worker: its module, the modules of `tasks.workers` that it imports, and so on.

Invariants:
- What `closure` returns is what a job may import, what is part of its fingerprint, and what an engine ships:
  one list for all three.
- Imports are absolute and static; those inside functions count.
- A file is read and parsed once per process. A job gets the bytes that its fingerprint was computed from,
  even if the file has changed since.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

PACKAGE = "tasks.workers"
# The directory that this module was imported from: the program's, or the one that a job was given.
ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Source:
    """One file.

    Attributes:
        name: path below the import directory, such as `tasks/workers/aot/build.py`.
        content: its bytes.
    """

    name: str
    content: bytes

    @cached_property
    def sha256(self) -> str:
        """Digest of the content, 64 hex digits."""
        return hashlib.sha256(self.content).hexdigest()


# Packages above PACKAGE hold what workers must not see.
OUTERMOST = Source("tasks/__init__.py", b"")


@dataclass(frozen=True)
class _Module:
    source: Source
    imports: tuple[str, ...]


@cache
def closure(*modules: str, root: Path = ROOT) -> tuple[Source, ...]:
    """The files of these modules, of the modules that they import, and of their packages, by name.

    Args:
        modules: such as `tasks.workers.aot.build`.
        root: directory that holds the package `tasks`.

    Raises:
        ModuleNotFoundError: one of `modules` does not exist below `tasks.workers`.
    """
    for name in modules:
        if _module(root, name) is None:
            message = f"there is no module {name} of {PACKAGE} in {root}"
            raise ModuleNotFoundError(message)
    return reached(modules, root)


def reached(names: Iterable[str], root: Path = ROOT) -> tuple[Source, ...]:
    """The same as `closure`, for names that need not all be modules of `tasks.workers`."""
    found = {OUTERMOST.name: OUTERMOST}
    pending = list(names)
    while pending:
        module = _module(root, pending.pop())
        if module is not None and module.source.name not in found:
            found[module.source.name] = module.source
            pending.extend(module.imports)
    return tuple(found[name] for name in sorted(found))


def imported(content: bytes) -> Iterator[str]:
    """The names of modules that a source file may import; NAME in `from X import NAME` may be one."""
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def write_sources(sources: Sequence[Source], directory: Path) -> None:
    """Write files below a directory, which is then an import path that holds nothing else."""
    for source in sources:
        path = directory / source.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.content)


@cache
def _module(root: Path, name: str) -> _Module | None:
    """The module of PACKAGE with that name; None if there is none."""
    if name != PACKAGE and not name.startswith(f"{PACKAGE}."):
        return None
    base = root.joinpath(*name.split("."))
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            content = path.read_bytes()
            source = Source(path.relative_to(root).as_posix(), content)
            return _Module(source, (*_packages(name), *imported(content)))
    return None


def _packages(name: str) -> Iterator[str]:
    """The packages around a module, which are imported before it."""
    while "." in name:
        name = name.rpartition(".")[0]
        yield name
