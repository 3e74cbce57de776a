"""Judging one engine against vLLM: measuring over HTTP, and decisions that are pure functions of what was
measured.

Invariants:
- Measuring (`client`, `rounds`, `load`, `accuracy`, `lengths`, `tokenizers`, `speed`) returns frozen results
  and decides nothing.
- Deciding (`regret_bounds`, `ratio_bounds`, `gates`, `economics`, `verdict`) reads results and touches no
  network.
- Every gate compares an interval, never a point, and says in a sentence which numbers decided it.
"""
