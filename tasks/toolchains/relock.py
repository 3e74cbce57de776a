"""Makes the locks again from `locks/NAME.in`: `python -m tasks.toolchains.relock [NAME..]` (development only;
needs uv).

Torch is resolved together with the rest, so that the lock agrees with it, and then left out of the lock: the
declaration pins it. What a declaration leaves out on purpose is left out here.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tasks.toolchains.declarations import LOCKS_DIR, Declaration, declared, locked_versions

HEADER = """\
# Exact versions with hashes, made by `python -m tasks.toolchains.relock {name}` from {name}.in.
# torch is not among them: toolchains.yaml pins its build, and it is checked once installed.
"""


def main(names: list[str]) -> None:
    """Write the locks of the named toolchains, of all if none is named."""
    for name in names or sorted(declared()):
        declaration = declared()[name]
        lock = HEADER.format(name=name) + without_markers(resolve(declaration))
        declaration.lock_path.write_text(lock, encoding="utf-8")
        print(f"{name}: {len(locked_versions(lock))} distributions")


def resolve(declaration: Declaration) -> str:
    """Resolve one toolchain with uv; the text of the lock."""
    wanted = (LOCKS_DIR / f"{declaration.name}.in").read_text(encoding="utf-8")
    torch = f"torch=={declaration.torch.version}\n" if declaration.torch else ""
    with tempfile.TemporaryDirectory() as directory:
        requirements, overrides = Path(directory, "wanted.in"), Path(directory, "left-out.txt")
        requirements.write_text(wanted + torch, encoding="utf-8")
        # A marker that never holds takes a dependency out together with all that only it needs.
        never = "".join(f"{name} ; python_version < '3'\n" for name in declaration.left_out)
        overrides.write_text(never, encoding="utf-8")
        command = _command(declaration, requirements, overrides)
        return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout


def without_markers(lock: str) -> str:
    """Drop markers: they all hold on the one platform that a lock is made for."""
    return re.sub(r"(==[^\s;]+) ; [^\\\n]*", r"\1 ", lock)


def _command(declaration: Declaration, wanted: Path, overrides: Path) -> list[str]:
    platform = f"{declaration.machine}-manylinux_2_28"
    return [
        *(sys.executable, "-m", "uv", "pip", "compile", str(wanted), "--override", str(overrides), "--quiet"),
        *("--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"),
        *(
            "--python-version",
            declaration.python,
            "--python-platform",
            platform,
            "--no-emit-package",
            "torch",
        ),
    ]


if __name__ == "__main__":
    main(sys.argv[1:])
