"""Pre-flight of the tokenizer: whether transformers reads tokenizer.json as it is.

Some classes of transformers 5 take only the vocabulary from tokenizer.json and split text by rules of their
own. vLLM, the reference, reads every checkpoint so: on a tokenizer.json of another family such a class loses
every space, and a right engine would be rejected.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from engine_specs.preflight.quantized_checkpoint import ReadyMade, SmallFiles
from engine_specs.reading import Problem
from engine_specs.spec import ResolvedVariant, Spec

TOKENIZER_FILE, CONTENT_FILE = "tokenizer_config.json", "tokenizer.json"
TEMPLATE_FILE = "chat_template.jinja"
# Classes that split at spaces, as SentencePiece does, whatever tokenizer.json says (transformers 5.19.0,
# models/llama/tokenization_llama.py and so on); their names may end in Fast.
SPLITTING_AT_SPACES = ("LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer")
BYTES = "ByteLevel"


def needs_content(tokenizer_config: Mapping[str, Any]) -> bool:
    """Whether the class that a tokenizer_config.json names has to be compared with tokenizer.json."""
    return str(tokenizer_config.get("tokenizer_class") or "").removesuffix("Fast") in SPLITTING_AT_SPACES


def outline(tokenizer: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a tokenizer.json splits and joins text, without its vocabulary."""
    return {key: tokenizer.get(key) for key in ("normalizer", "pre_tokenizer", "decoder")}


def prompt_facts(
    tokenizer: Mapping[str, Any], tokenizer_config: Mapping[str, Any], template: str | None
) -> dict[str, str]:
    """Return what a checkpoint does to a prompt before the model reads it, by what it is.

    Args:
        tokenizer: content of tokenizer.json.
        tokenizer_config: content of tokenizer_config.json.
        template: content of chat_template.jinja; None if there is none.
    """
    written = chat_template(tokenizer_config, template or "")
    digest = hashlib.sha256(written.encode()).hexdigest() if written else ""
    return {
        "tokens added before prompts": " ".join(_added_before(tokenizer.get("post_processor"))) or "none",
        "chat template": f"sha256 {digest[:16]}" if digest else "none",
    }


def chat_template(tokenizer_config: Mapping[str, Any], file: str) -> str:
    """Return the template that writes conversations, empty if there is none: its own file goes first."""
    said = file or tokenizer_config.get("chat_template")
    return said if isinstance(said, str) else json.dumps(said, sort_keys=True) if said else ""


def source_template_problems(spec: Spec, variant: ResolvedVariant, source: ReadyMade) -> Iterator[Problem]:
    """Yield a ready-made checkpoint's other chat template, if tasks are asked through it."""
    if any(task.chat for task in spec.validation.tasks) and _another_template(source):
        yield Problem(
            f"variants.{variant.name}.quantization.source",
            f"another chat template in {source.name}",
            f"a checkpoint with that of {spec.checkpoint.repo}, or chat: false in all tasks: engine and "
            "reference would be asked different texts",
        )


def source_template_warnings(variant: ResolvedVariant, source: ReadyMade) -> Iterator[str]:
    """Yield a sentence about a ready-made checkpoint whose chat template is another one."""
    if _another_template(source):
        yield (
            f"variants.{variant.name}.quantization.source: {source.name} has another chat template than the "
            "spec's checkpoint, so conversations become other prompts; texts and tokens are read alike"
        )


def _another_template(source: ReadyMade) -> bool:
    ours, theirs = source.base_small, source.small
    if not ours.content(TOKENIZER_FILE) or not theirs.content(TOKENIZER_FILE):
        return False  # one of them is not known
    said = [chat_template(one.content(TOKENIZER_FILE), one.template).strip() for one in (ours, theirs)]
    return said[0] != said[1]


def _added_before(step: object) -> tuple[str, ...]:
    """Return the special tokens that a post-processor of tokenizer.json, or one of a sequence, puts first."""
    if not isinstance(step, Mapping):
        return ()
    before: list[str] = []
    for one in _listed(step.get("single")):
        special = one.get("SpecialToken") if isinstance(one, Mapping) else None
        if not isinstance(special, Mapping):
            break
        before.append(str(special.get("id")))
    nested = (token for each in _listed(step.get("processors")) for token in _added_before(each))
    return (*before, *nested)


def content_digest(tokenizer: Mapping[str, Any]) -> str:
    """Return a digest of what a tokenizer.json says, 64 hex digits, however it is written.

    Left out is what transformers sets anew for every call (`truncation`, `padding`), and how merges are
    spelled: as pairs, or as two texts with a space between them.
    """
    said = {key: value for key, value in tokenizer.items() if key not in ("truncation", "padding")}
    model = said.get("model")
    if isinstance(model, Mapping) and isinstance(model.get("merges"), list):
        merges = [tuple(one.split(" ", 1)) if isinstance(one, str) else one for one in model["merges"]]
        said["model"] = {**model, "merges": merges}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def tokenizer_problems(repo: str, small: SmallFiles) -> Iterator[Problem]:
    """Yield a class that would read tokenizer.json differently from its content."""
    config = small.content(TOKENIZER_FILE)
    if not needs_content(config) or not _by_bytes(small.content(CONTENT_FILE).get("pre_tokenizer")):
        return
    named = config["tokenizer_class"]
    yield Problem(
        "checkpoint.repo",
        f"tokenizer_class {named} over a {CONTENT_FILE} that splits text by bytes in {repo}",
        "a checkpoint whose tokenizer_config.json names PreTrainedTokenizerFast, which reads "
        f"{CONTENT_FILE} as it is: transformers 5, with which vLLM reads the reference, gives {named} rules "
        "of its own, which lose spaces there",
    )


def template_problems(spec: Spec, files: Collection[str], small: SmallFiles) -> Iterator[Problem]:
    """Yield tasks that are asked through a chat template which the checkpoint does not have."""
    config = small.content(TOKENIZER_FILE)
    # Without a tokenizer_config.json, nothing is known of it.
    if not config or config.get("chat_template") or TEMPLATE_FILE in files:
        return
    for index, task in enumerate(spec.validation.tasks):
        if task.chat:
            yield Problem(
                f"validation.tasks[{index}].chat",
                f"true, but {spec.checkpoint.repo} has no chat template",
                f"chat: false, or a checkpoint with chat_template in {TOKENIZER_FILE} or {TEMPLATE_FILE}",
            )


def _by_bytes(step: object) -> bool:
    """Whether a step of tokenizer.json, or one that a sequence holds, works on bytes."""
    if not isinstance(step, Mapping):
        return False
    return step.get("type") == BYTES or any(_by_bytes(one) for one in _listed(step.get("pretokenizers")))


def _listed(value: object) -> Sequence[object]:
    """Return a list as it is, and nothing for any other value."""
    return value if isinstance(value, list | tuple) else ()
