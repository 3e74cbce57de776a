"""Train the demo checkpoint: a small Llama on the standard library's source.

    PYTHON -m flows.demo.training.train_checkpoint --corpus build/demo-corpus --out build/llama --minutes 6

The step with the lowest loss on the validation split is kept, rounded to bfloat16 and written as a
sharded safetensors checkpoint with its tokenizer and `training.json` (figures after rounding).
Needs torch and transformers 5; `--device cpu` works, slowly.
"""

import argparse
import json
import math
import shutil
import time
from array import array
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

BOS, EOS, PAD = 0, 1, 2
ROW_TOKENS = 512
IGNORED = -100
# For the demo's width; a wider model takes smaller steps.
PEAK_LEARNING_RATE = 2e-3
DEMO_WIDTH = 256
WARMUP = 0.02
WEIGHT_DECAY = 0.1
EVALUATE_EVERY = 250
SHARD_BYTES = 1_900_000


@dataclass(frozen=True, slots=True)
class Best:
    """The best step so far: its loss in nats per token, and its weights in bfloat16 on the CPU."""

    loss: float
    step: int
    weights: dict[str, Tensor]


def demo_config() -> LlamaConfig:
    """Return a config of 2.6 million parameters: all dimensions divide by 128, RoPE's base is 50,000."""
    return LlamaConfig(
        vocab_size=1024,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=ROW_TOKENS,
        rope_parameters={"rope_type": "default", "rope_theta": 50000.0},
        tie_word_embeddings=True,
        bos_token_id=BOS,
        eos_token_id=EOS,
        pad_token_id=PAD,
    )


