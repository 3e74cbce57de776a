"""Several quantizations in one process: importing ModelOpt costs more than all of them."""

from dataclasses import dataclass

from tasks.workers.common.io import run
from tasks.workers.common.requests import Nothing, Request, Result
from tasks.workers.quantize.checks import require_supported
from tasks.workers.quantize.export import quantize
from tasks.workers.quantize.request import QuantizeAdmission, QuantizeParams


@dataclass(frozen=True)
class Job:
    params: QuantizeParams
    admission: QuantizeAdmission


@dataclass(frozen=True)
class Asked:
    jobs: dict[str, Job]


def main(request: Request[Asked, Nothing]) -> Result:
    """Quantize as each of the jobs asks, into a directory of its name."""
    for name, job in request.params.jobs.items():
        output = request.output / name
        output.mkdir()
        require_supported(request.inputs["checkpoint"], job.params, job.admission)
        quantize(Request(job.params, job.admission, request.inputs, output))
    return Result({}, {})


if __name__ == "__main__":
    run(main, Asked, Nothing)
