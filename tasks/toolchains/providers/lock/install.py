"""Installs toolchains on first use: safe when several processes do it at once, and after being killed at any
point.

Invariants:
- A toolchain is used only once its `INSTALLED.json` is there. It is written after everything has been
  checked: the distributions are those of the lock and no others, their files have the recorded digests, torch
  is the declared build, and the tool can be imported.
- Whoever installs holds the directory's lock until the last of its processes has ended.
- pip never chooses: no dependency resolution, exact versions, hashes, no builds from source. A CPU build of
  torch is pinned by its full local version, so that a CUDA build (gigabytes) is not even looked at.
- What the wheelhouse holds comes from there alone, with its digests.
- Where a host cannot hold a toolchain, all that is in the way is said at once, before anything is installed.
"""

import os
import sys
import time
from collections.abc import Callable

from artifacts.settings import Settings
from tasks.errors import ToolchainCorrupt, ToolchainUnavailable
from tasks.toolchains.declarations import Declaration, TorchBuild, declaration
from tasks.toolchains.host_checks import unavailable
from tasks.toolchains.providers.lock.content import (
    installed_versions,
    read_content,
    remove_unfinished,
    tree_bytes,
)
from tasks.toolchains.providers.lock.install_lock import exclusive
from tasks.toolchains.providers.lock.installation import (
    Installation,
    Plan,
    as_toolchain,
    read_installation,
    write_installation,
)
from tasks.toolchains.providers.lock.interpreter import find_interpreter, find_programs
from tasks.toolchains.providers.lock.pip import Pip, unpacked_pip
from tasks.toolchains.providers.lock.readiness import obstacles, unusable
from tasks.toolchains.providers.lock.wheelhouse import Chosen, Lacking, choose_wheels, named, require_intact
from tasks.toolchains.records import NotInstalled, Toolchain
from tasks.toolchains.run.environment import pip_environment

OnProgress = Callable[[str], None]
TORCH_BUILDS = (
    "tell pip where PyTorch's builds for this accelerator are: PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS"
)


def print_line(line: str) -> None:
    """Print one line of progress to stderr."""
    print(line, file=sys.stderr, flush=True)


def ensure(name: str, settings: Settings, on_progress: OnProgress = print_line) -> Toolchain:
    """The toolchain of that name, installed if it is not yet.

    Raises ToolchainUnavailable (this host cannot have it: what is missing and how to get it),
    ToolchainInstallFailed (broke off: try again) and ToolchainCorrupt (a package is not what the lock names).
    """
    return ensure_declared(declaration(name), settings, on_progress)


def ensure_declared(declared: Declaration, settings: Settings, on_progress: OnProgress) -> Toolchain:
    """As `ensure`, for a declaration from anywhere."""
    plan = plan_of(declared, settings)
    installation = read_installation(plan.root)
    if installation is None:
        installation = _install_once(plan, settings, on_progress)
    if not plan.python.exists():
        what = f"the interpreter that toolchain {declared.name} was made with is gone"
        raise ToolchainUnavailable(
            what, where=str(plan.python), fix=f"rm -r {plan.root}; then it is made again"
        )
    return as_toolchain(installation, plan)


def status(name: str, settings: Settings) -> Toolchain | NotInstalled:
    """What `ensure` would find, without installing anything."""
    declared = declaration(name)
    if unusable(declared):
        return _not_installed(declared, settings, "")
    plan = plan_of(declared, settings)
    if installation := read_installation(plan.root):
        return as_toolchain(installation, plan)
    begun = "its installation was not finished" if plan.root.exists() else "it is not installed yet"
    return _not_installed(declared, settings, begun)


def _not_installed(declared: Declaration, settings: Settings, begun: str) -> NotInstalled:
    found = obstacles(declared, settings)
    if not found:
        fix = f"enginery toolchain install {declared.name}"
        return NotInstalled(name=declared.name, reason=begun, fix=fix)
    first, *others = found
    reason = f"this host cannot hold it: {first.reason}"
    if not others:
        return NotInstalled(name=declared.name, reason=reason, fix=first.fix, obstacles=found)
    more = f" (and {len(others)} more reason{'s' if others[1:] else ''})"
    fix = f"enginery toolchain install {declared.name} names each, with its remedy"
    return NotInstalled(name=declared.name, reason=reason + more, fix=fix, obstacles=found)


def planned_identity(name: str, settings: Settings) -> str | NotInstalled:
    """The identity that a run would find now; known only of what is installed: it digests what is there."""
    found = status(name, settings)
    return found.identity if isinstance(found, Toolchain) else found


def plan_of(declared: Declaration, settings: Settings) -> Plan:
    """What installing takes on this host, or using what is installed.

    Raises ToolchainUnavailable where the host cannot have it, with all that is in the way.
    """
    if unusable(declared):
        raise unavailable(declared.name, obstacles(declared, settings))
    return Plan(
        declaration=declared,
        interpreter=find_interpreter(declared.python),
        programs=find_programs(declared.programs),
        toolchains_dir=settings.toolchains_dir.absolute(),
        temporary_dir=settings.home.absolute() / "tmp",
    )


