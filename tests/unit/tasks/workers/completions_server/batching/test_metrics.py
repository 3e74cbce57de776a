"""Metrics in Prometheus' text form."""

import re

from tasks.workers.completions_server.batching.metrics import Metrics


def rendered(metrics: Metrics, model: str = "m") -> dict[str, float]:
    """Every sample by its name and labels, less those that all have."""
    text = metrics.render(model, running=1, waiting=2, rows=4)
    samples = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {re.sub(r'model_name="m",engine="0",?', "", name): float(value) for name, _, value in samples}


def test_counts_follow_the_sequences() -> None:
    metrics = Metrics()
    metrics.began(5, 0.03)
    metrics.continued(0.02)
    metrics.continued(100.0)
    metrics.ended("length", 3.0)
    metrics.ended("abort", 0.1)
    found = rendered(metrics)
    assert found["vllm:num_requests_running{}"] == 1
    assert found["vllm:num_requests_waiting{}"] == 2
    assert found["vllm:kv_cache_usage_perc{}"] == 0.25
    assert found["vllm:prompt_tokens_total{}"] == 5
    assert found["vllm:generation_tokens_total{}"] == 3
    reasons = {
        name: found[f'vllm:request_success_total{{finished_reason="{name}"}}'] for name in ("length", "stop")
    }
    assert reasons == {"length": 1, "stop": 0}
    first = "vllm:time_to_first_token_seconds"
    assert (found[first + '_bucket{le="0.02"}'], found[first + '_bucket{le="0.04"}']) == (0, 1)
    between = "vllm:inter_token_latency_seconds"
    assert (found[between + '_bucket{le="0.025"}'], found[between + '_bucket{le="80.0"}']) == (1, 1)
    assert found[between + '_bucket{le="+Inf"}'] == found[between + "_count{}"] == 2
    assert found[between + "_sum{}"] == 100.02
    assert found["vllm:e2e_request_latency_seconds_count{}"] == 2


def test_a_value_on_a_limit_belongs_below_it() -> None:
    metrics = Metrics()
    metrics.began(1, 0.001)
    assert rendered(metrics)['vllm:time_to_first_token_seconds_bucket{le="0.001"}'] == 1


def test_names_of_models_are_escaped() -> None:
    text = Metrics().render('a"b\\c\n', running=0, waiting=0, rows=1)
    assert r'model_name="a\"b\\c\n"' in text
