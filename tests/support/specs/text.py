"""A spec whose lines are known by number, and ways to break it one edit at a time."""

from pathlib import Path

import pytest

from engine_specs.reading import Problem, SpecInvalid
from engine_specs.spec import read_spec

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER_COMMIT = "89abcdef0123456789abcdef0123456789abcdef"

GOOD = f"""\
name: tiny
version: "1.4"
checkpoint:
  repo: owner/model
  revision: {COMMIT}
compile: when-justified
defaults:
  engine: {{kind: aot-inductor}}
  quantization:
    recipe: int8_weight_only
  shape:
    max_batch_size: 4
    max_input_len: 192
    max_seq_len: 256
    max_num_tokens: 1024
variants:
  - name: first
    target: cpu-x86-64-v3
  - name: second
    target: cpu-x86-64-v4
    required: false
    shape:
      max_batch_size: 2
workload:
  input_tokens: 64
  output_tokens: 32
  concurrency: [1, 2, 8]
  operating_point: 2
  slo:
    ttft_p99_ms: 500
    itl_p99_ms: 50
validation:
  reference:
    configurations: [{{}}, {{dtype: bfloat16}}]
  accuracy:
    dataset: owner/texts
    revision: {OTHER_COMMIT}
    split: heldout
    samples: 400
    max_regret_nats_per_token: 0.02
  speed:
    metric: goodput_per_device
    min_speedup: 1.1
    budget_minutes: 3
economics:
  gpu_hour_usd: 0.1
  requests_per_day: 20000000
  upkeep_hours_per_month: 1
  engineer_hour_usd: 120
channels: [nightly]
"""


def edited(*edits: tuple[str, str]) -> str:
    text = GOOD
    for old, new in edits:
        assert text.count(old) == 1, f"{old!r} must stand once in the spec, so that its line is known"
        text = text.replace(old, new)
    return text


def problems_in(text: str) -> tuple[Problem, ...]:
    with pytest.raises(SpecInvalid) as caught:
        read_spec(text, Path("tiny.yaml"))
    return caught.value.problems
