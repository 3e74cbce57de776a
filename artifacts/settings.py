"""Settings: `ENGINERY_*` over `enginery.toml` over defaults. A variable that is empty counts as not set.

AWS, Hub and Prefect clients read their own standard variables.
"""

from pathlib import Path

import platformdirs
from pydantic import Field
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)


class Settings(BaseSettings):
    """Where things are kept, and the few limits that hold for all specs."""

    model_config = SettingsConfigDict(
        env_prefix="ENGINERY_",
        env_ignore_empty=True,
        toml_file="enginery.toml",
        extra="forbid",
        frozen=True,
    )

    home: Path = Field(
        default_factory=lambda: platformdirs.user_data_path("enginery"),
        description="State of this host: the local stack, work directories, logs.",
    )
    cache_dir: Path = Field(
        default_factory=lambda: platformdirs.user_cache_path("enginery") / "blobs",
        description="Local cache of blobs.",
    )
    toolchains_dir: Path = Field(
        default_factory=lambda: platformdirs.user_cache_path("enginery") / "toolchains",
        description="Installed toolchains, shared between checkouts.",
    )
    wheelhouse: Path | None = Field(
        default=None,
        description="Directory of wheels that are on no package index, and their SHA256SUMS.",
    )
    gpu_locks_dir: Path = Field(
        default_factory=lambda: platformdirs.user_cache_path("enginery") / "gpus",
        description="Locks of this host's GPUs; one directory for all users that share them.",
    )
    store_bucket: str = Field(default="enginery", min_length=3, description="S3 bucket of the store.")
    store_prefix: str = Field(
        default="", description="Key prefix inside the bucket, without slashes at the ends."
    )
    specs_dir: Path | None = Field(
        default=None, description="Directory of specs; default: the packaged engine_specs."
    )
    measurement_max_age_hours: float = Field(
        default=168.0, gt=0, description="Measurements older than this are made again."
    )
    job_time_limit_s: float = Field(default=3600.0, gt=0, description="Time limit of one worker job.")
    server_ready_limit_s: float = Field(
        default=600.0, gt=0, description="Time limit for a server to become ready."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order: explicit arguments, environment, `enginery.toml` in the working directory."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)
