"""A toolchain that needs no installation: the tests' own interpreter."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.toolchains import Toolchain
from tasks.workers.common.requests import Nothing, Request


@pytest.fixture
def here() -> Toolchain:
    """The tests' own interpreter as a toolchain."""
    python = Path(sys.executable)
    return Toolchain(
        name="here", root=python.parents[1], python=python, bin_dir=python.parent, identity="0" * 64,
        versions={}, env={"DECLARED_FOR_TOOL": "yes"},
    )  # fmt: skip


@pytest.fixture
def request_to(tmp_path: Path) -> Callable[..., Request[Any, Nothing]]:
    """Makes a request to the worker that misbehaves."""

    def make(do: str, **params: str | bool) -> Request[Any, Nothing]:
        output = tmp_path / "output"
        output.mkdir(exist_ok=True)
        return Request({"do": do, **params}, Nothing(), {"checkpoint": tmp_path}, output)

    return make
