"""Export and compile one decoder into a package, for exactly the requested CPU level.

Invariants:
- The code of a package uses no instruction beyond its target's level, whatever the build host has: both the
  compiler's `-march` and Inductor's choice of vector instructions are fixed.
- No weight is repacked for the build host (no freezing): a layout made with AVX-512 does not run on AVX2.
- Equal inputs give equal bytes: the scratch directory has a fixed path, is empty at the start and is held by
  one build at a time; the archive keeps only what is loaded, with fixed dates.
"""

import fcntl
import os
import shutil
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch._inductor import codecache, cpu_vec_isa

from tasks.workers.aot.model import Decoder, dynamic_shapes, example_inputs
from tasks.workers.aot.request import Target
from tasks.workers.common.io import Refusal, say
from tasks.workers.common.shape import Shape

ZIP_DATE = (1980, 1, 1, 0, 0, 0)


class PlainAvx512(cpu_vec_isa.VecAVX512):
    """AVX-512 as x86-64-v4 defines it. Inductor's own class adds AVX512-BF16 if the build host has it."""

    def __bool__(self) -> bool:
        return bool(cpu_vec_isa.VecISA.__bool__(self))


# Vector instructions by the flag that a target must have for them, widest first. Extensions that no x86-64
# level contains (VNNI, AVX512-BF16, AMX) are left to torch's own kernels, which detect the host that they run
# on.
VECTORS = (("avx512f", PlainAvx512()), ("avx2", cpu_vec_isa.VecAVX2()))


@dataclass(frozen=True)
class Compiled:
    """The seconds that tracing and compiling took, and the vector instructions that were chosen."""

    export_s: float
    compile_s: float
    vectors: str


def compile_decoder(decoder: Decoder, shape: Shape, target: Target, package: Path) -> Compiled:
    """Compile into the file `package`, weights included.

    Raises:
        Refusal: the build host lacks the instructions of the target, so the result could not be checked here.
    """
    started = time.monotonic()
    name, rows = type(decoder.model).__name__, shape.max_batch_size
    say(f"tracing {name} for up to {rows} rows of {shape.max_seq_len} tokens")
    with torch.no_grad():
        program = torch.export.export(
            decoder,
            example_inputs(decoder.model, shape),
            dynamic_shapes=dynamic_shapes(decoder.model, shape),
            strict=False,
            prefer_deferred_runtime_asserts_over_guards=True,
        )
    traced = time.monotonic()
    vectors = restrict_vectors(target)
    say(f"compiling for {target.march}, vector instructions: {vectors}")
    with scratch_directory() as scratch, torch.no_grad():
        raw = scratch / "model.pt2"
        torch._inductor.aoti_compile_and_package(  # noqa: SLF001  there is no public name
            program, package_path=str(raw), inductor_configs=inductor_settings(target)
        )
        normalise(raw, package)
    return Compiled(round(traced - started, 3), round(time.monotonic() - traced, 3), vectors)


def inductor_settings(target: Target) -> dict[str, Any]:
    """Settings of the compiler, beyond its defaults."""
    return {
        "cpp.march": target.march,
        # The number of threads belongs to the serving host, not to this one.
        "cpp.dynamic_threads": True,
        # Line tables hold paths and a quarter of the package.
        "aot_inductor.enable_line_tables": False,
        "freezing": False,
    }


def restrict_vectors(target: Target) -> str:
    """Let Inductor see only the vector instructions of the target; returns their name, or `none`.

    Inductor offers a width (`cpp.simdlen`) but picks the richest set of that width that the host has. So the
    list that it picks from is reduced instead.
    """
    chosen = next((isa for flag, isa in VECTORS if flag in target.cpu_features), None)
    cpu_vec_isa.supported_vec_isa_list[:] = [] if chosen is None else [chosen]
    cpu_vec_isa.valid_vec_isa_list.cache_clear()
    if chosen is None:
        return "none"
    if not cpu_vec_isa.valid_vec_isa_list():
        raise Refusal(
            "unsupported",
            f"this host cannot run {chosen} code, so an engine for {target.march} cannot be checked here",
            "target",
            "build on a host of the target's level, or choose a lower target",
        )
    return str(chosen)


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """The empty directory in which Inductor works, at one path for all builds of this user, held exclusively.

    File names and strings inside the package depend on this path.
    """
    # Not below TMPDIR, which is another directory for each job.
    root = Path("/tmp") / f"enginery-aot-{os.getuid()}"  # noqa: S108  the owner is checked
    root.mkdir(mode=0o700, exist_ok=True)
    if root.stat().st_uid != os.getuid() or root.is_symlink():
        raise Refusal("input", f"{root} belongs to another user", str(root), "remove it")
    with (root / "lock").open("w") as lock:
        _wait_for(lock.fileno())
        work = root / "work"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        before = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(work / "inductor")
        # Names in the package depend on this path too; with TMPDIR it would differ from job to job.
        codecache._HEADER_DIR = os.path.realpath(codecache._HEADER_DIR)  # noqa: SLF001  there is no setting
        codecache._HEADER_LOCK_DIR = os.path.realpath(codecache._HEADER_LOCK_DIR)  # noqa: SLF001
        try:
            yield work
        finally:
            _restore("TORCHINDUCTOR_CACHE_DIR", before)
            shutil.rmtree(work)


def _wait_for(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("waiting for another build on this host")
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _restore(name: str, value: str | None) -> None:
    if value is None:
        del os.environ[name]
    else:
        os.environ[name] = value


def normalise(raw: Path, package: Path) -> None:
    """Copy the archive without what is never loaded, with fixed dates.

    Left out are C++ sources, which name paths, and the archive's random identity, which nothing reads.
    """
    with zipfile.ZipFile(raw) as source, zipfile.ZipFile(package, "w", zipfile.ZIP_STORED) as kept:
        for name in source.namelist():
            if name.endswith((".cpp", "/serialization_id")):
                continue
            entry = zipfile.ZipInfo(name, ZIP_DATE)
            entry.external_attr = 0o644 << 16
            with source.open(name) as data, kept.open(entry, "w", force_zip64=True) as copy:
                shutil.copyfileobj(data, copy, 1 << 20)
