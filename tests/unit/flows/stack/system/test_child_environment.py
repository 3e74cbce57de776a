"""Which of the user's variables the daemons get."""

import pytest

from flows.stack.system.child_environment import SERVERS, WORKER, inherited
from tasks.toolchains.providers.lock.environment import PASSED_TO_UV, PROXIES

NEEDED = {
    "PATH": "/bin",
    "HOME": "/home/me",
    "LC_ALL": "C",
    "TMPDIR": "/scratch",
    "PYTHONPATH": "/mine",
    "LD_LIBRARY_PATH": "/usr/local/nvidia/lib64",
    "https_proxy": "http://proxy",
    "HTTPS_PROXY": "http://proxy",
    "SSL_CERT_FILE": "/ca.pem",
    "REQUESTS_CA_BUNDLE": "/ca.pem",
    "PIP_FIND_LINKS": "/wheels",
    "UV_INDEX": "/index",
    "HF_TOKEN": "hub",
    "HF_ENDPOINT": "http://hub",
    "CUDA_VISIBLE_DEVICES": "0",
    "OMP_NUM_THREADS": "1",
    "ENGINERY_SPECS_DIR": "/specs",
}
OTHERS = {
    "GITHUB_TOKEN": "forge",
    "AWS_ACCESS_KEY_ID": "cloud",
    "AWS_PROFILE": "work",
    "PREFECT_API_URL": "http://other",
    "PREFECT_API_KEY": "cloud",
    "WEED_JWT_SIGNING_KEY": "other",
    "OPENAI_API_KEY": "other",
    "SSH_AUTH_SOCK": "/agent",
    "LD_PRELOAD": "/other.so",
}


def test_the_worker_gets_what_runs_need_and_nothing_else() -> None:
    assert inherited(WORKER, NEEDED | OTHERS) == NEEDED


def test_the_servers_get_neither_tokens_nor_settings() -> None:
    kept = inherited(SERVERS, NEEDED | OTHERS)
    assert set(kept) == {"PATH", "HOME", "LC_ALL", "TMPDIR", "PYTHONPATH", "LD_LIBRARY_PATH"}


def test_the_worker_gets_whatever_it_passes_on_to_tools() -> None:
    wanted = dict.fromkeys({*PASSED_TO_UV, *PROXIES, *(name.upper() for name in PROXIES)}, "value")
    assert inherited(WORKER, wanted) == wanted


@pytest.mark.parametrize("name", ["XPATH", "MY_HF_TOKEN", "HOMEBREW"])
def test_a_name_counts_as_a_whole(name: str) -> None:
    assert inherited(WORKER, {name: "value"}) == {}
