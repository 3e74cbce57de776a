# ruff: noqa: INP001  (a script for a toolchain's interpreter, not a module of the orchestrator)
"""A job of `make gpu-check`: train a Llama of any size on this interpreter's standard library.

    PYTHON train_for_check.py REQUEST.json RESPONSE.json

Request and response are those of every worker (`tasks.workers.common.requests`). The input `tokenizer` is a
directory with the demo's tokenizer, which the checkpoint gets as it is. Params: `config` (arguments of
LlamaConfig), `minutes`, `rows` (of 512 tokens per step), `device`, `seed`, `shard_bytes`, and `stdlib`, the
directory whose sources are read; null for this interpreter's.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from corpus import read_documents  # type: ignore[import-not-found]  # a file next to this one
from prepare_corpus import write_rows  # type: ignore[import-not-found]
from tokenizers import Tokenizer
from train_checkpoint import finish, pack, read_rows, train, write  # type: ignore[import-not-found]
from transformers import LlamaConfig, LlamaForCausalLM

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


def main() -> None:
    """Read the request, train, write the checkpoint and the response."""
    request = json.loads(Path(sys.argv[1]).read_text())
    params, out = request["params"], Path(request["output"])
    corpus = Path("corpus")  # jobs run in a directory of their own
    facts = prepare(Path(request["inputs"]["tokenizer"]), params.get("stdlib"), corpus)
    print(f"corpus: {facts}", flush=True)
    figures = train_on(corpus, facts, params, out)
    answer = {"ok": True, "metrics": figures, "tools": {"torch": torch.__version__}}
    aside = Path(f"{sys.argv[2]}.part")
    aside.write_text(json.dumps(answer))
    aside.rename(sys.argv[2])


def prepare(tokenizer: Path, stdlib: str | None, corpus: Path) -> dict[str, object]:
    """Write the token files of the training and validation splits; return how large they are."""
    corpus.mkdir()
    for name in TOKENIZER_FILES:
        shutil.copyfile(tokenizer / name, corpus / name)
    known = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    documents = read_documents(Path(stdlib) if stdlib else None)
    facts: dict[str, object] = {}
    for split in ("train", "validation"):
        chosen = [one for one in documents if one.split == split]
        facts[f"{split}_documents"] = len(chosen)
        facts[f"{split}_tokens"] = write_rows(known, chosen, corpus / f"{split}.bin")
    (corpus / "corpus.json").write_text(json.dumps(facts))
    return facts


def train_on(corpus: Path, facts: dict[str, object], params: dict[str, Any], out: Path) -> dict[str, object]:
    """Train and write the checkpoint; return what it achieves, with the facts of its corpus."""
    torch.manual_seed(params["seed"])
    torch.set_float32_matmul_precision("high")
    with torch.device(params["device"]):
        model = LlamaForCausalLM(LlamaConfig(**params["config"]))
    model.train()
    documents = read_rows(corpus / "train.bin")
    validation = pack(read_rows(corpus / "validation.bin"), torch.Generator().manual_seed(0))
    rules = {"minutes": params["minutes"], "rows": params["rows"], "seed": params["seed"]}
    best = train(model, documents, validation, **rules)
    figures: dict[str, object] = facts | rules | finish(model, best, documents, validation)
    write(model, figures, corpus, out, params["shard_bytes"])
    return figures


if __name__ == "__main__":
    main()
