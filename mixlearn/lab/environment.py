"""What a run ran on: the commit, the versions, the device. Nothing that names a machine or a folder."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

_ROOT = Path(__file__).resolve().parents[2]


def environment(device: torch.device | str | None = None) -> dict[str, Any]:
    """The facts a run record keeps: commit and whether the code differs from it, versions, device, threads.

    Args:
        device: the device of the run; None takes the accelerator if there is one.

    >>> facts = environment("cpu")
    >>> sorted(facts)
    ['commit', 'cuda', 'device', 'dirty', 'mixlearn', 'python', 'threads', 'torch']
    """
    import mixlearn

    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    commit = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--", "mixlearn", "data", "pyproject.toml")
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
    if not (_ROOT / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", *words], cwd=_ROOT, capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
