"""The stages, one module each: fetch, baseline, quantize, build, measure, judge, publish.

Each module has a pure part that describes the call (what its result depends on) and a thin part that runs it.
`tasks.prefect_tasks` wraps them for Prefect; `tasks.plan` uses the descriptions alone.
"""
