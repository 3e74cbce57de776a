"""The live self-test: damage and cheats, planted on running servers and judged by the functions that judge.

Promises:
- Each damage and cheat is one entry of `planted.PLANTED`, which the tests use as well. One that no gate can
  find is listed as such, with the reason, and is never left out.
- What is planted lies between real servers and the judge: in front of a server (`proxy`), or between a server
  and its engine (`tasks.workers.damaged_server`). Nothing that is judged here reaches the store's releases.
- A trial gives the gates that found something, and their sentence (`trial`); `results` counts trials, with
  intervals, and `page` shows them.

How often the statistics are wrong is simulated, by `tasks.judging.selftest`.

Nothing is imported here: `live` loads the Hub's client, which reads its variables at that time, and what
prints or names entries needs none of it.
"""
