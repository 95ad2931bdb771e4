"""How a run record is made and written: the facts of the environment, a setting trained once a seed."""

from __future__ import annotations

import json
import math
import os
import platform
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

import mixlearn
from experiments.training import Outcome
from mixlearn.train import records as runs
from mixlearn.train.checkpoint import write_whole

ROOT = Path(__file__).resolve().parents[1]
_FIELDS: dict[str, Any] = dict.fromkeys(("format", "name", "command"), str)
_FIELDS |= {"settings": dict, "data": dict, "runs": list, "summary": dict}
_RUN_FIELDS: dict[str, Any] = {"seed": int, "environment": dict, "seconds": (int, float)}
_RUN_FIELDS |= {"peak_memory": int, "epochs": list, "final": dict}


def environment(device: torch.device | str | None = None) -> dict[str, Any]:
    """The facts that a run record keeps; nothing that names a machine or a folder.

    >>> sorted(environment("cpu"))
    ['commit', 'cuda', 'device', 'dirty', 'mixlearn', 'python', 'threads', 'torch']
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    commit = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--", "mixlearn", "experiments", "data", "pyproject.toml")
    return {
        "commit": commit,
        "dirty": None if commit is None else bool(changed),
        "mixlearn": mixlearn.__version__,
        "torch": str(torch.__version__),
        "cuda": torch.version.cuda if torch.device(device).type == "cuda" else None,
        "python": platform.python_version(),
        "device": device_name(torch.device(device)),
        "threads": torch.get_num_threads(),
    }


def device_name(device: torch.device) -> str:
    """The maker's name of a device, such as "NVIDIA A100" or "AMD EPYC (CPU)"."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return device.type
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()} (CPU)"


