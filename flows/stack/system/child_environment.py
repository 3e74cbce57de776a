"""The variables that daemons inherit from the environment of `enginery up`: those named here and no others.

Whoever may start a flow run sees the worker's environment, so tokens and keys of the user's other work stay
out of it.
"""

import os
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")

# Patterns of names, grouped by purpose.
GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        # For any program: its user, where it finds other programs, its language.
        "system": ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_*", "TZ", "TMPDIR"),
        # The interpreter and libraries that it loads (a virtual environment, the driver's NVML).
        "python": ("PYTHON*", "VIRTUAL_ENV", "LD_LIBRARY_PATH"),
        # To reach the Hub and the package indexes: proxies, certificates, pip's and uv's configuration.
        "network": (
            *_PROXIES,
            *(name.upper() for name in _PROXIES),
            *("SSL_CERT_FILE", "SSL_CERT_DIR", "SSL_CLIENT_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
            *("PIP_*", "UV_*", "NETRC", "XDG_*"),
        ),
        # To fetch checkpoints, gated ones too: HF_TOKEN is the only secret of the user that runs need.
        "hub": ("HF_*",),
        # The devices that tools compute on.
        "devices": ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_NUM_THREADS"),
        "settings": ("ENGINERY_*",),
    }
)
SERVERS = ("system", "python")
WORKER = tuple(GROUPS)


def inherited(groups: Collection[str], environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables of `environ` that belong to one of the groups."""
    patterns = [pattern for group in groups for pattern in GROUPS[group]]
    return {
        name: value
        for name, value in environ.items()
        if any(fnmatchcase(name, pattern) for pattern in patterns)
    }


def checkout() -> Path:
    """Return the directory that holds the packages (and, in a checkout, prefect.yaml)."""
    return Path(__file__).resolve().parents[3]


def python_path() -> str:
    """Return the PYTHONPATH with which a program started in another directory finds our packages."""
    return os.pathsep.join(filter(None, (str(checkout()), os.environ.get("PYTHONPATH"))))
