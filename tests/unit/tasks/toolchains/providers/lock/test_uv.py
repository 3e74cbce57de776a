"""What uv is given, and what its words come to."""

import pytest

from tasks.errors import (
    TaskError,
    ToolchainCorrupt,
    ToolchainInstallFailed,
    ToolchainUnavailable,
    WorkerCancelled,
)
from tasks.toolchains.providers.lock.environment import uv_environment
from tasks.toolchains.providers.lock.index_settings import index_settings, pip_settings, uv_files
from tasks.toolchains.providers.lock.uv import STEPS, explained

NO_FILES = {"PIP_CONFIG_FILE": "/dev/null"}
ERROR = TaskError("uv ended with exit code 1", where="log")


def env(**variables):
    return dict(index_settings(NO_FILES | variables, {}).env)


@pytest.mark.parametrize(
    ("pip", "value", "uv", "expected"),
    [
        ("PIP_INDEX_URL", "https://a/simple", "UV_DEFAULT_INDEX", "https://a/simple"),
        ("PIP_EXTRA_INDEX_URL", "https://a/s  file:///b", "UV_INDEX", "https://a/s file:///b"),
        ("PIP_FIND_LINKS", "/w https://a/links", "UV_FIND_LINKS", "/w,https://a/links"),
        ("PIP_TRUSTED_HOST", "a b:8080", "UV_INSECURE_HOST", "a b:8080"),
        ("PIP_TIMEOUT", "60", "UV_HTTP_TIMEOUT", "60"),
        ("PIP_DEFAULT_TIMEOUT", "180", "UV_HTTP_TIMEOUT", "180"),
        ("PIP_CERT", "/etc/ca.crt", "SSL_CERT_FILE", "/etc/ca.crt"),
        ("REQUESTS_CA_BUNDLE", "/etc/ca.crt", "SSL_CERT_FILE", "/etc/ca.crt"),
        ("PIP_CLIENT_CERT", "/c.pem", "SSL_CLIENT_CERT", "/c.pem"),
        ("PIP_PROXY", "http://p:1", "ALL_PROXY", "http://p:1"),
    ],
)
def test_each_setting_of_pip_reaches_uv_under_its_own_name(pip, value, uv, expected):
    assert env(**{pip: value}) == {uv: expected}


def test_a_relative_folder_of_wheels_is_named_in_full(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert env(PIP_FIND_LINKS="wheels") == {"UV_FIND_LINKS": str(tmp_path / "wheels")}


def test_no_index_has_no_variable():
    assert index_settings(NO_FILES | {"PIP_NO_INDEX": "1"}, {}).arguments == ("--no-index",)
    assert index_settings(NO_FILES | {"PIP_NO_INDEX": "0"}, {}).arguments == ()
    own = NO_FILES | {"PIP_NO_INDEX": "1", "UV_DEFAULT_INDEX": "https://u"}
    assert index_settings(own, {}).arguments == ()


@pytest.mark.parametrize("own", ["UV_DEFAULT_INDEX", "UV_INDEX_URL"])
def test_what_uv_is_given_itself_counts_before_pips(own):
    found = env(**{own: "https://u", "PIP_INDEX_URL": "https://p", "PIP_EXTRA_INDEX_URL": "https://e"})
    assert found == {own: "https://u", "UV_INDEX": "https://e"}


def test_what_uvs_file_says_counts_before_pips(tmp_path):
    file = tmp_path / "uv.toml"
    file.write_text('find-links = ["/u"]\n[pip]\nextra-index-url = ["https://u"]\n')
    said = uv_files({"UV_CONFIG_FILE": str(file)})
    pip = {"PIP_FIND_LINKS": "/p", "PIP_EXTRA_INDEX_URL": "https://p", "PIP_INDEX_URL": "https://p"}
    assert index_settings(NO_FILES | pip, said).env == {"UV_DEFAULT_INDEX": "https://p"}
    assert uv_files({"UV_CONFIG_FILE": str(file), "UV_NO_CONFIG": "1"}) == {}


def test_files_of_pip_are_read_in_its_order_and_variables_last(tmp_path):
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "pip.conf").write_text(
        "[global]\nindex-url = https://a\nextra-index-url =\n  https://b\n  https://c\n"
        "[install]\nfind-links = /i\n"
    )
    named = tmp_path / "named.conf"
    named.write_text("[global]\nindex-url = https://named\n")
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "PIP_CONFIG_FILE": str(named), "PIP_FIND_LINKS": "/v"}
    found = pip_settings(environ)
    assert (found["index-url"], found["find-links"]) == ("https://named", "/v")
    assert found["extra-index-url"].split() == ["https://b", "https://c"]
    assert pip_settings(environ | NO_FILES) == {"config-file": "/dev/null", "find-links": "/v"}


def test_what_decides_what_is_installed_is_not_the_users():
    refused = ["TARGET", "REQUIRE_HASHES", "NO_VERIFY_HASHES", "SYSTEM_PYTHON", "INDEX_STRATEGY", "NO_BINARY"]
    assert env(**{f"UV_{name}": "1" for name in refused}, UV_CACHE_DIR="/c") == {"UV_CACHE_DIR": "/c"}


def test_uv_sees_proxies_and_no_secret_of_anybody():
    made = uv_environment({"HTTPS_PROXY": "p", "AWS_PROFILE": "s", "HOME": "/h"}, {"UV_INDEX": "i"})
    assert (made["HTTPS_PROXY"], made["HOME"], made["UV_INDEX"]) == ("p", "/h", "i")
    assert "AWS_PROFILE" not in made


def test_steps_are_reported_and_other_lines_are_not():
    assert STEPS.match("Downloading torch (170.2MiB)")
    assert STEPS.match("Prepared 12 packages in 3.20s")
    assert not STEPS.match(" + torch==2.13.0+cpu")


def test_a_missing_build_names_it():
    tail = [
        "error: No solution found when resolving dependencies",
        "  cause: Because there is no version of torch==2.99.0+cpu and you require torch==2.99.0+cpu, we can",
    ]
    error = explained(ERROR, tail)
    assert type(error) is ToolchainUnavailable
    assert error.what == "uv finds no build of torch==2.99.0+cpu for this Python and machine"


def test_another_hash_is_corrupt():
    assert type(explained(ERROR, ["  Hash mismatch for `alpha==1.0`"])) is ToolchainCorrupt


def test_failure_that_uv_does_not_explain_says_that_it_can_be_repeated():
    error = explained(ERROR, ["Connection reset by peer"])
    assert type(error) is ToolchainInstallFailed
    assert "run the command again: it continues" in error.fix


def test_cancelled_installation_stays_a_cancellation():
    cancelled = WorkerCancelled("installing was stopped")
    assert explained(cancelled, ["error: No solution found when resolving dependencies"]) is cancelled
