"""Commands as a shell reads them: one flag a line, placeholders in angle brackets left readable. Pure."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence

PLACEHOLDER = re.compile(r"<[a-z][^<>\s]*>")


def shell_command(argv: Sequence[str], env: Mapping[str, str], *, clean: bool) -> str:
    """One command over several lines, each but the last ending in a backslash.

    Args:
        argv: program and arguments.
        env: variables that it is given.
        clean: whether it is given no others (`env -i`).
    """
    return " \\\n    ".join([*_variables(env, clean=clean), *_flags(argv)])


def quoted(text: str) -> str:
    """A word as a shell reads it; placeholders stay as they are, to be replaced by plain paths."""
    bare = PLACEHOLDER.sub("x", text)
    return text if bare and shlex.quote(bare) == bare else shlex.quote(text)


def _variables(env: Mapping[str, str], *, clean: bool) -> Iterator[str]:
    if env:
        yield "env -i" if clean else "env"
        yield from (f"{name}={quoted(value)}" for name, value in env.items())


def _flags(argv: Sequence[str]) -> Iterator[str]:
    """The program, then each flag with its values on a line of its own, and each argument without a flag."""
    line = quoted(argv[0])
    for part in argv[1:]:
        if part.startswith("-") or not line.startswith("-"):
            yield line
            line = quoted(part)
        else:
            line = f"{line} {quoted(part)}"
    yield line