def _install_once(plan: Plan, settings: Settings, on_progress: OnProgress) -> Installation:
    name = plan.declaration.name

    def waiting() -> None:
        on_progress(f"{name}: another process is installing it; waiting")

    with exclusive(plan.root.with_name(f".{plan.root.name}.lock"), waiting) as descriptor:
        if installation := read_installation(plan.root):
            return installation
        wheels = choose_wheels(plan.declaration, settings.wheelhouse)
        in_the_way = obstacles(plan.declaration, settings)
        if in_the_way or isinstance(wheels, Lacking):
            raise unavailable(name, in_the_way)
        require_intact(wheels)
        on_progress(f"{name}: installing into {plan.root}")
        installation = _Installer(plan, wheels, on_progress, descriptor).install()
        size, took = installation.installed_bytes / 1e9, installation.install_s
        on_progress(
            f"{name}: {len(installation.distributions)} packages, {size:.2f} GB, installed in {took:.0f} s"
        )
        return installation


class _Installer:
    """Installs one planned toolchain, under its lock."""

    def __init__(self, plan: Plan, wheels: Chosen, on_progress: OnProgress, lock_fd: int) -> None:
        self._plan = plan
        self._wheels = wheels
        self._declared = plan.declaration
        self._on_progress = on_progress
        self._pip = Pip(
            plan.python,
            unpacked_pip(plan.interpreter.pip_wheel, plan.toolchains_dir),
            log=plan.root / "install.log",
            env=pip_environment(os.environ),
            keep_fds=(lock_fd,),
            on_progress=self._say,
        )

    def install(self) -> Installation:
        """Make or complete the environment; the record of what it holds."""
        started = time.monotonic()
        self._make_environment()
        pins = self._declared.pins() | named(self._wheels.wheels)
        self._pip.total = len(pins)
        if self._declared.pinned_torch:
            self._pip.install_build(f"torch=={self._declared.pinned_torch}")
        self._pip.install_locked(self._declared.lock_path)
        self._install_wheels()
        self._check_pins(pins)
        self._say("compiling byte code")
        self._pip.compile(self._plan.site_packages)
        self._say("checking what was installed")
        distributions = read_content(self._plan.site_packages)
        torch = self._smoke()
        installation = Installation(
            name=self._declared.name,
            python=self._plan.interpreter.version,
            machine=self._plan.interpreter.machine,
            distributions=distributions,
            torch=torch,
            installed_bytes=tree_bytes(self._plan.root),
            install_s=round(time.monotonic() - started, 3),
        )
        write_installation(self._plan.root, installation)
        return installation

    def _say(self, text: str) -> None:
        self._on_progress(f"{self._declared.name}: {text}")

    def _make_environment(self) -> None:
        if self._plan.site_packages.exists():
            unfinished = remove_unfinished(self._plan.site_packages)
            cut_off = f" (cut off within {', '.join(unfinished)})" if unfinished else ""
            self._say(f"going on with an installation that was not finished{cut_off}")
        self._plan.root.mkdir(parents=True, exist_ok=True)
        arguments = ["-m", "venv", "--without-pip", str(self._plan.root)]
        self._pip.run_python(arguments, python=self._plan.interpreter.path)

    def _install_wheels(self) -> None:
        if not self._wheels.wheels:
            return
        wanted = self._plan.root / "wheelhouse.txt"
        wanted.write_text(self._wheels.requirements(), encoding="utf-8")
        self._pip.install_wheels(wanted, self._wheels.wheels[0].path.parent)

    def _check_pins(self, pins: dict[str, str]) -> None:
        installed = installed_versions(self._plan.site_packages)
        if installed != pins:
            odd = sorted(f"{name} {version}" for name, version in installed.items() ^ pins.items())
            what = f"what pip installed is not exactly what the lock names; they differ in: {', '.join(odd)}"
            fix = "delete that directory and install again"
            raise ToolchainCorrupt(what, where=str(self._plan.root), fix=fix)

    def _smoke(self) -> TorchBuild | None:
        """Import the tool, and ask torch which build it is."""
        ask = (
            "import torch; print('torch:', torch.__version__, torch.version.cuda)"
            if self._declared.torch
            else "print()"
        )
        *_, last = self._pip.run_python(["-c", f"{self._declared.smoke}\n{ask}"])
        if self._declared.torch is None:
            return None
        _, version, cuda = last.split()
        found = TorchBuild(version=version, cuda=None if cuda == "None" else cuda)
        if not self._declared.torch.allows(found):
            declared = _described(self._declared.torch)
            what = f"pip installed torch {_described(found)}, not the declared {declared}"
            raise ToolchainUnavailable(what, where=str(self._plan.root), fix=TORCH_BUILDS)
        return found


def _described(build: TorchBuild) -> str:
    return f"{build.version} ({f'CUDA {build.cuda}' if build.cuda else 'no CUDA'})"
