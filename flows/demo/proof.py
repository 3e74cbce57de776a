"""The proof at the end of the demo: what a serving host pulls says the same as what was judged."""

import json
import shutil
import urllib.request
from collections.abc import Callable
from pathlib import Path

from pydantic import Field

from artifacts.errors import IntegrityError
from artifacts.frozen import Frozen
from artifacts.hosts import ServeCommand
from artifacts.releases import PulledRelease, pull_release, read_install
from artifacts.settings import Settings
from artifacts.store import Store
from tasks.toolchains import Server, ensure, serving

PROMPT = "def read_lines(path):"
MAX_TOKENS = 48
_REQUEST_LIMIT_S = 300

Say = Callable[[str], None]


class Generated(Frozen):
    """What a server made of the prompt, greedily."""

    text: str = Field(description="The continuation.")
    token_ids: tuple[int, ...] = Field(description="The same, as tokens.")


class Proof(Frozen):
    """What a host gets, next to what was judged."""

    pulled: PulledRelease = Field(description="The installed release.")
    from_pull: Generated = Field(description="By the pulled directory.")
    from_store: Generated = Field(description="By the tree that was judged, taken from the store.")


def prove(store: Store, settings: Settings, reference: str, variant: str, say: Say) -> Proof:
    """Pull into an empty directory, serve that and the judged tree in turn, and compare what they generate.

    Raises:
        IntegrityError: they generate different tokens.
    """
    root = settings.home / "demo"
    shutil.rmtree(root, ignore_errors=True)
    pulled = pull_release(store, reference, root / "pulled", variant)
    judged = root / "judged"
    store.materialize(pulled.tree, judged)
    recipe = read_install(pulled.directory).serve
    proof = Proof(
        pulled=pulled,
        from_pull=_generate(settings, recipe, pulled.directory, say),
        from_store=_generate(settings, recipe, judged, say),
    )
    shutil.rmtree(judged)
    if proof.from_pull.token_ids != proof.from_store.token_ids:
        raise IntegrityError(
            f"The pulled engine generates other tokens: {proof.from_pull.token_ids} instead of"
            f" {proof.from_store.token_ids}.",
            where=str(pulled.directory),
            fix="run `enginery verify` on it, and report this with the output",
        )
    return proof


def _generate(settings: Settings, recipe: ServeCommand, tree: Path, say: Say) -> Generated:
    toolchain = ensure(recipe.toolchain, settings, say)
    log = settings.home / "logs" / "demo-server.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    limit_s = settings.server_ready_limit_s
    with serving(toolchain, recipe, tree, log=log, on_line=_keep_to_the_log, ready_limit_s=limit_s) as server:
        return _complete(server)


def _keep_to_the_log(line: str) -> None:
    """What the server prints is of no use on a terminal here."""
    del line


def _complete(server: Server) -> Generated:
    body = {
        "model": server.model,
        "prompt": PROMPT,
        "max_tokens": MAX_TOKENS,
        "temperature": 0,
        "return_token_ids": True,
    }
    request = urllib.request.Request(  # noqa: S310  a server of ours on 127.0.0.1
        f"{server.base_url}/v1/completions",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=_REQUEST_LIMIT_S) as response:  # noqa: S310
        choice = json.load(response)["choices"][0]
    return Generated(text=choice["text"], token_ids=tuple(choice["token_ids"]))