def main() -> None:
    """Train for `--minutes` and write the checkpoint to `--out`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--rows", type=int, default=64, help="rows of 512 tokens per step")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.manual_seed(given.seed)
    torch.set_float32_matmul_precision("high")
    model = LlamaForCausalLM(demo_config()).to(given.device)
    documents = read_rows(given.corpus / "train.bin")
    validation = pack(read_rows(given.corpus / "validation.bin"), torch.Generator().manual_seed(0))
    best = train(model, documents, validation, minutes=given.minutes, rows=given.rows, seed=given.seed)
    figures = {"rows_per_step": given.rows, "minutes": given.minutes}
    figures |= finish(model, best, documents, validation)
    write(model, figures, given.corpus, given.out, SHARD_BYTES)


def read_rows(file: Path) -> list[Tensor]:
    """Read a token file of `prepare_corpus.py`; return an int64 [tokens] per row, starting with <s>."""
    tokens = array("H")
    tokens.frombytes(file.read_bytes())
    flat = torch.tensor(tokens, dtype=torch.int64)
    starts = (flat == BOS).nonzero().flatten().tolist()
    return [flat[a:b] for a, b in zip(starts, [*starts[1:], len(flat)], strict=True)]


def pack(documents: list[Tensor], generator: torch.Generator) -> Tensor:
    """Pack documents in random order into [rows, ROW_TOKENS]; after its last document a row is IGNORED."""
    rows: list[Tensor] = []
    used = ROW_TOKENS
    for index in torch.randperm(len(documents), generator=generator).tolist():
        document = documents[index]
        if used + len(document) > ROW_TOKENS:
            rows.append(torch.full((ROW_TOKENS,), IGNORED))
            used = 0
        rows[-1][used : used + len(document)] = document
        used += len(document)
    return torch.stack(rows)


def train(
    model: LlamaForCausalLM,
    documents: list[Tensor],
    validation: Tensor,
    *,
    minutes: float,
    rows: int,
    seed: int,
) -> Best:
    """Train by AdamW with a cosine schedule over the given time; return the best step on `validation`."""
    peak = PEAK_LEARNING_RATE * DEMO_WIDTH / model.config.hidden_size
    on_gpu = next(model.parameters()).is_cuda
    optimizer = torch.optim.AdamW(parameter_groups(model), lr=peak, betas=(0.9, 0.95), fused=on_gpu)
    generator = torch.Generator().manual_seed(seed)
    best = Best(math.inf, 0, {})
    began = time.monotonic()
    step, progress, batches = 0, 0.0, iter(())
    while progress < 1.0:
        batch = next(batches, None)
        if batch is None:
            packed = pack(documents, generator)
            batches = iter(packed[torch.randperm(len(packed), generator=generator)].split(rows))
            continue
        progress = (time.monotonic() - began) / (60 * minutes)
        for group in optimizer.param_groups:
            group["lr"] = peak * learning_rate_at(progress)
        loss_of(model, batch).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        if step % EVALUATE_EVERY == 0 or progress >= 1.0:
            loss = evaluate(model, validation)
            print(f"step {step}: {100 * progress:.0f} %, validation {loss:.4f} nats/token", flush=True)
            if loss < best.loss:
                best = Best(loss, step, rounded(model))
    return best


def rounded(model: LlamaForCausalLM) -> dict[str, Tensor]:
    """Return a copy of the weights, as they will be written."""
    return {name: value.to("cpu", torch.bfloat16, copy=True) for name, value in model.state_dict().items()}


def finish(
    model: LlamaForCausalLM, best: Best, documents: list[Tensor], validation: Tensor
) -> dict[str, object]:
    """Give the model the weights of the best step, in bfloat16; return what it achieves with them."""
    model.to(torch.bfloat16).load_state_dict(best.weights)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "best_step": best.step,
        "torch": torch.__version__,
        "validation_nats_per_token": evaluate(model, validation),
        "unigram_nats_per_token": unigram_loss(documents, validation, model.config.vocab_size),
    }


def parameter_groups(model: LlamaForCausalLM) -> list[dict[str, object]]:
    """Return the parameters in two groups: matrices with weight decay, norms without."""
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]


def learning_rate_at(progress: float) -> float:
    """Return the share of the peak rate: a linear warm-up, then a cosine down to zero."""
    if progress < WARMUP:
        return max(progress, 1e-4) / WARMUP
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - WARMUP) / (1 - WARMUP))))


def loss_of(model: LlamaForCausalLM, rows: Tensor) -> Tensor:
    """Return the mean next-token loss in nats over [rows, tokens]; in bfloat16 on an accelerator."""
    device = next(model.parameters()).device
    labels = rows.to(device)
    inputs = labels.where(labels != IGNORED, EOS)
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type != "cpu"):
        logits = model(input_ids=inputs, use_cache=False).logits
    return torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=IGNORED
    )


@torch.no_grad()
def evaluate(model: LlamaForCausalLM, rows: Tensor, batch: int = 64) -> float:
    """Return the loss in nats per token over all rows, each token counted once."""
    total, tokens = 0.0, 0
    for part in rows.split(batch):
        count = int((part[:, 1:] != IGNORED).sum())
        total += float(loss_of(model, part)) * count
        tokens += count
    return total / tokens


def unigram_loss(documents: list[Tensor], rows: Tensor, vocabulary: int) -> float:
    """Return the loss on `rows` of a model that knows only token frequencies, in nats per token."""
    counts = torch.bincount(torch.cat(documents), minlength=vocabulary).double() + 1
    log_probabilities = (counts / counts.sum()).log()
    labels = rows[:, 1:]
    return float(-log_probabilities[labels[labels != IGNORED]].mean())


def write(
    model: LlamaForCausalLM, figures: dict[str, object], corpus: Path, out: Path, shard_bytes: int
) -> None:
    """Write shards with their index, the configs, the tokenizer and `training.json`."""
    model.generation_config = GenerationConfig(
        bos_token_id=BOS, eos_token_id=EOS, pad_token_id=PAD, do_sample=False
    )
    model.to("cpu").save_pretrained(out, max_shard_size=shard_bytes)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(corpus / name, out / name)
    facts = figures | {"corpus": json.loads((corpus / "corpus.json").read_text())}
    (out / "training.json").write_text(json.dumps(facts, indent=2) + "\n")
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main()
