"""`make gpu-check`: engines of a checkpoint that is trained on this host's GPU, from Hub to generated text.

`options`, `variants`, `sizes`, `specs` and `choice` decide what runs; `figures`, `result` and `page` turn
what was found into a page. These are pure. `checkpoint`, `self_comparison` and `run` do the work, in `steps`
that do not lose each other; `check` puts all of it together.
"""
