"""The environment of jobs and servers, made from an allow-list: a job sees only what is named here.

Secrets of the pipeline (object store, orchestrator, Hub) are not on the list, so they never reach a tool; a
stage that needs one passes it by name.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from artifacts.placeholders import fill_placeholders
from tasks.toolchains.records import Toolchain

PASSED = frozenset(
    [
        "HOME",
        "USER",
        "LOGNAME",
        "LANG",
        "LC_ALL",
        "LC_CTYPE",
        "TZ",
        "TMPDIR",
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "CUDA_VISIBLE_DEVICES",
    ]
)
PYTHON_PATH = "PYTHONPATH"
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
FIXED = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "NO_COLOR": "1",
    "PYTHONUNBUFFERED": "1",
    "PYTHONNOUSERSITE": "1",
    # Toolchains come with their byte code; running programs must not write to trees and checkouts.
    "PYTHONDONTWRITEBYTECODE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def job_environment(
    toolchain: Toolchain, extra: Mapping[str, str], source: Mapping[str, str]
) -> dict[str, str]:
    """The environment of a job or server.

    It holds fixed variables, declared ones, the allowed ones of `source`, the user's own variables for tools,
    then extra values; later ones replace earlier ones, but Python paths are joined. In a declared value,
    `{spare_processors}` stands for the number of this host's processors minus one, at least one. It is sorted
    by name.
    """
    spare = max(1, len(os.sched_getaffinity(0)) - 1)
    declared = {
        name: fill_placeholders(value, {"spare_processors": str(spare)})
        for name, value in toolchain.env.items()
    }
    path = search_path((toolchain.bin_dir, *toolchain.program_dirs))
    own = FIXED | declared | kept(source, PASSED) | toolchain.tool_env | {"PATH": path}
    both = [each for each in (extra.get(PYTHON_PATH), own.get(PYTHON_PATH)) if each]
    joined = {PYTHON_PATH: os.pathsep.join(both)} if both else {}
    return dict(sorted((own | dict(extra) | joined).items()))


def search_path(first: tuple[Path, ...]) -> str:
    """A PATH of these directories, followed by the system's."""
    return ":".join([*dict.fromkeys(map(str, first)), SYSTEM_PATH])


def kept(source: Mapping[str, str], names: frozenset[str]) -> dict[str, str]:
    """The named variables that are set."""
    return {name: source[name] for name in sorted(names) if name in source}
