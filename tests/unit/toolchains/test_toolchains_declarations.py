"""The declarations and locks that ship, and what a lock may say."""

import re

import pytest
import yaml

from tasks.errors import ToolchainUnavailable
from tasks.toolchains import declared
from tasks.toolchains.declarations import DECLARATIONS_FILE, LOCKS_DIR, declaration, locked_versions

HASHED = re.compile(r"(?:[a-z0-9-]+==[^\s\\]+ \\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)+")
NAMES = sorted(yaml.safe_load(DECLARATIONS_FILE.read_text()))


def test_the_four_toolchains_are_declared():
    assert set(declared()) >= {"modelopt-cpu", "aot-cpu", "aot-serve-cpu", "vllm-cpu"}


@pytest.mark.parametrize("name", NAMES)
def test_locks_hold_exact_versions_with_hashes_and_nothing_else(name):
    text = declared()[name].lock_path.read_text()
    body = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))
    assert HASHED.fullmatch(body)
    assert not re.search(r"https?:|file:|--index|--find-links|/", body)


@pytest.mark.parametrize("name", NAMES)
def test_locks_agree_with_their_declaration(name):
    locked = locked_versions(declared()[name].lock_path.read_text())
    assert "torch" not in locked
    assert not locked.keys() & declared()[name].left_out.keys()
    assert declared()[name].tool in declared()[name].pins()
    wanted = (LOCKS_DIR / f"{name}.in").read_text().splitlines()
    named = {re.split("==", line)[0] for line in wanted if not line.startswith("#")}
    assert named <= locked.keys()


@pytest.mark.parametrize("name", NAMES)
def test_cpu_toolchains_pin_a_cpu_build(name):
    toolchain = declared()[name]
    assert (toolchain.accelerator == "cpu") == (toolchain.torch.cuda is None)
    assert toolchain.torch.version.endswith(f"+{toolchain.accelerator}")


def test_serving_needs_nothing_that_downloads():
    assert declared()["aot-serve-cpu"].pins().keys().isdisjoint({"transformers", "huggingface-hub", "httpx"})


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ToolchainUnavailable, match="no toolchain named 'aot-gpu'") as raised:
        declaration("aot-gpu")
    assert "aot-serve-cpu" in raised.value.fix


def test_locked_versions_are_read_with_normalised_names():
    assert locked_versions("# c\nA_b==1.0 \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\nc==2+cpu\n") == {
        "a-b": "1.0",
        "c": "2+cpu",
    }


@pytest.mark.parametrize(
    "line", ["torch", "torch>=2", "torch==2.*", "torch==2,!=3", "-r other.txt", "./torch.whl"]
)
def test_a_lock_that_leaves_a_choice_is_none(line):
    with pytest.raises(ValueError, match="pin"):
        locked_versions(line)
