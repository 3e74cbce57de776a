"""`make gpu-check`: builds every kind whose toolchains this host has, end to end, from the demo's checkpoint.

`choice` and `specs` decide from facts what can run, and `result` writes the page; all of that is pure, and
`__main__` runs it.
"""
