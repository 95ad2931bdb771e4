"""Time and peak memory of each mixing call, as ratios to the copy limit and to other libraries.

    python -m benchmarks.mixing [--threads N] [--rounds N] [--json FILE]

All candidates take turns within every round, so a machine that slows down slows them all; what is printed
is the median over rounds of the ratio inside a round, with its quartiles. The *copy limit* of a call is
what its memory traffic alone must cost: one read of what is used and one write of the result. Mixup uses
two images for each result, so its limit is an addition of two ready-made batches into a new one. CutMix reads
each pixel of the result once, from one image or the other, so its limit is a plain copy (`clone`).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

import mixlearn as ml

SHAPES = [(128, 3, 32, 32), (64, 3, 224, 224)]
CLASSES = 10
Call = Callable[[], object]


def candidates(images: Tensor, labels: Tensor) -> dict[str, Call]:
    """The calls by name. A name ending in "*" changes its input; it gets a copy first, as a user must."""
    generator = torch.Generator().manual_seed(0)
    other = images.flip(0).contiguous()
    plan, pixel = ml.mixup(images, generator=generator).plan, images[:, :1, :1, :1].contiguous()
    calls: dict[str, Call] = {
        "limit: two reads, one write": lambda: torch.add(images, other),
        "copy: one read, one write": lambda: images.clone(),
        "mixlearn mixup": lambda: ml.mixup(images, labels, num_classes=CLASSES, generator=generator),
        "mixlearn mixup, the plan is there": lambda: plan.mix(images),
        "mixlearn mixup, images of one pixel": lambda: ml.mixup(
            pixel, labels, num_classes=CLASSES, generator=generator
        ),
        "mixlearn mixup, per image": lambda: ml.mixup(
            images, labels, num_classes=CLASSES, per_image=True, generator=generator
        ),
        "mixlearn cutmix": lambda: ml.cutmix(images, labels, num_classes=CLASSES, generator=generator),
        "mixlearn cutmix, per image": lambda: ml.cutmix(
            images, labels, num_classes=CLASSES, per_image=True, generator=generator
        ),
        "mixlearn resizemix": lambda: ml.resizemix(images, labels, num_classes=CLASSES, generator=generator),
        **_masks(images, labels, generator),
        "the formula, λ x + (1 − λ) x[partner]": lambda: (
            0.3 * images + 0.7 * images[torch.randperm(len(images), generator=generator)]
        ),
    }
    for add in (_torchvision, _timm, _kornia):
        add(calls, images, labels)
    return calls


def _masks(images: Tensor, labels: Tensor, generator: torch.Generator) -> dict[str, Call]:
    """The methods of chapter 4; those that look get their maps, whose price is a line of its own."""
    maps = ml.spectral_residual(images)
    blind = (ml.gridmix, ml.fmix, ml.smoothmix)
    looking = (ml.saliencymix, ml.attentivemix, ml.snapmix, ml.puzzlemix, ml.comixup)
    options = {"num_classes": CLASSES, "generator": generator}
    calls: dict[str, Call] = {
        f"mixlearn {method.__name__}": partial(method, images, labels, **options) for method in blind
    }
    calls["mixlearn spectral_residual"] = partial(ml.spectral_residual, images)
    return calls | {
        f"mixlearn {method.__name__}": partial(method, images, labels, saliency=maps, **options)
        for method in looking
    }


def _torchvision(calls: dict[str, Call], images: Tensor, labels: Tensor) -> None:
    from torchvision.transforms import v2

    peer = v2.MixUp(num_classes=CLASSES)
    calls["torchvision v2.MixUp"] = lambda: peer(images, labels)
    boxes = v2.CutMix(num_classes=CLASSES)
    calls["torchvision v2.CutMix"] = lambda: boxes(images, labels)


def _timm(calls: dict[str, Call], images: Tensor, labels: Tensor) -> None:
    from timm.data import Mixup

    peer = Mixup(mixup_alpha=1.0, num_classes=CLASSES, label_smoothing=0.0)
    peer_labels = labels
    calls["timm Mixup *"] = lambda: peer(images.clone(), peer_labels)
    boxes = Mixup(mixup_alpha=0.0, cutmix_alpha=1.0, num_classes=CLASSES, label_smoothing=0.0)
    calls["timm CutMix *"] = lambda: boxes(images.clone(), peer_labels)


def _kornia(calls: dict[str, Call], images: Tensor, labels: Tensor) -> None:
    from kornia.augmentation import RandomCutMixV2, RandomMixUpV2

    peer = RandomMixUpV2(p=1.0, data_keys=["input", "class"])
    calls["kornia RandomMixUpV2"] = lambda: peer(images, labels)
    boxes = RandomCutMixV2(p=1.0, data_keys=["input", "class"], use_correct_lambda=True)
    calls["kornia RandomCutMixV2"] = lambda: boxes(images, labels)


def seconds(call: Call, repeats: int, device: torch.device) -> float:
    """The time of one call, as the mean of `repeats` in a row."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - start) / repeats


