"""Standard variables that HTTP clients read by themselves: proxies, and the certificates that they trust.

A client that cannot use one raises an error of its own, which names neither the variable nor its value, and
often seems to come from the server. Values are not repeated here: a proxy's address may hold a password.
"""

import os
import ssl
from collections.abc import Collection, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from artifacts.errors import SettingsInvalid

# boto3 reads the first two of these, httpx all.
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
HTTP_SCHEMES = ("http", "https")
SOCKS_SCHEMES = ("socks5", "socks5h")
SOCKS_PACKAGE = "socksio"
CERTIFICATES = "SSL_CERT_FILE"
NETWORK_FIX = "correct the variable, or unset it"


def require_usable_network(environ: Mapping[str, str] = os.environ) -> None:
    """Check what httpx, the client of the Hub and of Prefect, reads before it sends its first request.

    Raises:
        SettingsInvalid: it would refuse a variable, whatever address is asked.
    """
    proxies = (*proxy_problems(PROXIES, environ), *_scheme_problems(environ))
    if problems := (*proxies, *_certificate_problems(environ)):
        raise SettingsInvalid("; ".join(problems), where="environment", fix=NETWORK_FIX)


def proxy_problems(
    names: Collection[str] = PROXIES, environ: Mapping[str, str] = os.environ
) -> tuple[str, ...]:
    """Return a sentence per proxy that has no usable address; none if all have one.

    Args:
        names: the variables that a client reads, in upper case.
        environ: the environment.
    """
    return tuple(
        f"{name} {problem}"
        for name, address in _proxies(environ)
        if name.upper() in names
        for problem in address_problems(address if "://" in address else f"http://{address}")
    )


def address_problems(address: str) -> tuple[str, ...]:
    """Say why an address cannot be used, as the rest of a sentence; none if it can."""
    try:
        parts = urlsplit(address)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return ("is not an address: its host or port is invalid",)
    lacks = [name for name, found in (("scheme", parts.scheme), ("host", host)) if not found]
    return (f"is not an address: it has no {' and no '.join(lacks)}",) if lacks else ()


def _proxies(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the proxies that are set; lower-case names are as common, and clients read either."""
    for name in PROXIES:
        for spelled in (name, name.lower()):
            if address := environ.get(spelled):
                yield spelled, address


def _scheme_problems(environ: Mapping[str, str]) -> Iterator[str]:
    for name, address in _proxies(environ):
        scheme = address.partition("://")[0].lower() if "://" in address else "http"
        if scheme in SOCKS_SCHEMES and find_spec(SOCKS_PACKAGE) is None:
            yield f"{name} names a SOCKS proxy, which needs the package {SOCKS_PACKAGE}: it is not installed"
        elif scheme and scheme not in (*HTTP_SCHEMES, *SOCKS_SCHEMES):
            known = ", ".join((*HTTP_SCHEMES, *SOCKS_SCHEMES))
            yield f"{name} names a proxy of an unknown kind; known are: {known}"


def _certificate_problems(environ: Mapping[str, str]) -> Iterator[str]:
    if not (path := environ.get(CERTIFICATES)):
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(Path(path))
    except OSError as error:  # ssl.SSLError is one
        yield f"{CERTIFICATES}={path} holds no certificates that can be read ({error.strerror or error})"
