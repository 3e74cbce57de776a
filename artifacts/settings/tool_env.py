"""Variables that the user hands to the heavy tools on purpose: `[tool_env]` or `ENGINERY_TOOL_ENV`.

Tools see none of the user's environment but what is on an allow-list; what else a host's tools need to work
well (`LD_LIBRARY_PATH`, `NCCL_*`, `CUDA_HOME`, proxies) is named here.
Invariants:
- Values become part of the host class that measurements are kept under, so that everybody who reads a
  measurement can read them: nothing that looks like a secret is taken.
- What the pipeline itself sets for tools stays its own.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SECRET_NAME = re.compile(
    r"TOKEN|SECRET|PASSW(OR)?D|PASSPHRASE|CREDENTIAL|COOKIE"
    r"|(^|_)((API|ACCESS|PRIVATE)?KEYS?|AUTH|PW|PWD|PASS|PAT|PGPASS)(_|$)",
    re.IGNORECASE,
)
# Credentials in an address, also without a scheme (as proxies may be given); signatures of addresses; private
# keys; web tokens; and the beginnings of tokens of the Hub, AWS, GitHub, GitLab, NVIDIA, OpenAI and Slack.
SECRET_VALUE = re.compile(
    r"://[^/\s@]+@|(^|[\s,;])[^\s/:@]+:[^\s/@]+@|[?&](X-Amz-Signature|sig|token|key)=|PRIVATE KEY-----"
    r"|\beyJ[\w-]+\.eyJ[\w-]+\."
    r"|\b(hf_\w{20,}|A[KS]IA[0-9A-Z]{16}|(gh[pousr]|github_pat)_\w{20,}|glpat-[\w-]{20,}|nvapi-[\w-]{20,}"
    r"|sk-[\w-]{20,}|xox[a-z]-[\w-]{20,})"
)
OURS = frozenset(
    [
        *("PATH", "HOME", "TMPDIR", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONNOUSERSITE"),
        *("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"),
        *("NVIDIA_VISIBLE_DEVICES", "HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "TOKENIZERS_PARALLELISM"),
    ]
)


def read_tool_env(value: object, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables and their values.

    A table gives names with values, `true` for what the environment says; a text is such a table as JSON, or
    `NAME=VALUE,NAME`, where a name alone stands for what the environment says. What that does not set is left
    out.

    Raises:
        ValueError: it is neither, or a name or value is refused: all of them at once, without the values.
    """
    table = _table(value)
    found = {name: environ.get(name) if given is True else given for name, given in table.items()}
    variables = {name: str(given) for name, given in found.items() if given is not None}
    if problems := list(_problems(table, variables)):
        raise ValueError("; ".join(problems))
    return variables


def _table(value: object) -> Mapping[str, object]:
    if isinstance(value, Mapping):
        return value
    if not isinstance(value, str):
        what = "is neither a table nor a text such as NCCL_DEBUG=INFO,LD_LIBRARY_PATH"
        raise ValueError(what)  # noqa: TRY004  pydantic takes it for a wrong value
    if value.lstrip().startswith("{"):
        return dict(json.loads(value))
    pairs = (part.strip().partition("=") for part in value.split(",") if part.strip())
    return {name: given if sign else True for name, sign, given in pairs}


def _problems(table: Mapping[str, object], variables: Mapping[str, str]) -> Iterator[str]:
    for name, given in table.items():
        if not NAME.fullmatch(name):
            yield f"{name!r} is not the name of a variable"
        elif not (given is True or isinstance(given, str | int | float)) or given is False:
            yield f"{name}: give it a text, or true to pass on what the environment says"
        elif SECRET_NAME.search(name):
            yield f"{name} looks like a secret, and values are recorded with every measurement"
        elif SECRET_VALUE.search(variables.get(name, "")):
            yield f"{name} holds what looks like credentials, and values are recorded with every measurement"
        elif name in OURS:
            yield f"{name} is set by the pipeline itself"
