"""Plans, releases and commands as text for a terminal. Pure.

Nothing is imported here: a host with the light install shows releases without what plans need.
"""
