"""The tools' own messages: each row knows its own, and no other row's."""

import re

import pytest

from artifacts.settings.tool_env import read_tool_env
from tasks.toolchains.run.messages import KnownMessage, known_messages, recognised

ROWS = known_messages()
BACKTRACE = [f"{n}       0x7f33b4eabcc7 tensorrt_llm::common::throwRuntimeError + {n}" for n in range(30)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_matches_its_example_and_no_other(row: KnownMessage) -> None:
    matched = [other.name for other in ROWS if re.search(other.pattern, row.example)]
    assert matched == [row.name]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_says_cause_and_remedy_as_parts_of_a_sentence(row: KnownMessage) -> None:
    for part in (row.cause, row.remedy):
        assert len(part.split()) >= 4
        assert not part.endswith(".")
    assert row.pattern not in {other.pattern for other in ROWS if other is not row}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_variable_that_a_remedy_sets_reaches_the_tools(row: KnownMessage) -> None:
    """Tools see no variable of the user but those that are handed to them on purpose."""
    handed = re.search(r"ENGINERY_TOOL_ENV=(\S+)", row.remedy)
    variables = set(re.findall(r"\b([A-Z][A-Z0-9_]{3,})=", row.remedy)) - {"ENGINERY_TOOL_ENV"}
    assert variables == (set(read_tool_env(handed[1])) if handed else set())


def test_names_are_unique() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)


WRONG_GPU = """\
[TRT] [E] 6: The engine plan file is generated on an incompatible device, expecting compute 8.0 got \
compute 8.9, please rebuild.
[TensorRT-LLM][ERROR] Assertion failed: Failed to deserialize cuda engine."""
NO_MEMORY = """\
[TensorRT-LLM][ERROR] [defaultAllocator.cpp::allocate::31] Error Code 1: Cuda Runtime (out of memory)
[TensorRT-LLM][WARNING] Requested amount of GPU memory (69568823808 bytes) could not be allocated.
[TensorRT-LLM][ERROR] Assertion failed: Failed to deserialize cuda engine."""
OLD_DRIVER = """\
UserWarning: CUDA initialization: The NVIDIA driver on your system is too old (found version 12020).
RuntimeError: No CUDA GPUs are available"""


@pytest.mark.parametrize(
    ("lines", "name"),
    [
        ([*WRONG_GPU.splitlines(), *BACKTRACE], "plan of another GPU"),
        (NO_MEMORY.splitlines(), "TensorRT out of GPU memory"),
        (OLD_DRIVER.splitlines(), "driver too old"),
        (["RuntimeError: CUDA error: out of memory"], "torch out of GPU memory"),
        (
            [
                "(Worker_TP1 pid=857) ERROR [executor.py] torch.OutOfMemoryError: CUDA out of memory.",
                "(Worker_TP0 pid=856) RuntimeError: NCCL error: remote process exited or there was an error",
                "(APIServer pid=12) RuntimeError: Engine core initialization failed. See root cause above.",
            ],
            "torch out of GPU memory",
        ),
        (
            ["ncclUnhandledCudaError: Call to CUDA function failed.", "Cuda failure 2 'out of memory'"],
            "torch out of GPU memory",
        ),
        (["(Worker_TP0 pid=856) RuntimeError: NCCL error: unhandled cuda error (run with ...)"], "NCCL"),
        (["ncclSystemError: System call (e.g. socket, malloc) or external library call failed"], "NCCL"),
    ],
)
def test_the_root_cause_is_reported_whatever_follows_from_it(lines: list[str], name: str) -> None:
    row = recognised(lines)
    assert row
    assert row.name == name


@pytest.mark.parametrize(
    "line",
    [
        "",
        "ZeroDivisionError: division by zero",
        "[TensorRT-LLM][WARNING] [json.exception.out_of_range.403] key 'cross_attention' not found",
        "[TensorRT-LLM][WARNING] [json.exception.type_error.302] type must be string, but is null",
        "NCCL version 2.27.7+cuda13.0",
        "MemoryError",
    ],
)
def test_what_tools_also_print_when_all_is_well_means_nothing(line: str) -> None:
    assert recognised([line]) is None
