"""Masked images: which patches are hidden, and how far the pixels predicted for them are off."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.training import told
from mixlearn.core.boxes import patchify
from mixlearn.core.checks import check_generator, is_count, readable
from mixlearn.core.fast import sent
from mixlearn.core.labels import cross_entropy, soft_cross_entropy
from mixlearn.core.plan import Mixed
from mixlearn.methods.augment import crop_and_flip
from mixlearn.methods.contrast import Contrast, mixco_terms, rising, simsiam_loss
from mixlearn.methods.distill import distillation, past_targets, same_class, virtual_teacher
from mixlearn.methods.learner import Mixing, Plain, Unlabelled
from mixlearn.methods.mixskd import Branch, as_map, branch_points, stages_of
from mixlearn.methods.mixup import mixup
from mixlearn.methods.twin import Buffers, Twin, slow_down
from mixlearn.nets.taps import Only
from mixlearn.nets.vit import ViT


def hidden_patches(
    batch: int, side: int, *, ratio: float = 0.6, block: int = 1, generator: torch.Generator | None = None
) -> Tensor:
    """Which patches of each image are hidden: square blocks of them, drawn for each image on its own.

    Args:
        batch: B, how many images.
        side: patches in a row, and rows.
        ratio: share of blocks that is hidden, in (0, 1), rounded up to whole blocks; one stays at least.
        block: height and width of a block in patches; it divides `side`.
        generator: source of randomness on the CPU; None uses torch's default one.

    Returns:
        (B, side²) booleans, row by row, on the CPU.

    Raises:
        ValueError: a ratio outside (0, 1), a block that does not divide the side or leaves but one.

    Source: Xie et al., *SimMIM: A Simple Framework for Masked Image Modeling*, CVPR 2022, section 3.2.

    >>> hidden_patches(2, 4, ratio=0.5, block=2).sum(1)
    tensor([8, 8])
    """
    check_generator(generator)
    if not 0 < ratio < 1:
        raise ValueError(f"ratio must lie in (0, 1), got {ratio}")
    if block < 1 or side % block or side == block:
        raise ValueError(f"block must divide the {side} patches of a row into 2 or more, got {block}")
    across = side // block
    count = min(math.ceil(ratio * across**2 - 1e-9), across**2 - 1)
    rank = torch.rand(batch, across**2, generator=generator).argsort(1).argsort(1)
    chosen = (rank < count).view(batch, across, across)
    return chosen.repeat_interleave(block, 1).repeat_interleave(block, 2).flatten(1)


def masked_pixel_loss(predicted: Tensor, images: Tensor, hidden: Tensor, *, patch: int) -> Tensor:
    """SimMIM's loss: how far predicted pixels lie from those of hidden patches, the mean of |difference|.

    Args:
        predicted: (B, T, C·patch²), the pixels of each of T patches, channel by channel, row by row.
        images: (B, C, H, W), as they were.
        hidden: (B, T), True where the patch was hidden; other patches do not count.
        patch: height and width of a patch in pixels.

    Returns:
        A scalar, float32 at least, in units of the pixels.

    Raises:
        ValueError: shapes that do not belong together, a batch in which nothing is hidden.

    Source: Xie et al., *SimMIM: A Simple Framework for Masked Image Modeling*, CVPR 2022, section 3.4.

    >>> images, hidden = torch.ones(1, 1, 2, 4), torch.tensor([[True, False]])
    >>> masked_pixel_loss(torch.full((1, 2, 4), 3.0), images, hidden, patch=2).item()
    2.0
    """
    right = patchify(images, patch).flatten(2)
    if predicted.shape != right.shape or hidden.shape != right.shape[:2]:
        raise ValueError(
            f"expected predicted {tuple(right.shape)} and hidden {tuple(right.shape[:2])}, got "
            f"{tuple(predicted.shape)} and {tuple(hidden.shape)}"
        )
    if readable(hidden) and not bool(hidden.any()):
        raise ValueError("at least one patch must be hidden, got none")
    kind = torch.promote_types(predicted.dtype, torch.float32)
    apart = (predicted.to(kind) - right.to(kind)).abs().mean(2)
    return (apart * hidden).sum() / hidden.sum()


class BYOT(nn.Module):
    """Trains a network with side branches that learn from its end: be your own teacher.

    Its terms: "labels", cross-entropy of the network and of every branch; "answers", each branch distilled
    from the network; "features", mean squared distance of each branch's map from the network's last, both
    taken before the head's mean. What is learnt from is held fixed. The branches are dropped in the end: to
    predict, use the network itself.

    Args:
        net: as for `MixSKD`.
        temperature: T of the distillation.
        weight: of "features".
        image_size: not needed, kept so that it is built as `AutoMix` is.
        smoothing: share of each label spread over all classes.
        generator: source of the first weights of the branches.

    Raises:
        TypeError: a network that branches cannot be made of.
        ValueError: smoothing outside [0, 1).

    Source: Zhang et al., *Be Your Own Teacher*, ICCV 2019, in the form of Self-KD-Lib, the code of MixSKD:
    its branches, and its weights of the terms. The code of BYOT's own authors takes 0.7 of the branches'
    cross-entropy and 0.3 of a soft one at T = 3 without the factor T², and 0.03 of the length of the
    difference of features, not of its square, with none for the branch nearest to the image.

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 4, width=4)
    >>> list(BYOT(net)(net, torch.rand(3, 3, 8, 8), torch.tensor([0, 3, 1])))
    ['labels', 'answers', 'features']
    """

    def __init__(
        self,
        net: Any,
        *,
        temperature: float = 4.0,
        weight: float = 0.05,
        image_size: int | None = None,
        smoothing: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing must lie in [0, 1), got {smoothing}")
        self.temperature, self.weight, self.smoothing = temperature, weight, smoothing
        self.autocast: Callable[[], AbstractContextManager[Any]] = nullcontext  # `fit` sets its precision
        with torch.random.fork_rng(devices=[]):
            self.side = nn.ModuleList(Branch(net, after, generator=generator) for after in branch_points(net))
        self.final = stages_of(net)[-1]

    def forward(
        self, model: Any, images: Tensor, labels: Tensor, *, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """The three terms of a batch.

        Args:
            model, images, labels, generator: as for any learner.
        """
        kept: dict[str, Tensor] = {}

        def keep(name: str, features: Tensor) -> Tensor:
            kept[name] = features
            return features

        own = model(images, tap=Only((*(str(branch.stage) for branch in self.side), self.final), keep))
        with self.autocast():
            said = [branch(kept[branch.stage]) for branch in self.side]  # type: ignore[index]
        last = as_map(kept[self.final]).detach().float()
        answers = [logits for _, logits in said]
        right = [cross_entropy(logits.float(), labels, self.smoothing) for logits in (own, *answers)]
        taught = [distillation(logits, own, temperature=self.temperature) for logits in answers]
        near = [(maps.float() - last).square().mean() for maps, _ in said]
        return {
            "labels": torch.stack(right).sum(),
            "answers": torch.stack(taught).sum(),
            "features": self.weight * torch.stack(near).sum(),
        }


class PSKD(nn.Module):
    """Labels refined by the network's own past: progressive self-knowledge distillation.

    Its term is "labels", soft cross-entropy against `past_targets`. The answers in them are those of a
    snapshot of the network, taken at the end of each epoch, to the same images as they are in this batch.
    Their share a grows from epoch to epoch; in the first there is no past, and a = 0. To predict, use the
    network itself.

    Args:
        net: the network that is to be trained. Only copied.
        epochs: E, as many as `fit` is given.
        end: a in the last epoch; in epoch e = 1, 2, … it is `end` · e / E.
        image_size, generator: not needed, kept so that it is built as `AutoMix` is.
        smoothing: must be 0: the targets are the method's own.

    Raises:
        ValueError: epochs that are not a positive number, a share outside [0, 1], or smoothing.

    Source: Kim et al., *Self-Knowledge Distillation with Progressive Refinement of Targets*, ICCV 2021.
    Public code keeps, in place of a snapshot, what the network said of another crop during that epoch.

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 4, width=4)
    >>> learner = PSKD(net, epochs=4)
    >>> shares = []
    >>> for step in range(8):
    ...     learner.advance(step / 8)
    ...     terms = learner(net, torch.rand(3, 3, 8, 8), torch.tensor([0, 3, 1]))
    ...     shares.append(round(learner.share, 2))
    >>> list(terms), shares
    (['labels'], [0.0, 0.0, 0.4, 0.4, 0.6, 0.6, 0.8, 0.8])
    """

    def __init__(
        self,
        net: Any,
        *,
        epochs: int,
        end: float = 0.8,
        image_size: int | None = None,
        smoothing: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not is_count(epochs):
            raise ValueError(f"epochs must be a positive integer, got {epochs!r}")
        if not 0 <= end <= 1:
            raise ValueError(f"end must lie in [0, 1], got {end}")
        if smoothing:
            raise ValueError(f"PSKD's targets are its own; smoothing must be 0, got {smoothing}")
        self.epochs, self.end = epochs, end
        self.autocast: Callable[[], AbstractContextManager[Any]] = nullcontext  # `fit` sets its precision
        self.past = Twin({"net": net}, momentum=0.0).eval()  # follows at once
        self.epoch = self.taken = 0  # epochs done now, and when the snapshot was taken

    @property
    def share(self) -> float:
        """a of this epoch."""
        return self.end * (self.epoch + 1) / self.epochs if self.epoch else 0.0

    def advance(self, progress: float) -> None:
        """Tell the learner how far training has come, from 0 to 1."""
        self.epoch = min(int(progress * self.epochs + 1e-9), self.epochs - 1)

    def forward(
        self, model: Any, images: Tensor, labels: Tensor, *, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Cross-entropy against labels and what the network said of the images before.

        Args:
            model, images, labels, generator: as for any learner.
        """
        if self.epoch != self.taken:
            self._take(getattr(model, "module", model))
        past: Tensor | None = None
        if self.share:
            with torch.no_grad(), self.autocast():
                past = self.past["net"](images)
        logits = model(images)
        known = torch.zeros_like(logits) if past is None else past
        return {"labels": soft_cross_entropy(logits, past_targets(labels, known, self.share))}

    def _take(self, net: nn.Module) -> None:
        """Make the snapshot the network as it is now: no step of this epoch has been taken."""
        self.past.follow({"net": net})
        if dist.is_available() and dist.is_initialized():  # processes have running means of their own
            for buffer in self.past.buffers():
                dist.broadcast(buffer, 0)
        self.taken = self.epoch

    def train(self, mode: bool = True) -> PSKD:
        """Set the mode of all but the snapshot, which predicts as in a test."""
        super().train(mode)
        self.past.eval()
        return self

    def get_extra_state(self) -> Tensor:
        """When the snapshot was taken, for a checkpoint."""
        return torch.tensor(self.taken)

    def set_extra_state(self, state: Tensor) -> None:
        """Take up when the snapshot was taken."""
        self.taken = int(state)


