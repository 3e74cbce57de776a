"""The completions server with damage between it and its engine: the same arguments, and a planted damage.

The variable PLANTED_DAMAGE_FILE names the file that the damage is planted in (`request.write_damage`).
Without it nothing is served, so that nobody starts this server instead of the real one; the exit code is 3.
"""

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tasks.workers.common.shape import Shape
from tasks.workers.completions_server import main as server
from tasks.workers.completions_server.engine import PreparedEngine
from tasks.workers.completions_server.protocol.choices import Codec
from tasks.workers.damaged_server.codec import DamagedCodec
from tasks.workers.damaged_server.engine import DamagedEngine
from tasks.workers.damaged_server.request import PLANTED_IN, read_damage


class DamagedAotEngine(DamagedEngine):
    """A damaged engine whose cache is in tensors, and which prepares itself undamaged."""

    def __init__(self, engine: PreparedEngine, planted: Path) -> None:
        super().__init__(engine, partial(read_damage, planted), partial(keep_slots, engine))
        self._prepared = engine

    def prepare(self, cores: int, *, pinned: bool) -> str:
        """Prepare the engine."""
        return self._prepared.prepare(cores, pinned=pinned)

    def waits(self) -> str:
        """What the engine waited for."""
        return self._prepared.waits()


def keep_slots(engine: PreparedEngine, first: int) -> Callable[[], None]:
    """Save what the cache of an AOTInductor engine holds in the slots from `first` on, for all rows.

    Returns what puts it back.
    """
    cache = getattr(engine, "cache")  # noqa: B009  engines of this server have one, others need not
    kept = [tensor[:, :, first:].clone() for tensor in cache]

    def put_back() -> None:
        for tensor, before in zip(cache, kept, strict=True):
            tensor[:, :, first:] = before

    return put_back


def main() -> int:
    """Serve a damaged engine, if damage is planted."""
    planted = os.environ.get(PLANTED_IN)
    if planted is None:
        print(
            f"this server damages what it serves, for `enginery selftest --live`: {PLANTED_IN} is not set",
            file=sys.stderr,
            flush=True,
        )
        return server.EXIT_REFUSED
    print(f"this server is damaged on purpose, by {planted}", flush=True)
    return server.main(partial(_open_damaged, planted=Path(planted)))


def _open_damaged(tree: Path, limits: Shape, *, planted: Path) -> tuple[PreparedEngine, Codec]:
    engine, codec = server.open_tree(tree, limits)
    return DamagedAotEngine(engine, planted), DamagedCodec(codec, partial(read_damage, planted))


if __name__ == "__main__":
    sys.exit(main())
