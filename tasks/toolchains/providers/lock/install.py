"""Installs toolchains on first use, safely even if several processes do it at once or one is killed midway.

Invariants:
- A toolchain is used only once its `INSTALLED.json` is there. It is written after everything has been
  checked: the distributions are those of the lock and no others, their files have the recorded digests, torch
  is the declared build, and the tool can be imported.
- The installing process holds the directory's lock until the last of its child processes has ended.
- An interrupted installation starts over; what was downloaded for it is in uv's cache.
- uv never chooses: no dependency resolution, exact versions, hashes, no builds from source. A CPU build of
  torch is pinned by its full local version, so that a CUDA build (gigabytes) is not even considered.
- What the wheelhouse holds comes only from there, with its digests.
- If a host cannot hold a toolchain, all obstacles are reported at once, before anything is installed.
"""

import os
import shutil
import time

from artifacts.progress import Say
from artifacts.settings import Settings
from tasks.errors import ToolchainCorrupt, ToolchainUnavailable
from tasks.toolchains.declarations import Declaration, TorchBuild
from tasks.toolchains.host_checks import find_programs, unavailable
from tasks.toolchains.providers.lock.content import installed_versions, read_content, tree_bytes
from tasks.toolchains.providers.lock.environment import uv_environment
from tasks.toolchains.providers.lock.index_settings import index_settings
from tasks.toolchains.providers.lock.install_lock import exclusive
from tasks.toolchains.providers.lock.installation import (
    Installation,
    Plan,
    as_toolchain,
    read_installation,
    write_installation,
)
from tasks.toolchains.providers.lock.interpreter import find_interpreter
from tasks.toolchains.providers.lock.readiness import obstacles, unusable
from tasks.toolchains.providers.lock.uv import Uv
from tasks.toolchains.providers.lock.wheelhouse import Chosen, Lacking, choose_wheels, named, require_intact
from tasks.toolchains.providers.smoke import smoke_program, torch_build
from tasks.toolchains.records import NotInstalled, Toolchain

TORCH_BUILDS = "say where PyTorch's builds for this accelerator are: PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS"


def ensure_declared(declared: Declaration, settings: Settings, say: Say) -> Toolchain:
    """The declared toolchain, installed if it is not yet.

    Raises ToolchainUnavailable (this host cannot have it: what is missing and how to get it),
    ToolchainInstallFailed (interrupted: try again) and ToolchainCorrupt (a package differs from the lock).
    """
    plan = plan_of(declared, settings)
    installation = read_installation(plan.root)
    if installation is None:
        installation = _install_once(plan, settings, say)
    if not plan.python.exists():
        what = f"the interpreter that toolchain {declared.name} was made with is gone"
        raise ToolchainUnavailable(
            what, where=str(plan.python), fix=f"rm -r {plan.root}, then install it again"
        )
    return as_toolchain(installation, plan)


def status(declared: Declaration, settings: Settings) -> Toolchain | NotInstalled:
    """What `ensure_declared` would find, without installing anything."""
    if unusable(declared, settings):
        return _not_installed(declared, settings, "")
    plan = plan_of(declared, settings)
    if installation := read_installation(plan.root):
        return as_toolchain(installation, plan)
    begun = "its installation was not finished" if plan.root.exists() else "it is not installed yet"
    return _not_installed(declared, settings, begun)


def _not_installed(declared: Declaration, settings: Settings, begun: str) -> NotInstalled:
    fix = f"enginery toolchain install {declared.name}"
    return NotInstalled.because(declared.name, obstacles(declared, settings), otherwise=(begun, fix))


def plan_of(declared: Declaration, settings: Settings) -> Plan:
    """The plan of installing a toolchain on this host, or of using what is installed.

    Raises ToolchainUnavailable with all obstacles if the host cannot have it.
    """
    if unusable(declared, settings):
        raise unavailable(declared.name, obstacles(declared, settings))
    return Plan(
        declaration=declared,
        interpreter=find_interpreter(declared.python),
        programs=find_programs(declared.programs),
        toolchains_dir=settings.toolchains_dir,
        temporary_dir=settings.home / "tmp",
    )


def _install_once(plan: Plan, settings: Settings, say: Say) -> Installation:
    name = plan.declaration.name

    def waiting() -> None:
        say(f"{name}: another process is installing it; waiting")

    with exclusive(plan.root.with_name(f".{plan.root.name}.lock"), waiting) as descriptor:
        if installation := read_installation(plan.root):
            return installation
        wheels = choose_wheels(plan.declaration, settings.wheelhouse)
        in_the_way = obstacles(plan.declaration, settings)
        if in_the_way or isinstance(wheels, Lacking):
            raise unavailable(name, in_the_way)
        require_intact(wheels)
        say(f"{name}: installing into {plan.root}")
        installation = _Installer(plan, wheels, say, descriptor).install()
        size, took = installation.installed_bytes / 1e9, installation.install_s
        say(f"{name}: {len(installation.distributions)} packages, {size:.2f} GB, installed in {took:.0f} s")
        return installation


class _Installer:
    """Installs one planned toolchain, under its lock."""

    def __init__(self, plan: Plan, wheels: Chosen, say: Say, lock_fd: int) -> None:
        self._plan = plan
        self._wheels = wheels
        self._declared = plan.declaration
        self._report = say
        sources = index_settings(os.environ)
        self._uv = Uv(
            plan.python,
            log=plan.root / "install.log",
            env=uv_environment(os.environ, sources.env),
            arguments=sources.arguments,
            keep_fds=(lock_fd,),
            say=say,
        )

    def install(self) -> Installation:
        """Make the environment; returns the record of what it holds."""
        started = time.monotonic()
        self._make_environment()
        pins = self._declared.pins() | named(self._wheels.wheels)
        self._say(f"{len(pins)} packages by uv")
        if self._declared.pinned_torch:
            self._uv.install_build(f"torch=={self._declared.pinned_torch}")
        self._uv.install_locked(self._declared.lock_path)
        self._install_wheels()
        self._check_pins(pins)
        self._say("compiling byte code")
        self._uv.compile(self._plan.site_packages)
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
        self._report(f"{self._declared.name}: {text}")

    def _make_environment(self) -> None:
        if self._plan.root.exists():
            self._say("starting over, because an installation was not finished")
            shutil.rmtree(self._plan.root)
        self._plan.root.mkdir(parents=True)
        self._uv.make_environment(self._plan.root, self._plan.interpreter.path)

    def _install_wheels(self) -> None:
        if not self._wheels.wheels:
            return
        wanted = self._plan.root / "wheelhouse.txt"
        wanted.write_text(self._wheels.requirements(), encoding="utf-8")
        self._uv.install_wheels(wanted, self._wheels.wheels[0].path.parent)

    def _check_pins(self, pins: dict[str, str]) -> None:
        installed = installed_versions(self._plan.site_packages)
        if installed != pins:
            odd = sorted(f"{name} {version}" for name, version in installed.items() ^ pins.items())
            what = f"uv did not install exactly what the lock names; they differ in: {', '.join(odd)}"
            fix = "delete that directory and install again"
            raise ToolchainCorrupt(what, where=str(self._plan.root), fix=fix)

    def _smoke(self) -> TorchBuild | None:
        """Import the tool and ask torch which build it is."""
        *_, last = self._uv.run_python(["-c", smoke_program(self._declared)])
        found = torch_build(last)
        if found and self._declared.torch and not self._declared.torch.allows(found):
            what = f"uv installed torch {found}, not the declared {self._declared.torch}"
            raise ToolchainUnavailable(what, where=str(self._plan.root), fix=TORCH_BUILDS)
        return found
