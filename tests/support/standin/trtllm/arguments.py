"""Flags of trtllm-build of TensorRT-LLM 1.2, parsed by the table of its interface. Standard library only."""

import argparse
from typing import Any

TYPES = {"int": int, "float": float, "str": str}


def parse(argv: list[str], table: dict[str, Any]) -> argparse.Namespace:
    """Parse with the flags of the table; argparse refuses the rest with exit code 2."""
    parser = argparse.ArgumentParser(prog="trtllm-build", allow_abbrev=False)
    for flag, row in table["flags"].items():
        names = [flag, *row.get("aliases", [])]
        if row["type"] == "flag":
            parser.add_argument(*names, dest=flag[2:], action="store_true", default=row["default"])
        else:
            kind, choices = TYPES[row["type"]], row.get("choices")
            parser.add_argument(*names, dest=flag[2:], type=kind, choices=choices, default=row["default"])
    return parser.parse_args(argv)


def build_config_of(args: argparse.Namespace, interfaces: dict[str, Any]) -> dict[str, Any]:
    """BuildConfig from the flags, with the defaults of its table."""
    fields = {name: row["default"] for name, row in interfaces["build-config"]["fields"].items()}
    given = {name: getattr(args, name) for name in fields if hasattr(args, name)}
    plugins = interfaces["plugin-flags"]
    plugin_config = {name: plugin_value(getattr(args, name), choices) for name, choices in plugins.items()}
    return fields | given | {"plugin_config": plugin_config, "use_strip_plan": args.strip_plan}


def plugin_value(value: Any, choices: list[str]) -> Any:
    """What PluginConfig holds for the value of a flag."""
    switches = {"enable": True, "disable": False}
    if set(choices) == set(switches):
        return switches[value]
    return None if value == "disable" else value
