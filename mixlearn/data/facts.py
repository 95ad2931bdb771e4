"""What each data set is, whose it is, and what to beware of."""

from __future__ import annotations

from textwrap import wrap

from experiments.data import (
    AIRCRAFT_MD5,
    AIRCRAFT_URL,
    CUB_MD5,
    CUB_URL,
    INATURALIST_URL,
    PLACES_URL,
    TERMS_IMAGENET,
    TINY_MD5,
    TINY_URL,
)
from mixlearn.data.emoji import CLASSES as EMOJI_CLASSES
from mixlearn.data.emoji import FILES as EMOJI_FILES
from mixlearn.data.fashion import CLASSES as FASHION_CLASSES
from mixlearn.data.fashion import SHA256 as FASHION_SHA256
from mixlearn.data.files import joint_digest, read_sums, shipped_folders
from mixlearn.data.offcentre import SHA256 as OFFCENTRE_SHA256

_LENT = "research and teaching that earn nothing; the owners keep their rights. Not shipped"
_SAMPLED = (
    "a thousandth of the listed pictures must be there; one that cannot be decoded is named when it is read"
)

FACTS: dict[str, dict[str, str]] = {
    "fashion": {
        "Name": "Fashion-MNIST (Xiao, Rasul and Vollgraf 2017)",
        "What": "photographs of articles from a shop, grey, 28 × 28",
        "Parts": "train 60 000, test 10 000, balanced",
        "Classes": ", ".join(FASHION_CLASSES),
        "Licence": "MIT, © 2017 Zalando SE",
        "Source": "https://github.com/zalandoresearch/fashion-mnist",
        "Beware": "some labels are ambiguous by nature (shirt, T-shirt, pullover, coat); strong nets "
        "reach about 96 %",
    },
    "emoji": {
        "Name": "Emoji Scenes, made for this book",
        "What": "emoji drawings on blurred photographs, colour, 64 × 64 or box-filtered to 32 × 32; each "
        "image has the "
        "mask and the tight box of its object, the object's name, and the sources of drawing and "
        "background",
        "Parts": "train 7 200; test parts of 1 100 each: concepts (things that training never shows, "
        "drawn by the same "
        "designers) and designers (things of the training part, drawn by Twemoji, which training never "
        "shows); "
        "balanced; backgrounds of the test parts never occur in training",
        "Classes": ", ".join(EMOJI_CLASSES),
        "Licence": "drawings: Noto Emoji Apache-2.0 (Google), Fluent Emoji MIT (Microsoft), Twemoji "
        "CC-BY-4.0 (Twitter and "
        "contributors), EmojiOne 2 CC-BY-4.0 (Emoji One), Firefox OS Emoji CC-BY-4.0 (Mozilla); "
        "photographs: public "
        "domain or CC0; the composition: CC-BY-4.0; see data/LICENSES.md",
        "Source": "data/make_emoji.py; each image's own in ImageSet.sources",
        "Beware": "these are drawings on photographs, not photographs of things: accuracy on them says "
        "nothing about "
        "natural images. A random split would leak near-duplicates: keep the two test parts. The three "
        "Fluent sets draw one geometry; Noto and its first version are close",
    },
    "offcentre": {
        "Name": "Off-centre Fashion, made for this book",
        "What": "garments of Fashion-MNIST in frames of 15 to 24 pixels, tinted, anywhere on 40 × 40 parts "
        "of photographs, colour; each image has the mask and the tight box of its garment, and names its "
        "photograph",
        "Parts": "train 60 000, test 10 000, balanced: each garment of Fashion-MNIST once, in its order; the "
        "eight photographs of training and the four of the test do not overlap",
        "Classes": ", ".join(FASHION_CLASSES),
        "Licence": "garments MIT, © 2017 Zalando SE; photographs public domain or CC0; the composition: "
        "CC-BY-4.0",
        "Source": "generated on first use from Fashion-MNIST and mixlearn's photographs; kept in the cache "
        "(450 MB); each image's photograph in ImageSet.sources",
        "Beware": "a garment covers about a ninth of its image, so a box that is pasted often holds none of "
        "it; "
        "the tints are drawn without regard to the class; a garment can be hard to see before its background",
    },
    "cifar10": {
        "Name": "CIFAR-10 (Krizhevsky 2009)",
        "What": "tiny photographs, colour, 32 × 32",
        "Parts": "train 50 000, test 10 000, balanced",
        "Classes": "airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck",
        "Licence": "none is stated; cite the technical report. Not shipped",
        "Source": "https://www.cs.toronto.edu/~kriz/cifar.html (or a mirror: mirror=); or your own folder "
        "or zip of images by class: root=",
        "Checked by": "md5 of the archive, c58f30108f718f92721af3b95e74349a, and of each file in it; "
        "images by class: number of classes, pixels of a side",
        "Beware": "about 3 % of the test images have near-duplicates in training (Barz and Denzler 2020)",
    },
    "cifar100": {
        "Name": "CIFAR-100 (Krizhevsky 2009)",
        "What": "tiny photographs, colour, 32 × 32",
        "Parts": "train 50 000, test 10 000, balanced",
        "Classes": "one hundred, fine labels",
        "Licence": "none is stated; cite the technical report. Not shipped",
        "Source": "https://www.cs.toronto.edu/~kriz/cifar.html (or a mirror: mirror=); or your own folder "
        "or zip of images by class: root=",
        "Checked by": "md5 of the archive, eb9058c3a382ffc7106e4002c42a8d85, and of each file in it",
        "Beware": "about 10 % of the test images have near-duplicates in training (Barz and Denzler 2020)",
    },
    "tiny-imagenet": {
        "Name": "Tiny-ImageNet (Stanford CS231n)",
        "What": "ImageNet photographs, colour, 64 × 64, each with a box",
        "Parts": "train 100 000, test 10 000 (its validation part; the test labels are not public)",
        "Classes": "two hundred of ImageNet's",
        "Licence": f"ImageNet's terms: research and teaching that earn nothing, {TERMS_IMAGENET}. Not "
        f"shipped",
        "Source": TINY_URL,
        "Checked by": f"md5 of the archive, {TINY_MD5}; every listed picture must be there",
        "Beware": "the object can be small or cut off",
    },
    "cub200": {
        "Name": "Caltech-UCSD Birds-200-2011 (Wah et al. 2011)",
        "What": "photographs of birds, colour, about 500 pixels, each with a box",
        "Parts": "train 5 994, test 5 794",
        "Classes": "two hundred species",
        "Licence": "research and teaching that earn nothing; the photographers keep their rights. Not "
        "shipped",
        "Source": CUB_URL,
        "Checked by": f"md5 of the archive, {CUB_MD5}; every listed picture must be there",
        "Beware": "some test photographs also stand in ImageNet's training part",
    },
    "aircraft": {
        "Name": "FGVC-Aircraft (Maji et al. 2013)",
        "What": "photographs of aircraft, colour, 1 to 2 million pixels, each with a box",
        "Parts": "train 6 667 (its training and validation parts), test 3 333",
        "Classes": "one hundred variants",
        "Licence": "research that earns nothing; the photographers keep their rights. Not shipped",
        "Source": AIRCRAFT_URL,
        "Checked by": f"md5 of the archive, {AIRCRAFT_MD5}; every listed picture must be there",
        "Beware": "20 pixels at the bottom of each picture name its photographer; every view is made without "
        "them",
    },
    "inaturalist2017": {
        "Name": "iNaturalist, the competition of 2017 (Van Horn et al. 2018)",
        "What": "photographs of plants, animals and fungi, colour, up to 800 pixels",
        "Parts": "train 579 184, test 95 986 (its validation part), not balanced",
        "Classes": "5 089, mostly species",
        "Licence": _LENT,
        "Source": f"{INATURALIST_URL}/2017",
        "Checked by": _SAMPLED,
        "Beware": "how many photographs a class has follows how often it is seen: many classes have few",
    },
    "inaturalist2018": {
        "Name": "iNaturalist, the competition of 2018 (Van Horn et al. 2018)",
        "What": "photographs of plants, animals and fungi, colour, up to 800 pixels",
        "Parts": "train 437 513, test 24 426 (its validation part), the training part not balanced",
        "Classes": "8 142 species, named by numbers where the list is the competition's",
        "Licence": _LENT,
        "Source": f"{INATURALIST_URL}/2018",
        "Checked by": _SAMPLED,
        "Beware": "some species and photographs are those of 2017 too, and no list says which",
    },
    "places205": {
        "Name": "Places205 (Zhou et al. 2014)",
        "What": "photographs of scenes, colour, 256 × 256",
        "Parts": "train 2 448 873, test 20 500 (its validation part); the training part not balanced",
        "Classes": "205 kinds of place",
        "Licence": _LENT,
        "Source": PLACES_URL["places205"],
        "Checked by": _SAMPLED,
        "Beware": "one photograph can show several places; the pictures are squeezed to squares",
    },
    "places365": {
        "Name": "Places365, standard part (Zhou et al. 2018)",
        "What": "photographs of scenes, colour, 256 × 256 or larger",
        "Parts": "train 1 803 460, test 36 500 (its validation part); the training part not balanced",
        "Classes": "365 kinds of place",
        "Licence": _LENT,
        "Source": PLACES_URL["places365"],
        "Checked by": _SAMPLED,
        "Beware": "one photograph can show several places; those of 256 × 256 are squeezed to squares",
    },
    "imagenet-folder": {
        "Name": "ImageNet-1k (Russakovsky et al. 2015), or any set laid out like it",
        "What": "photographs in ROOT/train/CLASS and ROOT/val/CLASS",
        "Parts": "train 1 281 167, test 50 000 (its validation part)",
        "Classes": "one thousand (as many as there are folders)",
        "Licence": f"research and teaching that earn nothing: {TERMS_IMAGENET}. Not shipped",
        "Source": "your own folder: root=",
        "Checked by": "the same classes in both parts; a picture that cannot be decoded is named when it "
        "is read",
        "Beware": "the sha256 of this set is that of file names and sizes, not of the pictures",
    },
}
LISTED_HERE = {"fashion": FASHION_SHA256, "offcentre": OFFCENTRE_SHA256}
SHIPPED = {"emoji": EMOJI_FILES}


def describe(name: str) -> str:
    """The facts of one data set, a paragraph each."""
    facts = dict(FACTS[name])
    if name in LISTED_HERE or name in SHIPPED:
        sums = LISTED_HERE[name] if name in LISTED_HERE else _listed(name)
        files = "".join(f"\n    {value}  {file}" for file, value in sums.items())
        facts["Checked by"] = f"sha256 of each file, together {joint_digest(sums)}{files}"
    lines = [f"{name}: {facts.pop('Name')}"]
    for key, value in facts.items():
        head, *listed = f"{key}: {value}".split("\n")
        lines += (
            wrap(head, 96, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False) + listed
        )
    return "\n".join(lines)


def _listed(name: str) -> dict[str, str]:
    for root in shipped_folders():
        if (root / "SHA256SUMS").is_file():
            sums = read_sums(root / "SHA256SUMS")
            return {file: sums[f"{name}/{file}"] for file in SHIPPED[name]}
    raise FileNotFoundError(f"SHA256SUMS lies in none of {', '.join(map(str, shipped_folders()))}")
