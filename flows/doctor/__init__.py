"""Checking a host: what was found, whether that will do, and what to do where it will not.

Probing (`probes`) and judging (`judgements`) are apart: judgements are pure and say the same of equal facts.
"""
