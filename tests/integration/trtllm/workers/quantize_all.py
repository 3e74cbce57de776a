"""Several quantizations in one process: importing ModelOpt costs more than all of them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[4] / "tasks" / "workers"))

from quantize_checks import require_supported
from quantize_export import quantize
from worker_io import Request, Result, run


def main(request: Request) -> Result:
    """Quantize as each of `params["jobs"]` (params by name) asks, into a directory of its name."""
    for name, params in request.params["jobs"].items():
        output = request.output / name
        output.mkdir()
        require_supported(request.inputs["checkpoint"], params)
        quantize(Request(params=params, inputs=request.inputs, output=output))
    return Result()


if __name__ == "__main__":
    run(main)
