"""Where sides are placed right after the server of the stage before has ended: its GPU is waited for."""

from functools import partial

import pytest
from support.gpu_check import checkpoint, host
from support.standin.nvml import Recorded, reading

from artifacts.settings import Settings
from engine_specs.spec import resolve_variants
from engine_specs.tables import load_targets
from flows.gpu_check.specs import CheckTerms, check_spec
from flows.gpu_check.variants import parse_variant
from tasks.comparison import placement_here, room, served_memory
from tasks.errors import GpusUnavailable
from tasks.hosts import free_gpus

H200 = load_targets()["h200"]
TWO = host(H200, 2)


@pytest.mark.parametrize(("name", "placed"), [("vllm/none/tp2", "shared"), ("vllm/none", "together")])
def test_a_gpu_whose_server_has_just_ended_counts_as_free(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str, placed: str
) -> None:
    spec = check_spec(parse_variant(name), H200, "c" * 40, CheckTerms())
    (variant,) = resolve_variants(spec)
    metadata = checkpoint().metadata
    served = served_memory(spec, variant, metadata.config, metadata.file_bytes)

    def leaving() -> None:
        """Both GPUs still hold the memory of a server whose processes are gone, at the first look."""
        seen = Recorded({one.uuid: [reading(130), reading(0)] for one in TWO.gpus})
        monkeypatch.setattr(room, "free_gpus", partial(free_gpus, environ={}, reader=seen))

    leaving()
    assert placement_here(spec, variant, served, TWO, settings).name == placed
    leaving()
    with pytest.raises(GpusUnavailable, match="too few GPUs are free"):
        placement_here(spec, variant, served, TWO, settings, patience_s=0.0)
