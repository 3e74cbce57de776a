"""A variable whose name was meant as a setting is refused; variables of other programs are left alone."""

import pytest

from artifacts.errors import SettingsInvalid
from artifacts.settings import load_settings


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("ENGINERY_STORE_BUKET", "ENGINERY_STORE_BUCKET"),
        ("ENGINERY_BUCKET", "ENGINERY_STORE_BUCKET"),
        ("ENGINERY_STORE-PREFIX", "ENGINERY_STORE_PREFIX"),
        ("ENGINERY_JOB_TIMEOUT_S", "ENGINERY_JOB_TIME_LIMIT_S"),
        ("ENGINERY_TOOLCHAIN_DIR", "ENGINERY_TOOLCHAINS_DIR"),
    ],
)
def test_a_misspelt_setting_is_refused_with_the_name_that_was_meant(
    monkeypatch: pytest.MonkeyPatch, variable: str, meant: str
) -> None:
    monkeypatch.setenv(variable, "x")
    with pytest.raises(SettingsInvalid, match=rf"{variable}: .* did you mean {meant}\?"):
        load_settings()


@pytest.mark.parametrize(
    "variable", ["ENGINERY_STACK", "ENGINERY_STACK_PART", "ENGINERY_CHECKOUT", "ENGINERY_VERSION", "BUCKET"]
)
def test_variables_that_resemble_no_setting_are_left_alone(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "x")
    load_settings()


@pytest.mark.parametrize(
    ("variable", "value", "key"),
    [
        ("ENGINERY_TOOLCHAINS", '{"aot-cpu": 1}', "toolchains.aot-cpu"),
        ("ENGINERY_JOB_TIME_LIMIT_S", "many", "job_time_limit_s"),
    ],
)
def test_a_wrong_value_is_reported_with_the_variable_and_the_key_of_the_file(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, key: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsInvalid) as caught:
        load_settings()
    assert f"  {variable} (or {key} in enginery.toml): found " in caught.value.what
