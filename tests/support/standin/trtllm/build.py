"""STAND-IN for trtllm-build of TensorRT-LLM 1.2: compiles nothing, refuses what the real one would refuse.

It reads its flags from the table of the real program, reads the checkpoint that it is given (config.json,
tensor names, shapes, types), applies the real program's rules for the GPU that the stand-in nvidia-smi
reports, and writes a directory of the real format whose version says `+stand-in`. What stands in a plan file
is noise.

Environment: STAND_IN_BUILD names a way to fail (see FAILURES). Standard library only: it runs in a toolchain
that holds nothing.
"""

import hashlib
import json
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

from arguments import build_config_of, parse
from rules import apply_rules, read_model
from tensors import expected, optional

SHARE = Path(__file__).parent
VERSION = "1.2.1+stand-in"
NEEDED = (
    "architecture",
    "dtype",
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "hidden_act",
)
NOT_CHARACTERISTIC = ("dry_run", "visualize_network")
PLAN_BYTES = 4096
LAYERS_FILE = "quant_cfg.json"


def main() -> None:
    """Parse, judge, write; exit codes and messages as the real program's."""
    interfaces = json.loads((SHARE / "interfaces.json").read_text())
    args = parse(sys.argv[1:], interfaces["trtllm-build"])
    fail_as_asked()
    config = read_config(Path(args.checkpoint_dir), interfaces["engine"], interfaces["model-files"])
    build_config = build_config_of(args, interfaces)
    apply_rules(build_config, config, compute_capability(), args)
    config["logits_dtype"] = args.logits_dtype or config.get("logits_dtype", "float32")
    output = Path(args.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    for rank in range(config["mapping"]["world_size"]):
        digest = check_rank(Path(args.checkpoint_dir), config, rank)
        (output / f"rank{rank}.engine").write_bytes(noise(digest, json.dumps(build_config, sort_keys=True)))
    write_config(output, config, build_config)
    Path(args.output_timing_cache).write_bytes(b"stand-in")
    leave_damaged(output)
    print("[TRT-LLM] [I] Total time of building all engines: 00:00:00 (stand-in)")


def read_config(directory: Path, names: dict[str, Any], model_files: dict[str, Any]) -> dict[str, Any]:
    """Read a checkpoint's config.json as PretrainedConfig and the model file do.

    Args:
        directory: the checkpoint.
        names: those that the tool knows.
        model_files: what each of its model files reads.
    """
    config: dict[str, Any] = json.loads((directory / "config.json").read_text())
    for key in NEEDED:
        if key not in config:
            raise KeyError(key)
    config.setdefault("quantization", {}).setdefault("quant_algo", None)
    config["quantization"].setdefault("kv_cache_quant_algo", None)
    mapping = {"world_size": 1, "tp_size": 1, "pp_size": 1} | config.get("mapping", {})
    config["mapping"] = mapping
    if mapping["world_size"] != mapping["tp_size"] * mapping["pp_size"]:
        raise ValueError(f"world_size must equal to tp_size * pp_size, but got {mapping}")
    assert config["architecture"] in names["architectures"]["names"], (
        f"Unsupported model architecture: {config['architecture']}"
    )
    for key, known in (("quant_algo", "quant_algos"), ("kv_cache_quant_algo", "kv_cache_quant_algos")):
        algo = config["quantization"][key]
        if algo is not None and algo not in names[known]["names"]:
            raise ValueError(f"'{algo}' is not a valid QuantAlgo")
    read_model(config, model_files)
    if config["quantization"]["quant_algo"] == "MIXED_PRECISION":
        config["quantization"] = json.loads((directory / LAYERS_FILE).read_text())
    return config


def compute_capability() -> int:
    """The SM of the first GPU, from nvidia-smi: 90 for 9.0. Without a GPU there is nothing to build on."""
    query = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
    ended = subprocess.run(query, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError("No CUDA GPUs are available")
    major, minor = ended.stdout.splitlines()[0].split(".")
    return int(major) * 10 + int(minor)


def check_rank(directory: Path, config: dict[str, Any], rank: int) -> str:
    """Hold one rank's tensors against what the model needs; returns the digest of its header."""
    path = directory / f"rank{rank}.safetensors"
    assert path.is_file(), f"Weights file {path.name} does not exist"
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        raw = file.read(length)
    header = {name: entry for name, entry in json.loads(raw).items() if name != "__metadata__"}
    found = {name: (entry["dtype"], tuple(entry["shape"]) or (1,)) for name, entry in header.items()}
    needed = expected(config, rank)
    if missing := sorted(set(needed) - set(found)):
        raise RuntimeError(f"Required but not provided tensors:{set(missing)}")
    if unknown := sorted(name for name in set(found) - set(needed) if not optional(name)):
        raise RuntimeError(f"Provided but not required tensors:{set(unknown)}")
    for name, (kind, shape) in needed.items():
        assert found[name] == (kind, shape), (
            f"The value updated is not the same shape as the original. Updated: {found[name]}, "
            f"original: {(kind, shape)} ({name})"
        )
    return hashlib.sha256(raw).hexdigest()


def noise(*seeds: str) -> bytes:
    """Bytes that stand for a plan: equal inputs give equal bytes."""
    return hashlib.shake_256("\n".join(seeds).encode()).digest(PLAN_BYTES)


def write_config(output: Path, config: dict[str, Any], build_config: dict[str, Any]) -> None:
    """Write config.json as Engine.save does."""
    kept = {name: value for name, value in build_config.items() if name not in NOT_CHARACTERISTIC}
    document = {"version": VERSION, "pretrained_config": config, "build_config": kept}
    (output / "config.json").write_text(json.dumps(document, indent=4))
    if config["quantization"]["quant_algo"] == "MIXED_PRECISION":
        (output / LAYERS_FILE).write_text(json.dumps(config["quantization"], indent=4))


def fail_as_asked() -> None:
    """End as a real build may end, where a test asks for it; the messages are the tools' own."""
    match os.environ.get("STAND_IN_BUILD"):
        case "gpu-memory":
            print("[TRT] [E] Error Code 1: Cuda Runtime (out of memory)")
            raise SystemExit(1)
        case "host-memory":
            os.kill(os.getpid(), signal.SIGKILL)
        case "abort":
            print("[TRT] [E] Error Code 10: Internal Error (Could not find any implementation for node)")
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGABRT)


def leave_damaged(output: Path) -> None:
    """Leave a directory that is not whole, where a test asks for it."""
    match os.environ.get("STAND_IN_BUILD"):
        case "empty-plan":
            (output / "rank0.engine").write_bytes(b"")
        case "missing-rank":
            (output / "rank0.engine").unlink()
        case "other-version":
            path = output / "config.json"
            path.write_text(path.read_text().replace(VERSION, "1.0.0"))


if __name__ == "__main__":
    main()
