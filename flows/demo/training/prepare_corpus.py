"""Prepare the demo checkpoint's tokenizer and token files, and the two text files of the demo dataset.

    PYTHON -m flows.demo.training.prepare_corpus --out build/demo-corpus

Writes `tokenizer.json` and `tokenizer_config.json` (byte-level BPE, 1024 tokens), `train.bin` and
`validation.bin` (little-endian uint16; every row starts with <s>), `calibration.jsonl`, `heldout.jsonl`
and `corpus.json` (facts). Needs `tokenizers`.
"""

import argparse
import json
import platform
import random
from array import array
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from flows.demo.training.corpus import Document, read_documents

VOCABULARY = 1024
BOS, EOS, PAD = "<s>", "</s>", "<pad>"
ROW_TOKENS = 512
HELDOUT_TOKENS = range(200, 212)
HELDOUT_BYTES = 400_000
CALIBRATION_BYTES = 250_000
DATASET_SEED = 20240229


def main() -> None:
    """Read the standard library, train the tokenizer, write everything to `--out`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    documents = read_documents()
    by_split = {
        name: [d for d in documents if d.split == name] for name in ("train", "validation", "heldout")
    }
    tokenizer = train_tokenizer(d.text for d in by_split["train"])
    write_tokenizer(tokenizer, out)
    facts: dict[str, object] = {"python": platform.python_version(), "vocabulary": VOCABULARY}
    for split in ("train", "validation"):
        facts[f"{split}_documents"] = len(by_split[split])
        facts[f"{split}_tokens"] = write_rows(tokenizer, by_split[split], out / f"{split}.bin")
    facts["heldout_texts"] = write_texts(
        heldout_texts(tokenizer, by_split["heldout"]), out / "heldout.jsonl", HELDOUT_BYTES
    )
    calibration = shuffled([d for d in by_split["train"] if 600 <= len(d.text) <= 1400])
    facts["calibration_texts"] = write_texts(
        ((d.name, d.text) for d in calibration), out / "calibration.jsonl", CALIBRATION_BYTES
    )
    (out / "corpus.json").write_text(json.dumps(facts, indent=2) + "\n")
    print(json.dumps(facts), flush=True)


def train_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """Train a byte-level BPE tokenizer: every text survives the round trip, and no token is unknown."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[BOS, EOS, PAD],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    bos_id = tokenizer.token_to_id(BOS)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, bos_id)]
    )
    return tokenizer


def write_tokenizer(tokenizer: Tokenizer, out: Path) -> None:
    """Write `tokenizer.json`, and a `tokenizer_config.json` that both transformers 4.57 and 5 read."""
    tokenizer.save(str(out / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": PAD,
        "clean_up_tokenization_spaces": False,
        "model_max_length": ROW_TOKENS,
    }
    (out / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def write_rows(tokenizer: Tokenizer, documents: list[Document], file: Path) -> int:
    """Write documents as rows of at most ROW_TOKENS; return the number of tokens.

    Every row starts with <s>; </s> marks the end of a document.
    """
    bos, eos = tokenizer.token_to_id(BOS), tokenizer.token_to_id(EOS)
    tokens = array("H")
    for encoding in tokenizer.encode_batch([d.text for d in documents], add_special_tokens=False):
        ids = [*encoding.ids, eos]
        for start in range(0, len(ids), ROW_TOKENS - 1):
            tokens.append(bos)
            tokens.extend(ids[start : start + ROW_TOKENS - 1])
    file.write_bytes(tokens.tobytes())
    return len(tokens)


def heldout_texts(tokenizer: Tokenizer, documents: list[Document]) -> Iterable[tuple[str, str]]:
    """Yield the beginnings of long enough documents, cut between tokens so that text and tokens agree."""
    for document in shuffled(documents):
        encoding = tokenizer.encode(document.text, add_special_tokens=False)
        if len(encoding.ids) < HELDOUT_TOKENS.start:
            continue
        count = min(len(encoding.ids), HELDOUT_TOKENS.stop - 1)
        text = document.text[: encoding.offsets[count - 1][1]]
        if tokenizer.encode(text, add_special_tokens=False).ids == encoding.ids[:count]:
            yield document.name, text


def write_texts(texts: Iterable[tuple[str, str]], file: Path, limit_bytes: int) -> int:
    """Write {"id", "text"} lines up to `limit_bytes`; return how many were written."""
    lines: list[bytes] = []
    size = 0
    for name, text in texts:
        line = json.dumps({"id": name, "text": text}, ensure_ascii=False).encode() + b"\n"
        if size + len(line) > limit_bytes:
            break
        lines.append(line)
        size += len(line)
    file.write_bytes(b"".join(lines))
    return len(lines)


def shuffled(documents: list[Document]) -> list[Document]:
    """Return the documents in an order that depends only on their number and the seed."""
    order = list(documents)
    random.Random(DATASET_SEED).shuffle(order)  # noqa: S311  (an order, not a secret)
    return order


if __name__ == "__main__":
    main()
