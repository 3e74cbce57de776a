"""Serves one engine tree by OpenAI's protocol: `--tree DIR --host H --port P --model NAME`.

Standard library, torch, its dependency jinja2, and tokenizers only. The port opens once the engine is loaded
and has run, so an answer of `/health` means ready. The last line says what it did, and how long that took.
The exit code is 0 after SIGTERM or SIGINT, and 3 on a host that cannot run the engine.
"""

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.workers.common.shape import Shape
from tasks.workers.completions_server.facts import read_facts
from tasks.workers.completions_server.host import HostRefused, check_host, read_manifest
from tasks.workers.garbage import look_for_garbage_rarely

if TYPE_CHECKING:
    from tasks.workers.completions_server.aot_engine import AotEngine
    from tasks.workers.completions_server.cuda_engine import CudaEngine
    from tasks.workers.completions_server.engine import PreparedEngine
    from tasks.workers.completions_server.http import CompletionServer
    from tasks.workers.completions_server.protocol.choices import Codec

EXIT_REFUSED = 3
DEFAULTS_FILE = "generation_config.json"
# The part of it that vLLM 0.32 takes as defaults of requests (config/model.py, get_diff_sampling_param).
REQUEST_DEFAULTS = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "max_new_tokens",
)


Open = Callable[[Path, Shape], "tuple[PreparedEngine, Codec]"]
"""Loads the engine and the tokenizer of a tree."""


def main(open_parts: Open | None = None) -> int:
    """Check the host, load the engine, warm up, and serve until asked to stop."""
    look_for_garbage_rarely()
    arguments = _arguments()
    manifest = read_manifest(arguments.tree)
    try:
        check_host(manifest["requires"])
    except HostRefused as refusal:
        print(f"cannot serve {arguments.tree}: {refusal}", file=sys.stderr, flush=True)
        return EXIT_REFUSED
    pinned, cores = "OMP_NUM_THREADS" in os.environ, spare_cores()
    # Before torch is imported: it reads the variable once.
    os.environ.setdefault("OMP_NUM_THREADS", str(cores))
    _serve(arguments, manifest, open_parts or open_tree, cores, pinned=pinned)
    return 0


def spare_cores() -> int:
    """The number of cores for computing: those that this process may use, less one for connections.

    Threads of one core count once, as they share its vector units. A compute thread that has to wait for its
    core delays all others; timed at the start, before any request, it would seem to be worthwhile.
    """
    allowed = os.sched_getaffinity(0)
    siblings = {_siblings(cpu) for cpu in allowed}
    return max(1, len(siblings) - 1)


def _siblings(cpu: int) -> str:
    path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    return path.read_text().strip() if path.is_file() else str(cpu)


def _serve(
    arguments: argparse.Namespace, manifest: dict[str, Any], open_parts: Open, cores: int, *, pinned: bool
) -> None:
    from tasks.workers.completions_server.batching.batch import Batcher
    from tasks.workers.completions_server.http import CompletionServer, Service
    from tasks.workers.completions_server.protocol.reading import Served
    from tasks.workers.completions_server.protocol.records import RequestLimits
    from tasks.workers.completions_server.text.chat_template import ChatTemplate

    engine, codec = open_parts(arguments.tree, Shape(**manifest["shape"]))
    print(engine.prepare(cores, pinned=pinned), flush=True)
    batcher = Batcher(engine)
    limits = RequestLimits(engine.limits.max_input_len, engine.limits.max_seq_len, engine.vocab_size)
    defaults = request_defaults(arguments.tree)
    if defaults:
        print(f"defaults of requests, from {DEFAULTS_FILE}: {json.dumps(defaults)}", flush=True)
    served = Served(arguments.model, limits, codec, ChatTemplate(arguments.tree), defaults)
    service = Service(batcher, codec, served, engine)
    server = CompletionServer((arguments.host, arguments.port), service)
    _stop_on_signals(server)
    worker = threading.Thread(target=batcher.run, name="engine")
    worker.start()
    print(f"serving {arguments.tree} on http://{arguments.host}:{server.server_address[1]}", flush=True)
    server.serve_forever(poll_interval=0.1)
    batcher.stop()
    worker.join()
    print(batcher.iterations.in_words(engine.waits()), flush=True)


def open_tree(tree: Path, limits: Shape) -> "tuple[PreparedEngine, Codec]":
    """Load the engine and the tokenizer of a tree."""
    from tasks.workers.completions_server.text.codec import Codec

    return open_engine(tree, limits), Codec(tree)


def open_engine(tree: Path, limits: Shape) -> "AotEngine | CudaEngine":
    """Load the engine of a tree, on the device that it was compiled for."""
    if read_facts(tree).device == "cuda":
        from tasks.workers.completions_server.cuda_engine import CudaEngine

        return CudaEngine(tree, limits)
    from tasks.workers.completions_server.aot_engine import AotEngine

    return AotEngine(tree, limits)


def request_defaults(tree: Path) -> dict[str, Any]:
    """What generation_config.json of the checkpoint says for fields that a request leaves out, as in vLLM."""
    path = tree / DEFAULTS_FILE
    said = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return {name: said[name] for name in REQUEST_DEFAULTS if said.get(name) is not None}


def _stop_on_signals(server: "CompletionServer") -> None:
    def stop(*_: object) -> None:
        # shutdown() waits for the loop that runs in this thread.
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Serve one engine tree.")
    parser.add_argument("--tree", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", required=True, help="Name of the model in requests and answers.")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
