"""A command of a tool, which an engine kind decides on and a worker runs."""

import sys
import sysconfig
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ToolCommand:
    """One command, with placeholders that the worker fills in.

    {python} and {bin} are the toolchain's interpreter and its directory of programs, which need not lie next
    to each other. {checkpoint} is the input, {output} the engine tree, {scratch} a temporary directory, where
    commands run, and {port} a free port of 127.0.0.1, for a command that serves.

    Attributes:
        name: what it does, such as build.
        argv: program and arguments.
        env: variables in addition to the toolchain's.
    """

    name: str
    argv: tuple[str, ...]
    env: dict[str, str]

    def filled(self, places: Mapping[str, str]) -> "ToolCommand":
        """The command in the toolchain of this interpreter, with these values of the other placeholders."""
        # Of the interpreter of a Linux distribution in /usr/bin, pip puts programs into /usr/local/bin.
        values = {"python": sys.executable, "bin": sysconfig.get_path("scripts"), **places}
        env = {name: value.format(**values) for name, value in self.env.items()}
        return ToolCommand(self.name, tuple(part.format(**values) for part in self.argv), env)


def fill(tree: Path, paths: Iterable[str], scratch: Path) -> None:
    """Copy text files of a tree to the same paths in `scratch`, with {tree} replaced by its directory."""
    for path in paths:
        copy = scratch / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        content = (tree / path).read_text(encoding="utf-8")
        copy.write_text(content.replace("{tree}", str(tree)), encoding="utf-8")
