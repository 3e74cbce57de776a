"""What a self-test asks: the demo's protocol, with longer prompts and answers, and fewer texts."""

from collections.abc import Mapping

from engine_specs.spec import Slo, Spec, VllmConfiguration
from tasks.comparison import ReferenceTrees, judging_protocol, reference_sides
from tasks.hub import REPORT_FILE, TextsReport
from tasks.judging import JudgingProtocol, RoundPlan, Side
from tasks.runs import Pipeline
from tasks.selftest.faults import Texts
from tasks.selftest.made import Made
from tasks.stages import end_tokens_in, vocabulary_in

# Prompts that reach position 97 and answers that go beyond 128, and twice as many requests as the engine has
# rows: then as many prompts wait as it can read at once.
IN_FLIGHT = (2, 8)
WORKLOAD = {
    "input_tokens": 150,
    "output_tokens": 64,
    "concurrency": IN_FLIGHT,
    "operating_point": 2,
    # Others may compute on this host meanwhile: longer silence than they cause, shorter than a planted one.
    "slo": Slo(ttft_p99_ms=10_000, itl_p99_ms=1000),
}
# Fewer texts cannot exclude as little as the spec declares: number, margin of regret, share of gross errors.
LIMITS: Mapping[Texts, tuple[int, float, float]] = {"few": (40, 0.1, 0.1), "many": (160, 0.05, 0.02)}
LENGTHS = {"min_length_ratio": 0.7, "max_length_ratio": 1.5}
# How fast anything is does not matter: a few short rounds show what timed answers hold.
SHORT = {
    "first_pairs": 3,
    "pairs_elsewhere": 3,
    "resolution": 500.0,
    "checked_requests": 16,
}
# One at a time, and up to three times: of all that a trial asks, this would take longest.
STREAMED_TEXTS = 2
SHORT_ROUNDS = RoundPlan(requests_per_slot=1, min_requests=4, request_limit_s=120)
SHORT_MINUTES = 0.01


def reference_of(made: Made) -> Side:
    """Return the reference that scores: vLLM as it comes, but for compiling, which takes a minute."""
    spec = made.spec.model_copy(
        update={
            "validation": made.spec.validation.model_copy(
                update={
                    "reference": made.spec.validation.reference.model_copy(
                        update={"configurations": (VllmConfiguration(enforce_eager=True),)}
                    )
                }
            )
        }
    )
    return reference_sides(spec, made.variant, ReferenceTrees(made.checkpoint))[0]


def protocol_of(
    pipeline: Pipeline, made: Made, sides: tuple[Side, Side], texts: Texts, seed: int
) -> JudgingProtocol:
    """Return what is asked in a trial.

    Args:
        pipeline: has the store.
        made: the trees.
        sides: the engine and the reference that scores, as they are named in the comparison.
        texts: how many held-out texts.
        seed: of windows and prompts.
    """
    engine, reference = sides
    store = pipeline.store
    base = judging_protocol(
        _short(made.spec, texts),
        made.variant,
        engine=engine,
        references=(reference,),
        vocabulary=vocabulary_in(store, made.checkpoint),
        end_tokens=end_tokens_in(store, made.checkpoint),
        text_sha256=store.read_document(made.heldout, REPORT_FILE, TextsReport).sample_digest,
    )
    speed = base.speed.model_copy(update=SHORT)
    plan = base.accuracy.model_copy(update={"streamed_texts": STREAMED_TEXTS})
    return base.model_copy(update={"seed": seed, "speed": speed, "rounds": SHORT_ROUNDS, "accuracy": plan})


def _short(spec: Spec, texts: Texts) -> Spec:
    gates, accuracy = spec.validation, spec.validation.accuracy
    samples, margin, share = LIMITS.get(
        texts, (accuracy.samples, accuracy.max_regret_nats_per_token, accuracy.max_gross_error_share)
    )
    limits = {
        "samples": samples,
        "max_regret_nats_per_token": margin,
        "max_gross_error_share": share,
        "length_samples": min(samples, LIMITS["many"][0]),
        **(LENGTHS if texts in LIMITS else {}),
    }
    changes = {
        "accuracy": accuracy.model_copy(update=limits),
        "speed": gates.speed.model_copy(update={"budget_minutes": SHORT_MINUTES}),
    }
    return spec.model_copy(
        update={
            "workload": spec.workload.model_copy(update=WORKLOAD),
            "validation": gates.model_copy(update=changes),
        }
    )
