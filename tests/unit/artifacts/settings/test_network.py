"""A variable that HTTP clients would refuse is named, in words, and without what may be a password."""

import httpx
import pytest

from artifacts.errors import SettingsInvalid
from artifacts.settings import address_problems, proxy_problems, require_usable_network

SECRET = "topsecret"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("HTTP_PROXY", "://", "HTTP_PROXY is not an address: it has no scheme and no host"),
        ("http_proxy", "http://", "http_proxy is not an address: it has no host"),
        ("HTTPS_PROXY", ":3128", "HTTPS_PROXY is not an address: it has no host"),
        ("ALL_PROXY", f"http://me:{SECRET}", "ALL_PROXY is not an address: its host or port is invalid"),
        ("https_proxy", "http://127.0.0.1:99999", "https_proxy is not an address"),
        ("HTTP_PROXY", f"ftp://me:{SECRET}@proxy", "HTTP_PROXY names a proxy of an unknown kind"),
        ("ALL_PROXY", "socks5://proxy:1080", "needs the package socksio: it is not installed"),
        ("SSL_CERT_FILE", "/nowhere/ca.pem", "SSL_CERT_FILE=/nowhere/ca.pem holds no certificates"),
        ("SSL_CERT_FILE", __file__, f"SSL_CERT_FILE={__file__} holds no certificates"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(name: str, value: str, said: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        require_usable_network({name: value})
    assert said in str(caught.value)
    assert "fix: " in str(caught.value)
    assert SECRET not in str(caught.value)


def test_what_clients_accept_is_accepted() -> None:
    require_usable_network({})
    usable = {"http_proxy": "proxy:3128", "HTTPS_PROXY": "http://me:secret@[::1]:8080/", "NO_PROXY": "*"}
    require_usable_network(usable | {"ALL_PROXY": "", "SSL_CERT_FILE": ""})


def test_what_is_refused_here_is_refused_by_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is refused that httpx could have worked with, except for addresses that lead nowhere."""
    for name, value in (("HTTP_PROXY", "://"), ("ALL_PROXY", "ftp://proxy"), ("ALL_PROXY", "socks4://p")):
        monkeypatch.setenv(name, value)
        with pytest.raises(SettingsInvalid, match=name):
            require_usable_network()
        with pytest.raises(ValueError, match="Unknown scheme"):
            httpx.Client()
        monkeypatch.delenv(name)


def test_a_client_is_asked_only_for_the_proxies_that_it_reads() -> None:
    assert proxy_problems(("HTTP_PROXY",), {"ALL_PROXY": "://"}) == ()
    assert proxy_problems(("HTTP_PROXY",), {"http_proxy": "://"}) != ()


@pytest.mark.parametrize("address", ["http://127.0.0.1:4200/api", "https://[::1]:1", "s3://bucket"])
def test_an_address_has_a_scheme_and_a_host(address: str) -> None:
    assert address_problems(address) == ()
    assert address_problems(address.partition("//")[2]) != ()
