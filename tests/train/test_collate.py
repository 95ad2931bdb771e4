"""MixCollate in a loader: pairs, dicts, and a Trainer of Hugging Face."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
import transformers
from torch.utils.data import DataLoader, TensorDataset

import mixlearn as ml
from tests.refused import refused
from tests.seeds import seeded


def loaded(workers, seed=0):
    data = TensorDataset(torch.rand(24, 3, 4, 4, generator=seeded(9)), torch.arange(24) % 4)
    mix = ml.RandomMix([ml.mixup], num_classes=4)
    loader = DataLoader(
        data, batch_size=6, num_workers=workers, collate_fn=ml.MixCollate(mix, seed=seed), generator=seeded(1)
    )
    return list(loader)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_mixing_loader_repeats_itself(workers):
    one, two, other = loaded(workers), loaded(workers), loaded(workers, seed=1)
    assert all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(one, two, strict=True))
    assert not all(torch.equal(a[0], b[0]) for a, b in zip(one, other, strict=True))
    assert one[0][1].shape == (6, 4)
    shares = {round(float(targets[targets > 0].min()), 6) for _, targets in one}
    assert len(shares) == 4  # no two batches drew alike, across workers too


def test_collate_refuses_a_schedule_that_would_stand_still():
    mix = ml.RandomMix([ml.mixup], p=lambda progress: progress, num_classes=4)
    refused(lambda: ml.MixCollate(mix), r"p must be a number in a MixCollate, got a schedule: .*MixBatches")
    ml.MixCollate(ml.RandomMix([ml.mixup], p=0.5))
    ml.MixCollate(partial(ml.mixup, alpha=0.5))


def test_collate_refuses_other_batches():
    with pytest.raises(TypeError, match=r"expects batches \(images, labels\), got list of 3"):
        ml.MixCollate(ml.mixup)([(torch.zeros(2), 0, 1), (torch.ones(2), 1, 0)])
    with pytest.raises(
        TypeError, match=r"got dict of 1; pass collate= .* MixCollate\(mix, images=…, labels=…\)"
    ):
        ml.MixCollate(ml.mixup)([{"image": torch.zeros(2)}])


SAMPLES = [
    {
        "pixel_values": torch.rand(3, 4, 4, generator=seeded(k)),
        "labels": k % 3,
        "name": f"no. {k}",
        "at": [k, (k,)],
    }
    for k in range(6)
]
NAMES = {"images": "pixel_values", "labels": "labels"}


def test_a_dict_stays_a_dict_with_all_else_that_it_holds():
    mix = ml.RandomMix([ml.mixup], num_classes=3)
    batch = ml.MixCollate(mix, seed=4, **NAMES)(SAMPLES)
    pairs = ml.MixCollate(mix, seed=4)([(sample["pixel_values"], sample["labels"]) for sample in SAMPLES])
    assert type(batch) is dict and list(batch) == list(SAMPLES[0])
    assert torch.equal(batch["pixel_values"], pairs[0]) and torch.equal(batch["labels"], pairs[1])
    assert batch["name"] == [f"no. {k}" for k in range(6)]
    assert batch["at"][0].tolist() == batch["at"][1][0].tolist() == list(range(6))


def test_nested_dicts_and_a_collate_of_ones_own():
    def collate(samples):
        x, y = (
            torch.stack([torch.as_tensor(s[name]) for s in samples]) for name in ("pixel_values", "labels")
        )
        return {"inputs": {"image": x, "size": 4}, "truth": (y, "ids")}

    made = collate(SAMPLES)
    mix = ml.RandomMix([ml.cutmix], num_classes=3)
    batch = ml.MixCollate(mix, collate=lambda _: made, images=("inputs", "image"), labels=("truth", 0))(
        SAMPLES
    )
    assert batch["inputs"]["size"] == 4 and batch["truth"][1] == "ids" and type(batch["truth"]) is tuple
    assert batch["truth"][0].shape == (6, 3)
    assert torch.equal(made["truth"][0], torch.arange(6) % 3)  # what was collated is not changed


def test_wrong_names_are_told():
    mix = ml.RandomMix([ml.mixup], num_classes=3)
    with pytest.raises(
        KeyError, match=r"a dict of \['pixel_values', 'labels', .*no 'image'; name the places: MixCollate"
    ):
        ml.MixCollate(mix, images="image", labels="labels")(SAMPLES)
    with pytest.raises(ValueError, match="name both images and labels, or neither, got 'image' and None"):
        ml.MixCollate(mix, images="image")
    with pytest.raises(IndexError, match=r"the batch\['at'\] is a list of 2, it has no 2"):
        ml.MixCollate(mix, images=("at", 2), labels="labels")(SAMPLES)


class Photos(torch.utils.data.Dataset):
    """Twelve images as a Hugging Face data set gives them, in rows of named columns."""

    def __len__(self):
        return 12

    def __getitem__(self, k):
        return {"pixel_values": torch.rand(3, 8, 8, generator=seeded(k)), "labels": k % 3}


class Watched(transformers.ViTForImageClassification):
    """A ViT that notes what it is given."""

    def forward(self, pixel_values=None, labels=None, **options):
        if self.training:
            self.seen.append(pixel_values.clone())
        return super().forward(pixel_values=pixel_values, labels=labels, **options)


def settings(folder, **options):
    sizes = {
        "per_device_train_batch_size": 5,
        "per_device_eval_batch_size": 6,
    }
    quiet = {"report_to": [], "save_strategy": "no", "disable_tqdm": True, "logging_steps": 1}
    options |= {"num_train_epochs": 1, "remove_unused_columns": False, "use_cpu": True}
    return transformers.TrainingArguments(output_dir=str(folder), **sizes, **quiet, **options)


def test_a_trainer_of_hugging_face_trains_its_own_network_on_mixtures(tmp_path):
    config = transformers.ViTConfig(
        image_size=8, patch_size=4, hidden_size=12, intermediate_size=24, num_hidden_layers=1,
        num_attention_heads=2, num_labels=3,
    )  # fmt: skip
    net, given = Watched(config), []
    net.seen = []

    def loss(outputs, labels, num_items_in_batch=None):
        given.append(labels.clone())
        return F.cross_entropy(outputs.logits, labels)

    mixing = ml.MixCollate(ml.RandomMix([partial(ml.mixup, lam=0.75)], num_classes=3), **NAMES)
    before = net.classifier.weight.detach().clone()
    trainer = transformers.Trainer(
        net, settings(tmp_path), train_dataset=Photos(), data_collator=mixing, compute_loss_func=loss
    )
    assert torch.isfinite(torch.tensor(trainer.train().training_loss))
    assert [tuple(images.shape) for images in net.seen] == [(5, 3, 8, 8)] * 2 + [(2, 3, 8, 8)]
    assert [tuple(labels.shape) for labels in given] == [(5, 3)] * 2 + [(2, 3)]
    assert any(bool((labels == 0.75).any()) for labels in given)
    own = torch.stack([Photos()[k]["pixel_values"] for k in range(12)])
    unmixed = [bool((own == image).flatten(1).all(1).any()) for image in net.seen[0]]
    assert sum(unmixed) < 5 and not torch.equal(net.classifier.weight.detach(), before)
