"""The environment of everything heavy, made from an allow-list: what a job sees is what is named here.

Secrets of the pipeline (object store, orchestrator, Hub) are not on the list, so they never reach a tool; a
stage that needs one passes it by name.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from tasks.toolchains.records import Toolchain

PASSED = frozenset(
    [
        "HOME",
        "USER",
        "LOGNAME",
        "LANG",
        "LC_ALL",
        "LC_CTYPE",
        "TZ",
        "TMPDIR",
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "CUDA_VISIBLE_DEVICES",
    ]
)
PASSED_TO_PIP = PASSED | frozenset(
    ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "NETRC", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"]
)
PROXIES = frozenset(["http_proxy", "https_proxy", "all_proxy", "no_proxy"])
# These would send packages elsewhere than into the toolchain, or ask of torch the hash that it cannot have.
REFUSED_PIP = frozenset(
    [
        "PIP_TARGET",
        "PIP_PREFIX",
        "PIP_ROOT",
        "PIP_USER",
        "PIP_REQUIRE_HASHES",
        "PIP_NO_BINARY",
        "PIP_CONSTRAINT",
    ]
)
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
FIXED = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "NO_COLOR": "1",
    "PYTHONUNBUFFERED": "1",
    "PYTHONNOUSERSITE": "1",
    # Toolchains come with their byte code; trees and checkouts are not to be written to by running them.
    "PYTHONDONTWRITEBYTECODE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def job_environment(
    toolchain: Toolchain, extra: Mapping[str, str], source: Mapping[str, str]
) -> dict[str, str]:
    """The environment of a job or server: fixed, declared, allowed ones of `source`, then extra values.

    In a declared value, `{spare_processors}` stands for the processors of this host but one, at least one.
    """
    spare = max(1, len(os.sched_getaffinity(0)) - 1)
    declared = {name: value.format(spare_processors=spare) for name, value in toolchain.env.items()}
    path = search_path((toolchain.bin_dir, *toolchain.program_dirs))
    return FIXED | declared | _kept(source, PASSED) | {"PATH": path} | dict(extra)


def pip_environment(source: Mapping[str, str]) -> dict[str, str]:
    """The environment of pip: where packages come from is the user's configuration, where they go is not."""
    pip = {
        name: value for name, value in source.items() if name.startswith("PIP_") and name not in REFUSED_PIP
    }
    proxies = {name: value for name, value in source.items() if name.lower() in PROXIES}
    return (
        _kept(source, PASSED_TO_PIP)
        | pip
        | proxies
        | {"PATH": SYSTEM_PATH, "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
    )


def search_path(first: tuple[Path, ...]) -> str:
    """A PATH that looks in these directories, then in the system's."""
    return ":".join([*dict.fromkeys(map(str, first)), SYSTEM_PATH])


def _kept(source: Mapping[str, str], names: frozenset[str]) -> dict[str, str]:
    return {name: source[name] for name in sorted(names) if name in source}
