"""Writes the locks from `locks/NAME.in`: `python -m tasks.toolchains.relock [NAME..]` (for development).

Torch is resolved together with the rest, so that the lock agrees with it; a build that only the declaration
can pin is then left out of the lock. What a declaration leaves out on purpose and what the wheelhouse holds
are left out here, with everything that only they require: what a wheel of the wheelhouse needs is named in
`NAME.in`. Only metadata is downloaded, and nothing is built: a distribution without a wheel is not eligible.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tasks.toolchains.declarations import LOCKS_DIR, Declaration, declared, locked_versions

HEADER = "# Exact versions with hashes, made by `python -m tasks.toolchains.relock {name}` from {name}.in.\n"
NO_TORCH = "# torch is not among them: toolchains.yaml pins its build, and it is checked once installed.\n"
NO_WHEELS = "# What the wheelhouse holds is not among them: {names}.\n"
MACHINES = ("x86_64", "aarch64")


def main(names: list[str]) -> None:
    """Write the locks of the named toolchains, or of all if none is named."""
    for name in names or sorted(declared()):
        # For a machine type without a lock, the declaration is that of its first one again.
        found = [declared(machine=machine)[name] for machine in MACHINES]
        declarations = {each.machine: each for each in found}
        for declaration in declarations.values():
            lock = header(declaration) + without_markers(resolve(declaration))
            declaration.lock_path.write_text(lock, encoding="utf-8")
            print(f"{declaration.lock}: {len(locked_versions(lock))} distributions")


def header(declaration: Declaration) -> str:
    """The comment that opens a lock."""
    lines = HEADER.format(name=declaration.name)
    lines += NO_TORCH if declaration.pinned_torch else ""
    wheels = ", ".join(wheel.name for wheel in declaration.wheelhouse)
    return lines + (NO_WHEELS.format(names=wheels) if wheels else "")


def resolve(declaration: Declaration) -> str:
    """Resolve one toolchain with uv; the text of the lock."""
    wanted = (LOCKS_DIR / f"{declaration.name}.in").read_text(encoding="utf-8")
    absent = {*declaration.left_out, *(wheel.name for wheel in declaration.wheelhouse)}
    resolved = declaration.torch if "torch" not in absent else None
    torch = f"torch=={resolved.version}\n" if resolved else ""
    with tempfile.TemporaryDirectory() as directory:
        requirements, overrides = Path(directory, "wanted.in"), Path(directory, "left-out.txt")
        requirements.write_text(wanted + torch, encoding="utf-8")
        # A marker that never holds removes a dependency together with everything that only it needs.
        never = "".join(f"{name} ; python_version < '3'\n" for name in sorted(absent))
        overrides.write_text(never, encoding="utf-8")
        command = _command(declaration, requirements, overrides)
        return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout


def without_markers(lock: str) -> str:
    """Drop markers: they all hold on the one platform that a lock is made for."""
    return re.sub(r"(==[^\s;]+) ; [^\\\n]*", r"\1 ", lock)


def _command(declaration: Declaration, wanted: Path, overrides: Path) -> list[str]:
    platform = f"{declaration.machine}-manylinux_{declaration.glibc.replace('.', '_')}"
    command = [
        *(sys.executable, "-m", "uv", "pip", "compile", str(wanted), "--override", str(overrides), "--quiet"),
        *("--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"),
        *("--no-build", "--python-version", declaration.python, "--python-platform", platform),
    ]
    return [*command, "--no-emit-package", "torch"] if declaration.pinned_torch else command


if __name__ == "__main__":
    main(sys.argv[1:])
