"""The provider of toolchains that are already there: an interpreter of the host with the tool in it.

Invariants:
- Nothing is ever written to the interpreter's directories: byte code and what torch compiles go elsewhere.
- The identity is the digest of the bytes of every file that its programs can import, so it changes with them.
- It counts as adopted, never as the lock's: no lock has the same identity, and differences are recorded.
"""

import os
import subprocess
from pathlib import Path

from pydantic import Field, ValidationError

from artifacts.canonical import digest_of
from artifacts.frozen import Frozen
from artifacts.progress import Say
from tasks.errors import ToolchainUnavailable
from tasks.toolchains.declarations import TorchBuild
from tasks.toolchains.host_checks import (
    HostProgram,
    Obstacle,
    driver_obstacles,
    find_programs,
    path_obstacles,
    program_obstacles,
    unavailable,
)
from tasks.toolchains.providers.facts import PROBE, Facts, differences, facts_obstacles, torch_obstacles
from tasks.toolchains.providers.host.content import content_digest, without_byte_code
from tasks.toolchains.providers.interface import Provider, ToolchainRequest
from tasks.toolchains.providers.smoke import smoke_program, torch_build
from tasks.toolchains.records import NotInstalled, Toolchain
from tasks.toolchains.run import PYTHON_PATH, job_environment

LOOK_LIMIT_S = 60.0
SAID_CHARS = 200
# Some packages hold a few modules that cannot be compiled, or that nothing imports.
TOLERATED_SHARE = 0.1
IMPORT_LIMIT_S = 600.0


class HostTable(Frozen):
    """The setting that selects an interpreter of the host."""

    python: Path = Field(description="The interpreter.")
    extra_paths: tuple[Path, ...] = Field(
        default=(), description="Directories of packages that its programs import before its own."
    )


class Proof(Frozen):
    """What importing the tool showed, for one content of the interpreter's directories."""

    content: str
    torch: TorchBuild | None


class HostProvider(Provider):
    """Uses an interpreter that is already there, and leaves it as it is."""

    name = "host"
    key = "python"

    def obstacles(self, request: ToolchainRequest) -> tuple[Obstacle, ...]:
        """What the host lacks (driver, programs) and the interpreter (it has to work and hold the tool)."""
        declared, table = request.declared, request.read(HostTable)
        host = (*driver_obstacles(declared), *_host_obstacles(request))
        facts = _look(request, table)
        if isinstance(facts, Obstacle):
            return (*host, facts)
        return (*host, *facts_obstacles(declared, facts, str(table.python)))

    def status(self, request: ToolchainRequest) -> Toolchain | NotInstalled:
        """The toolchain, or why the interpreter cannot be it."""
        try:
            return self.ensure(request, lambda _: None)
        except ToolchainUnavailable as error:
            found = self.obstacles(request) or (Obstacle(reason=error.what, fix=error.fix),)
            return NotInstalled.because(request.declared.name, found, otherwise=("", ""))

    def ensure(self, request: ToolchainRequest, say: Say) -> Toolchain:
        """The toolchain: the interpreter is inspected, and its tool imported once per content."""
        declared, table = request.declared, request.read(HostTable)
        facts = _look(request, table)
        if isinstance(facts, Obstacle):
            raise unavailable(declared.name, self.obstacles(request))
        if found := (*_host_obstacles(request), *facts_obstacles(declared, facts, str(table.python))):
            raise unavailable(declared.name, found)
        content = content_digest(facts.paths, _root(request) / "files.json")
        proof = _proof(request, table, facts, content, say)
        if found := tuple(torch_obstacles(declared, proof.torch, str(table.python))):
            raise unavailable(declared.name, found)
        return _toolchain(request, table, facts, proof)


def _host_obstacles(request: ToolchainRequest) -> tuple[Obstacle, ...]:
    """What the host lacks, whichever interpreter is named."""
    declared = request.declared
    return (*program_obstacles(declared), *path_obstacles(declared, request.settings))


def _look(request: ToolchainRequest, table: HostTable) -> Facts | Obstacle:
    """Ask the interpreter what it holds."""
    fix = "name the interpreter that has the tool, by its full path"
    if missing := [path for path in (table.python, *table.extra_paths) if not path.exists()]:
        reason = f"{missing[0]}, for toolchain {request.declared.name}, does not exist"
        packages = "name a directory of packages that exists, or leave the extra path out"
        return Obstacle(reason=reason, fix=fix if missing[0] == table.python else packages)
    done = _run(request, table, PROBE, LOOK_LIMIT_S)
    if done.returncode == 0:
        try:
            return Facts.model_validate_json(done.stdout)
        except ValidationError:
            pass  # what it printed shows that it is not a Python interpreter
    said = (done.stderr.strip() or done.stdout.strip()).rpartition("\n")[2] or f"exit code {done.returncode}"
    said = said if len(said) <= SAID_CHARS else f"...{said[-SAID_CHARS:]}"
    return Obstacle(reason=f"{table.python} does not work as a Python interpreter: {said}", fix=fix)


