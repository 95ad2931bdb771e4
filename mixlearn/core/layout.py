"""How images should be laid out, and what to do with those that are not."""

from __future__ import annotations

import warnings
from typing import Any

from torch import Tensor


def to_stack(images: Any) -> str:
    """The way from a list, or an array, to one tensor, in words for an error.

    Args:
        images: what was given in place of a tensor.

    >>> import torch
    >>> to_stack([torch.zeros(3, 8, 8), torch.zeros(3, 9, 9)])
    ' of 2 images of different sizes: (3, 8, 8), (3, 9, 9); resize or crop them to one size, ...
    """
    if not isinstance(images, (list, tuple)):
        return "; convert it first, for example with torch.as_tensor(images)"
    sizes = sorted({tuple(image.shape) for image in images if isinstance(image, Tensor)})
    if len(sizes) < 2:
        return "; make one tensor of the list with torch.stack(images)"
    some = ", ".join(map(str, sizes[:3])) + (", …" if len(sizes) > 3 else "")
    return (
        f" of {len(images)} images of different sizes: {some}; "
        "resize or crop them to one size, then torch.stack(images)"
    )


def check_layout(images: Tensor) -> None:
    """Whether images (B, H, W, C) were given where (B, C, H, W) is meant, so that columns are colours.

    Shapes alone cannot prove it. Read as (B, C, H, W), the images would have 1, 3 or 4 columns, and 16 rows
    and 16 channels or more. With 3 columns, or as many rows as channels, that is refused; features of a
    network hardly ever have such a shape. Otherwise (1 or 4 columns, as in features of audio) a warning is
    given. Fewer rows or channels, and other numbers of dimensions, pass: narrow images, and small features.

    Raises:
        ValueError: as above.

    >>> import torch
    >>> check_layout(torch.zeros(2, 2048, 8, 4))                        # features of a narrow image
    >>> check_layout(torch.zeros(2, 32, 48, 3))
    Traceback (most recent call last):
    ValueError: images must have shape (B, C, H, W), got (2, 32, 48, 3), which looks like (B, H, W, C); ...
    """
    if images.dim() != 4:
        return
    _, first, second, last = images.shape
    if last not in (1, 3, 4) or first < 16 or second < 16:
        return
    looks = f"got {tuple(images.shape)}, which looks like (B, H, W, C); use images.permute(0, 3, 1, 2)"
    if last == 3 or first == second:
        raise ValueError(
            f"images must have shape (B, C, H, W), {looks} (or, if they do have {last} columns, "
            "images[:, None], which has five dimensions)"
        )
    warnings.warn(f"images should have shape (B, C, H, W), {looks}", stacklevel=4)
