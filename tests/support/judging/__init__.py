"""Protocols, results and completions servers for tests of judging, with what a test plants in them."""
