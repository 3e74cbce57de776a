"""lm-evaluation-harness as a second opinion: it scores the same questions, by its own code, on one server.

`score` is the worker, `request` what it is asked, `served_model` the model that it hands to the tool. The
tool decides what is asked and counts what is right; how a server is asked is ours, as the tool knows no way
that every server of ours answers.
"""
