"""COCO, Pascal VOC and ADE20K in small copies of their layouts, read as they are written."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import datasets

from experiments.dense.sets import VOC_CLASSES, ade20k, coco, voc
from mixlearn.data.files import DamagedFile
from tests.lab.dense_sets import HEIGHT, WIDTH, fake_ade, fake_coco, fake_voc, picture, write


def bright(image: torch.Tensor) -> list[int]:
    """The box of what is bright in a picture."""
    rows, columns = ((image[0] > 0.5).any(1 - k).nonzero() for k in (0, 1))
    return [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]


def test_coco_has_boxes_classes_without_gaps_masks_and_crowds(tmp_path: Path) -> None:
    data = coco(fake_coco(tmp_path / "coco").parent, "val")
    assert data.classes == ("car", "dog", "bottle") and len(data) == 3  # by their numbers in the file
    image, target = data[0]
    assert image.shape == (3, HEIGHT, WIDTH) and image.dtype == torch.float32 and float(image.min()) >= 0
    assert target["labels"].tolist() == [1, 0] and target["iscrowd"].tolist() == [0, 1]
    assert target["boxes"].tolist() == [[2, 3, 12, 11], [0, 0, 2, HEIGHT]]
    assert target["boxes"][0].tolist() == bright(image)
    first, crowd = target["masks"]
    assert target["masks"].dtype == torch.bool and crowd[:, :2].all() and not crowd[:, 2:].any()
    assert bool((first == (image[0] > 0.5)).all())
    assert data[1][1]["labels"].tolist() == [2]


def test_coco_is_read_as_torchvision_reads_it(tmp_path: Path) -> None:
    base = fake_coco(tmp_path)
    theirs = datasets.CocoDetection(
        str(base / "train2017"), str(base / "annotations/instances_train2017.json")
    )
    data = coco(base, masks=False)
    for (image, target), (picture_, notes) in zip((data[i] for i in range(3)), theirs, strict=True):
        assert image.shape[1:] == picture_.size[::-1]
        assert len(target["boxes"]) == len(notes) and "masks" not in target
        for box, note in zip(target["boxes"].tolist(), notes, strict=True):
            x, y, width, height = note["bbox"]
            assert box == [x, y, x + width, y + height]


def test_a_picture_that_shows_nothing_has_empty_targets(tmp_path: Path) -> None:
    target = coco(fake_coco(tmp_path))[2][1]
    shapes = {key: tuple(value.shape) for key, value in target.items()}
    assert shapes == {"boxes": (0, 4), "labels": (0,), "iscrowd": (0,), "masks": (0, HEIGHT, WIDTH)}


def test_coco_says_nothing_while_it_loads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    coco(fake_coco(tmp_path))
    assert capsys.readouterr().out == ""


def test_voc_has_boxes_and_marks_what_is_difficult(tmp_path: Path) -> None:
    data = voc(fake_voc(tmp_path / "VOCdevkit").parent, years=(2007, 2012))
    assert len(data) == 8 and data.classes == VOC_CLASSES and len(set(VOC_CLASSES)) == 20
    assert data.files[0].parts[-3:] == ("VOC2007", "JPEGImages", "2007_000000.jpg")
    image, target = data[0]
    assert target["labels"].tolist() == [VOC_CLASSES.index("dog"), VOC_CLASSES.index("cat")]
    assert target["iscrowd"].tolist() == [0, 1]
    assert target["boxes"].tolist() == [[4, 5, 14, 15], [19, 1, 30, 12]]  # half-open, from 0
    assert target["boxes"][0].tolist() == bright(image)
    assert len(data[7][1]["labels"]) == 1 and data[7][1]["boxes"][0].tolist() == bright(data[7][0])


def test_voc_is_read_as_torchvision_reads_it(tmp_path: Path) -> None:
    fake_voc(tmp_path / "VOCdevkit")
    theirs = datasets.VOCDetection(str(tmp_path), "2012", "train")
    ours = voc(tmp_path, "train")
    assert [str(file) for file in ours.files] == theirs.images
    painted = datasets.VOCSegmentation(str(tmp_path), "2012", "train")
    pixels = voc(tmp_path, "train", show="pixels")
    for i in range(len(ours)):
        names = [one["name"] for one in theirs[i][1]["annotation"]["object"]]
        assert [ours.classes[label] for label in ours[i][1]["labels"]] == names
        assert torch.equal(pixels[i][1], torch.from_numpy(np.array(painted[i][1])).long())


def test_pixels_of_voc_have_a_background_and_a_border_that_does_not_count(tmp_path: Path) -> None:
    data = voc(fake_voc(tmp_path), "val", show="pixels")
    image, labels = data[1]
    assert data.classes[0] == "background" and data.classes[12] == "dog" and len(data.classes) == 21
    assert labels.dtype == torch.int64 and labels.unique().tolist() == [0, 12, 255]
    assert torch.equal(labels == 12, image[0] > 0.5)


def test_pixels_of_sbd_are_found_under_either_name(tmp_path: Path) -> None:
    base = fake_voc(tmp_path)
    data = voc(base, "trainaug", show="pixels")
    assert len(data) == 4 and data[0][1].unique().tolist() == [0, 12]
    sets = base / "VOC2012" / "ImageSets"
    (sets / "SegmentationAug").mkdir()
    (sets / "Segmentation" / "train_aug.txt").rename(sets / "SegmentationAug" / "trainaug.txt")
    assert voc(base, "trainaug", show="pixels").files == data.files
    (sets / "SegmentationAug" / "trainaug.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks ImageSets.Segmentation.trainaug.txt or Segm.*SBD"):
        voc(base, "trainaug", show="pixels")


def test_ade_counts_its_classes_from_zero_and_ignores_the_rest(tmp_path: Path) -> None:
    data = ade20k(fake_ade(tmp_path / "ADEChallengeData2016").parent, "validation")
    assert data.classes == ("wall", "building", "sky") and len(data) == 2
    image, labels = data[0]
    assert labels[0].tolist() == [255] * 8 + [0] * 8 + [1] * 8 + [2] * 8
    assert bool((labels == labels[0]).all()) and torch.equal(labels == 0, image[0] > 0.5)


def test_sets_can_be_handed_to_other_processes(tmp_path: Path) -> None:
    sets = [coco(fake_coco(tmp_path / "c")), voc(fake_voc(tmp_path / "v")), ade20k(fake_ade(tmp_path / "a"))]
    for data in sets:
        again = pickle.loads(pickle.dumps(data))
        assert torch.equal(again[0][0], data[0][0]) and str(again) == str(data)


def test_what_is_not_there_is_named_with_its_place_and_its_source(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"neither train2017 with annotations/.*https://cocodataset"):
        coco(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"neither VOC2012 with JPEG.*VOCdevkit.*robots.ox.ac.uk"):
        voc(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"neither images/training.*objectInfo150.txt.*csail.mit.edu"):
        ade20k(tmp_path)


def test_the_folder_of_the_cache_is_looked_at_without_a_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIXLEARN_DATA", str(tmp_path))
    fake_ade(tmp_path / "ADEChallengeData2016")
    assert len(ade20k()) == 2
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        coco()


def test_what_is_damaged_is_named(tmp_path: Path) -> None:
    base = fake_coco(tmp_path / "coco")
    (base / "train2017" / "000000000001.jpg").unlink()
    with pytest.raises(DamagedFile, match="1 of 3 pictures are missing.*000000000001.jpg"):
        coco(base)
    write(base / "annotations" / "instances_val2017.json", '{"images": [')
    with pytest.raises(DamagedFile, match="instances_val2017.json cannot be read"):
        coco(base, "val")
    base = fake_voc(tmp_path / "voc")
    write(base / "VOC2012" / "Annotations" / "2012_000000.xml", "<annotation><object>")
    data = voc(base)
    with pytest.raises(DamagedFile, match="2012_000000.xml cannot be read"):
        data[0]
    write(base / "VOC2012" / "JPEGImages" / "2012_000001.jpg", "no picture")
    with pytest.raises(DamagedFile, match="2012_000001.jpg cannot be decoded"):
        data[1]
    (base / "VOC2012" / "SegmentationClass" / "2012_000002.png").unlink()
    with pytest.raises(DamagedFile, match="2012_000002.png"):
        voc(base, show="pixels")
    base = fake_ade(tmp_path / "ade")
    picture(base / "images" / "training" / "new.jpg")
    with pytest.raises(DamagedFile, match="new.png"):
        ade20k(base)


def test_other_parts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="part must be one of 'train', 'val', got 'test'"):
        coco(tmp_path, "test")
    with pytest.raises(ValueError, match="part must be one of .*'trainaug', got 'test'"):
        voc(tmp_path, "test", show="pixels")
    with pytest.raises(ValueError, match="show must be one of 'boxes', 'pixels', got 'masks'"):
        voc(tmp_path, show="masks")
    with pytest.raises(ValueError, match="years must name at least one"):
        voc(tmp_path, years=())
    with pytest.raises(ValueError, match="part must be one of 'training', 'validation', got 'train'"):
        ade20k(tmp_path, "train")
