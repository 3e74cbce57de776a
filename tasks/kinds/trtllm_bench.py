"""trtllm-bench: how TensorRT-LLM's own benchmark asks an engine at one number of requests in flight.

Invariants:
- The tool gets the arguments of its LLM class from the engine's own file, as its server does: what the file
  says replaces what the command line says. For plans, a version of the 1.2 line loses one section of it,
  extended_runtime_perf_knob_config, and with it CUDA graphs (get_llm in bench/benchmark/__init__.py at
  dc7add5dde05d48c983db2a86348298a3e2cf08e); a later one (0ba687b7) does not.
- Answers have the length that the prompts' file asks for: no token ends them.
- The name of the model must not be a path, which the tool refuses; all that it reads is at `--model_path`.

`throughput --streaming` is asked, which reports latencies as well. The tool's `latency` serves one request at
a time (it sets max_batch_size to 1), so at no other operating point does it say anything about latency.

Read: throughput.py, low_latency.py and utils/general.py of tensorrt_llm/bench/benchmark, and configuration.py
and general.py of tensorrt_llm/bench/dataclasses. Their commits: tests/data/interfaces, trtllm-bench-1.2.yaml.
"""

from tasks.workers.common.tool_command import ToolCommand

PROGRAM = "{bin}/trtllm-bench"
MODEL = "enginery/engine"
DATASET, REPORT = "{dataset}/requests.jsonl", "{output}/report.json"


def benchmark(
    *,
    model_path: str,
    flags: dict[str, str],
    concurrency: int,
    env: dict[str, str] | None = None,
    switches: tuple[str, ...] = (),
) -> ToolCommand:
    """Return the command of either line of the tool.

    Args:
        model_path: the checkpoint in the Hub's layout: its config, tokenizer and headers of tensors are read.
        flags: what the line and the kind of engine need.
        concurrency: requests in flight; as many warm up.
        env: variables in addition to the toolchain's.
        switches: flags of the program itself that take no value.
    """
    general = {"--model": MODEL, "--model_path": model_path, "--workspace": "{scratch}"}
    asked = {
        **flags,
        "--dataset": DATASET,
        "--eos_id": "-1",
        "--warmup": str(concurrency),
        "--concurrency": str(concurrency),
        "--report_json": REPORT,
    }
    argv = (PROGRAM, *_written(general), *switches, "throughput", *_written(asked), "--streaming")
    return ToolCommand(name="trtllm-bench", argv=argv, env=env or {})


def _written(flags: dict[str, str]) -> list[str]:
    return [part for flag, value in flags.items() for part in (flag, value)]
