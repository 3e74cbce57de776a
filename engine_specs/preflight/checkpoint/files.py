"""Pre-flight of the checkpoint itself: its files, and who wrote it."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from engine_specs.preflight.checkpoint.tokenizers import TOKENIZER_FILE, tokenizer_problems
from engine_specs.preflight.decoder import Config, decoder_config, reads_images
from engine_specs.preflight.model_facts import architectures
from engine_specs.preflight.quantized_checkpoint import ReadyMade, SmallFiles, quantized_problems
from engine_specs.reading import Problem
from engine_specs.spec import ResolvedVariant
from engine_specs.tables import KindFacts, load_config_defaults, load_kinds

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
REPO = "checkpoint.repo"
# vllm 0.32.0, model_executor/models/mllama4.py: its processor is loaded, even if nobody asks about images.
# Either names how images are read: transformers 5 looks into both (image_processing_base.py).
PROCESSORS = ("preprocessor_config.json", "processor_config.json")
# Where transformers 5 keeps what transformers 4 reads from `rope_theta` and `rope_scaling`.
NEWER_KEY = "rope_parameters"
# The class that transformers 5 writes for every tokenizer that tokenizer.json describes by itself.
NEWER_TOKENIZER = "TokenizersBackend"


def checkpoint_problems(
    repo: str, kind: KindFacts, config: Config, file_bytes: Mapping[str, int], small: SmallFiles
) -> Iterator[Problem]:
    """Yield what keeps a kind from reading a checkpoint, whatever it builds from it."""
    yield from _files(repo, config, file_bytes)
    yield from _model_type(repo, config)
    yield from quantized_problems(repo, config, file_bytes, small)
    yield from _written_by_newer(repo, kind, config, small)
    yield from tokenizer_problems(repo, small)


def source_problems(variant: ResolvedVariant, source: ReadyMade) -> Iterator[Problem]:
    """Yield what keeps every kind from reading a ready-made checkpoint."""
    for problem in (
        *_files(source.name, source.config, source.file_bytes),
        *tokenizer_problems(source.name, source.small),
    ):
        yield replace(problem, field=f"variants.{variant.name}.quantization.source")


def _files(repo: str, config: Config, file_bytes: Mapping[str, int]) -> Iterator[Problem]:
    weights = [name for name, size in file_bytes.items() if name.endswith(".safetensors") and size > 0]
    if not weights:
        pickles = sorted(name for name in file_bytes if name.endswith(PICKLES))
        found = f"pickled weights only ({pickles[0]})" if pickles else "no weights"
        accepted = "a repository with .safetensors files: pickles run code when read, and are never loaded"
        yield Problem(REPO, f"{found} in {repo}", accepted)
    if "tokenizer.json" not in file_bytes:
        accepted = "a repository with tokenizer.json: an engine's server reads no other tokenizer"
        yield Problem(REPO, f"no tokenizer.json in {repo}", accepted)
    if reads_images(config) and not any(name in file_bytes for name in PROCESSORS):
        accepted = "a repository with one of them: servers of a model that reads images start with it"
        yield Problem(REPO, f"neither {' nor '.join(PROCESSORS)} in {repo}", accepted)


def _model_type(repo: str, config: Config) -> Iterator[Problem]:
    """Report a type that is not the architecture's: tools read config.json by the one or by the other."""
    named = architectures(config)
    rows = [row for row in load_config_defaults().values() if row.architecture in named[:1]]
    known, found = [row.model_type for row in rows], decoder_config(config).get("model_type")
    if found is None or (known and found not in known):
        said = f"model_type {found!r} for {named[0]}" if found is not None and named else "no model_type"
        accepted = f"a checkpoint whose model_type is {' or '.join(known)}" if known else "one that has it"
        yield Problem(REPO, f"{said} in config.json of {repo}", accepted)


def _written_by_newer(repo: str, kind: KindFacts, config: Config, small: SmallFiles) -> Iterator[Problem]:
    """Report a checkpoint of a newer transformers than the kind's, which silently reads RoPE's defaults."""
    version = str(config.get("transformers_version") or "")
    major = version.partition(".")[0]
    newer = major.isdigit() and int(major) > kind.transformers_major
    renamed = NEWER_KEY in config and kind.transformers_major == 4
    tokenizer = small.content(TOKENIZER_FILE).get("tokenizer_class")
    unreadable = tokenizer == NEWER_TOKENIZER and kind.transformers_major == 4
    if not (newer or renamed or unreadable):
        return
    signs = [f"transformers_version {version}"] * newer + [NEWER_KEY] * renamed
    places = [f"{', '.join(signs)} in config.json"] * bool(signs)
    places += [f"tokenizer_class {tokenizer} in {TOKENIZER_FILE}"] * unreadable
    others = [one.name for one in load_kinds().values() if one.transformers_major > kind.transformers_major]
    found = f"{repo}, written by a newer transformers ({'; '.join(places)})"
    accepted = (
        f"a checkpoint written by transformers {kind.transformers_major}, which {kind.name} uses: it takes "
        f"RoPE's defaults for {NEWER_KEY} without an error and does not know the tokenizer's class; or a "
        f"kind that reads it: {', '.join(others)}"
    )
    yield Problem(REPO, found, accepted)
