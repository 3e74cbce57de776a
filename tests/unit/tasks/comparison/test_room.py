"""Where sides are placed right after the server of the stage before has ended; whether they wait for it."""

from functools import partial

import pytest
from support.gpu_check import checkpoint, host
from support.standin.nvml import Recorded, reading

from artifacts.settings import PlacementName, Settings
from engine_specs.preflight import ServedMemory
from engine_specs.spec import ResolvedVariant, Spec, resolve_variants
from engine_specs.tables import load_targets
from flows.gpu_check.specs import CheckTerms, check_spec
from flows.gpu_check.variants import parse_variant
from tasks.comparison import placement_here, room, served_memory
from tasks.errors import GpusUnavailable
from tasks.hosts import free_gpus

H200 = load_targets()["h200"]
TWO = host(H200, 2)


def asked(name: str) -> tuple[Spec, ResolvedVariant, ServedMemory | None]:
    """The spec of one variant of the GPU check, the variant, and what each of its sides takes of a device."""
    spec = check_spec(parse_variant(name), H200, "c" * 40, CheckTerms())
    (variant,) = resolve_variants(spec)
    metadata = checkpoint().metadata
    return spec, variant, served_memory(spec, variant, metadata.config, metadata.file_bytes)


@pytest.mark.parametrize(("name", "placed"), [("vllm/none/tp2", "shared"), ("vllm/none", "together")])
def test_a_gpu_whose_server_has_just_ended_counts_as_free(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str, placed: str
) -> None:
    spec, variant, served = asked(name)

    def leaving() -> None:
        """Both GPUs still hold the memory of a server whose processes are gone, at the first look."""
        seen = Recorded({one.uuid: [reading(130), reading(0)] for one in TWO.gpus})
        monkeypatch.setattr(room, "free_gpus", partial(free_gpus, environ={}, reader=seen))

    leaving()
    assert placement_here(spec, variant, served, TWO, settings).name == placed
    leaving()
    with pytest.raises(GpusUnavailable, match="too few GPUs are free"):
        placement_here(spec, variant, served, TWO, settings, patience_s=0.0)


@pytest.mark.parametrize(
    ("name", "gpus", "busy", "forced", "placed", "waits"),
    [
        ("vllm/none", 3, 1, None, "together", False),
        ("vllm/none", 3, 2, None, "together", True),
        ("vllm/none/tp2", 3, 1, None, "shared", False),
        ("vllm/none/tp2", 3, 2, None, "shared", True),
        ("vllm/none", 2, 1, "shared", "shared", False),
        ("vllm/none", 2, 1, "in-turn", "in-turn", False),
        ("vllm/none", 2, 1, "together", "together", True),
        ("vllm/none/tp2", 2, 1, "in-turn", "in-turn", True),
    ],
)
def test_busy_gpus_are_waited_for_only_if_the_free_ones_are_too_few(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    gpus: int,
    busy: int,
    forced: PlacementName | None,
    placed: str,
    waits: bool,
) -> None:
    """Two sides. The first GPUs are in use at the first look, and free at the second."""
    spec, variant, served = asked(name)
    here = host(H200, gpus)
    later = [reading(130, (4242, 129.0)), reading(0)]
    seen = Recorded(
        {one.uuid: later if number < busy else [reading(0)] for number, one in enumerate(here.gpus)}
    )
    monkeypatch.setattr(room, "free_gpus", partial(free_gpus, environ={}, reader=seen))
    settings = settings.model_copy(update={"placement": forced})
    assert placement_here(spec, variant, served, here, settings, sides=2).name == placed
    assert len(seen.asked) == gpus * (2 if waits else 1)
