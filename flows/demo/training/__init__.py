"""Programs that made the demo's checkpoint and texts, and the worker that trains one for `make gpu-check`.

They run in a toolchain's interpreter, from the checkout: `PYTHON -m flows.demo.training.train_checkpoint`.
Promises:
- They import tools of that interpreter, each other, and what workers share; nothing else of ours.
- They are not part of the package: hosts that pull or build something else need none of them.

Nothing is imported here, as each program needs other tools.
"""
