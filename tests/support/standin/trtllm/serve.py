"""STAND-IN for trtllm-serve of TensorRT-LLM 1.4: computes nothing, refuses what the real one would refuse.

It reads flags and arguments from the tables of the real interfaces, reads the checkpoint that it is given
(config.json, hf_quant_config.json, tensor names and types), asks the stand-in nvidia-smi for the GPUs, writes
an autotuner cache of the real format where the real one would, and then answers /health, /v1/models and
/v1/completions. What it answers, and what it "measured", is noise.

Environment: STAND_IN_SERVE names a way to fail (see FAILURES). Run by the tests' own interpreter.
"""

import argparse
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parent))  # the files next to this one

from llm_args_rules import clashes, load_arguments, load_table, problems
from unified_checkpoint import checkpoint_problems

VERSION = "1.4.0rc1+stand-in"
CLI, FORMATS = load_table("trtllm-serve-1.4"), load_table("llm-args-1.4")
ARGS = load_arguments("trtllm-torch")
TYPES = {"str": str, "int": int, "float": float}
MOST_SHOWN = 3


def main() -> None:
    """Parse, judge, tune, serve; messages and exit codes as the real program's."""
    args = parse(sys.argv[1:])
    given = yaml.safe_load(Path(args.config).read_text()) if args.config else {}
    llm_args = {"model": args.model, "backend": args.backend, **given}
    refuse(list(problems(ARGS["models"], "TorchLlmArgs", llm_args)) + list(clashes(llm_args)))
    name, capability, count = gpus()
    ranks = llm_args.get("tensor_parallel_size", 1) * llm_args.get("pipeline_parallel_size", 1)
    if count < ranks:
        sys.exit(f"ValueError: world size {ranks} is larger than the {count} GPUs of this node")
    refuse(checkpoint_problems(Path(args.model), llm_args, capability, FORMATS))
    refuse(draft_problems(llm_args.get("speculative_config") or {}))
    fail_as_asked("starting")
    if llm_args.get("enable_autotuner", True):
        tune(os.environ.get(FORMATS["autotuner_cache"]["variable"]), name, capability, ranks)
    serve(args.host, args.port, args.served_model_name or args.model)


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse with the flags of the table; the rest is refused with exit code 2."""
    parser = argparse.ArgumentParser(prog="trtllm-serve", allow_abbrev=False)
    parser.add_argument("model")
    for flag, row in CLI["flags"].items():
        names = [flag, *row.get("aliases", [])]
        if row["type"] == "flag":
            parser.add_argument(*names, action="store_true", default=row["default"])
        else:
            choices = row.get("choices")
            parser.add_argument(*names, type=TYPES[row["type"]], choices=choices, default=row["default"])
    return parser.parse_args(argv)


def refuse(found: list[str]) -> None:
    """End with what is wrong, first things last, where a reader of the log's end sees them."""
    if found:
        said = "\n".join(reversed(found[:MOST_SHOWN]))
        sys.exit(f"{len(found)} things that the real program would not take:\n{said}")


def draft_problems(config: dict[str, Any]) -> list[str]:
    """What keeps the draft from being loaded: a path that is no directory is taken for a name on the Hub."""
    path = config.get("speculative_model")
    if path is None or (Path(path).is_absolute() and any(Path(path).glob("*.safetensors"))):
        return []
    return [f"{path} is not a local folder and is not a valid model identifier"]


def gpus() -> tuple[str, str, int]:
    """Name, compute capability and number of the GPUs."""
    query = ["nvidia-smi", "--query-gpu=name,compute_cap,driver_version", "--format=csv,noheader"]
    rows = subprocess.run(query, check=True, capture_output=True, text=True).stdout.splitlines()
    if not rows:
        sys.exit("ValueError: No GPU devices found on the node")
    name, capability, _driver = (part.strip() for part in rows[0].split(","))
    return name, capability, len(rows)


def tune(path: str | None, name: str, capability: str, ranks: int) -> None:
    """Load the cache if there is one, and save it: as each rank does when it has warmed up."""
    if path is None:
        return
    cache = Path(path)
    if cache.exists() and "rank_0" not in json.loads(cache.read_text()):
        sys.exit("AssertionError: Rank 0 cache not found")
    cache.parent.mkdir(parents=True, exist_ok=True)
    major, minor = capability.split(".")
    content: dict[str, Any] = {
        "metadata": {
            "lib_version": VERSION,
            "creation_timestamp": time.time(),
            "device_name": name,
            "device_capability": [int(major), int(minor)],
        }
    }
    key = str(("trtllm::stand_in_gemm", "StandInRunner", "()", ((1, 16), (16, 16))))
    for rank in range(ranks):
        content[f"rank_{rank}"] = {key: {"runner_id": 0, "tactic": "3", "min_time": 0.01}}
    with cache.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        json.dump(FAILURES.get(os.environ.get("STAND_IN_SERVE", ""), same)(content), file, indent=2)
    fail_as_asked("tuned", cache)
    print(f"[TRT-LLM] [I] [Autotuner] Saving cache to {cache}", flush=True)


def same(content: dict[str, Any]) -> dict[str, Any]:
    """What is written where nothing is to fail."""
    return content


def measured_elsewhere(content: dict[str, Any]) -> dict[str, Any]:
    """A cache that names another GPU."""
    return content | {"metadata": content["metadata"] | {"device_name": "NVIDIA Other"}}


def of_no_form(_content: dict[str, Any]) -> dict[str, Any]:
    """A cache without metadata."""
    return {"tactics": []}


FAILURES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "gpu-memory": same,
    "dies": same,
    "no-cache": same,
    "no-answer": same,
    "other-gpu": measured_elsewhere,
    "no-form": of_no_form,
}


def fail_as_asked(moment: str, cache: Path | None = None) -> None:
    """Fail in the way that the environment names."""
    how = os.environ.get("STAND_IN_SERVE", "")
    assert how == "" or how in FAILURES, how
    if how == "gpu-memory" and moment == "starting":
        sys.exit(
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total ..."
        )
    if how == "dies" and moment == "starting":
        sys.exit("RuntimeError: Executor creation failed due to the error above.")
    if how == "no-cache" and cache is not None:
        cache.unlink()


def serve(host: str, port: int, model: str) -> None:
    """Answer until SIGTERM."""
    server = ThreadingHTTPServer((host, port), handler(model))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"INFO:     Uvicorn running on http://{host}:{port} (stand-in)", flush=True)
    server.serve_forever()


def handler(model: str) -> type[BaseHTTPRequestHandler]:
    """The three paths that a client of ours asks for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = {"/health": b"", "/v1/models": json.dumps({"data": [{"id": model}]}).encode()}
            self._answer(200 if self.path in known else 404, known.get(self.path, b""))

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            table = CLI["completion_request"]
            if unknown := sorted(set(asked) - {*table["required"], *table["optional"]}):
                return self._answer(400, f"Extra inputs are not permitted: {unknown}".encode())
            if self.path != "/v1/completions" or set(table["required"]) - set(asked):
                return self._answer(400, b"this is no completion request")
            if os.environ.get("STAND_IN_SERVE") == "no-answer":
                return self._answer(500, b"the executor has died")
            choices = [{"index": 0, "text": " 4", "finish_reason": "length"}]
            return self._answer(200, json.dumps({"model": model, "choices": choices}).encode())

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


if __name__ == "__main__":
    main()
