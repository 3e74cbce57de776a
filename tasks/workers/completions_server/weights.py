"""The weights of an engine: what its checkpoint's own files hold, joined and placed where the graphs read
them.

Invariants:
- The files are those of the checkpoint, byte for byte, so that a store keeps one copy for both.
- On CPU a weight that is stored as the graph wants it is mapped, not read: servers of one host share its
  memory. One whose kernel wants it at another address is copied.
- What no file of the checkpoint holds (tables of positions, scales in another form) is in
  `constants.safetensors`.
- It needs only torch.
"""

import mmap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from tasks.workers.common.safetensors import LENGTH_BYTES, read_header
from tasks.workers.completions_server.facts import CONSTANTS_FILE, WEIGHTS_FOLDER, Source

# torch takes floating-point numbers at any address, but its kernel for 8-bit weights loads 16 of them at once
# from multiples of 16, and ends the process at any other address.
BYTES_ALIGNMENT = 16
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "I64": torch.int64,
    "I32": torch.int32,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


class TensorFiles:
    """The tensors of safetensors files by name, mapped into memory and read when they are used."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._entries: dict[str, tuple[mmap.mmap, int, dict[str, Any]]] = {}
        for file in files:
            header = read_header(file)
            with file.open("rb") as stream:
                first = LENGTH_BYTES + int.from_bytes(stream.read(LENGTH_BYTES), "little")
                # Private to this process, as torch wants memory that it could write to.
                content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
            self._entries |= {name: (content, first, entry) for name, entry in header.items()}

    def names(self) -> list[str]:
        """The names of all tensors."""
        return list(self._entries)

    def tensor(self, name: str) -> torch.Tensor:
        """One tensor, as it is stored.

        Raises:
            KeyError: no file has it, or torch has no such type.
        """
        content, first, entry = self._entries[name]
        start, end = entry["data_offsets"]
        dtype = DTYPES[entry["dtype"]]
        if start == end:
            return torch.empty(entry["shape"], dtype=dtype)
        count = (end - start) // dtype.itemsize
        return torch.frombuffer(content, dtype=dtype, count=count, offset=first + start).view(entry["shape"])


def load_weights(tree: Path, sources: Mapping[str, Source], device: torch.device) -> dict[str, torch.Tensor]:
    """The weights of all graphs of a tree, by the graphs' names of them.

    Args:
        tree: the engine.
        sources: of the weights that the checkpoint's files hold.
        device: where the graphs run.

    Raises:
        KeyError: the files lack a tensor.
    """
    files = TensorFiles(sorted((tree / WEIGHTS_FOLDER).glob("*.safetensors")))
    constants = TensorFiles([tree / CONSTANTS_FILE])
    weights = {name: constants.tensor(name).to(device) for name in constants.names()}
    return weights | {name: _joined(files, source, device) for name, source in sources.items()}


def _joined(files: TensorFiles, source: Source, device: torch.device) -> torch.Tensor:
    """One weight; parts of a joined one are copied to their place, without a copy of the whole in between."""
    parts = [files.tensor(name) for name in source.tensors]
    dtype = getattr(torch, source.dtype)
    if len(parts) == 1:
        placed = parts[0].to(device=device, dtype=dtype)
        misplaced = dtype.itemsize == 1 and placed.data_ptr() % BYTES_ALIGNMENT
        return placed.clone() if misplaced else placed
    rows = sum(part.shape[0] for part in parts)
    joined = torch.empty((rows, *parts[0].shape[1:]), dtype=dtype, device=device)
    for part, place in zip(parts, joined.split([part.shape[0] for part in parts]), strict=True):
        place.copy_(part)
    return joined
