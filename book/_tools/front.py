"""The pictures of the front page: two photographs, one mixture of them for each chapter of the map, one for the history.

python book/_tools/front.py      writes book/_assets/front-*.jpg
"""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

import mixlearn as ml
from mixlearn.page.film import film_facts, recorded_block
from mixlearn.page.studio_net import PAIRS

ASSETS = Path(__file__).resolve().parents[1] / "_assets"
SIDE = 256


def pictures() -> dict[str, torch.Tensor]:
    """The name of each picture → (3, 256, 256)."""
    photos = ml.data.photos(size=SIDE)
    dog, cat = photos.images[:2]
    pair, partner = torch.stack([dog, cat]), torch.tensor([1, 0])
    options = {"partner": partner, "lam": 0.6}

    def seeded(seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    blend = ml.mixup(pair, **options).images[0]
    scenes, chosen = ml.data.load("emoji").tests["designers"], list(PAIRS[3])
    pixels = scenes.images[chosen] / 255  # (2, 3, 32, 32)
    block = recorded_block(film_facts().epochs[-1])
    mask = block(
        scenes.batch(chosen)[0], 0.6, partner
    )  # (2, 1, 32, 32), learned by AutoMix
    learned = (mask * pixels + (1 - mask) * pixels[partner])[0]
    cloud = ml.fmix(pair, **options, generator=seeded(5)).images[0]
    patches = ml.patchmix(pair, patch=32, generator=seeded(0)).images[0]
    puzzle = ml.puzzlemix(
        pair,
        torch.arange(2),
        num_classes=2,
        **options,
        blocks=[16],
        generator=seeded(0),
    ).images[0]
    four = torch.stack([dog, cat.flip(2), cat, dog.flip(2)])
    others = [[1] * 4, [2] * 4, [3] * 4]
    mosaic = ml.mosaic(
        four, scale=0.6, centre=[112, 150], partners=others
    ).images[0]
    thirds = torch.cat(
        [
            image[:, :, SIDE // 3 : SIDE // 3 + 86]
            for image in (dog, blend, cat)
        ],
        2,
    )
    return {
        "dog": dog,
        "cat": cat,
        "1": dog.flip(2)[:, 30:, 30:],
        "2": blend,
        "3": ml.cutmix(pair, **options, generator=seeded(1)).images[0],
        "4": cloud,
        "5": learned,
        "6": thirds,
        "7": patches,
        "10": mosaic,
        "puzzle": puzzle,  # for the history
    }


def main() -> None:
    for name, image in pictures().items():
        pixels = (image.permute(1, 2, 0) * 255).round().byte().numpy()
        side = SIDE if name in ("dog", "cat") else 128
        Image.fromarray(pixels).resize(
            (side, side), Image.Resampling.LANCZOS
        ).save(ASSETS / f"front-{name}.jpg", quality=85)


if __name__ == "__main__":
    main()
