"""Job: what vLLM's own parser makes of command lines.

params: {"commands": lists of arguments}; metrics: {"refused": the command lines that it does not take}.
"""

from dataclasses import dataclass

from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser

from tasks.workers.common.io import run
from tasks.workers.common.requests import Nothing, Request, Result


@dataclass(frozen=True)
class Asked:
    commands: tuple[tuple[str, ...], ...]


def main(request: Request[Asked, Nothing]) -> Result:
    parser = make_arg_parser(FlexibleArgumentParser())
    return Result({"refused": [list(one) for one in request.params.commands if refused(parser, one)]}, {})


def refused(parser: FlexibleArgumentParser, command: tuple[str, ...]) -> bool:
    try:
        parser.parse_args(list(command))
    except SystemExit:
        return True
    return False


if __name__ == "__main__":
    run(main, Asked, Nothing)
