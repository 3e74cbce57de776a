"""A toolchain `tensorrt-llm-1.4` that holds stand-ins: trtllm-serve, and nvidia-smi for GPUs of choice."""

import hashlib
import shlex
import stat
import sys
import venv
from pathlib import Path

from support.standin.trtllm_toolchain import NVIDIA_SMI, Gpu, report

from tasks.toolchains.records import Toolchain

NAME = "tensorrt-llm-1.4"
HERE = Path(__file__).parent
SOURCES = ("trtllm_serve.py", "llm_args_rules.py", "unified_checkpoint.py")
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
    command = f"{shlex.quote(sys.executable)} {shlex.quote(str(HERE / 'trtllm_serve.py'))}"
    _program(root / "bin" / "trtllm-serve", f'#!/bin/sh\nexec {command} "$@"\n')
    _program(root / "bin" / "nvidia-smi", NVIDIA_SMI.replace("{gpus}", str(root / "share" / "gpus.csv")))
    report(root, gpu)
    _distributions(next((root / "lib").glob("python3.*")) / "site-packages")
    python = root / "bin" / "python"
    return Toolchain(
        name=NAME,
        root=root,
        python=python,
        bin_dir=python.parent,
        identity=_identity(),
        versions={name.replace("_", "-"): version for name, version in VERSIONS.items()},
        env={"STAND_IN_SERVE": fails},
        stand_in=True,
    )


def _program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def _distributions(site_packages: Path) -> None:
    for name, version in VERSIONS.items():
        directory = site_packages / f"{name}-{version}.dist-info"
        directory.mkdir()
        (directory / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (site_packages / "torch").mkdir()
    (site_packages / "torch" / "__init__.py").touch()
    (site_packages / "torch" / "version.py").write_text('cuda = "13.0"\n')


def _identity() -> str:
    sources = b"".join((HERE / name).read_bytes() for name in (*SOURCES, Path(__file__).name))
    return hashlib.sha256(b"stand-in\n" + sources).hexdigest()