class TFKD(Plain):
    """A teacher that nobody trained, `virtual_teacher`, beside the labels: teacher-free distillation.

    Its terms: "labels", and "answers", KL(teacher ‖ student).

    Args:
        right: probability that the teacher gives to the right class.
        temperature: of the teacher.
        weight: of "answers", in [0, 1]; "labels" has what is left of 1.
        student_temperature: of the student's answers. The paper's equation 9 has that of the teacher; the
            authors' code has 1.
        released: of the teacher, see `virtual_teacher`.
        num_classes: as for `Plain`. Labels are not smoothed: the teacher does no other thing.

    Raises:
        ValueError: a weight outside [0, 1], a temperature that is not positive, or a bad teacher.

    Source: Yuan et al., *Revisiting Knowledge Distillation via Label Smoothing Regularization*, CVPR 2020,
    its Tf-KD_reg.

    >>> list(TFKD()(lambda x: x, torch.zeros(2, 4), torch.tensor([0, 3])))
    ['labels', 'answers']
    """

    smooths: ClassVar[bool] = False
    shown: ClassVar[tuple[str, ...]] = ("right", "temperature", "weight", "student_temperature", "released")

    def __init__(
        self,
        *,
        right: float = 0.99,
        temperature: float = 20.0,
        weight: float = 0.1,
        student_temperature: float = 1.0,
        released: bool = False,
        num_classes: int | None = None,
    ) -> None:
        super().__init__(num_classes)
        virtual_teacher(torch.tensor([0]), 2, right=right, temperature=temperature)  # says what is wrong
        if not student_temperature > 0:
            raise ValueError(f"student_temperature must be positive, got {student_temperature}")
        if not 0 <= weight <= 1:
            raise ValueError(f"weight must lie in [0, 1], got {weight}")
        self.right, self.temperature, self.weight = right, temperature, weight
        self.student_temperature, self.released = student_temperature, released

    def __call__(
        self, model: Any, images: Tensor, labels: Tensor, *, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        logits = model(images).float()
        teacher = virtual_teacher(
            labels,
            logits.shape[1],
            right=self.right,
            temperature=self.temperature,
            released=self.released,
        )
        student = (logits / self.student_temperature).log_softmax(1)
        return {
            "labels": (1 - self.weight) * cross_entropy(logits, labels),
            "answers": self.weight * F.kl_div(student, teacher, reduction="batchmean"),
        }


class CSKD(Plain):
    """Each image learns from the answer to another image of its class: class-wise self-distillation.

    Its terms: "labels" and "answers". Partners are found in the batch by `same_class`; an image that is the
    only one of its class there adds nothing to "answers", which is a mean over the whole batch.

    Args:
        temperature: T of the distillation.
        weight: of "answers".
        num_classes, smoothing: as for `Plain`.

    Source: Yun et al., *Regularizing Class-wise Predictions via Self-knowledge Distillation*, CVPR 2020,
    where a sampler puts pairs together, and only the first of each pair learns.

    >>> list(CSKD()(lambda x: x, torch.eye(4), torch.tensor([0, 3, 0, 1])))
    ['labels', 'answers']
    """

    shown: ClassVar[tuple[str, ...]] = ("temperature", "weight")

    def __init__(
        self,
        *,
        temperature: float = 4.0,
        weight: float = 1.0,
        num_classes: int | None = None,
        smoothing: float = 0.0,
    ) -> None:
        super().__init__(num_classes, smoothing)
        self.temperature, self.weight = temperature, weight

    def __call__(
        self, model: Any, images: Tensor, labels: Tensor, *, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        logits = model(images).float()
        partner = same_class(labels, generator)
        alone = partner < 0  # such an image learns from its own answer: nothing
        teacher = logits[torch.where(alone, torch.arange(len(labels), device=labels.device), partner)]
        answers = distillation(logits, teacher, temperature=self.temperature)
        return {
            "labels": cross_entropy(logits, labels, self.smoothing),
            "answers": self.weight * answers,
        }


class MixCo(Contrast):
    """Mixtures of a view find the other view of their images, by their shares; images find theirs.

    The terms are those of `mixco_terms`: "origin" and "mix_to_origin".

    Args:
        net: the network that is to be trained.
        mix: mixes view 1, `mix(images, generator=…)`; Mixup with α = 1 to begin with.
        origin: whether unmixed images ask too, as in MixCo; i-Mix has mixtures alone: False.
        predictor, momentum: as for `Contrast`; here as for `MoCo`.
        parts: all else, as for `Contrast`.

    Raises:
        TypeError: something that cannot be called as `mix`.

    Source: Kim, Lee, Bae & Yun, *MixCo: Mix-up Contrastive Learning for Visual Representation*, 2020; Lee
    et al., *i-Mix: A Domain-Agnostic Strategy for Contrastive Representation Learning*, ICLR 2021. Both on
    the skeleton of `MoCo`, where they had MoCo v2.

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 4, width=4)
    >>> list(MixCo(net, hidden=8, outside=4, predictor=8)(net, torch.rand(3, 3, 8, 8)))
    ['origin', 'mix_to_origin']
    """

    def __init__(
        self,
        net: Any,
        *,
        mix: Callable[..., Mixed] = mixup,
        origin: bool = True,
        predictor: int | None = 4096,
        momentum: float | Callable[[float], float] | None = rising,
        **parts: Any,
    ) -> None:
        super().__init__(net, predictor=predictor, momentum=momentum, **parts)
        if not callable(mix):
            raise TypeError(f"mix must be a function (images, *, generator), got {type(mix).__name__}")
        self.mix, self.origin = mix, origin

    def terms(self, model: Any, images: Tensor, generator: torch.Generator | None) -> dict[str, Tensor]:
        """The terms of a batch.

        Args:
            model, images, generator: as for the call.
        """
        one, two = self.views(images, generator)
        mixed = self.mix(one, generator=generator)
        said, keys = self.encoded(model, [mixed.images, *([one] if self.origin else [])], [two])
        query = said[1] if self.origin else None
        return mixco_terms(query, said[0], keys[0], mixed.plan, temperature=self.temperature)


class SimSiam(Contrast):
    """Each view predicts what the network says of the other, which is held fixed. Its term: "prediction".

    Neither twin nor negatives. Its term lies in [−1, 1].

    Args:
        net: the network that is to be trained.
        hidden, outside, predictor, predictor_norm: as for `Contrast`, here as published.
        parts: all else, as for `Contrast`.

    Raises:
        ValueError: no predictor, without which there is nothing to be learnt.

    Source: Chen & He, *Exploring Simple Siamese Representation Learning*, CVPR 2021.

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 4, width=4)
    >>> list(SimSiam(net, hidden=8, outside=4, predictor=2)(net, torch.rand(3, 3, 8, 8)))
    ['prediction']
    """

    def __init__(
        self,
        net: Any,
        *,
        hidden: int = 2048,
        outside: int = 2048,
        predictor: int | None = 512,
        predictor_norm: bool = False,
        **parts: Any,
    ) -> None:
        if predictor is None:
            raise ValueError("SimSiam's views agree on one answer for all without a predictor, got None")
        super().__init__(
            net, hidden=hidden, outside=outside, predictor=predictor, predictor_norm=predictor_norm, **parts
        )

    def terms(self, model: Any, images: Tensor, generator: torch.Generator | None) -> dict[str, Tensor]:
        """The term of a batch, the mean of both ways.

        Args:
            model, images, generator: as for the call.
        """
        both = self.views(images, generator)
        said, found = self.encoded(model, both, both)
        return {"prediction": simsiam_loss((said[0], said[1]), (found[0], found[1]))}


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


class Averaged(nn.Module):
    """Trains as another learner does, and predicts with the twin that follows the network.

    A method that predicts with such a twin gains by that alone. What it gains by the rest shows only against
    this.

    Args:
        net: the network that is to be trained; it is copied.
        mix: a mixing method, or a `Mixing` or `Plain` learner; None trains on the images as they are.
        momentum: of the twin, a number or a function of progress.
        buffers: of the twin, see `Twin`.
        image_size, generator: not needed, kept so that it is built as `AutoMix` is.
        smoothing: share of each label spread over all classes.

    Raises:
        TypeError: a network without `head`.

    >>> import mixlearn as ml
    >>> net = ml.nets.resnet(8, 4, width=4)
    >>> learner = Averaged(net, ml.mixup)
    >>> list(learner(net, torch.rand(3, 3, 8, 8), torch.tensor([0, 3, 1])))
    ['mixed_labels']
    """

    def __init__(
        self,
        net: Any,
        mix: Callable[..., Mixed] | Mixing | Plain | None = None,
        *,
        momentum: float | Callable[[float], float] = slow_down,
        buffers: Buffers = "averaged",
        image_size: int | None = None,
        smoothing: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not hasattr(net, "head"):
            raise TypeError(
                f"Averaged needs a network with a linear layer `head`, got {type(net).__name__}; "
                "networks made elsewhere get it by ml.nets.Tapped(net)"
            )
        classes = net.head.out_features
        if isinstance(mix, (Mixing, Plain)):
            self.learner: Plain | Mixing = told(mix, classes, smoothing)
        else:
            self.learner = Plain(classes, smoothing) if mix is None else Mixing(mix, classes, smoothing)
        self.momentum = momentum
        self.twin = Twin({"net": net}, momentum(0.0) if callable(momentum) else momentum, buffers)

    def advance(self, progress: float) -> None:
        """Tell the learner how far training has come, from 0 to 1."""
        if callable(self.momentum):
            self.twin.momentum = self.momentum(progress)
        if isinstance(self.learner, Mixing):
            self.learner.advance(progress)

    def after_step(self, model: Any) -> None:
        """Let the twin follow; after each step of the optimiser.

        Args:
            model: the network.
        """
        self.twin.follow({"net": getattr(model, "module", model)})

    def deployed(self, model: Any) -> Any:
        """The network that predicts: the twin.

        Args:
            model: the network that was trained.
        """
        return self.twin["net"]

    def forward(
        self, model: Any, images: Tensor, labels: Tensor, *, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """The terms of the learner within.

        Args:
            model, images, labels, generator: as for any learner.
        """
        return self.learner(model, images, labels, generator=generator)
