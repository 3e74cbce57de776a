"""Pre-flight of the checkpoint itself: its files, who wrote it, and the lengths that it was made for."""

from collections.abc import Iterator, Mapping

from engine_specs.preflight.model_facts import Config, ModelFacts
from engine_specs.reading import Problem
from engine_specs.spec import ResolvedVariant
from engine_specs.tables import KindFacts, load_kinds

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
REPO = "checkpoint.repo"
# Where transformers 5 keeps what transformers 4 reads from `rope_theta` and `rope_scaling`.
NEWER_KEY = "rope_parameters"


def checkpoint_problems(
    repo: str, kind: KindFacts, config: Config, file_bytes: Mapping[str, int]
) -> Iterator[Problem]:
    """Yield what keeps a kind from reading a checkpoint, whatever it builds from it."""
    yield from _files(repo, file_bytes)
    yield from _already_quantized(repo, config)
    yield from _written_by_newer(repo, kind, config)


def length_problems(variant: ResolvedVariant, model: ModelFacts) -> Iterator[Problem]:
    """Yield lengths beyond the model's positions."""
    where = f"variants.{variant.name}"
    lengths = {f"{where}.shape.max_seq_len": variant.shape.max_seq_len}
    if variant.quantization.calibration is not None:
        lengths[f"{where}.quantization.calibration.sequence_length"] = (
            variant.quantization.calibration.sequence_length
        )
    for field, length in lengths.items():
        if length > model.max_positions:
            yield Problem(field, str(length), f"at most {model.max_positions}, the positions of the model")


def _files(repo: str, file_bytes: Mapping[str, int]) -> Iterator[Problem]:
    weights = [name for name, size in file_bytes.items() if name.endswith(".safetensors") and size > 0]
    if not weights:
        pickles = sorted(name for name in file_bytes if name.endswith(PICKLES))
        found = f"pickled weights only ({pickles[0]})" if pickles else "no weights"
        accepted = "a repository with .safetensors files: pickles run code when read, and are never loaded"
        yield Problem(REPO, f"{found} in {repo}", accepted)
    if "tokenizer.json" not in file_bytes:
        accepted = "a repository with tokenizer.json: an engine's server reads no other tokenizer"
        yield Problem(REPO, f"no tokenizer.json in {repo}", accepted)


def _already_quantized(repo: str, config: Config) -> Iterator[Problem]:
    present = config.get("quantization_config")
    if present:
        method = present.get("quant_method", "unknown method") if isinstance(present, Mapping) else present
        accepted = "an unquantized checkpoint: engines are judged against vLLM on plain weights"
        yield Problem(REPO, f"weights in {repo} that are already quantized ({method})", accepted)


def _written_by_newer(repo: str, kind: KindFacts, config: Config) -> Iterator[Problem]:
    """Report a checkpoint of a newer transformers than the kind's, which silently reads RoPE's defaults."""
    version = str(config.get("transformers_version") or "")
    major = version.partition(".")[0]
    newer = major.isdigit() and int(major) > kind.transformers_major
    renamed = NEWER_KEY in config and kind.transformers_major == 4
    if not (newer or renamed):
        return
    signs = [f"transformers_version {version}"] * newer + [NEWER_KEY] * renamed
    others = [one.name for one in load_kinds().values() if one.transformers_major > kind.transformers_major]
    found = f"{repo}, written by a newer transformers ({', '.join(signs)} in config.json)"
    accepted = (
        f"a checkpoint written by transformers {kind.transformers_major}, which {kind.name} uses: it takes "
        f"RoPE's defaults for {NEWER_KEY} without an error and does not know the tokenizer's class; or a "
        f"kind that reads it: {', '.join(others)}"
    )
    yield Problem(REPO, found, accepted)
