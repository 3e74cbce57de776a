"""Checks of a host: what was found, whether it is sufficient, and what to do if it is not.

Probing (`probes`) and judging (`judgements`) are separate: judgements are pure, and equal facts give equal
judgements.

Nothing is imported here: records of checks are used without the probes.
"""
