"""A patch transformer, with the same taps as the convolutional networks."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixlearn.core.checks import as_count
from mixlearn.nets.taps import quiet_draws


class Layer(nn.Module):
    """Self-attention and a two-layer perceptron, each normalised before and added after."""

    def __init__(self, dim: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.heads = heads
        self.attend_norm, self.qkv, self.merge = (
            nn.LayerNorm(dim, eps=1e-6),
            nn.Linear(dim, 3 * dim),
            nn.Linear(dim, dim),
        )
        hidden = int(dim * mlp_ratio)
        self.think_norm, self.widen, self.narrow = (
            nn.LayerNorm(dim, eps=1e-6),
            nn.Linear(dim, hidden),
            nn.Linear(hidden, dim),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        batch, count, dim = tokens.shape
        qkv = self.qkv(self.attend_norm(tokens)).view(batch, count, 3, self.heads, dim // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value)
        tokens = tokens + self.merge(seen.transpose(1, 2).reshape(batch, count, dim))
        return tokens + self.narrow(F.gelu(self.widen(self.think_norm(tokens))))


class ViT(nn.Module):
    """A vision transformer with a class token and learnt positions; see `vit`."""

    def __init__(
        self,
        num_classes: int,
        size: int,
        patch: int,
        dim: int,
        depth: int,
        heads: int,
        channels: int,
        mlp_ratio: float,
        any_size: bool,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        self.size, self.patch, self.any_size = size, patch, any_size
        with quiet_draws():
            self.embed = nn.Conv2d(channels, dim, patch, stride=patch)
            self.token = nn.Parameter(torch.zeros(1, 1, dim))
            self.position = nn.Parameter(torch.zeros(1, 1 + (size // patch) ** 2, dim))
            self.layers = nn.ModuleList(Layer(dim, heads, mlp_ratio) for _ in range(depth))
            self.norm = nn.LayerNorm(dim, eps=1e-6)
            self.head = nn.Linear(dim, num_classes)
        self.features = dim
        self.stages = ("input", "patches", *(f"block{i + 1}" for i in range(depth)), "pool")
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                nn.init.trunc_normal_(module.weight, std=0.02, generator=generator)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for free in (self.token, self.position):
            nn.init.trunc_normal_(free, std=0.02, generator=generator)

    def forward(self, images: Tensor, tap: Callable[[str, Tensor], Tensor] | None = None) -> Tensor:
        positions = self._positions(images)
        see = tap or (lambda name, features: features)
        patches = self.embed(see("input", images)).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(images), -1, -1), patches], 1) + positions
        tokens = see("patches", tokens)
        for i, layer in enumerate(self.layers):
            tokens = see(f"block{i + 1}", layer(tokens))
        logits: Tensor = self.head(see("pool", self.norm(tokens)[:, 0]))
        return logits

    def _positions(self, images: Tensor) -> Tensor:
        """(1, 1 + patches, dim): as learnt, or read between them where images are of another size."""
        height, width = images.shape[-2:]
        if height == width == self.size:
            return self.position
        if not self.any_size:
            raise ValueError(f"images must be {self.size} × {self.size}, got {tuple(images.shape)}")
        if height != width or height % self.patch:
            raise ValueError(
                f"images must be squares of whole patches of {self.patch} pixels, got {tuple(images.shape)}"
            )
        side, new = self.size // self.patch, height // self.patch
        grid = self.position[:, 1:].mT.unflatten(2, (side, side))
        grid = F.interpolate(grid, size=(new, new), mode="bicubic", align_corners=False)
        return torch.cat([self.position[:, :1], grid.flatten(2).mT], 1)

    @torch.no_grad()
    def class_attention(self, tokens: Tensor) -> Tensor:
        """What the class token attends to in the last layer, mean over heads: (B, 1 + N, dim) → (B, n, n).

        Args:
            tokens: as they enter the last layer.
        """
        layer: Layer = self.layers[-1]  # type: ignore[assignment]
        batch, count, dim = tokens.shape
        shape = (batch, count, 3, layer.heads, dim // layer.heads)
        query, key, _ = layer.qkv(layer.attend_norm(tokens)).view(shape).permute(2, 0, 3, 1, 4)
        scores = query[:, :, :1] @ key.mT / (dim // layer.heads) ** 0.5
        side = round((count - 1) ** 0.5)
        seen: Tensor = scores.float().softmax(-1)[:, :, 0, 1:].mean(1)
        return seen.view(batch, side, side)


def vit(
    num_classes: int = 10,
    *,
    size: int = 32,
    patch: int = 4,
    dim: int = 192,
    depth: int = 6,
    heads: int = 3,
    channels: int = 3,
    mlp_ratio: float = 4.0,
    any_size: bool = False,
    generator: torch.Generator | None = None,
) -> ViT:
    """A vision transformer: square patches, a class token, learnt positions, pre-normalised layers.

    Its taps are the image, the tokens (B, 1 + patches, dim) before the first and after every layer, and the
    class token (B, dim) under "pool". `size=224, patch=16, dim=384, depth=12, heads=6` is ViT-S/16.

    Args:
        num_classes: length of the logits.
        size: height and width of the images in pixels.
        patch: height and width of a patch in pixels.
        dim: numbers in a token.
        depth: layers.
        heads: attention heads; they divide `dim`.
        channels: channels of the images.
        mlp_ratio: hidden units of the perceptron, in units of `dim`.
        any_size: take square images of other sizes too, with positions read between the learnt ones
            (bicubic); else they are refused.
        generator: source of the initial weights; None uses torch's default one.

    Raises:
        ValueError: a patch that does not divide the size, or heads that do not divide `dim`.

    Source: Dosovitskiy et al., *An Image is Worth 16x16 Words*, ICLR 2021, eq. 1–4.

    >>> vit(10, dim=24, depth=2)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """
    if patch < 1 or size % patch:
        raise ValueError(f"patch must divide the image size {size}, got {patch}")
    if heads < 1 or dim % heads:
        raise ValueError(f"heads must divide dim {dim}, got {heads}")
    num_classes = as_count(num_classes, "num_classes", 1)
    return ViT(num_classes, size, patch, dim, depth, heads, channels, mlp_ratio, any_size, generator)
