"""Facts of this host."""

import os
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path

_TIME_LIMIT_S = 60

_SOURCE = '#include <vector>\nextern "C" int answer() { std::vector<int> v{42}; return v.at(0); }\n'


def try_compiler() -> tuple[str | None, str]:
    """Compile and load a shared object.

    Returns:
        The compiler, None if there is none; and what went wrong, empty if nothing did.
    """
    program = shutil.which("g++")
    if program is None:
        return None, ""
    with tempfile.TemporaryDirectory() as directory:
        source, library = Path(directory, "probe.cpp"), Path(directory, "probe.so")
        source.write_text(_SOURCE)
        argv = [program, "-shared", "-fPIC", "-o", str(library), str(source)]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=_TIME_LIMIT_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return program, str(error)
        if done.returncode != 0:
            return program, (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return program, _load(library)


def free_bytes(path: Path) -> int:
    """Return the free space of the file system that a path is on, or will be on."""
    path = path.expanduser().absolute()
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def available_memory_bytes(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Return the memory that the kernel reports as available, within the limit of the control group."""
    values = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
    available = int(values["MemAvailable"].split()[0]) * 1024
    return min(available, _cgroup_room_bytes() or available)


def shared_memory_free_bytes(path: Path = Path("/dev/shm")) -> int | None:  # noqa: S108  the device itself
    """Return the free space in /dev/shm; None if the host has no such device."""
    return shutil.disk_usage(path).free if path.is_dir() else None


def newest_own_file() -> datetime:
    """Return when the newest file of this program was written."""
    packages = Path(__file__).resolve().parents[2]
    times = [path.stat().st_mtime for path in packages.glob("flows/**/*.py")]
    return datetime.fromtimestamp(max(times), UTC)


def hub_token_file() -> Path:
    """Return the file in which the Hub's own login keeps its token."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "huggingface")
    return Path(os.environ.get("HF_TOKEN_PATH") or Path(home) / "token").expanduser()


def _load(library: Path) -> str:
    import ctypes

    try:
        answer = ctypes.CDLL(str(library)).answer()
    except OSError as error:
        return str(error)
    return "" if answer == 42 else f"a compiled function returned {answer} instead of 42"


def _cgroup_room_bytes(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    limit = root / "memory.max"
    text = limit.read_text().strip() if limit.exists() else "max"
    if text == "max":
        return None
    return max(0, int(text) - int((root / "memory.current").read_text()))
