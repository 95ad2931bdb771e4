"""Masked image modelling on the transformer: hidden patches are predicted, pixel by pixel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mixlearn.core.transfer import sent
from mixlearn.lab.augment import crop_and_flip
from mixlearn.lab.learners.unlabelled import Unlabelled
from mixlearn.lab.nets.taps import Only
from mixlearn.lab.nets.transformer import ViT
from mixlearn.methods.masked_images import hidden_patches, masked_pixel_loss


class MaskedImages(Unlabelled):
    """Hides patches of each image and has a linear decoder predict their pixels: SimMIM. Its term: "pixels".

    Hidden patches enter the transformer as a learnt token, with their positions. No label is read, and the
    network's head stays as it is. To go on, take the network itself.

    Args:
        net: the network that is to be trained: a `ViT`. Here it is only looked at; each call is given it
            anew.
        augment: `augment(images, generator=…)` on each batch. Give it here, and none to `fit`.
        ratio: share of the image that is hidden.
        block: height and width of what is hidden at once, in pixels; None takes one patch. The paper has 32
            of 192.
        image_size: not needed, kept so that it is built as `AutoMix` is.
        smoothing: must be 0: there are no labels.
        generator: source of the first weights of decoder and token.

    Raises:
        TypeError: another network than a `ViT`, something that cannot be called as `augment`.
        ValueError: smoothing, a ratio outside (0, 1), a block that is not whole patches or does not fit.

    Source: Xie et al., *SimMIM: A Simple Framework for Masked Image Modeling*, CVPR 2022.

    >>> import mixlearn as ml
    >>> net = ml.nets.vit(4, size=8, patch=2, dim=12, depth=1)
    >>> list(MaskedImages(net)(net, torch.rand(3, 3, 8, 8)))
    ['pixels']
    """

    def __init__(
        self,
        net: Any,
        *,
        augment: Callable[..., Tensor] = crop_and_flip,
        ratio: float = 0.6,
        block: int | None = None,
        image_size: int | None = None,
        smoothing: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        if not isinstance(net, ViT):
            raise TypeError(
                f"MaskedImages hides a transformer's patches and needs one of ml.nets.vit, "
                f"got {type(net).__name__}"
            )
        super().__init__(net, augment, smoothing)
        self.patch, self.side = net.patch, net.size // net.patch
        block = net.patch if block is None else block
        if block % net.patch:
            raise ValueError(f"block must be whole patches of {net.patch} pixels, got {block}")
        self.ratio, self.block = ratio, block // net.patch
        hidden_patches(1, self.side, ratio=ratio, block=self.block, generator=torch.Generator())  # a check
        self.last = net.stages[-2]
        self.token = nn.Parameter(torch.zeros(1, 1, net.features))
        with torch.random.fork_rng(devices=[]):
            self.decoder = nn.Linear(net.features, net.embed.in_channels * net.patch**2)
        nn.init.trunc_normal_(self.token, std=0.02, generator=generator)
        nn.init.trunc_normal_(self.decoder.weight, std=0.02, generator=generator)
        nn.init.zeros_(self.decoder.bias)

    def terms(self, model: Any, images: Tensor, generator: torch.Generator | None) -> dict[str, Tensor]:
        """The term of a batch.

        Args:
            model: the network. images: (B, C, H, W). generator: source of the view and of what is hidden.
        """
        view = self.augment(images, generator=generator)
        hidden = hidden_patches(len(view), self.side, ratio=self.ratio, block=self.block, generator=generator)
        hidden = sent(hidden, view.device)
        net = getattr(model, "module", model)
        kept: list[Tensor] = []

        def look(name: str, tokens: Tensor) -> Tensor:
            if name == self.last:
                kept.append(tokens)
                return tokens
            stand_in = (self.token + net.position[:, 1:]).to(tokens.dtype)
            patches = torch.where(hidden[:, :, None], stand_in, tokens[:, 1:])
            return torch.cat([tokens[:, :1], patches], 1)

        model(view, tap=Only(("patches", self.last), look))
        with self.autocast():
            seen = net.norm(kept[0][:, 1:].to(net.norm.weight.dtype))
            predicted = self.decoder(seen.to(self.decoder.weight.dtype))
        return {"pixels": masked_pixel_loss(predicted, view, hidden, patch=self.patch)}
