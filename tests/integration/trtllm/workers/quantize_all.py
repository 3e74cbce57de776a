"""Several quantizations in one process: importing ModelOpt costs more than all of them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[4] / "tasks" / "workers"))

from quantize_checks import require_supported
from quantize_export import quantize
from worker_io import Request, Result, run


def main(request: Request) -> Result:
    """Quantize as each of `params["jobs"]` (params and admission, by name) asks, into a directory each."""
    for name, asked in request.params["jobs"].items():
        output = request.output / name
        output.mkdir()
        job = Request(asked["params"], request.inputs, output, asked["admission"])
        require_supported(request.inputs["checkpoint"], job.params, job.admission)
        quantize(job)
    return Result()


if __name__ == "__main__":
    run(main)
