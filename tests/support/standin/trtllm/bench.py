"""STAND-IN for trtllm-bench of TensorRT-LLM 1.2 and 1.4: times nothing, refuses what the real one refuses.

It reads its options, the form of the file of requests and the keys of its report from the tables of the real
interfaces, holds the engine and the LLM arguments against what it is asked, and writes a report of the real
form. The figures in it are made up.

Environment: STAND_IN_BENCH names a way to fail (see `FAILURES`). Run by the tests' own interpreter, with the
line of the tool, 1.2 or 1.4, as the first argument.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import yaml

sys.path.insert(0, str(Path(__file__).parent))  # the files next to this one

from llm_args_rules import load_arguments, load_table, problems

KINDS = {"1.2": "trt-plan", "1.4": "trtllm-torch"}
TYPES = {"str": str, "int": int, "float": float, "path": Path}
FAILURES = ("", "dies", "no-report", "other-report", "hangs", "gpu-memory")
SECONDS, TTFT_MS, TPOT_MS = 2.0, 30.0, 5.0


def main() -> None:
    """Parse, judge, report; messages and exit codes as the real program's."""
    line, *argv = sys.argv[1:]
    table = load_table(f"trtllm-bench-{line}")
    general, command, asked = parse(table, argv)
    if Path(general.model).exists():
        end("Model is a file or directory, please provide a model name.")
    requests = read_requests(asked.dataset, table["dataset"])
    read_model(general.model_path)
    sizes = engine_sizes(asked, requests) if line == "1.2" else sizes_asked(asked)
    llm_args = yaml.safe_load(
        Path(asked.extra_llm_api_options if line == "1.2" else asked.config).read_text()
    )
    arguments = load_arguments(KINDS[line])
    given = {"model": str(general.model_path), **llm_args}
    if found := list(problems(arguments["models"], arguments["root"], given)):
        end(f"pydantic_core._pydantic_core.ValidationError: {'; '.join(found)}")
    fail_as_asked()
    streamed = command == "latency" or asked.streaming
    report = report_of(table["report"], requests, asked, sizes, streamed=streamed)
    if os.environ.get("STAND_IN_BENCH") == "other-report":
        del report["performance"]
    if asked.report_json and os.environ.get("STAND_IN_BENCH") != "no-report":
        asked.report_json.write_text(json.dumps(report, indent=4))
    print("[TRT-LLM] [I] Benchmark done. Reporting results... (stand-in)")


def parse(table: dict[str, Any], argv: list[str]) -> tuple[argparse.Namespace, str, argparse.Namespace]:
    """Parse as click does: options of the program, the subcommand, and its own options."""
    program = parser("trtllm-bench", table["flags"])
    program.add_argument("command", choices=sorted(table["commands"]))
    program.add_argument("rest", nargs=argparse.REMAINDER)
    general = program.parse_args(argv)
    flags = table["commands"][general.command]["flags"]
    asked = parser(f"trtllm-bench {general.command}", flags).parse_args(general.rest)
    for flag, row in flags.items():
        path = getattr(asked, flag[2:].replace("-", "_"))
        if row.get("exists") and path and not path.exists():
            sys.exit(f"Error: Invalid value for '{flag}': Path '{path}' does not exist.")
    return general, general.command, asked


def parser(name: str, flags: dict[str, Any]) -> argparse.ArgumentParser:
    """A parser of the flags of a table; it refuses the rest with exit code 2."""
    made = argparse.ArgumentParser(prog=name, allow_abbrev=False)
    for flag, row in flags.items():
        names = [flag, *row.get("aliases", [])]
        if row["type"] == "flag":
            made.add_argument(*names, action="store_true", default=row["default"])
            continue
        kind, choices = TYPES[row["type"]], row.get("choices")
        needed = row.get("required", False)
        made.add_argument(*names, type=kind, choices=choices, default=row["default"], required=needed)
    return made


def read_requests(path: Path, form: dict[str, Any]) -> list[tuple[int, int]]:
    """Numbers of tokens of prompt and answer of every request."""
    types = {"int": int}
    found = []
    for line in path.read_text().splitlines():
        row = json.loads(line)
        for key, kind in form["required"].items():
            if not isinstance(row[key], types[kind]):
                end(f"pydantic_core.ValidationError: InferenceRequest.{key}: not a valid {kind}")
        if not any(row.get(key) for key in form["one_of"]):
            end(f"prompt and input_ids for task {row['task_id']} are all None.")
        found.append((len(row["input_ids"]), row["output_tokens"]))
    return found


