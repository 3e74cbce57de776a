"""The worker of `make gpu-check`: it trains a Llama of any size on this interpreter's standard library.

It runs in the toolchain that compiles; `request` defines what it is asked.
"""

import json
import shutil
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from flows.demo.training.corpus import read_documents
from flows.demo.training.prepare_corpus import write_rows
from flows.demo.training.request import TrainingJob, TrainingParams
from flows.demo.training.train_checkpoint import finish, pack, read_rows, train, write
from tasks.workers.common.io import Refusal, run, say
from tasks.workers.common.requests import Nothing, Result

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


def main(request: TrainingJob) -> Result:
    """Train, and write the checkpoint; the result is what it achieves."""
    asked = request.params
    corpus = Path("corpus")  # jobs run in a directory of their own
    facts = prepare(request.inputs["tokenizer"], asked.stdlib, corpus)
    say(f"corpus: {facts}")
    figures = train_on(corpus, facts, asked, request.output)
    return Result(metrics=figures, tools={"torch": torch.__version__})


def prepare(tokenizer: Path, stdlib: Path | None, corpus: Path) -> dict[str, object]:
    """Write the token files of the training and validation splits; return how large they are.

    Raises:
        Refusal: a split is empty, as where the sources of the library are not installed.
    """
    corpus.mkdir()
    for name in TOKENIZER_FILES:
        shutil.copyfile(tokenizer / name, corpus / name)
    known = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    documents = read_documents(stdlib)
    facts: dict[str, object] = {}
    for split in ("train", "validation"):
        chosen = [one for one in documents if one.split == split]
        if not chosen:
            raise Refusal(
                "input",
                f"there is no function of the split {split} among {len(documents)} to learn from",
                str(stdlib or "the standard library of the toolchain's interpreter"),
                "name a directory with Python's sources: --stdlib /usr/lib/python3.12",
            )
        facts[f"{split}_documents"] = len(chosen)
        facts[f"{split}_tokens"] = write_rows(known, chosen, corpus / f"{split}.bin")
    (corpus / "corpus.json").write_text(json.dumps(facts))
    return facts


def train_on(corpus: Path, facts: dict[str, object], asked: TrainingParams, out: Path) -> dict[str, object]:
    """Train and write the checkpoint; return what it achieves, with the facts of its corpus."""
    torch.manual_seed(asked.seed)
    torch.set_float32_matmul_precision("high")
    with torch.device(asked.device):
        model = LlamaForCausalLM(LlamaConfig(**asked.config))
    model.train()
    documents = read_rows(corpus / "train.bin")
    validation = pack(read_rows(corpus / "validation.bin"), torch.Generator().manual_seed(0))
    best = train(model, documents, validation, minutes=asked.minutes, rows=asked.rows, seed=asked.seed)
    rules = {"minutes": asked.minutes, "rows": asked.rows, "seed": asked.seed}
    figures: dict[str, object] = facts | rules | finish(model, best, documents, validation)
    write(model, figures, corpus, out, asked.shard_bytes)
    return figures


if __name__ == "__main__":
    run(main, TrainingParams, Nothing)
