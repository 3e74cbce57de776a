"""Variables that the user hands to tools: which are taken, and which are refused without being shown."""

import pytest

from artifacts.settings import Settings
from artifacts.settings.tool_env import read_tool_env

ENVIRON = {"LD_LIBRARY_PATH": "/opt/cuda/lib64", "HTTPS_PROXY": "http://me:hidden@proxy:8080"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("NCCL_DEBUG=INFO, LD_LIBRARY_PATH", {"NCCL_DEBUG": "INFO", "LD_LIBRARY_PATH": "/opt/cuda/lib64"}),
        ("NCCL_PROTO=LL=1", {"NCCL_PROTO": "LL=1"}),
        ('{"NCCL_SOCKET_IFNAME": "eth0,eth1"}', {"NCCL_SOCKET_IFNAME": "eth0,eth1"}),
        (
            {"LD_LIBRARY_PATH": True, "NCCL_DEBUG": "INFO"},
            {"LD_LIBRARY_PATH": "/opt/cuda/lib64", "NCCL_DEBUG": "INFO"},
        ),
        ({"CUDA_DEVICE_MAX_CONNECTIONS": 1}, {"CUDA_DEVICE_MAX_CONNECTIONS": "1"}),
        ("CUDA_HOME", {}),
        ("", {}),
    ],
)
def test_values_are_given_or_passed_on(given, expected):
    assert read_tool_env(given, ENVIRON) == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("HF_TOKEN=hidden", "HF_TOKEN looks like a secret"),
        ("AWS_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY looks like a secret"),
        ("NGC_API_KEY=hidden", "NGC_API_KEY looks like a secret"),
        ("DB_PASSWORD=hidden", "DB_PASSWORD looks like a secret"),
        ("SSH_AUTH_SOCK=hidden", "SSH_AUTH_SOCK looks like a secret"),
        ("PROXY=http://me:hidden@proxy", "PROXY holds what looks like credentials"),
        ("HTTPS_PROXY", "HTTPS_PROXY holds what looks like credentials"),
        ("NGC_APIKEY=hidden", "NGC_APIKEY looks like a secret"),
        ("SSH_PRIVATEKEY=hidden", "SSH_PRIVATEKEY looks like a secret"),
        ("DB_PWD=hidden", "DB_PWD looks like a secret"),
        ("PGPASS=hidden", "PGPASS looks like a secret"),
        ("GITHUB_PAT=hidden", "GITHUB_PAT looks like a secret"),
        ("PATH=/hidden", "PATH is set by the pipeline itself"),
        ("CUDA_VISIBLE_DEVICES=0", "CUDA_VISIBLE_DEVICES is set by the pipeline itself"),
        ("2X=1", "'2X' is not the name of a variable"),
        ({"NCCL_DEBUG": False}, "NCCL_DEBUG: give it a text"),
        (["NCCL_DEBUG"], "neither a table nor a text"),
    ],
)
def test_what_is_refused_is_named_and_not_shown(given, said):
    with pytest.raises(ValueError, match=said) as raised:
        read_tool_env(given, ENVIRON)
    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize(
    "value",
    [
        "me:hidden@proxy:8080",
        "direct;me:hidden@proxy:8080",
        "http://me@proxy:8080",
        "https://host/file?X-Amz-Signature=0123456789abcdef",
        "-----BEGIN RSA PRIVATE KEY-----",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        f"hf_{'a' * 34}",
        f"AKIA{'A' * 16}",
        f"ASIA{'A' * 16}",
        f"ghp_{'a' * 36}",
        f"github_pat_{'a' * 30}",
        f"glpat-{'a' * 20}",
        f"nvapi-{'a' * 64}",
        f"sk-{'a' * 40}",
        f"xoxb-{'1' * 12}-{'a' * 24}",
    ],
)
def test_credentials_are_refused_whatever_the_name_is(value):
    for given in ({"ANYTHING": value}, {"ANYTHING": True}):
        with pytest.raises(ValueError, match="ANYTHING holds what looks like credentials") as raised:
            read_tool_env(given, {"ANYTHING": value})
        assert value not in str(raised.value)


@pytest.mark.parametrize(
    "value",
    [
        "http://proxy.example:3128",
        "proxy.example:3128",
        "localhost,127.0.0.1,.example.com",
        "/usr/lib:/opt/cuda/lib64:/data/run@2",
        "^docker0,lo",
        "mlx5_0:1,mlx5_1:1",
        "max_split_size_mb:128,expandable_segments:True",
        "--xla_flag=a:b",
        "registry.example:5000/tool@sha256",
    ],
)
def test_harmless_values_are_taken(value):
    assert read_tool_env({"ANYTHING": value}, {}) == {"ANYTHING": value}


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(ValueError, match=r"A_TOKEN .*; PATH "):
        read_tool_env("A_TOKEN=x,PATH=y", ENVIRON)


@pytest.mark.parametrize(
    "name",
    [
        "NCCL_IB_HCA",
        "NCCL_IB_PKEY",
        "MONKEY",
        "KEYBOARD",
        "AUTHOR",
        "FILE_PATTERN",
        "LD_LIBRARY_PATH",
        "http_proxy",
    ],
)
def test_harmless_names_are_taken(name):
    assert read_tool_env(f"{name}=1", {}) == {name: "1"}


def test_the_variable_and_the_file_are_read(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "enginery.toml").write_text('[tool_env]\nNCCL_DEBUG = "INFO"\nTHERE = true\n')
    monkeypatch.setenv("THERE", "yes")
    assert Settings().tool_env == {"NCCL_DEBUG": "INFO", "THERE": "yes"}
    monkeypatch.setenv("ENGINERY_TOOL_ENV", "NCCL_DEBUG=WARN")
    assert Settings().tool_env["NCCL_DEBUG"] == "WARN"