def read_model(path: Path) -> None:
    """The checkpoint in the Hub's layout: the tool reads config.json, tokenizer and headers of tensors."""
    if "model_type" not in json.loads((path / "config.json").read_text()):
        end("ValueError: Unrecognized model. Should have a `model_type` key in its config.json.")
    if not any((path / name).exists() for name in ("model.safetensors", "model.safetensors.index.json")):
        end(f"RuntimeError: '{path}' is not a safetensors repo.")
    if not (path / "tokenizer.json").exists():
        end(f"OSError: Can't load tokenizer for '{path}'.")


def engine_sizes(asked: argparse.Namespace, requests: list[tuple[int, int]]) -> dict[str, int]:
    """The sizes that a plan was built for, which have to hold every request."""
    if asked.backend != "tensorrt":
        end("a plan is read by the TensorRT backend only")
    if asked.max_seq_len is not None:
        end("AssertionError: max_seq_len is not a runtime parameter for C++ backend")
    build = json.loads((asked.engine_dir / "config.json").read_text())["build_config"]
    longest = max(prompt + answer for prompt, answer in requests)
    if longest > build["max_seq_len"]:
        end(f"RuntimeError: Engine supports a max sequence of {build['max_seq_len']}.")
    return {"max_batch_size": build["max_batch_size"], "max_num_tokens": build["max_num_tokens"], "ranks": 1}


def sizes_asked(asked: argparse.Namespace) -> dict[str, int]:
    """The sizes that the command line gives; otherwise the tool would choose its own."""
    if not (asked.max_batch_size and asked.max_num_tokens):
        end("the tool chooses sizes by heuristics, which are not those of the engine")
    cache = os.environ.get("TLLM_AUTOTUNER_CACHE_PATH")
    if cache is None or not Path(cache).exists():
        end("the tool would tune again: there is no cache where the variable says")
    Path(cache).touch()
    return {
        "max_batch_size": asked.max_batch_size,
        "max_num_tokens": asked.max_num_tokens,
        "ranks": asked.tp * asked.pp,
    }


def report_of(
    keys: dict[str, Any],
    requests: list[tuple[int, int]],
    asked: argparse.Namespace,
    sizes: dict[str, int],
    *,
    streamed: bool,
) -> dict[str, Any]:
    """A report with the keys of the table; figures that do not follow from what is asked are 1."""
    count, written = len(requests), sum(answer for _, answer in requests)
    latency_ms = TTFT_MS + TPOT_MS * (written / count - 1)
    known: dict[str, Any] = {
        "num_requests": count,
        "avg_num_concurrent_requests": float(asked.concurrency),
        "avg_input_length": sum(prompt for prompt, _ in requests) / count,
        "avg_output_length": written / count,
        "system_output_throughput_tok_s": written / SECONDS,
        "request_throughput_req_s": count / SECONDS,
        "request_latency_percentiles_ms": percentiles(keys, latency_ms),
        "ttft_percentiles": percentiles(keys, TTFT_MS),
        "tpot_percentiles": percentiles(keys, TPOT_MS),
        "gen_tps_percentiles": percentiles(keys, 1000 / TPOT_MS),
        **sizes,
    }

    def section(name: str) -> dict[str, Any]:
        return {key: known.get(key, 1) for key in keys[name]}

    report = {name: section(name) for name in ("engine", "world_info", "request_info")}
    report["performance"] = section("performance") | section("performance_percentiles")
    if streamed:
        report["streaming_metrics"] = section("streaming_metrics") | section("streaming_percentiles")
    return report


def percentiles(keys: dict[str, Any], value: float) -> dict[str, float]:
    """The same figure for every percentile."""
    return dict.fromkeys(keys["percentiles"], value)


def fail_as_asked() -> None:
    """Fail in the way that the environment names."""
    how = os.environ.get("STAND_IN_BENCH", "")
    assert how in FAILURES, how
    if how == "dies":
        end("RuntimeError: Executor creation failed due to the error above.")
    if how == "gpu-memory":
        end("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total ...")
    if how == "hangs":
        time.sleep(600)


def end(what: str) -> NoReturn:
    """End as the real program does after an error."""
    sys.exit(f"[TRT-LLM] [E] Error during benchmarking:\n{what}")


if __name__ == "__main__":
    main()