def _proof(request: ToolchainRequest, table: HostTable, facts: Facts, content: str, say: Say) -> Proof:
    """Prove that the tool can be imported; remembered for this content."""
    memory = _root(request) / "proof.json"
    if memory.exists() and (known := Proof.model_validate_json(memory.read_bytes())).content == content:
        return known
    say(f"{request.declared.name}: importing {request.declared.tool} with {facts.executable}")
    done = _run(request, table, smoke_program(request.declared), IMPORT_LIMIT_S)
    if done.returncode != 0:
        said = done.stderr.strip().rpartition("\n")[2]
        obstacle = Obstacle(
            reason=f"{table.python} cannot import {request.declared.tool}: {said}",
            fix=f"make this work: {table.python} -c {request.declared.smoke!r}",
        )
        raise unavailable(request.declared.name, [obstacle])
    if slow := _compiles_at_every_start(facts):
        say(f"{request.declared.name}: {slow}")
    proof = Proof(content=content, torch=torch_build(done.stdout.rstrip("\n").rpartition("\n")[2]))
    memory.write_text(proof.model_dump_json(), encoding="utf-8")
    return proof


def _compiles_at_every_start(facts: Facts) -> str:
    """Say what its programs compile at every start, as they write no byte code; empty if it is little."""
    lacking = {
        path: counts
        for path, counts in without_byte_code(facts.paths, facts.python).items()
        if counts[0] > TOLERATED_SHARE * counts[1]
    }
    if not lacking:
        return ""
    count, of = (sum(counts) for counts in zip(*lacking.values(), strict=True))
    return (
        f"{count} of {of} modules have no byte code, and are compiled again whenever a program starts "
        f"(fix: {facts.executable} -m compileall -q {' '.join(map(str, lacking))})"
    )


def _run(
    request: ToolchainRequest, table: HostTable, program: str, limit_s: float
) -> subprocess.CompletedProcess[str]:
    """Run Python as a job would, without importing anything from the working directory."""
    command = [str(table.python), "-c", f"import sys; sys.path[:1] = []\n{program}"]
    env = job_environment(_bare(request, table), {}, os.environ)
    try:
        return subprocess.run(
            command, env=env, cwd="/", check=False, text=True, capture_output=True, timeout=limit_s
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))


def _bare(request: ToolchainRequest, table: HostTable) -> Toolchain:
    """What is known about it before it is inspected."""
    extra = os.pathsep.join(str(path.absolute()) for path in table.extra_paths)
    python = table.python.absolute()
    return Toolchain(
        name=request.declared.name,
        provider=HostProvider.name,
        adopted=True,
        place=str(python),
        root=_root(request),
        python=python,
        bin_dir=python.parent,
        accelerator=request.declared.accelerator,
        identity="",
        versions={},
        env=request.declared.env | ({PYTHON_PATH: extra} if extra else {}),
        tool_env=request.settings.tool_env,
        temporary_dir=request.settings.home / "tmp",
    )


def _toolchain(request: ToolchainRequest, table: HostTable, facts: Facts, proof: Proof) -> Toolchain:
    programs = find_programs(request.declared.programs)
    versions = facts.normalised()
    known = {
        "identity": _identity(request, facts, proof, programs),
        "versions": versions,
        "bin_dir": facts.programs,
        "program_dirs": tuple(dict.fromkeys(program.path.parent for program in programs.values())),
        "differences": differences(request.declared, versions),
    }
    _root(request).mkdir(parents=True, exist_ok=True)
    return _bare(request, table).model_copy(update=known)


def _identity(request: ToolchainRequest, facts: Facts, proof: Proof, programs: dict[str, HostProgram]) -> str:
    """Digest of what is there; it holds no path, so it is equal on hosts that hold the same."""
    return digest_of(
        {
            "provider": HostProvider.name,
            "name": request.declared.name,
            "python": facts.python,
            "machine": facts.machine,
            "content": proof.content,
            "torch": proof.torch and proof.torch.model_dump(mode="json"),
            "programs": {name: program.version for name, program in programs.items()},
            "env": request.declared.env,
        }
    )


def _root(request: ToolchainRequest) -> Path:
    return request.settings.home / "adopted" / request.declared.name
