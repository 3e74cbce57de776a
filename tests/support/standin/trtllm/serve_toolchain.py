"""A toolchain `tensorrt-llm-1.4` of stand-ins: trtllm-serve, trtllm-bench, and nvidia-smi for some GPUs."""

import shlex
import sys
import venv
from pathlib import Path

from support.standin.trtllm.toolchain import (
    BENCH,
    NVIDIA_SMI,
    Gpu,
    bench,
    distributions,
    identity,
    program,
    report,
)
from tasks.toolchains.records import Toolchain

NAME = "tensorrt-llm-1.4"
HERE = Path(__file__).parent
SOURCES = ("serve.py", "llm_args_rules.py", "unified_checkpoint.py")
VERSIONS = {
    "tensorrt_llm": "1.4.0rc1+stand-in",
    "torch": "2.14.0+stand-in",
    "transformers": "5.5.4+stand-in",
}


def install(root: Path, gpu: Gpu, *, fails: str = "") -> Toolchain:
    """Install the stand-ins into a directory.

    Args:
        root: the directory, which must not exist.
        gpu: what nvidia-smi reports.
        fails: how trtllm-serve fails; empty where it does not.
    """
    venv.create(root, symlinks=True, with_pip=False)
    (root / "share").mkdir()
    command = f"{shlex.quote(sys.executable)} {shlex.quote(str(HERE / 'serve.py'))}"
    program(root / "bin" / "trtllm-serve", f'#!/bin/sh\nexec {command} "$@"\n')
    program(root / "bin" / "trtllm-bench", bench("1.4"))
    program(root / "bin" / "nvidia-smi", NVIDIA_SMI.replace("{gpus}", str(root / "share" / "gpus.csv")))
    report(root, gpu)
    distributions(next((root / "lib").glob("python3.*")) / "site-packages", VERSIONS)
    python = root / "bin" / "python"
    return Toolchain(
        name=NAME,
        root=root,
        python=python,
        bin_dir=python.parent,
        identity=identity(*dict.fromkeys((*SOURCES, *BENCH)), Path(__file__).name),
        versions={name.replace("_", "-"): version for name, version in VERSIONS.items()},
        env={"STAND_IN_SERVE": fails},
        stand_in=True,
    )
