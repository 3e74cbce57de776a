"""Export and compile the graphs of a decoder into packages, for exactly the requested hosts.

Invariants:
- Packages hold code only: weights stay in the checkpoint's files, which the tree has next to them. Every
  tensor that a package reads has the name that it has in the model, scalars too.
- The code of a package uses no instruction beyond its target's level, whatever the build host has: both the
  compiler's `-march` and Inductor's choice of vector instructions are fixed.
- No weight is repacked for the build host (no freezing): a layout made with AVX-512 does not run on AVX2.
- The compiler is the system's, whatever `CXX` says: code that was linked to another C++ library ends the
  process in which torch has loaded the system's.
- Equal inputs give equal bytes: the scratch directory has a fixed path, is empty at the start and is held by
  one build at a time; the archive keeps only what is loaded, with fixed dates.
"""

import fcntl
import os
import shutil
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch._inductor import codecache, cpu_vec_isa
from torch._inductor import config as inductor_config

from tasks.workers.aot.model import Graph
from tasks.workers.aot.request import Target
from tasks.workers.common.io import Refusal, say

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


def compile_graphs(graphs: Sequence[Graph], target: Target, folder: Path) -> Compiled:
    """Compile each graph into a package `NAME.pt2` of the folder.

    Raises:
        Refusal: the build host lacks the instructions of the target, so the result could not be checked here.
    """
    vectors = restrict_vectors(target)
    export_s = compile_s = 0.0
    for graph in graphs:
        started = time.monotonic()
        say(f"tracing the graph {graph.name}")
        program = trace(graph)
        traced = time.monotonic()
        say(f"compiling for {target.compute_capability or target.march}, vector instructions: {vectors}")
        settings = inductor_settings(target) | graph.settings
        _compile(program, settings, folder / f"{graph.name}.pt2")
        export_s, compile_s = export_s + traced - started, compile_s + time.monotonic() - traced
    return Compiled(round(export_s, 3), round(compile_s, 3), vectors)


def weights_of(packages: Sequence[Path]) -> list[str]:
    """The names of the weights that packages read, each once; such as model.lm_head.weight."""
    loaders = [torch._C._aoti.AOTIModelPackageLoader(str(one), "model", True, 1, -1) for one in packages]  # noqa: SLF001
    return sorted({name for loader in loaders for name in loader.get_constant_fqns()})


def trace(graph: Graph) -> torch.export.ExportedProgram:
    """The program of a graph, with its dimensions as they may vary."""
    with torch.no_grad():
        return torch.export.export(
            graph.module,
            graph.inputs,
            dynamic_shapes=graph.dynamic,
            strict=False,
            prefer_deferred_runtime_asserts_over_guards=True,
        )


def _compile(program: torch.export.ExportedProgram, settings: dict[str, Any], package: Path) -> None:
    with scratch_directory() as scratch, torch.no_grad():
        raw = scratch / "model.pt2"
        torch._inductor.aoti_compile_and_package(  # noqa: SLF001  there is no public name
            program, package_path=str(raw), inductor_configs=settings
        )
        normalise(raw, package)


def inductor_settings(target: Target) -> dict[str, Any]:
    """Settings of the compiler, beyond its defaults.

    Raises:
        Refusal: this torch compiles for its own host's processor only, and the engine computes there.
    """
    settings = {
        # The number of threads belongs to the serving host, not to this one.
        "cpp.dynamic_threads": True,
        "freezing": False,
        "aot_inductor.package_constants_in_so": False,
        # Otherwise a scalar, such as the scale of FP8 inputs, becomes a constant of the code, which a kernel
        # that takes it as a tensor gets under a name that nothing outside knows, and without its value.
        "always_keep_tensor_constants": True,
    }
    if hasattr(inductor_config.cpp, "march"):
        # Line tables hold paths and a quarter of the package.
        return settings | {"cpp.march": target.march, "aot_inductor.enable_line_tables": False}
    if target.device == "cpu":
        raise Refusal(
            "unsupported",
            f"torch {torch.__version__} compiles for the processor of its own host only",
            "toolchain",
            "build with torch 2.13 or newer",
        )
    # What runs on the processor only starts kernels; it is for processors at least as new as this host's.
    return settings


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

    Left out are the text of C++ sources, which names paths, and the archive's random identity, which nothing
    reads. Empty sources stay: torch 2.11 finds the metadata of a package by their names.
    """
    with zipfile.ZipFile(raw) as source, zipfile.ZipFile(package, "w", zipfile.ZIP_STORED) as kept:
        for name in source.namelist():
            if name.endswith("/serialization_id"):
                continue
            entry = zipfile.ZipInfo(name, ZIP_DATE)
            entry.external_attr = 0o644 << 16
            if name.endswith(".cpp"):
                kept.writestr(entry, b"")
                continue
            with source.open(name) as data, kept.open(entry, "w", force_zip64=True) as copy:
                shutil.copyfileobj(data, copy, 1 << 20)
