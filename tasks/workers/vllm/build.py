"""The worker of kind vllm: it combines a checkpoint, flags and the caches of a start into an engine tree.

It runs in the toolchain `vllm-cpu` or `vllm-cuda`; `request` defines what it is asked. Everything that takes
no time is checked first: host, tool, checkpoint.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tasks.workers.common.gpu_host import gpu_facts, refuse_unless
from tasks.workers.common.hf_checkpoint import copy_checkpoint, read_checkpoint
from tasks.workers.common.io import run, say
from tasks.workers.common.manifest import write_manifest
from tasks.workers.common.requests import Result
from tasks.workers.vllm.captures import captured_with
from tasks.workers.vllm.place import Place, compiled_files, place_of, vacate
from tasks.workers.vllm.proof import Proof, Start, nothing_to_keep, prove, unused
from tasks.workers.vllm.request import Target, VllmAdmission, VllmParams, VllmRequest
from tasks.workers.vllm.starts import Guest, as_this_user, guest_of, start_copy, start_here
from tasks.workers.vllm.tree import CACHES, capture, identity_of, vllm_manifest, write_launcher

TOOLS = ("vllm", "torch", "cuda")


def main(request: VllmRequest) -> Result:
    """Check host, tool and checkpoint, make the tree, start it several times, and decide about its caches."""
    params, output = request.params, request.output
    _require_gpus(params.target)
    captured = captured_with(on_gpu=bool(params.target.gpu_names))
    checkpoint = read_checkpoint(request.inputs["checkpoint"], request.admission)
    copied = copy_checkpoint(checkpoint.directory, output)
    say(f"copied {copied} bytes of checkpoint")
    place, environment = place_of(identity_of(params, output)), os.environ | dict(params.serve["env"])
    write_launcher(output)
    write_manifest(output, vllm_manifest(params, checkpoint, captured, place, environment))
    trials = _Trials(params, output, place)
    proof = trials.run()
    say(f"the caches {'ship' if proof.ships else 'do not ship'}: {proof.reason}")
    if not proof.ships:
        shutil.rmtree(output / CACHES, ignore_errors=True)
        write_manifest(output, vllm_manifest(params, checkpoint, captured, None, environment))
    tools = {name: captured[name] for name in TOOLS if name in captured}
    return Result(metrics={"checkpoint_bytes": copied, "warmth": trials.metrics(proof)}, tools=tools)


def _require_gpus(target: Target) -> None:
    if target.gpu_names:
        refuse_unless(gpu_facts(), target.gpu_names, target.compute_capability, target.gpu_count)


@dataclass
class _Trials:
    """The starts of the engine, and what they left.

    Cold, warm and copied starts take turns, forwards and backwards, so that a host which becomes slower or
    faster meanwhile favours none of them; two of each at least, and more until the gain shows. Each finds the
    place as another host has it: not there.
    """

    params: VllmParams
    tree: Path
    place: Place
    cold: list[Start] = field(default_factory=list)
    warm: list[Start] = field(default_factory=list)
    copy: list[Start] = field(default_factory=list)
    guests: list[Guest] = field(default_factory=list)
    files: int = 0
    cache_bytes: int = 0

    def run(self) -> Proof:
        """Start the server as often as asked, or until it is clear that the caches are of no use."""
        try:
            self._start_cold()
            if reason := nothing_to_keep(self.cold[0]):
                return Proof(ships=False, reason=reason)
            self.files, self.cache_bytes = capture(self.place, self.tree)
            with guest_of(self.tree) as guest:
                self.guests.append(guest)
                say(f"a copy of the engine is started with: {guest.differs}")
                return self._in_turn()
        finally:
            vacate(self.place, os.geteuid())

    def metrics(self, proof: Proof) -> dict[str, Any]:
        """Every start, and what was concluded."""
        starts = {"cold": self.cold, "warm": self.warm, "copy": self.copy}
        return {
            **asdict(proof),
            "starts": {name: [asdict(start) for start in group] for name, group in starts.items()},
            "copy_differs_by": self.guests[-1].differs if self.guests else "",
            "cache_files": self.files,
            "cache_bytes": self.cache_bytes,
        }

    def _in_turn(self) -> Proof:
        forwards = (self._start_cold, self._start_warm, self._start_copy)
        todo: list[Callable[[], None]] = [*forwards[1:]]
        for turn in range(1, self.params.warm_up.starts):
            todo += forwards[::-1] if turn % 2 else forwards
            for start in todo:
                start()
                for done in (*self.warm, *self.copy):
                    if reason := unused(self.cold[0], done, max(1, self.params.target.gpu_count)):
                        return Proof(ships=False, reason=reason)
            todo, proof = [], prove(self.cold, self.warm, self.copy)
            if proof.ships:
                break
        return proof

    def _start_cold(self) -> None:
        vacate(self.place, os.geteuid())
        self.cold.append(start_here(self.params, self.params.commands[0], self.tree, self.place, 0))

    def _start_warm(self) -> None:
        vacate(self.place, os.geteuid())
        had = compiled_files(self.tree / CACHES)
        self.warm.append(start_here(self.params, self.params.commands[1], self.tree, self.place, had))

    def _start_copy(self) -> None:
        """Start a copy as another user; if that user cannot start it at all, as this one from then on."""
        guest = self.guests[-1]
        vacate(self.place, os.geteuid())
        had = compiled_files(self.tree / CACHES)
        try:
            self.copy.append(start_copy(self.params, guest, self.place, had))
        except SystemExit as ended:
            if guest.user is None:
                raise
            say(f"the copy is started by this user: {ended}")
            self.guests.append(as_this_user(guest, str(ended)))
        finally:
            vacate(self.place, guest.user[0] if guest.user else os.geteuid())
        if self.guests[-1] is not guest:
            self._start_copy()


if __name__ == "__main__":
    run(main, VllmParams, VllmAdmission)
