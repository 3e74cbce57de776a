"""Pre-flight of what drafts tokens: a checkpoint of its own, or layers of the one that checks them.

Invariants:
- A draft proposes tokens of the model that checks them: vocabularies have one size, and a head that reads the
  model's hidden states reads states of its width. Upstream finds the rest only while it loads the weights.
- A method is known to work for the architectures in the kind's table, and for no others.
"""

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from engine_specs.preflight.decoder import Config, decoder_config, is_size
from engine_specs.preflight.model_facts import ModelFacts, UnknownFacts, architectures, read_model_facts
from engine_specs.reading import Problem, StrictFrozen
from engine_specs.spec import ResolvedVariant
from engine_specs.tables import KindFacts, SpeculativeSupport

# Key of config.json: layers of the checkpoint itself that draft.
OWN_LAYERS = "num_nextn_predict_layers"
# Key of a head's config.json, if its own width differs from that of the states that it reads.
READ_WIDTH = "target_hidden_size"
# A draft may be quantized, but no weight has fewer bits: files with less hold pointers, or a part of it.
FEWEST_BITS, BITS_PER_BYTE = 4, 8


class DraftCheckpoint(StrictFrozen):
    """What is known of a draft without its weights."""

    repo: str = Field(description="Its repository on the Hub.")
    commit: str = Field(description="Its commit.")
    config: dict[str, Any] = Field(description="Content of its config.json.")
    file_bytes: dict[str, int] = Field(description="Size of each of its files, by path.")

    @property
    def name(self) -> str:
        """Repository and commit."""
        return f"{self.repo}@{self.commit[:12]}"


def draft_problems(
    variant: ResolvedVariant, kind: KindFacts, base: Config, draft: DraftCheckpoint | None
) -> Iterator[Problem]:
    """Yield why a kind cannot draft for a checkpoint as the variant asks.

    Args:
        variant: says how tokens are drafted, if they are.
        kind: its kind.
        base: config.json of the spec's checkpoint.
        draft: the checkpoint that drafts; None: the method has none, or it is not known.
    """
    asked = variant.speculative
    row = kind.speculation(asked.method) if asked else None
    if asked is None or row is None:
        return
    where = f"variants.{variant.name}.speculative"
    yield from _checked(where, kind, row, base)
    if asked.method == "mtp":
        yield from _by_itself(f"{where}.tokens", row, base, asked.tokens)
    if draft is not None:
        yield from _drafts(f"{where}.draft", kind, row, base, draft)


def drafting_facts(
    variant: ResolvedVariant, model: ModelFacts, base: Config, draft: DraftCheckpoint | None
) -> ModelFacts | None:
    """Return the sizes of what drafts: those of the draft, or the model with only the layers that draft.

    None if nothing of the kind takes memory, or its sizes are not known.
    """
    if draft is not None:
        facts = read_model_facts(draft.config, draft.file_bytes)
        return None if isinstance(facts, UnknownFacts) else facts
    layers = tuple(range(_own_layers(base)))
    if variant.speculative is None or variant.speculative.method != "mtp" or not layers:
        return None
    experts = model.experts.model_copy(update={"layers": layers}) if model.experts else None
    changed = {"layers": len(layers), "full_layers": layers, "experts": experts, "ready_made": None}
    return model.model_copy(update=changed)


def _checked(where: str, kind: KindFacts, row: SpeculativeSupport, base: Config) -> Iterator[Problem]:
    """Yield an architecture whose drafts the kind is not known to check."""
    named = next(iter(architectures(base)), "")
    if row.architectures is None or named in row.architectures or kind.architecture(named) is None:
        return
    others = [
        one.method for one in kind.speculative if one.architectures is None or named in one.architectures
    ]
    accepted = f"a method that {kind.name} is known to have for it: {', '.join(others) or 'none'}"
    yield Problem(f"{where}.method", f"{row.method} for {named}", accepted)


def _own_layers(base: Config) -> int:
    """Return how many layers of a checkpoint draft for it; 0 if none do."""
    layers = decoder_config(base).get(OWN_LAYERS)
    return int(layers) if layers is not None and is_size(layers) else 0


def _by_itself(where: str, row: SpeculativeSupport, base: Config, tokens: int) -> Iterator[Problem]:
    layers = _own_layers(base)
    if not layers:
        found = f"mtp with a checkpoint whose config.json has no {OWN_LAYERS}"
        yield Problem(where, found, "a checkpoint with layers that draft, or another method")
    elif row.multiple_of_layers and tokens > layers and tokens % layers:
        yield Problem(where, str(tokens), f"at most {layers} ({OWN_LAYERS}), or a multiple of it")


def _drafts(
    where: str, kind: KindFacts, row: SpeculativeSupport, base: Config, draft: DraftCheckpoint
) -> Iterator[Problem]:
    named = next(iter(architectures(draft.config)), "no architecture")
    known = row.draft_architectures or kind.architecture_names
    if named not in known:
        accepted = f"a draft that {kind.name} reads with {row.method}: {', '.join(known)}"
        yield Problem(where, f"{named} in {draft.name}", accepted)
    facts, ours = read_model_facts(draft.config, draft.file_bytes), read_model_facts(base, {})
    if isinstance(facts, UnknownFacts):
        yield from (Problem(where, f"{one.found} in {draft.name}", one.accepted) for one in facts.problems)
    elif not isinstance(ours, UnknownFacts):
        yield from _fits(where, row, ours, facts, draft)


def _fits(
    where: str, row: SpeculativeSupport, ours: ModelFacts, theirs: ModelFacts, draft: DraftCheckpoint
) -> Iterator[Problem]:
    if theirs.checkpoint_bytes * BITS_PER_BYTE < theirs.linear_parameters * FEWEST_BITS:
        found = f"{theirs.checkpoint_bytes:,} B of safetensors in {draft.name}"
        accepted = f"files with the {theirs.linear_parameters:,} weights that its config.json describes"
        yield Problem(where, found, accepted)
    if theirs.vocab_size != ours.vocab_size:
        found = f"a vocabulary of {theirs.vocab_size:,} in {draft.name}"
        accepted = f"a draft for this checkpoint, whose vocabulary has {ours.vocab_size:,} tokens"
        yield Problem(where, found, accepted)
    reads = draft.config.get(READ_WIDTH) or theirs.hidden_size
    if row.method == "eagle3" and reads != ours.hidden_size:
        found = f"a head that reads states of width {reads:,} in {draft.name}"
        accepted = f"a head that was trained for this checkpoint, whose states have {ours.hidden_size:,}"
        yield Problem(where, found, accepted)
