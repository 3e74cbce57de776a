"""The GPUs of a worker's host, as reported by `nvidia-smi`, which comes with the driver.

Standard library only: it runs in every toolchain, before anything heavy is imported. `CUDA_VISIBLE_DEVICES`
is honoured as in CUDA; UUIDs are unambiguous there, while indices follow the order of the PCI bus.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.workers.common.io import Refusal

PROGRAM = "nvidia-smi"
# nvidia-smi --help-query-gpu names the fields; compute_cap exists since driver 510.
QUERY = ("name", "compute_cap", "driver_version")
TIME_LIMIT_S = 60.0


@dataclass(frozen=True)
class GpuFacts:
    """The GPUs that this process may use, which are all of one type.

    Attributes:
        name: product name that the driver reports.
        compute_capability: such as 9.0.
        driver: version of the NVIDIA driver.
        count: how many there are.
    """

    name: str
    compute_capability: str
    driver: str
    count: int


def gpu_facts(environment: Mapping[str, str] = os.environ) -> GpuFacts:
    """Return the GPUs that this process may use.

    Raises:
        Refusal: there is no driver, it does not answer, no GPU is visible, or they are of several types.
    """
    rows = read_rows(_ask(environment))
    if not rows:
        raise _no_gpu("the driver reports no GPU that this process may use")
    if len(set(rows)) > 1:
        names = ", ".join(f"{name} ({capability})" for name, capability, _ in rows)
        raise Refusal(
            "unsupported",
            f"the GPUs of this host differ: {names}",
            where=PROGRAM,
            fix="let CUDA_VISIBLE_DEVICES name GPUs of one type",
        )
    name, capability, driver = rows[0]
    return GpuFacts(name, capability, driver, len(rows))


def refuse_unless(
    facts: GpuFacts, product_names: Sequence[str], compute_capability: str | None, count: int
) -> None:
    """Refuse a host that does not have the GPUs that an engine is built for.

    Args:
        facts: what the host has.
        product_names: names by which the driver reports the target's GPU.
        compute_capability: the target's.
        count: GPUs that the engine occupies.

    Raises:
        Refusal: another GPU, or too few of them.
    """
    if facts.name not in product_names or facts.compute_capability != compute_capability:
        wanted = " or ".join(product_names)
        raise Refusal(
            "unsupported",
            f"this host has {facts.name} (compute capability {facts.compute_capability}); "
            f"the engine is built for {wanted} ({compute_capability})",
            where=PROGRAM,
            fix="build on a host of the target (its work pool has them), or choose another target",
        )
    if facts.count < count:
        raise Refusal(
            "unsupported",
            f"this process may use {facts.count} of {facts.name}; the engine occupies {count}",
            where=PROGRAM,
            fix="build on a host with more GPUs, or let CUDA_VISIBLE_DEVICES name enough of them",
        )


def read_rows(text: str) -> list[tuple[str, ...]]:
    """Read the answer to QUERY: one line per GPU, one field per column.

    Raises:
        Refusal: a line is not of that form.
    """
    rows = [tuple(part.strip() for part in line.split(",")) for line in text.splitlines() if line.strip()]
    for row in rows:
        if len(row) != len(QUERY):
            raise _no_gpu(f"{PROGRAM} answered {', '.join(row)!r}")
    return rows


def _ask(environment: Mapping[str, str]) -> str:
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and not visible.strip():
        return ""
    program = shutil.which(PROGRAM, path=environment.get("PATH"))
    if program is None:
        raise _no_gpu(f"this host has no {PROGRAM}, so no NVIDIA driver")
    command = [program, f"--query-gpu={','.join(QUERY)}", "--format=csv,noheader"]
    if visible:
        command.append(f"--id={visible}")
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIME_LIMIT_S)
    except subprocess.TimeoutExpired:
        raise _no_gpu(f"{PROGRAM} did not answer within {TIME_LIMIT_S:g} s") from None
    if ended.returncode:
        output = (ended.stdout + ended.stderr).strip().splitlines()
        raise _no_gpu(f"{PROGRAM} ended with exit code {ended.returncode}: {' '.join(output[-2:])}")
    return ended.stdout


def _no_gpu(what: str) -> Refusal:
    fix = "run this on a host with the target's GPU and its NVIDIA driver (in a container: with --gpus all)"
    return Refusal("unsupported", what, where=PROGRAM, fix=fix)
