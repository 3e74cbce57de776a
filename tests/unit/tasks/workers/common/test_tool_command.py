"""A tool's command in the toolchain of the interpreter that runs the worker."""

import sys
import sysconfig
from pathlib import Path

import pytest

from tasks.workers.common.tool_command import ToolCommand

COMMAND = ToolCommand("build", ("{bin}/trtllm-build", "{output}"), {"CACHE": "{scratch}/cache"})


def test_placeholders_are_filled_in_arguments_and_variables() -> None:
    filled = COMMAND.filled({"output": "/tree", "scratch": "/s"})
    assert filled.argv == (str(Path(sys.executable).parent / "trtllm-build"), "/tree")
    assert filled.env == {"CACHE": "/s/cache"}


def test_programs_are_where_distributions_put_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in NVIDIA's images: the interpreter is in /usr/bin, what pip installed in /usr/local/bin."""
    known = sysconfig.get_path

    def of_debian(name: str) -> str:
        return "/usr/local/bin" if name == "scripts" else known(name)

    monkeypatch.setattr(sysconfig, "get_path", of_debian)
    assert COMMAND.filled({"output": "/tree", "scratch": "/s"}).argv[0] == "/usr/local/bin/trtllm-build"
