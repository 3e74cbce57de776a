"""The tables that specs draw on: targets, recipes, kinds and their options.

Promises: every row is data with its source; each file is read once and validated as a whole.
"""

from engine_specs.tables.config_defaults import (
    defaults_of,
    load_config_defaults,
    with_defaults,
)
from engine_specs.tables.kind_facts import (
    DRAFTED,
    EndOfLife,
    HopedSpeedup,
    KindFacts,
    KindName,
    KvCacheSupport,
    RecipeSupport,
    SpeculativeMethod,
    SpeculativeSupport,
    load_kinds,
)
from engine_specs.tables.kind_options import OptionValue
from engine_specs.tables.llm_args import load_llm_args
from engine_specs.tables.model_files import load_model_files
from engine_specs.tables.recipes import (
    Device,
    KvCacheFormat,
    KvCacheName,
    Presets,
    Recipe,
    RecipeName,
    load_kv_caches,
    load_recipes,
)
from engine_specs.tables.references import load_references
from engine_specs.tables.targets import Accelerator, Target, TargetName, load_targets

__all__ = [
    "DRAFTED",
    "Accelerator",
    "Device",
    "EndOfLife",
    "HopedSpeedup",
    "KindFacts",
    "KindName",
    "KvCacheFormat",
    "KvCacheName",
    "KvCacheSupport",
    "OptionValue",
    "Presets",
    "Recipe",
    "RecipeName",
    "RecipeSupport",
    "SpeculativeMethod",
    "SpeculativeSupport",
    "Target",
    "TargetName",
    "defaults_of",
    "load_config_defaults",
    "load_kinds",
    "load_kv_caches",
    "load_llm_args",
    "load_model_files",
    "load_recipes",
    "load_references",
    "load_targets",
    "with_defaults",
]
