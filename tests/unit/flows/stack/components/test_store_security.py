"""Keys and certificates of the S3 server's inner ports, credentials of the Prefect server."""

import stat
import tomllib
from pathlib import Path

import pytest
from cryptography import x509

from flows.stack.components import prefect_server
from flows.stack.components.store_security import write_security
from flows.stack.system import disk
from flows.stack.system.private_files import write_private
from flows.stack.system.state import StackPaths


@pytest.fixture
def paths(tmp_path: Path) -> StackPaths:
    return StackPaths(tmp_path / 'a "quoted" directory')


def test_every_start_of_the_store_has_keys_of_its_own(paths: StackPaths) -> None:
    write_security(paths, "http://127.0.0.1:1")
    first = tomllib.loads(paths.security_file.read_text())
    certificate = paths.security_file.with_suffix(".cert").read_bytes()
    write_security(paths, "http://127.0.0.1:1")
    second = tomllib.loads(paths.security_file.read_text())
    assert certificate != paths.security_file.with_suffix(".cert").read_bytes()
    for use in ("signing", "filer_signing"):
        keys = {(config["jwt"][use]["key"], config["jwt"][use]["read"]["key"]) for config in (first, second)}
        assert len({key for pair in keys for key in pair}) == 4


def test_the_certificate_is_for_this_host_and_vouches_for_itself(paths: StackPaths) -> None:
    write_security(paths, "http://127.0.0.1:1")
    config = tomllib.loads(paths.security_file.read_text())
    for part in ("master", "volume", "filer", "client"):
        assert config["https"][part]["ca"] == config["grpc"]["ca"] == config["grpc"][part]["cert"]
    certificate = x509.load_pem_x509_certificate(Path(config["grpc"]["ca"]).read_bytes())
    certificate.verify_directly_issued_by(certificate)
    assert config["cors"]["allowed_origins"]["values"] == "http://127.0.0.1:1"


def test_nobody_else_can_read_what_is_private(paths: StackPaths) -> None:
    write_security(paths, "")
    prefect_server.auth_string(paths)
    files = [path for path in paths.root.iterdir() if path.is_file()]
    assert len(files) == 4
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_a_private_file_is_replaced_whatever_an_interrupted_write_left(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.with_suffix(".new").write_text("half of")
    write_private(path, b"whole")
    assert path.read_bytes() == b"whole"
    assert [one.name for one in tmp_path.iterdir()] == ["secret"]


def test_the_prefect_credentials_stay_until_their_file_goes(paths: StackPaths) -> None:
    first = prefect_server.auth_string(paths)
    user, _, password = first.partition(":")
    assert user
    assert len(password) >= 32
    assert prefect_server.auth_string(paths) == first
    paths.prefect_auth_file.unlink()
    assert prefect_server.auth_string(paths) != first


def test_other_errors_of_the_system_are_not_reported_as_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), disk.disk_full_errors(tmp_path):
        (tmp_path / "none").read_bytes()