def peak_bytes(call: Call, device: torch.device) -> int:
    """The most memory that tensors made during one call hold at once."""
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        kept = call()
        torch.cuda.synchronize(device)
        del kept
        return torch.cuda.max_memory_allocated(device) - before
    activity = [torch.profiler.ProfilerActivity.CPU]
    with quiet_stderr(), torch.profiler.profile(activities=activity, profile_memory=True) as profile:
        kept = call()
    del kept
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Keep the profiler's own log lines, written past Python, off the screen."""
    sys.stderr.flush()
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def measure(shape: tuple[int, ...], device: torch.device, rounds: int) -> list[dict[str, float | str]]:
    """One row a candidate: ratios of time to its limit and to a copy, and peak memory over the result's."""
    images = torch.rand(shape, generator=torch.Generator().manual_seed(1)).to(device)
    labels = (torch.arange(shape[0]) % CLASSES).to(device)
    calls = candidates(images, labels)
    names = list(calls)
    repeats = {}
    for name in names:  # enough repeats that a turn lasts about five milliseconds
        seconds(calls[name], 2, device)
        repeats[name] = max(1, int(5e-3 / max(seconds(calls[name], 2, device), 1e-6)))
    turns = [{name: seconds(calls[name], repeats[name], device) for name in names} for _ in range(rounds)]
    rows = []
    for name in names:
        limit = names[1] if pastes(name) else names[0]
        ratio = sorted(turn[name] / turn[limit] for turn in turns)
        copy = statistics.median(turn[name] / turn[names[1]] for turn in turns)
        rows.append(
            {
                "call": name,
                "milliseconds": 1e3 * statistics.median(turn[name] for turn in turns),
                "over limit": statistics.median(ratio),
                "low": ratio[len(ratio) // 4],
                "high": ratio[(3 * len(ratio)) // 4],
                "over copy": copy,
                "peak over result": peak_bytes(calls[name], device)
                / (images.numel() * images.element_size()),
            }
        )
    return rows


def pastes(name: str) -> bool:
    """Whether a call pastes boxes, rather than adds images up."""
    return any(word in name.lower() for word in ("cutmix", "resizemix"))


def fastest_peer(rows: list[dict[str, float | str]], ours: str = "mixlearn mixup") -> tuple[str, float]:
    """The quickest library that does the same and leaves its input alone, and our time over its."""
    peers = [
        row
        for row in rows
        if str(row["call"]).split()[0] in ("torchvision", "kornia")
        and pastes(str(row["call"])) == pastes(ours)
    ]
    best = min(peers, key=lambda row: float(row["milliseconds"]))
    return str(best["call"]), _time(rows, ours) / float(best["milliseconds"])


def _time(rows: list[dict[str, float | str]], name: str) -> float:
    return float(next(row["milliseconds"] for row in rows if row["call"] == name))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    parser.add_argument("--rounds", type=int, default=41, help="turns of every candidate")
    parser.add_argument("--json", type=Path, help="write the rows to this file as well")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    devices = [torch.device("cpu")] + ([torch.device("cuda")] if torch.cuda.is_available() else [])
    report = []
    for device in devices:
        for shape in SHAPES:
            rows = measure(shape, device, arguments.rounds)
            where = (
                torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {arguments.threads} threads"
            )
            print(
                f"\n{shape} on {where}: time; over the limit (quartiles); over a copy; memory over the result"
            )
            for row in rows:
                print(
                    f"  {row['call']:<40} {row['milliseconds']:8.3f} ms   × {row['over limit']:5.2f} "
                    f"({row['low']:.2f}–{row['high']:.2f})   × {row['over copy']:5.2f}   "
                    f"memory × {row['peak over result']:.2f}"
                )
            for ours in ("mixlearn mixup", "mixlearn cutmix"):
                name, ratio = fastest_peer(rows, ours)
                print(f"  {ours} over the fastest peer that leaves its input alone ({name}): {ratio:.2f}")
            each = _time(rows, "mixlearn cutmix, per image") / _time(rows, "mixlearn cutmix")
            print(f"  mixlearn cutmix, per image over per batch: {each:.2f}")
            report.append({"shape": shape, "device": where, "torch": torch.__version__, "rows": rows})
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
