"""What is said where the S3 server is away, refuses, or breaks off."""

import contextlib
import socket
import threading

import pytest
from botocore.exceptions import HTTPClientError, SSLError
from support.servers import proxy
from support.servers.seaweed import S3Server, free_ports
from support.stores.buckets import in_any_bucket

from artifacts.errors import (
    BadReference,
    Conflict,
    NotFound,
    SettingsInvalid,
    StoreRefused,
    StoreUnreachable,
)
from artifacts.settings import Settings
from artifacts.store import Store, open_store
from artifacts.store.bucket import ByteRange
from artifacts.store.s3.errors import s3_errors


def test_a_server_that_is_not_there_is_reported(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = f"http://127.0.0.1:{free_ports(1)[0]}"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
    with pytest.raises(StoreUnreachable, match="does not answer") as caught:
        open_store(Settings()).missing_of("0" * 64)
    said = str(caught.value)
    assert endpoint in said
    assert "enginery-tests" in said
    assert "AWS_ENDPOINT_URL" in said
    assert caught.value.exit_code == 5


def test_a_server_that_takes_connections_and_says_nothing_is_reported(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("artifacts.store.s3.bucket.READ_TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(StoreUnreachable, match="does not answer"):
            open_store(Settings()).read_action("build", "0" * 64)


@pytest.mark.parametrize("variable", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_credentials_are_reported_with_the_variables_to_look_at(
    store: Store, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "wrong")
    closed = open_store(Settings())
    for request in (
        lambda: closed.missing_of("0" * 64),
        lambda: closed.read_action("build", "0" * 64),
        closed.ensure_bucket,
    ):
        with pytest.raises(StoreRefused, match="refuses access") as caught:
            request()
        assert variable in caught.value.fix


def test_no_credentials_are_reported(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StoreRefused, match="no usable AWS credentials") as caught:
        open_store(Settings()).missing_of("0" * 64)
    assert "AWS_ACCESS_KEY_ID" in caught.value.fix


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AWS_PROFILE", "nobody"),
        ("AWS_ENDPOINT_URL_S3", "not a url"),
        ("AWS_DEFAULT_REGION", "no region"),
        ("AWS_METADATA_SERVICE_TIMEOUT", "long"),
        ("AWS_STS_REGIONAL_ENDPOINTS", "maybe"),
        ("AWS_DEFAULTS_MODE", "maybe"),
    ],
)
def test_a_wrong_aws_configuration_is_reported_with_the_variables_that_are_set(
    store: Store, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(StoreRefused, match="AWS configuration is wrong") as caught:
        open_store(Settings())
    assert variable in caught.value.where
    assert caught.value.fix.startswith("correct or unset the wrong one")


@pytest.fixture
def unproxied(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy is set, and no host is excepted."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.usefixtures("unproxied")
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy"])
@pytest.mark.parametrize("keys", [True, False])
def test_a_proxy_without_an_address_is_not_taken_for_a_fault_of_keys_or_server(
    store: Store, monkeypatch: pytest.MonkeyPatch, variable: str, keys: bool
) -> None:
    """Without keys, boto3 asks a service of the host for some as it starts, through the proxy."""
    monkeypatch.setenv(variable, "://")
    if not keys:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
    with pytest.raises(SettingsInvalid, match=f"{variable} is not an address") as caught:
        open_store(Settings()).missing_of("0" * 64)
    assert "AWS" not in caught.value.fix
    assert caught.value.exit_code == 2


@pytest.mark.usefixtures("unproxied")
def test_a_proxy_that_does_not_answer_is_reported_as_such(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://me:topsecret@127.0.0.1:{free_ports(1)[0]}")
    with pytest.raises(StoreUnreachable, match="the proxy to the S3 server does not answer") as caught:
        open_store(Settings()).missing_of("0" * 64)
    assert "HTTP_PROXY" in caught.value.fix
    assert "topsecret" not in str(caught.value)


def test_a_certificate_that_is_not_trusted_is_reported_with_the_variable_that_says_which_are() -> None:
    with pytest.raises(StoreUnreachable, match="cannot be trusted") as caught, s3_errors("bucket mine"):
        raise SSLError(endpoint_url="https://127.0.0.1:9", error="self-signed certificate")
    assert "AWS_CA_BUNDLE" in caught.value.fix


def test_where_nothing_was_found_is_named_with_its_prefix(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGINERY_STORE_PREFIX", "/another/team/")
    elsewhere = open_store(Settings())
    assert str(elsewhere.bucket).endswith(", keys below another/team/")
    with pytest.raises(NotFound, match="key another/team/blobs"):
        elsewhere.bucket.get("blobs/none")


def test_a_bucket_that_is_not_there_is_reported(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINERY_STORE_BUCKET", "no-such-bucket")
    away = open_store(Settings())
    with pytest.raises(NotFound, match="bucket does not exist") as caught:
        list(away.bucket.keys(""))
    assert "ENGINERY_STORE_BUCKET" in caught.value.fix


def test_a_bucket_name_that_s3_cannot_have_is_reported(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINERY_STORE_BUCKET", "no such bucket!")
    with pytest.raises(BadReference, match="no such bucket!") as caught:
        open_store(Settings()).missing_of("0" * 64)
    assert caught.value.exit_code == 2


def test_a_server_of_another_protocol_is_reported(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 17\r\n\r\n<!doctype html>hi"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_answer, args=(listener, page), daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(StoreUnreachable, match="not an S3 server"):
            open_store(Settings()).read_action("build", "0" * 64)
        with pytest.raises(StoreUnreachable, match="the S3 server failed"):
            list(open_store(Settings()).bucket.keys(""))


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("301 Moved Permanently\r\nLocation: https://127.0.0.1:9/", "it redirects every request"),
        ("302 Found\r\nLocation: http://127.0.0.1:9/login", "it redirects every request"),
        ("404 Not Found", r"failed \(status 404\)"),
        ("502 Bad Gateway", r"failed \(502"),
    ],
)
def test_what_a_web_server_in_between_answers_is_reported(
    store: Store, monkeypatch: pytest.MonkeyPatch, status: str, said: str
) -> None:
    page = f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: 15\r\nConnection: close\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        arguments = (listener, f"{page}<html>no</html>".encode())
        threading.Thread(target=_answer, args=arguments, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(StoreUnreachable, match=said):
            open_store(Settings()).read_action("build", "0" * 64)


@pytest.mark.parametrize("error", [RecursionError(), HTTPClientError(error=RecursionError())])
def test_whoever_runs_out_of_stack_a_redirect_without_end_is_named(error: Exception) -> None:
    with pytest.raises(StoreUnreachable, match="it redirects every request"), s3_errors("bucket b"):
        raise error


def _answer(listener: socket.socket, page: bytes) -> None:
    with contextlib.suppress(OSError):  # the listener was closed
        while True:
            client, _ = listener.accept()
            with client:
                client.recv(1 << 16)
                client.sendall(page)


@in_any_bucket
def test_making_the_bucket_twice_does_no_harm(store: Store) -> None:
    store.bucket.put("key", b"body")
    store.ensure_bucket()
    assert store.bucket.get("key").body == b"body"


@in_any_bucket
def test_a_conditional_write_loses_against_what_is_there(store: Store) -> None:
    store.bucket.put("key", b"first", if_absent=True)
    with pytest.raises(Conflict):
        store.bucket.put("key", b"second", if_absent=True)
    etag = store.bucket.get("key").etag
    store.bucket.put("key", b"third", if_match=etag)
    with pytest.raises(Conflict):
        store.bucket.put("key", b"fourth", if_match=etag)
    assert store.bucket.get("key").body == b"third"


def test_a_range_can_be_read_while_connections_break(store: Store, s3_server: S3Server) -> None:
    body = bytes(range(256)) * 4096
    store.bucket.put("key", body)
    with proxy.before(s3_server.endpoint) as between, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_S3", between.endpoint)
        broken = open_store(Settings()).bucket
        part = ByteRange(1000, 500_000, len(body))
        assert b"".join(broken.stream("key", part)) == body[1000:501_000]
        between.cuts_left = 10
        with pytest.raises(StoreUnreachable):
            list(broken.stream("key", ByteRange(0, len(body), len(body))))
