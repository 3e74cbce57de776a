"""The environment of uv: the user configures where packages come from, we decide where they go."""

from collections.abc import Mapping

from tasks.toolchains.run import PASSED, SYSTEM_PATH, kept

PASSED_TO_UV = PASSED | frozenset(
    ["SSL_CERT_FILE", "SSL_CERT_DIR", "SSL_CLIENT_CERT", "NETRC", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"]
)
PROXIES = frozenset(["http_proxy", "https_proxy", "all_proxy", "no_proxy"])


def uv_environment(source: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """The environment of an installation; `settings` are uv's own variables and those that replace pip's."""
    proxies = {name: value for name, value in source.items() if name.lower() in PROXIES}
    return kept(source, PASSED_TO_UV) | proxies | dict(settings) | {"PATH": SYSTEM_PATH, "NO_COLOR": "1"}
