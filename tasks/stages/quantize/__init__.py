"""quantize: what an engine is made of, if that is not the checkpoint as it was fetched.

Promises: `Quantize` makes it with ModelOpt, `FetchReadyMade` fetches one that others quantized.
"""

from tasks.stages.quantize.ready_made import FetchReadyMade, ready_made_facts, stored_in, stored_of
from tasks.stages.quantize.request import admission, read_recipe_file, request_params
from tasks.stages.quantize.stage import WORKER, Quantize, built_as_fetched, quantize_job, toolchain_of

__all__ = [
    "WORKER",
    "FetchReadyMade",
    "Quantize",
    "admission",
    "built_as_fetched",
    "quantize_job",
    "read_recipe_file",
    "ready_made_facts",
    "request_params",
    "stored_in",
    "stored_of",
    "toolchain_of",
]
