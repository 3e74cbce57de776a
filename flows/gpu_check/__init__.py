"""`make gpu-check`: every kind whose toolchains this host has, end to end on the demo's checkpoint.

What can run is chosen from facts (`choice`, `specs`) and told as a page (`result`); all that is pure, and
`__main__` runs it.
"""
