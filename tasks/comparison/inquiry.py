"""What vLLM runs with, once its server is ready: the flags it was given, and what became of its cache.

The server's metrics name the cache's settings with the values that vLLM chose. It names no others: sizes of
batches and backends that no flag gives are vLLM's own defaults for the hardware and the version.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from urllib.request import ProxyHandler, build_opener

from artifacts.hosts import ServeCommand
from tasks.judging import RanWith

METRIC = re.compile(r"^vllm:cache_config_info\{(?P<labels>.*)\} 1(\.0)?$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
CACHE_SETTINGS = (
    "block_size",
    "cache_dtype",
    "enable_prefix_caching",
    "gpu_memory_utilization",
    "kv_cache_size_tokens",
)
LIMIT_S = 10.0
# Where the server is, and by which name it is asked: no setting.
PLACES = {"--model", "--host", "--port", "--served-model-name"}


def ran_with(side: str, serve: ServeCommand, base_url: str) -> RanWith:
    """Ask a server of vLLM what it runs with.

    Raises OSError if it does not answer.
    """
    with build_opener(ProxyHandler({})).open(f"{base_url}/metrics", timeout=LIMIT_S) as answer:
        metrics = answer.read().decode()
    return RanWith(side=side, flags=tuple(flags_in(serve.argv)), cache=dict(cache_settings(metrics)))


def cache_settings(metrics: str) -> Iterator[tuple[str, str]]:
    """Yield the settings of the cache in the text of a server's metrics; none if it does not name them."""
    if found := METRIC.search(metrics):
        labels = dict(LABEL.findall(found["labels"]))
        yield from ((name, labels[name]) for name in CACHE_SETTINGS if labels.get(name, "None") != "None")


def flags_in(argv: Sequence[str]) -> Iterator[str]:
    """Yield the flags of a serve command, each with its value, except those that say where it is."""
    begins = [place for place, part in enumerate(argv) if part.startswith("--")]
    for begin, end in pairwise([*begins, len(argv)]):
        if argv[begin] not in PLACES:
            yield " ".join(argv[begin:end])