def _git(*words: str) -> str | None:
    """The answer of git in the checkout, or None outside one."""
    try:
        done = subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def record(
    name: str,
    setting: Callable[..., Outcome],
    seeds: Sequence[int],
    *,
    command: str,
    where: Path | None = None,
    again: bool = False,
    unfinished: Path | None = None,
    keep: bool = False,
    **options: Any,
) -> runs.Record:
    """Train a setting once a seed. The record is written after each; seeds that it already holds are kept.

    Args:
        setting: `setting(seed=…, **options)` → `Outcome`.
        where: folder of the record; None takes the book's.
        again: begin a new record in place of one that is there.
        unfinished: folder that keeps a run which is not finished, so that the same call goes on with it.
        keep: leave the checkpoints of finished runs there.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds must be one or more different whole numbers, got {list(seeds)}")
    facts = environment("cpu" if options.get("accelerator") == "cpu" else None)
    done: list[dict[str, Any]] = []
    if not again and name in runs.names(where):
        old = runs.load(name, where)
        _check_same(old, setting(seed=seeds[0], dry=True, **options))
        done = list(old.runs)
    result = None
    for seed in seeds:
        if any(run["seed"] == seed for run in done):
            continue
        given: dict[str, Any] = {"progress": f"{name}, seed {seed}"} | options
        file = None if unfinished is None else unfinished / f"{name}-{seed}.pt"
        if file is not None:
            given |= {"checkpoint": file, "resume": True}
        outcome = setting(seed=seed, **given)
        done.append(
            {
                "seed": seed,
                "environment": facts,
                "seconds": round(outcome.history.seconds, 2),
                "peak_memory": outcome.history.peak_memory,
                "epochs": [_rounded(epoch) for epoch in outcome.history.epochs],
                "final": outcome.final,
            }
        )
        result = runs.Record(name, command, outcome.settings, outcome.data, tuple(done))
        if int(os.environ.get("RANK", "0")) == 0:
            write(result, where)
            if file is not None and not keep and outcome.final:  # else the checkpoint is all there is
                file.unlink(missing_ok=True)
    return result or runs.load(name, where)


def _check_same(old: runs.Record, planned: Outcome) -> None:
    """A record goes on only with the settings and the data that it has."""
    for what, now, then in (("settings", planned.settings, old.settings), ("data", planned.data, old.data)):
        changed = sorted(key for key in {*now, *then} if now.get(key) != then.get(key))
        if changed:
            key = changed[0]
            raise runs.RecordError(
                f"the record {old.name!r} has other {what}: {key} was {then.get(key)!r}, is now "
                f"{now.get(key)!r}; give it another name, or begin it again"
            )


def _rounded(epoch: dict[str, float]) -> dict[str, float]:
    return {name: value if isinstance(value, int) else float(f"{value:.6g}") for name, value in epoch.items()}


def write(record: runs.Record, where: str | os.PathLike[str] | None = None) -> Path:
    """Write a `record` whole or not at all to the folder `where`, and return the path of its file.

    Raises:
        RecordError: a record that would not load again, or that names this machine or a folder of it.
    """
    target = Path(where or runs.folder()) / f"{record.name}.json"
    content = as_json(record)
    check(content, target)
    for text in _texts(content):
        if re.search(r"(?<![\w.:/])/[\w.-]+/|[A-Za-z]:\\", text) or _host(text):
            raise runs.RecordError(f"a run record must not name a machine or an absolute path, got {text!r}")
    target.parent.mkdir(parents=True, exist_ok=True)
    body = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(target, lambda file: file.write(body.encode()))
    return target


def as_json(record: runs.Record) -> dict[str, Any]:
    """A record as its file holds it."""
    halves = {name: None if math.isnan(one.half) else one.half for name, one in record.summary.items()}
    summary = {
        name: {"mean": one.mean, "half": halves[name], "n": one.n} for name, one in record.summary.items()
    }
    return {"format": runs.FORMAT, **vars(record), "runs": list(record.runs), "summary": summary}


def check(content: Any, path: Path) -> None:
    """Refuse JSON that is no whole record, by the file and the field."""
    _has(content, _FIELDS, path.name)
    for name, expected in (("format", runs.FORMAT), ("name", path.stem)):
        if content[name] != expected:
            raise runs.RecordError(f"{path.name}: {name} must be {expected!r}, got {content[name]!r}")
    if not content["runs"]:
        raise runs.RecordError(f"{path.name}: runs must hold at least one seed")
    shapes = []
    for run in content["runs"]:
        _has(run, _RUN_FIELDS, f"{path.name}, a run")
        shapes.append({part: sorted(measures) for part, measures in run["final"].items()})
        if shapes[-1] != shapes[0]:
            raise runs.RecordError(
                f"{path.name}: seed {run['seed']} has other final measures than the seeds before"
            )
    given = {name: content[name] for name in ("name", "command", "settings", "data")}
    record = runs.Record(**given, runs=tuple(content["runs"]))
    if len(set(record.seeds)) < len(record.seeds):
        raise runs.RecordError(f"{path.name}: seeds must differ, got {list(record.seeds)}")
    written, again = content["summary"], as_json(record)["summary"]
    for name in {*written, *again}:
        for key in ("mean", "half", "n"):
            old, new = (side.get(name, {}).get(key) for side in (written, again))
            if not (old is new if None in (old, new) else math.isclose(old, new, rel_tol=1e-9)):
                raise runs.RecordError(
                    f"{path.name}: summary {name!r} says {key} = {old}, its runs give {new}"
                )


def _has(content: Any, fields: dict[str, Any], what: str) -> None:
    if not isinstance(content, dict):
        raise runs.RecordError(f"{what}: expected an object, got {type(content).__name__}")
    for name, type_ in fields.items():
        value = content.get(name)
        if name not in content:
            raise runs.RecordError(f"{what}: the field {name!r} is missing")
        if not isinstance(value, type_) or isinstance(value, bool):
            raise runs.RecordError(f"{what}: the field {name!r} has the wrong type, {type(value).__name__}")


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for key, item in value.items() for text in (str(key), *_texts(item))]
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in _texts(item)]
    return []


def _host(text: str) -> bool:
    host = platform.node()
    return len(host) > 3 and re.search(rf"(?<![\w-]){re.escape(host)}(?![\w-])", text) is not None
