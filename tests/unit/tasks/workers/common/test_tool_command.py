"""A tool's command in the toolchain of the interpreter that runs the worker."""

import sys
import sysconfig
from pathlib import Path

import pytest

from tasks.workers.common.tool_command import ToolCommand, fill

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


def test_a_file_that_names_the_tree_is_copied_with_its_directory(tmp_path: Path) -> None:
    tree, scratch = tmp_path / "tree", tmp_path / "scratch"
    (tree / "settings").mkdir(parents=True)
    (tree / "settings" / "args.yaml").write_text('draft: "{tree}/draft"\n')
    fill(tree, ["settings/args.yaml"], scratch)
    assert (scratch / "settings" / "args.yaml").read_text() == f'draft: "{tree}/draft"\n'
    assert (tree / "settings" / "args.yaml").read_text() == 'draft: "{tree}/draft"\n'
