"""Make mixlearn/page/assets/mask_strip.safetensors: masks of Off-centre Fashion over training and over λ.

    python data/make_mask_strip.py           # trains the judge where it is missing, then two Mix Blocks

Mix Blocks of SAMix and AutoMix learn against the frozen judge, with the settings of judge-offcentre-samix and
-automix, seed 0. Kept are SAMix's masks of the first of the judge's 2,000 pairs, and what the judge says of
both blocks after some steps and of other methods: in what share of mixtures it finds both classes. A judge
trained on another machine is another judge, so all are asked of the same one. The images are Off-centre
Fashion's: garments of Fashion-MNIST (MIT) on the photographs that ship.
"""

from functools import partial
from typing import Any

import torch
from packing import written

from experiments.chapters.judging import WAYS
from experiments.judging import LAMS, _over_pairs, by_block, judge, judged, pairs
from experiments.training import loaded
from mixlearn.page.host import ASSETS

RATED = (0, 30, 100, 300, 1000, 2000)  # steps
KEPT = ((100, 0.5), (300, 0.5), (2000, 0.3), (2000, 0.5), (2000, 0.7))  # steps and λ of the masks
SHOWN, SEED = 4, 0


class Camera:
    """Watches one Mix Block learn."""

    def __init__(self, test: Any) -> None:
        self.test, self.rated, self.masks = test, dict[int, float](), dict[str, torch.Tensor]()

    def made(self, make: Any, *arguments: Any, **options: Any) -> Any:
        """The block, which is also kept."""
        self.block = make(*arguments, **options)
        return self.block

    def watch(self, step: int) -> None:
        """Called by `teach` with the number of steps done."""
        if step not in RATED:
            return
        mix, found = partial(by_block, self.block, judge("checkpoints")), []
        images, labels = self.test.batch(slice(0, 100))
        for lam in LAMS:
            row = _over_pairs(judge("checkpoints"), mix, self.test, lam, None, torch.Generator())
            found.append(row["top 2"])
            mixed = mix(images, labels, num_classes=10, lam=lam, partner=pairs(labels))
            if (step, lam) in KEPT:
                self.masks[f"{step} {lam}"] = mixed.plan.masks[0, :SHOWN]  # (K, 1, H, W)
        self.rated[step] = sum(found) / len(found)
        print(f"step {step}: {self.rated[step]:.4f}", flush=True)


def make() -> None:
    """Teach, look, write."""
    test = loaded("offcentre").test.subset(2000, generator=torch.Generator().manual_seed(0))
    both = torch.stack([torch.arange(SHOWN), pairs(test.labels[:100])[:SHOWN]], 1)  # (K, 2)
    found: dict[str, Any] = {}
    for way in ("mixup", "cutmix", "puzzlemix", "true-masks"):
        outcome = judged(**WAYS[way])
        found[way] = outcome.final["all"]["top 2"]
    for way in ("automix", "samix"):
        camera, make_block = Camera(test), WAYS[way]["mix"]
        mix = partial(camera.made, make_block)
        outcome = judged(mix, seed=SEED, teaching={"watch": camera.watch})
        found[way] = camera.rated
        print(way, outcome.final["all"], f"{outcome.history.seconds:.0f} s", flush=True)
    facts = {
        "labels": test.labels[both].tolist(),
        "judge": outcome.final["judge"]["accuracy"],
        "found": found,
    }
    data = written(facts, {"images": test.images[both]} | camera.masks)
    (ASSETS / "mask_strip.safetensors").write_bytes(data)
    print(len(data), "bytes")


if __name__ == "__main__":
    make()
