"""The toy engine behind the real completions server, with what is planted on either side of it."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from support.judging.fake_completions import BEGIN, SHIFT, VOCABULARY
from support.judging.toy_model import ToyEngine
from tasks.selftest.faults import Planted
from tasks.selftest.proxy import Proxy, proxy_before
from tasks.workers.common.shape import Shape
from tasks.workers.completions_server.batching.batch import Batcher
from tasks.workers.completions_server.http import CompletionServer, Service
from tasks.workers.completions_server.protocol.reading import Served
from tasks.workers.completions_server.protocol.records import RequestLimits
from tasks.workers.completions_server.text.chat_template import ChatTemplate
from tasks.workers.damaged_server.codec import DamagedCodec
from tasks.workers.damaged_server.engine import DamagedEngine
from tasks.workers.damaged_server.request import Damage

SHAPE = Shape(max_batch_size=4, max_input_len=320, max_seq_len=400, max_num_tokens=1600)
WAIT_S = 10.0


class ByteCodec:
    """One token a byte, as the stand-ins of references have it."""

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        return [*([BEGIN] if special else []), *(byte + SHIFT for byte in text.encode())]

    def decode(self, tokens: Sequence[int]) -> str:
        return bytes(token - SHIFT for token in tokens if token >= SHIFT).decode(errors="replace")

    decode_all = decode

    def spell(self, token: int) -> str:
        return self.decode([token])


@dataclass
class ToyServer:
    """The running server, and where to plant."""

    proxy: Proxy
    damage: Damage = field(default_factory=Damage)

    def plant(self, planted: Planted, *, spared: int) -> None:
        """Do what an entry of the list says, from the next request on."""
        self.damage = planted.damage
        self.proxy.plant(planted.alteration, spared=spared if planted.once_judged else 0)


@contextmanager
def toy_server(folder: Path) -> Iterator[ToyServer]:
    """Serve the toy engine on a free port, behind a proxy."""
    holder: list[ToyServer] = []

    def planted() -> Damage:
        return holder[0].damage if holder else Damage()

    toy = ToyEngine(SHAPE)
    engine = DamagedEngine(toy, planted, toy.keep)
    codec, batcher = DamagedCodec(ByteCodec(), planted), Batcher(engine)
    limits = RequestLimits(SHAPE.max_input_len, SHAPE.max_seq_len, VOCABULARY)
    service = Service(batcher, codec, Served("m", limits, codec, ChatTemplate(folder)), engine)
    server = CompletionServer(("127.0.0.1", 0), service)
    with ExitStack() as stack:
        for target in (batcher.run, server.serve_forever):
            thread = threading.Thread(target=target)
            thread.start()
            stack.callback(thread.join, WAIT_S)
        stack.callback(batcher.stop)
        stack.callback(server.server_close)
        stack.callback(server.shutdown)
        port = server.server_address[1]
        holder.append(ToyServer(stack.enter_context(proxy_before(f"http://127.0.0.1:{port}"))))
        yield holder[0]
