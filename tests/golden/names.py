"""The public names and their keywords, as they were when the snapshot was taken.

`python -m tests.golden.names` adds what is new to `names.json`, beside this file; it takes nothing away.
"""

import inspect
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import mixlearn as ml

FILE = Path(__file__).with_name("names.json")


def public() -> dict[str, list[str]]:
    """The parameters of each public name; of classes also those of each public method and attribute.

    Names are those of `ml.__all__`, such as "mixup" or "MixPlan.mix", and, of the rooms among them, those of
    the room's own `__all__`, such as "nets.resnet". What cannot be called has no parameters.
    """
    found: dict[str, list[str]] = {}
    for name in ml.__all__:
        value = getattr(ml, name)
        found |= of(name, value)
        if isinstance(value, ModuleType):
            for part in getattr(value, "__all__", ()):
                found |= of(f"{name}.{part}", getattr(value, part))
    return found


def of(name: str, value: Any) -> dict[str, list[str]]:
    """The parameters of one name, and of its methods and attributes."""
    found = {name: _parameters(value)}
    if inspect.isclass(value):
        own = {
            key
            for part in value.__mro__
            if part.__module__.startswith(("mixlearn", "experiments"))
            for key in vars(part)
        }
        for key in sorted(own):
            if not key.startswith("_"):
                found[f"{name}.{key}"] = _parameters(inspect.getattr_static(value, key))
    return found


def _parameters(value: Any) -> list[str]:
    value = getattr(value, "__func__", value)  # of class methods and static methods
    if isinstance(value, ModuleType) or not callable(value):
        return []
    try:
        names = list(inspect.signature(value).parameters)
    except (TypeError, ValueError):
        return []
    made = vars(value).get("__init__", value)  # of a class; the old names of keywords are known to functions
    return [*names, *getattr(made, "old_names", ())]


if __name__ == "__main__":
    before = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}
    now = public()
    kept = {name: list(dict.fromkeys([*before.get(name, []), *now.get(name, [])])) for name in before | now}
    FILE.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
