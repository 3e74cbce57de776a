"""A toolchain `tensorrt-llm-1.2` of stand-ins: trtllm-build, trtllm-bench, and nvidia-smi for a GPU."""

import hashlib
import json
import shlex
import shutil
import stat
import sys
import venv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from engine_specs.reading import MODEL_FILES_FILE
from engine_specs.tables import Target
from support.paths import INTERFACES
from tasks.toolchains.records import Toolchain

NAME = "tensorrt-llm-1.2"
HERE = Path(__file__).parent
PROGRAMS = ("build.py", "arguments.py", "rules.py", "tensors.py")
# Run by the tests' own interpreter, from here.
BENCH = ("bench.py", "llm_args_rules.py")
VERSIONS = {
    "tensorrt_llm": "1.2.1+stand-in",
    "tensorrt": "10.14.1+stand-in",
    "torch": "2.9.1+stand-in",
    "transformers": "4.57.3+stand-in",
}
DRIVER = "580.95.05"
NVIDIA_SMI = """#!/bin/sh
# STAND-IN for nvidia-smi: answers the query for name, compute capability and driver from a file.
case "$1" in
  --query-gpu=name,compute_cap,driver_version) cat "{gpus}" ;;
  --query-gpu=compute_cap) cut -d, -f2 "{gpus}" | tr -d ' ' ;;
  *) echo "stand-in nvidia-smi: unknown query $1" >&2; exit 2 ;;
esac
"""


@dataclass(frozen=True)
class Gpu:
    """What the stand-in nvidia-smi reports."""

    name: str
    compute_capability: str
    driver: str = DRIVER
    count: int = 1

    @classmethod
    def of(cls, target: Target, count: int = 1) -> "Gpu":
        """The GPU of a target."""
        assert target.gpu is not None
        return cls(target.gpu.product_names[0], target.gpu.compute_capability, count=count)


def install(root: Path, gpu: Gpu) -> Toolchain:
    """Install the stand-ins into a directory; the toolchain's record says what it is."""
    venv.create(root, symlinks=True, with_pip=False)
    share, bin_dir = root / "share", root / "bin"
    share.mkdir()
    for name in PROGRAMS:
        shutil.copyfile(HERE / name, share / name)
    (share / "interfaces.json").write_text(json.dumps(interfaces()))
    program(bin_dir / "trtllm-build", f'#!/bin/sh\nexec "{bin_dir}/python" "{share}/build.py" "$@"\n')
    program(bin_dir / "trtllm-bench", bench("1.2"))
    program(bin_dir / "nvidia-smi", NVIDIA_SMI.replace("{gpus}", str(share / "gpus.csv")))
    report(root, gpu)
    distributions(next((root / "lib").glob("python3.*")) / "site-packages", VERSIONS)
    return Toolchain(
        name=NAME,
        root=root,
        python=bin_dir / "python",
        bin_dir=bin_dir,
        identity=identity(*PROGRAMS, *BENCH, Path(__file__).name),
        versions=VERSIONS,
        stand_in=True,
    )


def bench(line: str) -> str:
    """A program that is the stand-in of trtllm-bench of this line of the tool."""
    command = f"{shlex.quote(sys.executable)} {shlex.quote(str(HERE / BENCH[0]))} {line}"
    return f'#!/bin/sh\nexec {command} "$@"\n'


def report(root: Path, gpu: Gpu) -> None:
    """Let the stand-in nvidia-smi report another GPU."""
    line = f"{gpu.name}, {gpu.compute_capability}, {gpu.driver}\n"
    (root / "share" / "gpus.csv").write_text(line * gpu.count)


def interfaces() -> dict[str, Any]:
    """The tables that the stand-in reads, and the flags that end in plugin_config."""
    build = yaml.load((INTERFACES / "trtllm-build-1.2.yaml").read_text(), Loader=yaml.CSafeLoader)
    flags = build["flags"].items()
    of_plugins = {name[2:]: row.get("choices", []) for name, row in flags if "plugin.py" in row["source"]}
    config = yaml.load((INTERFACES / "build-config-1.2.yaml").read_text(), Loader=yaml.CSafeLoader)
    engine = yaml.load((INTERFACES / "engine-1.2.yaml").read_text(), Loader=yaml.CSafeLoader)
    model_files = yaml.load(MODEL_FILES_FILE.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return {
        "trtllm-build": build,
        "build-config": config,
        "plugin-flags": of_plugins,
        "engine": engine,
        "model-files": model_files,
    }


def program(path: Path, text: str) -> None:
    """Write an executable."""
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def distributions(site_packages: Path, versions: Mapping[str, str]) -> None:
    """Make distributions of these versions look installed, and a torch that was built with CUDA."""
    for name, version in versions.items():
        directory = site_packages / f"{name}-{version}.dist-info"
        directory.mkdir()
        (directory / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (site_packages / "torch").mkdir()
    (site_packages / "torch" / "__init__.py").touch()
    (site_packages / "torch" / "version.py").write_text('cuda = "13.0"\n')


def identity(*sources: str) -> str:
    """Digest of the files of this folder that a stand-in is made of."""
    return hashlib.sha256(
        b"stand-in\n" + b"".join((HERE / name).read_bytes() for name in sources)
    ).hexdigest()
