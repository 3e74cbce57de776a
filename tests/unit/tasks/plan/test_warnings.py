"""What a plan warns of besides pre-flight: arguments that nothing checks."""

from support.specs.trt_plan import variant

from tasks.plan.preflight import unchecked_warnings


def test_arguments_that_no_table_has_are_named() -> None:
    passed = {"of_another_release": 1, "enable_tqdm": True, "kv_cache_config": {"other": 1}}
    (warning,) = unchecked_warnings(variant(llm_args=passed))
    assert "variants.a-variant.engine.llm_args" in warning
    assert "kv_cache_config.other, of_another_release" in warning
    assert "the table of 1.2" in warning
    assert "enable_tqdm" not in warning
    assert unchecked_warnings(variant(llm_args={"enable_tqdm": True})) == ()
