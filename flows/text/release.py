"""A release as text: each variant with its verdict, what it needs, and how to serve it. Pure."""

from collections.abc import Iterator, Mapping

from artifacts.hosts import BuiltOn, EngineManifest, HostRequirements, ServeCommand, TuningCache, WarmCaches
from artifacts.ports import HOST
from artifacts.releases import Release, VariantRelease
from flows.text.shell import shell_command

DIRECTORY, SCRATCH = "<directory>", "<scratch>"
PORT = "8000"


def release_lines(release: Release, engines: Mapping[str, EngineManifest]) -> Iterator[str]:
    """Yield all lines; `engines` holds the manifest of each engine tree, by the name of its variant."""
    yield f"{release.name}@{release.version}, published {release.created_at:%Y-%m-%d %H:%M:%S %Z}"
    yield f"checkpoint {release.checkpoint_repo} at {release.checkpoint_revision}"
    yield f"{DIRECTORY} stands for what `enginery pull` prints, <toolchain:NAME> for what `enginery toolchain"
    yield "install NAME` prints; `enginery serve DIRECTORY` fills both in and runs the command."
    for variant in release.variants:
        yield ""
        yield from _variant(variant, engines.get(variant.name), release.name)


def _variant(variant: VariantRelease, engine: EngineManifest | None, model: str) -> Iterator[str]:
    yield f"{variant.name}: {variant.verdict}{'' if variant.required else ' (not required)'}"
    yield from (f"  {reason}" for reason in variant.reasons)
    if variant.since_last:
        yield f"  {variant.since_last}"
    yield f"  target   {variant.target}"
    if variant.speculative:
        yield f"  drafts   tokens: {variant.speculative}"
    yield f"  needs    {needs(variant.requires)}"
    yield f"  judged   on {variant.judged_on.text()}"
    if engine is not None and engine.built_on is not None:
        yield f"  built on {_built_on(engine.built_on)}"
    if engine is not None and engine.tuning is not None:
        yield f"  tuned    {_tuning(engine.tuning)}"
    if engine is not None and engine.warm_caches is not None:
        yield f"  warm     {_warm(engine.warm_caches)}"
    if variant.tree and variant.serve:
        yield f"  tree     {variant.tree}"
        served = variant.serve.served_model(model)
        yield f"  serve    with toolchain {variant.serve.toolchain}, as model {served!r}:"
        yield from _commands(variant.serve, model)
    if variant.serve != variant.vllm_serve:
        yield "  vLLM     the reference that it was judged against, with toolchain"
        yield f"           {variant.vllm_serve.toolchain}, on tree {variant.vllm_tree}:"
        yield from _commands(variant.vllm_serve, model)
    yield f"  report   {variant.report or 'none'}"
    yield f"  evidence {variant.evidence or 'none'}"


def needs(requires: HostRequirements) -> str:
    """Return what a host must have, as a phrase."""
    parts = [requires.machine]
    if requires.cpu_features:
        parts.append(f"CPU features {', '.join(requires.cpu_features)}")
    if requires.gpu_count:
        names = " or ".join(requires.gpu_names) or "NVIDIA GPU"
        capability = requires.compute_capability
        of = f" of compute capability {capability}" if capability else ""
        parts.append(f"{requires.gpu_count} x {names}{of}")
    if requires.driver_floor:
        parts.append(f"NVIDIA driver {requires.driver_floor} or newer")
    return "; ".join(parts)


def _built_on(host: BuiltOn) -> str:
    return (
        f"{host.gpu_name} (compute capability {host.compute_capability}), driver {host.driver}, "
        f"CUDA {host.cuda}"
    )


def _tuning(cache: TuningCache) -> str:
    return (
        f"{cache.path}: kernels measured on {cache.tensor_parallel} x {cache.gpu_name} (compute capability "
        f"{cache.compute_capability}) by version {cache.tool_version}; settings {cache.config_sha256[:12]}"
    )


def _warm(caches: WarmCaches) -> str:
    """Say what the caches were captured with, but for the long list of a processor's instructions."""
    captured = {name: value for name, value in caches.captured.items() if name != "instructions"}
    return f"{caches.path}: captured with {', '.join(f'{name} {value}' for name, value in captured.items())}"


def _commands(serve: ServeCommand, model: str) -> Iterator[str]:
    bin_dir = f"<toolchain:{serve.toolchain}>/bin"
    server = serve.command(
        python=f"{bin_dir}/python",
        bin_dir=bin_dir,
        tree=DIRECTORY,
        scratch=SCRATCH,
        host=HOST,
        port=PORT,
        model=model,
    )
    env = serve.environment(tree=DIRECTORY, scratch=SCRATCH)
    copies = (shell_command(copy, {}, clean=False) for copy in serve.copies(tree=DIRECTORY, scratch=SCRATCH))
    for command in (*copies, shell_command(server, env, clean=False)):
        yield from (f"    {line}" for line in command.splitlines())
