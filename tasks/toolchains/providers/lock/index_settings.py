"""Where packages come from, for uv: its own settings, and pip's wherever uv has none.

Users configure in pip where packages are (`pip.conf`, `PIP_*`); uv reads none of that. Each of these settings
is passed on under uv's name for it, unless a variable or a configuration file of uv itself sets the same.

Standard library only: `.ci/setup` runs this file before anything is installed, and evaluates what it prints.
"""

import configparser
import os
import shlex
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# These decide into which environment uv installs, what it may build, or which versions it takes: all of that
# is our decision.
REFUSED = frozenset(
    f"UV_{name}"
    for name in (
        *(
            "BREAK_SYSTEM_PACKAGES",
            "BUILD_CONSTRAINT",
            "COMPILE_BYTECODE",
            "CONSTRAINT",
            "EXCLUDE",
            "EXCLUDE_NEWER",
        ),
        *("INDEX_STRATEGY", "NO_BINARY", "NO_BUILD", "NO_BUILD_ISOLATION", "NO_BUILD_PACKAGE", "NO_DEPS"),
        *("NO_BINARY_PACKAGE", "NO_VERIFY_HASHES", "ONLY_BINARY", "OVERRIDE", "PRERELEASE", "PROJECT"),
        *("PROJECT_ENVIRONMENT", "PYTHON", "REQUIRE_HASHES", "RESOLUTION", "SYSTEM_PYTHON", "TARGET"),
        *("TORCH_BACKEND", "VENV_SEED", "WORKING_DIR"),
    )
)
# pip's name of a setting, uv's variable for it, other variables that say the same, and uv's keys in files.
NAMES = (
    ("index-url", "UV_DEFAULT_INDEX", ("UV_INDEX_URL",), ("index-url", "index")),
    ("extra-index-url", "UV_INDEX", ("UV_EXTRA_INDEX_URL",), ("extra-index-url", "index")),
    ("find-links", "UV_FIND_LINKS", (), ("find-links",)),
    ("trusted-host", "UV_INSECURE_HOST", (), ("allow-insecure-host",)),
    ("timeout", "UV_HTTP_TIMEOUT", ("UV_REQUEST_TIMEOUT", "HTTP_TIMEOUT"), ("http-timeout",)),
    ("cert", "SSL_CERT_FILE", ("SSL_CERT_DIR",), ()),
    ("client-cert", "SSL_CLIENT_CERT", (), ()),
    ("proxy", "ALL_PROXY", ("all_proxy", "HTTPS_PROXY", "https_proxy"), ("https-proxy", "http-proxy")),
)
TRUE = ("1", "true", "yes", "on")
# uv separates addresses with spaces, but the entries of --find-links, which may contain spaces, with commas.
COMMAS = frozenset(["UV_FIND_LINKS"])


@dataclass(frozen=True)
class IndexSettings:
    """The settings that uv is given.

    Attributes:
        env: variables.
        arguments: settings that have no variable.
    """

    env: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()


def index_settings(environ: Mapping[str, str], files: Mapping[str, Any] | None = None) -> IndexSettings:
    """uv's own variables, and pip's settings where uv has none.

    `files` is what uv's configuration files say, by key; by default they are read.
    """
    own = {name: value for name, value in environ.items() if name.startswith("UV_") and name not in REFUSED}
    in_files = uv_files(environ) if files is None else files
    # Python programs, such as pip, read these to find certificates; uv does not.
    bundle = environ.get("REQUESTS_CA_BUNDLE") or environ.get("CURL_CA_BUNDLE")
    pip = ({"cert": bundle} if bundle else {}) | pip_settings(environ)
    env = dict(own)
    for name, variable, others, keys in NAMES:
        is_set = any(environ.get(other) for other in (variable, *others)) or any(
            key in in_files for key in keys
        )
        if not is_set and (value := pip.get(name)):
            env[variable] = _as_uv_writes(variable, value)
    no_index = pip.get("no-index", "").lower() in TRUE and not env.keys() & {
        "UV_DEFAULT_INDEX",
        "UV_INDEX_URL",
    }
    return IndexSettings(env, ("--no-index",) if no_index else ())


def pip_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """What pip's files and variables say, by the names used in files; the last one that sets it counts."""
    found: dict[str, str] = {}
    for path in _pip_files(environ):
        parser = configparser.RawConfigParser()
        parser.read(path, encoding="utf-8")
        for section in ("global", "install"):
            found |= dict(parser.items(section)) if parser.has_section(section) else {}
    own = {name: value for name, value in environ.items() if name.startswith("PIP_") and value}
    found |= {name.removeprefix("PIP_").lower().replace("_", "-"): value for name, value in own.items()}
    return found | ({"timeout": found["default-timeout"]} if "default-timeout" in found else {})


def uv_files(environ: Mapping[str, str]) -> dict[str, Any]:
    """What uv's configuration files for this user and this host say, including their `[pip]` tables."""
    found: dict[str, Any] = {}
    for path in _uv_files(environ):
        if path.is_file():
            document = tomllib.loads(path.read_text(encoding="utf-8"))
            found |= document | document.get("pip", {})
    return found


def _pip_files(environ: Mapping[str, str]) -> Iterator[Path]:
    """The files of pip's configuration, in the order in which pip reads them."""
    named = environ.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        return
    home = Path(environ.get("HOME", "~")).expanduser()
    for folder in environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(os.pathsep):
        yield Path(folder, "pip", "pip.conf")
    yield Path("/etc/pip.conf")
    yield home / ".pip" / "pip.conf"
    yield Path(environ.get("XDG_CONFIG_HOME") or home / ".config", "pip", "pip.conf")
    yield Path(sys.prefix, "pip.conf")
    if named:
        yield Path(named)


def _uv_files(environ: Mapping[str, str]) -> Iterator[Path]:
    if environ.get("UV_NO_CONFIG"):
        return
    if named := environ.get("UV_CONFIG_FILE"):
        yield Path(named)
        return
    home = Path(environ.get("HOME", "~")).expanduser()
    yield Path("/etc/uv/uv.toml")
    yield Path(environ.get("XDG_CONFIG_HOME") or home / ".config", "uv", "uv.toml")


def _as_uv_writes(variable: str, value: str) -> str:
    parts = [_absolute(part) if variable in COMMAS else part for part in value.split()]
    return (",".join if variable in COMMAS else " ".join)(parts)


def _absolute(place: str) -> str:
    """The full path of a folder, as uv runs in another directory; an address stays as it is."""
    return place if "://" in place else str(Path(place).expanduser().absolute())


def main() -> None:
    """Print the settings of this process's environment as lines of shell."""
    settings = index_settings(os.environ)
    for name, value in sorted(settings.env.items()):
        print(f"export {name}={shlex.quote(value)}")
    print(f"uv_arguments={shlex.quote(' '.join(settings.arguments))}")


if __name__ == "__main__":
    main()
