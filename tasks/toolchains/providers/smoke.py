"""Proves that a toolchain's tool can be imported, and asks which build of torch it works with."""

from tasks.toolchains.declarations import Declaration, TorchBuild

PREFIX = "torch:"


def smoke_program(declared: Declaration) -> str:
    """Python that imports the tool; the last line that it prints is for `torch_build`."""
    ask = f"import torch; print({PREFIX!r}, torch.__version__, torch.version.cuda)"
    return f"{declared.smoke}\n{ask if declared.torch else 'print()'}"


def torch_build(last_line: str) -> TorchBuild | None:
    """The build that torch reports; None if the tool does not use torch."""
    if not last_line.startswith(PREFIX):
        return None
    _, version, cuda = last_line.split()
    return TorchBuild(version=version, cuda=None if cuda == "None" else cuda)
