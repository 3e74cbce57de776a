"""Asking the sides of a measurement, phase by phase; decides nothing.

Promises:
- What is asked is decided by protocol and seed alone; no two timed rounds ask the same prompts.
- A side is asked only inside a phase for which its placement has it up.
- Whatever a server leaves out, or says otherwise than it should, is an error and never a sample.
"""
