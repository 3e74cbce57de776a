"""Commands in shell syntax: one flag per line, placeholders in angle brackets left readable. Pure."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence

PLACEHOLDER = re.compile(r"<[a-z][^<>\s]*>")


def shell_command(argv: Sequence[str], env: Mapping[str, str], *, clean: bool) -> str:
    """Return one command over several lines, each but the last ending in a backslash.

    Args:
        argv: program and arguments.
        env: variables to set for it.
        clean: whether it gets no other variables (`env -i`).
    """
    variables = [f"{name}={quoted(value)}" for name, value in env.items()]
    setting = ["env -i" if clean else "env", *variables] if env else []
    return " \\\n    ".join([*setting, *_flags(argv)])


def quoted(text: str) -> str:
    """Quote a word for a shell; placeholders stay as they are, to be replaced by plain paths."""
    bare = PLACEHOLDER.sub("x", text)
    return text if bare and shlex.quote(bare) == bare else shlex.quote(text)


def _flags(argv: Sequence[str]) -> Iterator[str]:
    """Yield the program, each flag with its values, and each argument without a flag, one per line."""
    line = quoted(argv[0])
    for part in argv[1:]:
        if part.startswith("-") or not line.startswith("-"):
            yield line
            line = quoted(part)
        else:
            line = f"{line} {quoted(part)}"
    yield line
