"""A patch transformer, with the same taps as the convolutional networks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixlearn.core.checks import as_count
from mixlearn.nets.taps import Tap, pass_on, quiet_draws


class Layer(nn.Module):
    """Self-attention and a two-layer perceptron, each normalised before and added after."""

    def __init__(self, dim: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.heads = heads
        self.attend_norm = nn.LayerNorm(dim, eps=1e-6)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.merge = nn.Linear(dim, dim)
        self.think_norm = nn.LayerNorm(dim, eps=1e-6)
        self.widen = nn.Linear(dim, int(dim * mlp_ratio))
        self.narrow = nn.Linear(int(dim * mlp_ratio), dim)

    def attended(self, tokens: Tensor) -> Tensor:
        """Queries, keys and values: (B, N, dim) → (3, B, heads, N, dim / heads)."""
        qkv: Tensor = self.qkv(self.attend_norm(tokens))
        return qkv.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        seen = F.scaled_dot_product_attention(*self.attended(tokens))  # (B, heads, N, dim / heads)
        tokens = tokens + self.merge(seen.transpose(1, 2).flatten(2))  # (B, N, dim)
        return tokens + self.narrow(F.gelu(self.widen(self.think_norm(tokens))))


class ViT(nn.Module):
    """A vision transformer: square patches, a class token, learnt positions, pre-normalised layers.

    Its taps are the image, the tokens (B, 1 + patches, dim) before the first and after every layer, and the
    class token (B, dim) under "pool". `size=224, patch=16, dim=384, depth=12, heads=6` is ViT-S/16.

    Args:
        num_classes: length of the logits.
        size, channels: height and width of the images in pixels, and their channels.
        patch: height and width of a patch in pixels; it divides `size`.
        dim, depth, heads: numbers in a token, layers, and attention heads, which divide `dim`.
        mlp_ratio: hidden units of the perceptron, in units of `dim`.
        any_size: take square images of other sizes too, with positions interpolated (bicubic).
        generator: source of the initial weights; None uses torch's default one.

    Source: Dosovitskiy et al., *An Image is Worth 16x16 Words*, ICLR 2021, eq. 1–4.

    >>> vit(10, dim=24, depth=2)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
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
    ) -> None:
        super().__init__()
        if patch < 1 or size % patch:
            raise ValueError(f"patch must divide the image size {size}, got {patch}")
        if heads < 1 or dim % heads:
            raise ValueError(f"heads must divide dim {dim}, got {heads}")
        self.size, self.patch, self.any_size, self.features = size, patch, any_size, dim
        with quiet_draws():
            self.embed = nn.Conv2d(channels, dim, patch, stride=patch)
            self.token = nn.Parameter(torch.zeros(1, 1, dim))
            self.position = nn.Parameter(torch.zeros(1, 1 + (size // patch) ** 2, dim))
            self.layers = nn.ModuleList(Layer(dim, heads, mlp_ratio) for _ in range(depth))
            self.norm = nn.LayerNorm(dim, eps=1e-6)
            self.head = nn.Linear(dim, as_count(num_classes, "num_classes", 1))
        self.stages = ("input", "patches", *(f"block{i + 1}" for i in range(depth)), "pool")
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                nn.init.trunc_normal_(module.weight, std=0.02, generator=generator)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        for free in (self.token, self.position):
            nn.init.trunc_normal_(free, std=0.02, generator=generator)

    def forward(self, images: Tensor, tap: Tap | None = None) -> Tensor:
        tap = tap or pass_on
        positions = self._positions(images)
        patches = self.embed(tap("input", images)).flatten(2).transpose(1, 2)  # (B, N, dim)
        tokens = torch.cat([self.token.expand(len(images), -1, -1), patches], 1)  # (B, 1 + N, dim)
        tokens = tap("patches", tokens + positions)
        for i, layer in enumerate(self.layers):
            tokens = tap(f"block{i + 1}", layer(tokens))
        logits: Tensor = self.head(tap("pool", self.norm(tokens)[:, 0]))  # (B, dim) → (B, classes)
        return logits

    def _positions(self, images: Tensor) -> Tensor:
        """(1, 1 + N, dim): as learnt, or read between them where images are of another size."""
        height, width = images.shape[-2:]
        if height == width == self.size:
            return self.position
        if not self.any_size:
            raise ValueError(f"images must be {self.size} × {self.size}, got {tuple(images.shape)}")
        if height != width or height % self.patch:
            expected = f"squares of whole patches of {self.patch} pixels"
            raise ValueError(f"images must be {expected}, got {tuple(images.shape)}")
        side, new = self.size // self.patch, height // self.patch
        grid = self.position[:, 1:].mT.unflatten(2, (side, side))  # (1, dim, side, side)
        grid = F.interpolate(grid, size=(new, new), mode="bicubic", align_corners=False)
        return torch.cat([self.position[:, :1], grid.flatten(2).mT], 1)

    @torch.no_grad()
    def class_attention(self, tokens: Tensor) -> Tensor:
        """Attention of the class token in the last layer, mean over heads: (B, 1 + N, dim) → (B, n, n).

        `tokens` are those that enter the last layer.
        """
        return self._seen(tokens, slice(1))

    @torch.no_grad()
    def patch_attention(self, tokens: Tensor) -> Tensor:
        """As `class_attention`, but the mean of what all patches attend to."""
        return self._seen(tokens, slice(1, None))

    def _seen(self, tokens: Tensor, asking: slice) -> Tensor:
        query, key, _ = self.layers[-1].attended(tokens)  # type: ignore[operator]
        scores = query[:, :, asking] @ key.mT / query.shape[-1] ** 0.5  # (B, heads, asking, 1 + N)
        side = round((tokens.shape[1] - 1) ** 0.5)
        seen: Tensor = scores.float().softmax(-1)[..., 1:].mean((1, 2))
        return seen.unflatten(1, (side, side))


vit = ViT
