"""Miniature trees in the layouts of the publishers."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (12, 16)


def picture(path: Path, *, size: tuple[int, int] = SIZE) -> Path:
    """A picture whose content follows from its name, so that no two files are alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(list(str(path).encode()))
    Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(path)
    return path


def pictures(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        picture(folder / name)


def mask(path: Path, *, value: int = 255, size: tuple[int, int] = SIZE) -> Path:
    """A mask whose upper left quarter is anomalous; value 0 leaves it empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = np.zeros(size, np.uint8)
    grey[: size[0] // 2, : size[1] // 2] = value
    Image.fromarray(grey).save(path)
    return path


def text(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def mvtec(root: Path) -> Path:
    """Two categories in the layout of MVTec AD, MPDD and DTD-Synthetic."""
    for category in ("bottle", "cable"):
        pictures(root / category / "train/good", ["000.png", "001.png"])
        pictures(root / category / "test/good", ["000.png"])
        pictures(root / category / "test/cut", ["000.png", "001.png"])
        mask(root / category / "ground_truth/cut/000_mask.png")
        mask(root / category / "ground_truth/cut/001_mask.png")
        text(root / category / "license.txt", "CC BY-NC-SA 4.0")
    text(root / "readme.txt", "about")
    return root


def btad(root: Path) -> Path:
    """BMP pictures in 01 and 03, PNG in 02, as its archive holds them."""
    for category, ending in (("01", "bmp"), ("02", "png"), ("03", "bmp")):
        pictures(root / category / "train/ok", [f"0000.{ending}", f"0001.{ending}"])
        pictures(root / category / "test/ok", [f"0010.{ending}"])
        pictures(root / category / "test/ko", [f"0000.{ending}"])
        mask(root / category / f"ground_truth/ko/0000.{'png' if category != '03' else 'bmp'}")
    return root


def visa(root: Path) -> Path:
    rows = ["object,split,label,image,mask"]
    for category in ("candle", "pcb1"):
        for split, name in (("train", "0000.JPG"), ("test", "0001.JPG")):
            image = f"{category}/Data/Images/Normal/{name}"
            picture(root / image)
            rows.append(f"{category},{split},normal,{image},")
        image, truth = (
            f"{category}/Data/Images/Anomaly/000.JPG",
            f"{category}/Data/Masks/Anomaly/000.png",
        )
        picture(root / image)
        mask(root / truth, value=1)
        rows.append(f"{category},test,anomaly,{image},{truth}")
    annotation = "candle/Data/Images/Anomaly/000.JPG"
    text(
        root / "candle/image_anno.csv",
        "image,label,mask",
        "candle/Data/Images/Normal/0000.JPG,normal,",
        f'{annotation},"chunk of wax missing,other",candle/Data/Masks/Anomaly/000.png',
    )
    text(root / "split_csv/1cls.csv", *rows)
    return root


def ksdd(root: Path) -> Path:
    for folder in ("kos01", "kos02"):
        for part in ("Part0", "Part1"):
            picture(root / folder / f"{part}.jpg")
            bad = (folder, part) == ("kos02", "Part1")
            mask(root / folder / f"{part}_label.bmp", value=255 if bad else 0)
    return root


def dagm(root: Path) -> Path:
    for name in ("Class1", "Class2", "Class10"):
        for split in ("Train", "Test"):
            folder = root / name / split
            pictures(folder, ["0001.PNG", "0002.PNG"])
            mask(folder / "Label/0002_label.PNG")
            text(
                folder / "Label/Labels.txt",
                "2",
                "1\t0\t0001.PNG\t0\t0",
                "2\t1\t0002.PNG\t1\t0002_label.PNG",
            )
    return root


def headct(root: Path) -> Path:
    pictures(root / "head_ct/head_ct", ["000.png", "001.png", "002.png"])
    text(root / "labels.csv", "id, hemorrhage", "0,1", "1,0", "2,0")
    return root


def brainmri(root: Path) -> Path:
    pictures(root / "yes", ["Y1.jpg", "Y2.JPG"])
    pictures(root / "no", ["1 no.jpeg"])
    pictures(root / "brain_tumor_dataset/yes", ["Y1.jpg", "Y2.JPG"])
    pictures(root / "brain_tumor_dataset/no", ["1 no.jpeg"])
    return root


def br35h(root: Path) -> Path:
    pictures(root / "yes", ["y0.jpg", "y1.jpg"])
    pictures(root / "no", ["no0.jpg"])
    pictures(root / "pred", ["pred0.jpg"])
    return root


def isic(root: Path) -> Path:
    for number in ("0000003", "0000012"):
        picture(root / f"ISBI2016_ISIC_Part1_Test_Data/ISIC_{number}.jpg")
        mask(root / f"ISBI2016_ISIC_Part1_Test_GroundTruth/ISIC_{number}_Segmentation.png")
    return root


def isic_2017(root: Path) -> Path:
    for folder, truth in (("Training", "Training"), ("Test_v2", "Test_v2")):
        data = root / f"ISIC-2017_{folder}_Data"
        pictures(data, [f"ISIC_{folder}.jpg", f"ISIC_{folder}_superpixels.png"])
        mask(root / f"ISIC-2017_{truth}_Part1_GroundTruth/ISIC_{folder}_segmentation.png")
    return root


def isic_2018(root: Path) -> Path:
    picture(root / "ISIC2018_Task1-2_Test_Input/ISIC_0012169.jpg")
    mask(root / "ISIC2018_Task1_Test_GroundTruth/ISIC_0012169_segmentation.png")
    text(root / "ISIC2018_Task1-2_Test_Input/LICENSE.txt", "CC BY-NC 4.0")
    return root


def colondb(root: Path) -> Path:
    pictures(root / "images", ["1.png", "10.png"])
    mask(root / "masks/1.png")
    mask(root / "masks/10.png")
    return root


def colondb_flat(root: Path) -> Path:
    """The publisher's first release: originals, polyps (p), non-informative parts (s), contours (c)."""
    for number in (1, 10):
        picture(root / f"{number}.bmp")
        for kind in "psc":
            mask(root / f"{kind}{number}.bmp")
    return root


def clinicdb(root: Path) -> Path:
    for number in (1, 2):
        picture(root / f"Original/{number}.tif")
        mask(root / f"Ground Truth/{number}.tif")
    return root


def endotect(root: Path) -> Path:
    for name in ("ckcu1", "ckcu2"):
        picture(root / f"images/{name}.jpg")
        mask(root / f"masks/{name}.jpg")
    return root


def kvasir(root: Path) -> Path:
    for name in ("cju0qkwl35piu0993l0dewei2", "cju0qoxqj9q6s0835b43399p4"):
        picture(root / f"images/{name}.jpg")
        mask(root / f"masks/{name}.jpg")
    text(root / "kavsir_bboxes.json", "{}")
    return root
