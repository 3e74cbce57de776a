"""The real CPU stack of a self-test: the engine behind a server that can be damaged, a noisy copy, and vLLM.

Invariants:
- Servers are started as for any measurement, from trees in the store and by serve commands; only the module
  that serves the engine is another one, and it gets its sources and its damage from a directory of the run.
- Each engine is asked through a proxy, also if nothing is planted.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from artifacts.hosts import ServeCommand
from tasks.comparison import engine_side, resident_sides
from tasks.judging import Endpoint, Observer, Placement, PlacementChoice, Resident, Side
from tasks.runs import Pipeline
from tasks.selftest.faults import Planted, Served
from tasks.selftest.made import Made
from tasks.selftest.noisy_weights import damage_engine
from tasks.selftest.proxy import Proxy, proxy_before
from tasks.selftest.questions import reference_of
from tasks.stages import engine_manifest
from tasks.workers.aot.request import SERVER
from tasks.workers.common.sources import closure, write_sources
from tasks.workers.damaged_server.request import PLANTED_IN, Damage, write_damage

DAMAGED_SERVER = "tasks.workers.damaged_server.main"
WEIGHT_NOISE = 0.01
LABEL = "selftest"
TOGETHER = PlacementChoice(name="together", reason="a self-test has all sides up")


class Stack:
    """All servers up, and where to plant.

    Args:
        proxies: by name of the side that is behind it.
        placement: the servers themselves.
        sides: engine, noisy engine, reference.
        damage: the file that the engine's server reads its damage from.
    """

    def __init__(
        self, proxies: Mapping[str, Proxy], placement: Resident, sides: Mapping[Served, Side], damage: Path
    ) -> None:
        self._proxies = proxies
        self._placement = placement
        self._sides = sides
        self._damage = damage

    def side(self, name: Served) -> Side:
        """Return a side; the engine by the command that serves it with damage."""
        return self._sides[name]

    def plant(self, planted: Planted, *, spared: int) -> None:
        """Do what an entry of the list says from the next request on, but for the first `spared` streams."""
        write_damage(self._damage, planted.damage)
        self._proxies["engine"].plant(planted.alteration, spared=spared if planted.once_judged else 0)

    def placed(self, behind: Mapping[str, Side], observer: Observer | None = None) -> Placement:
        """Return sides by their names in a comparison, each with the side whose server answers for it."""
        with self._placement.serving(tuple(self._sides.values())) as endpoints:
            urls = {one.side.name: one.base_url for one in endpoints}
        urls |= {name: proxy.base_url for name, proxy in self._proxies.items()}
        return Resident(
            [
                Endpoint(base_url=urls[side.name], side=side.model_copy(update={"name": name}))
                for name, side in behind.items()
            ],
            TOGETHER,
            observer or self._placement.observer,
        )


@contextmanager
def stack_up(pipeline: Pipeline, made: Made) -> Iterator[Stack]:
    """Bring up engine, noisy engine and reference for the time of the context.

    Raises:
        tasks.errors.TaskError: a toolchain is unavailable, or a server did not become ready, or ended.
    """
    with pipeline.work_dir(LABEL) as folder, ExitStack() as stack:
        damage = folder / "damage.json"
        write_damage(damage, Damage())
        engine = engine_side(made.variant, made.engine, engine_manifest(pipeline.store, made.engine))
        noisy = engine.model_copy(update={"name": "noisy", "tree": noisy_copy(pipeline, made.engine, folder)})
        served = damaged_command(engine.serve, folder / "sources", damage)
        sides: dict[Served, Side] = {
            "engine": engine.model_copy(update={"serve": served}),
            "noisy": noisy,
            "vllm": reference_of(made).model_copy(update={"name": "vllm"}),
        }
        up = stack.enter_context(resident_sides(pipeline, tuple(sides.values()), LABEL))
        with up.serving((sides["engine"],)) as (endpoint,):
            proxies = {"engine": stack.enter_context(proxy_before(endpoint.base_url))}
        yield Stack(proxies, up, sides, damage)


def damaged_command(serve: ServeCommand, sources: Path, damage: Path) -> ServeCommand:
    """Return the command that serves an engine of kind aot-inductor with damage.

    Args:
        serve: the engine's own command.
        sources: directory that the damaged server's sources are written to.
        damage: file that it is planted in.
    """
    write_sources(closure(DAMAGED_SERVER), sources)
    argv = tuple(DAMAGED_SERVER if part == SERVER else part for part in serve.argv)
    env = serve.env | {"PYTHONPATH": str(sources), PLANTED_IN: str(damage)}
    return serve.model_copy(update={"argv": argv, "env": env})


def noisy_copy(pipeline: Pipeline, engine: str, folder: Path) -> str:
    """Return the digest of a copy of an engine with noise on its weights.

    Raises LookupError if it keeps no matrix where they are looked for: then nothing would be planted.
    """
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        whole, noisy = Path(scratch) / "whole", Path(scratch) / "noisy"
        pipeline.store.materialize(engine, whole)
        if not damage_engine(whole, noisy, noise=WEIGHT_NOISE):
            raise LookupError(f"engine {engine} has no matrix in its folder of weights")
        return pipeline.store.put_tree(noisy).digest
