"""Engine trees whose `engine.json` says that a stand-in made them."""

from pathlib import Path

from artifacts.hosts import ENGINE_FILE, EngineManifest, HostRequirements, ServeCommand
from artifacts.store import Store


def manifest(*, stand_in: bool, tokenizer_sha256: str = "0" * 64) -> EngineManifest:
    """`engine.json` of an engine that does nothing."""
    return EngineManifest(
        kind="trt-plan",
        architecture="LlamaForCausalLM",
        quantization="fp8",
        shape={"max_batch_size": 2, "max_input_len": 128, "max_seq_len": 192, "max_num_tokens": 256},
        tokenizer_sha256=tokenizer_sha256,
        requires=HostRequirements(machine="x86_64"),
        toolchains={},
        tools={},
        stand_in=stand_in,
        serve=ServeCommand(toolchain="aot-serve-cpu", argv=("{python}",), model="model"),
    )


def put_engine(
    store: Store, directory: Path, *, stand_in: bool = True, tokenizer_sha256: str = "0" * 64
) -> str:
    """Put a tree with such an `engine.json` into the store; returns its digest."""
    directory.mkdir(parents=True)
    made = manifest(stand_in=stand_in, tokenizer_sha256=tokenizer_sha256)
    (directory / ENGINE_FILE).write_text(made.model_dump_json())
    (directory / "rank0.engine").write_bytes(b"of the real format, and empty")
    return store.put_tree(directory).digest
