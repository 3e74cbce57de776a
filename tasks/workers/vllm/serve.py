"""Starts vLLM's server for one engine tree, warm if the caches that it ships are valid here.

`--tree DIR --host H --port P --model NAME -- FLAGS..`; FLAGS are vLLM's. This process becomes the server.
Standard library only. Whatever keeps the caches from being used (another GPU, a place that somebody else has
taken, a full disk) is printed, and vLLM starts cold, with caches that are deleted afterwards.
"""

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tasks.workers.common.io import Refusal
from tasks.workers.vllm.captures import captured_with, differences
from tasks.workers.vllm.launch import (
    Asked,
    Pinned,
    import_path_without,
    relocated_python,
    replaced_variables,
    server_command,
    server_environment,
)
from tasks.workers.vllm.place import Place, PlaceRefused, copy_files, link, occupy

MANIFEST = "engine.json"
WARM, COLD = "enginery: warm start", "enginery: cold start"
FILLING = "enginery: start without caches, which fills them"
# The directory that this program is imported from.
OWN = Path(__file__).parents[3]
# What a start finds as its caches: those of the tree or, to fill them while the engine is built, none.
Caches = Literal["shipped", "empty"]


@dataclass(frozen=True)
class Start:
    """How the server is started, and what is said of it."""

    command: list[str]
    environment: dict[str, str]
    said: str


def main(arguments: list[str]) -> None:
    """Prepare the caches, and become vLLM's server."""
    asked, caches = _parsed(arguments)
    start = prepared(asked, caches, os.environ)
    print(start.said, flush=True)
    os.execve(start.command[0], start.command, start.environment)  # noqa: S606  this process becomes it


def prepared(asked: Asked, caches: Caches, environment: Mapping[str, str]) -> Start:
    """Return how to start: warm, or cold with the reason."""
    try:
        manifest = _manifest(asked.tree)
        place, pinned = _valid_place(manifest), _pinned(manifest)
        occupy(place, _content(asked.tree, caches), _filler(asked, caches, manifest, environment))
    except (PlaceRefused, Refusal) as refusal:
        return _cold(asked, environment, str(refusal))
    except (OSError, ValueError, KeyError, TypeError) as error:
        return _cold(asked, environment, f"its caches cannot be used: {error!r}")
    said = f"{WARM if caches == 'shipped' else FILLING}: {place.caches}"
    if replaced := replaced_variables(environment, pinned):
        said = f"{said} ({replaced})"
    return _at(place, asked, environment, pinned, said)


def _manifest(tree: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((tree / MANIFEST).read_bytes())
    except (OSError, ValueError) as error:
        raise PlaceRefused(f"{MANIFEST} cannot be read: {error}") from error
    if not isinstance(manifest, dict):
        raise PlaceRefused(f"{MANIFEST} is not a JSON object")
    return manifest


def _valid_place(manifest: Mapping[str, Any]) -> Place:
    """Return the place of the caches that the engine ships; raise if it ships none, or none for this host."""
    warm = manifest.get("warm_caches")
    if not warm:
        raise PlaceRefused("this engine ships no caches")
    here = captured_with(on_gpu="gpu_name" in warm["captured"])
    if found := differences(warm["captured"], here):
        raise PlaceRefused(f"its caches are not valid here: {'; '.join(found)}")
    return Place(Path(warm["place"]))


def _pinned(manifest: Mapping[str, Any]) -> Pinned:
    """Return the variables that the caches were filled with."""
    pinned: Pinned = manifest["warm_caches"]["environment"]
    return pinned


def _content(tree: Path, caches: Caches) -> str:
    """What the place holds: the caches of this very tree, for this very toolchain."""
    digest = hashlib.sha256((tree / MANIFEST).read_bytes()).hexdigest()
    return f"{caches} {digest} {sys.prefix}"


def _filler(
    asked: Asked, caches: Caches, manifest: Mapping[str, Any], environment: Mapping[str, str]
) -> Callable[[Place], None]:
    def fill(place: Place) -> None:
        if place.caches.exists():
            shutil.rmtree(place.caches)
        if caches == "shipped":
            copy_files(asked.tree / manifest["warm_caches"]["path"], place.caches)
        else:
            place.caches.mkdir()
        link(place.model, asked.tree.absolute())
        link(place.toolchain, Path(sys.prefix))
        for index, path in enumerate(import_path_without(OWN, environment)):
            link(place.imports(index), path.absolute())

    return fill


def _at(place: Place, asked: Asked, environment: Mapping[str, str], pinned: Pinned, said: str) -> Start:
    count = len(import_path_without(OWN, environment))
    return Start(
        server_command(relocated_python(place.toolchain), place.model, asked),
        server_environment(
            environment, place.caches, [place.imports(index) for index in range(count)], pinned
        ),
        said,
    )


def _cold(asked: Asked, environment: Mapping[str, str], reason: str) -> Start:
    caches = Path(tempfile.mkdtemp(prefix="vllm-caches-"))
    return Start(
        server_command(Path(sys.executable), asked.tree.absolute(), asked),
        server_environment(environment, caches, import_path_without(OWN, environment)),
        f"{COLD}: {reason}",
    )


def _parsed(arguments: list[str]) -> tuple[Asked, Caches]:
    parser = argparse.ArgumentParser(description="Serve one engine tree with vLLM.")
    parser.add_argument("--tree", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", required=True, help="Name of the model in requests and answers.")
    parser.add_argument("--caches", choices=("shipped", "empty"), default="shipped")
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    own = parser.parse_args(arguments[:cut])
    return Asked(own.tree, own.host, own.port, own.model, tuple(arguments[cut + 1 :])), own.caches


if __name__ == "__main__":
    main(sys.argv[1:])
