"""Requests to servers of this host: they go past the proxy that the environment names for all others.

Where a proxy is set and `no_proxy` does not name this host, every client would ask the proxy for 127.0.0.1:
the local stack would never seem ready, and its store and its Prefect server would never answer.
"""

import os
from collections.abc import MutableMapping

PROXIES = ("http_proxy", "https_proxy", "all_proxy")
# Both spellings are in use: urllib prefers the first, curl reads either.
EXCEPTIONS = ("no_proxy", "NO_PROXY")
OWN_HOST = ("127.0.0.1", "localhost")
ALL = "*"


def bypass_proxies(environ: MutableMapping[str, str] = os.environ) -> None:
    """Add this host to the hosts that are asked without a proxy, for this process and those it starts."""
    if not any(environ.get(name) or environ.get(name.upper()) for name in PROXIES):
        return
    written = next((environ[name] for name in EXCEPTIONS if environ.get(name)), "")
    hosts = [host.strip() for host in written.split(",") if host.strip()]
    if ALL not in hosts:
        environ.update(dict.fromkeys(EXCEPTIONS, ",".join(dict.fromkeys([*hosts, *OWN_HOST]))))
