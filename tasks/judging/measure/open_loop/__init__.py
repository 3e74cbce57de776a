"""Open loop: requests arrive as users send them, whatever the server does meanwhile.

In a closed loop, a slow server is asked less: the client waits for an answer before it asks again, and what
nobody asks does not wait. Here a server that falls behind has a queue, as in use.

Promises:
- Arrivals are Poisson, drawn from the seed of the protocol; both sides get the same ones, each at its own
  rate.
- A request is sent when it arrives, however many are in flight, and its latency counts from the intended
  arrival, so time in which the client could not send is not left out.
- Nothing is decided here but when to stop, by the bounds that the gate reads.
"""

from tasks.judging.measure.open_loop.arrivals import Rate, load_of, rate_of
from tasks.judging.measure.open_loop.one_side import (
    OpenLoopAsked,
    ask_in_open_loop,
    not_asked,
    open_loop_s,
)

__all__ = [
    "OpenLoopAsked",
    "Rate",
    "ask_in_open_loop",
    "load_of",
    "not_asked",
    "open_loop_s",
    "rate_of",
]
