"""Each public layout reads back with the categories, labels and masks that its publisher documents."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.training.data import trees
from vipx.errors import InputError, UsageError
from vipx.training.data.open import DATASETS, open_dataset
from vipx.training.data.samples import Dataset, load_sample

SHARED = Path("/work/shared/data")
LESIONS = ["clinicdb", "colondb", "endotect", "isic", "kvasir"]
PUBLIC = [
    "br35h",
    "brainmri",
    "btad",
    "clinicdb",
    "colondb",
    "dagm",
    "dtd_synthetic",
    "endotect",
    "headct",
    "isic",
    "ksdd",
    "kvasir",
    "mpdd",
    "mvtec",
    "visa",
]
BUILDERS: dict[str, Callable[[Path], Path]] = {
    name: trees.mvtec if name in ("mpdd", "dtd_synthetic") else getattr(trees, name)
    for name in PUBLIC
}


def opened(name: str, root: Path) -> Dataset:
    return open_dataset(name, BUILDERS[name](root))


def told(dataset: Dataset) -> list[tuple[str, str, str | None, str, str | None]]:
    """Category, split, defect, picture and mask of every sample, by their paths below the root."""
    return [
        (
            each.category,
            each.split,
            each.defect,
            each.image.relative_to(dataset.root).as_posix(),
            each.mask.relative_to(dataset.root).as_posix() if each.mask else None,
        )
        for each in dataset.samples
    ]


def test_names_are_sorted_and_complete() -> None:
    assert list(DATASETS) == sorted([*PUBLIC, "csv", "folders", "meta"])


@pytest.mark.parametrize("name", PUBLIC)
def test_a_tree_reads_back_without_problems_and_every_sample_loads(
    name: str, tmp_path: Path
) -> None:
    dataset = opened(name, tmp_path)
    assert dataset.problems == ()
    assert (dataset.name, dataset.root) == (name, tmp_path)
    for sample in dataset.samples:
        loaded = load_sample(sample, height=8, width=6)
        assert loaded.image.shape == (8, 6, 3)
        assert loaded.label == int(sample.anomalous)
        if loaded.mask is None:
            assert name in ("br35h", "brainmri", "headct")
        else:
            # Each mask is anomalous in its upper left quarter and nowhere else.
            assert loaded.mask[:4, :3].all() == loaded.mask.any() == sample.anomalous
            assert loaded.mask.sum() == (12 if sample.anomalous else 0)


@pytest.mark.parametrize("name", PUBLIC)
def test_hidden_files_and_thumbnails_are_passed_over(name: str, tmp_path: Path) -> None:
    before = told(opened(name, tmp_path))
    for folder in [tmp_path, *(each for each in tmp_path.rglob("*") if each.is_dir())]:
        trees.text(folder / "Thumbs.db", "")
        trees.text(folder / ".DS_Store", "")
        trees.text(folder / "._000.png", "")
    again = open_dataset(name, tmp_path)
    assert told(again) == before
    assert again.problems == ()


@pytest.mark.parametrize("name", DATASETS)
def test_another_layout_is_refused_with_what_was_expected(name: str, tmp_path: Path) -> None:
    trees.picture(tmp_path / "elsewhere/1.png")
    with pytest.raises(InputError, match=f"not in the {name} layout: expected .+; see docs"):
        open_dataset(name, tmp_path)
    with pytest.raises(InputError, match=f"no such folder; give the root of the {name} dataset"):
        open_dataset(name, tmp_path / "missing")


def test_an_unknown_name_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown dataset 'mvtek'; known are br35h, .*visa"):
        open_dataset("mvtek", tmp_path)


@pytest.mark.parametrize("name", ["mvtec", "mpdd", "dtd_synthetic"])
def test_mvtec_names_categories_and_defects_by_their_folders(name: str, tmp_path: Path) -> None:
    dataset = opened(name, tmp_path)
    assert dataset.categories == ("bottle", "cable")
    assert told(dataset)[:5] == [
        ("bottle", "train", None, "bottle/train/good/000.png", None),
        ("bottle", "train", None, "bottle/train/good/001.png", None),
        (
            "bottle",
            "test",
            "cut",
            "bottle/test/cut/000.png",
            "bottle/ground_truth/cut/000_mask.png",
        ),
        (
            "bottle",
            "test",
            "cut",
            "bottle/test/cut/001.png",
            "bottle/ground_truth/cut/001_mask.png",
        ),
        ("bottle", "test", None, "bottle/test/good/000.png", None),
    ]
    assert [row[0] for row in told(dataset)[5:]] == ["cable"] * 5


def test_mvtec_takes_a_single_category(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = trees.mvtec(tmp_path) / "bottle"
    assert open_dataset("mvtec", root).categories == ("bottle",)
    monkeypatch.chdir(root)
    assert open_dataset("mvtec", Path()).categories == ("bottle",)


def test_mvtec_without_ground_truth_has_image_labels_alone(tmp_path: Path) -> None:
    trees.pictures(tmp_path / "part/test/good", ["0.png"])
    trees.pictures(tmp_path / "part/test/bad", ["0.png"])
    dataset = open_dataset("mvtec", tmp_path)
    assert dataset.problems == ()
    assert [(each.defect, each.masked) for each in dataset.samples] == [
        ("bad", False),
        (None, True),
    ]


def test_good_and_ok_are_never_taken_for_defects(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected good images in good/ and not in .*01/train/ok"):
        open_dataset("mvtec", trees.btad(tmp_path / "btad"))
    with pytest.raises(InputError, match=r"expected good images in ok/ and not in .*train/good"):
        open_dataset("btad", trees.mvtec(tmp_path / "mvtec"))


def test_a_missing_and_a_superfluous_mask_are_named(tmp_path: Path) -> None:
    root = trees.mvtec(tmp_path)
    truth = root / "cable/ground_truth/cut"
    (truth / "001_mask.png").rename(truth / "007_mask.png")
    dataset = open_dataset("mvtec", root)
    assert [(each.path, each.warning) for each in dataset.problems] == [
        (root / "cable/test/cut/001.png", True),
        (truth / "007_mask.png", True),
    ]
    assert "no mask" in dataset.problems[0].reason
    assert "no image" in dataset.problems[1].reason
    lonely = [each for each in dataset.samples if not each.masked]
    assert [each.image for each in lonely] == [root / "cable/test/cut/001.png"]
    assert load_sample(lonely[0], height=4, width=4).mask is None


def test_two_masks_of_one_picture_are_named_and_none_is_used(tmp_path: Path) -> None:
    root = trees.mvtec(tmp_path)
    trees.mask(root / "cable/ground_truth/cut/000_mask.bmp")
    dataset = open_dataset("mvtec", root)
    assert [each.path for each in dataset.problems] == [root / "cable/test/cut/000.png"]
    assert "000_mask.bmp, 000_mask.png" in dataset.problems[0].reason


def test_btad_pairs_masks_of_another_format(tmp_path: Path) -> None:
    dataset = opened("btad", tmp_path)
    assert dataset.categories == ("01", "02", "03")
    assert [row[2:] for row in told(dataset) if row[2]] == [
        ("ko", "01/test/ko/0000.bmp", "01/ground_truth/ko/0000.png"),
        ("ko", "02/test/ko/0000.png", "02/ground_truth/ko/0000.png"),
        ("ko", "03/test/ko/0000.bmp", "03/ground_truth/ko/0000.bmp"),
    ]
    assert [row[3] for row in told(dataset) if row[1] == "train"][:2] == [
        "01/train/ok/0000.bmp",
        "01/train/ok/0001.bmp",
    ]


def test_visa_follows_its_split_and_names_defects_by_its_annotation(tmp_path: Path) -> None:
    images, masks = "Data/Images", "Data/Masks/Anomaly/000.png"
    assert told(opened("visa", tmp_path)) == [
        ("candle", "train", None, f"candle/{images}/Normal/0000.JPG", None),
        ("candle", "test", None, f"candle/{images}/Normal/0001.JPG", None),
        (
            "candle",
            "test",
            "chunk of wax missing,other",
            f"candle/{images}/Anomaly/000.JPG",
            f"candle/{masks}",
        ),
        ("pcb1", "train", None, f"pcb1/{images}/Normal/0000.JPG", None),
        ("pcb1", "test", None, f"pcb1/{images}/Normal/0001.JPG", None),
        ("pcb1", "test", "anomalous", f"pcb1/{images}/Anomaly/000.JPG", f"pcb1/{masks}"),
    ]


def test_visa_names_files_that_are_not_there(tmp_path: Path) -> None:
    root = trees.visa(tmp_path)
    image = root / "candle/Data/Images/Normal/0000.JPG"
    truth = root / "pcb1/Data/Masks/Anomaly/000.png"
    image.unlink()
    truth.unlink()
    dataset = open_dataset("visa", root)
    assert [(each.path, each.warning) for each in dataset.problems] == [
        (image, False),
        (truth, True),
    ]
    assert len(dataset.samples) == 5
    assert not dataset.samples[-1].masked


@pytest.mark.parametrize("row", ["pcb1,val,normal,x.JPG,", "pcb1,test,bad,x.JPG,"])
def test_visa_refuses_a_split_or_label_that_it_does_not_know(row: str, tmp_path: Path) -> None:
    trees.text(tmp_path / "split_csv/1cls.csv", "object,split,label,image,mask", row)
    with pytest.raises(InputError, match=r"1cls\.csv, line 2: expected train or test, and normal"):
        open_dataset("visa", tmp_path)


def test_ksdd_calls_a_part_defective_where_its_label_is_not_empty(tmp_path: Path) -> None:
    category = "electrical commutators"
    assert told(opened("ksdd", tmp_path)) == [
        (category, "test", None, "kos01/Part0.jpg", None),
        (category, "test", None, "kos01/Part1.jpg", None),
        (category, "test", None, "kos02/Part0.jpg", None),
        (category, "test", "anomalous", "kos02/Part1.jpg", "kos02/Part1_label.bmp"),
    ]


def test_ksdd_leaves_out_parts_without_a_readable_label(tmp_path: Path) -> None:
    root = trees.ksdd(tmp_path)
    (root / "kos01/Part0_label.bmp").unlink()
    (root / "kos01/Part1_label.bmp").write_bytes(b"BM")
    dataset = open_dataset("ksdd", root)
    assert [each.path.name for each in dataset.problems] == ["Part0.jpg", "Part1.jpg"]
    assert not any(each.warning for each in dataset.problems)
    assert len(dataset.samples) == 2


def test_dagm_orders_classes_by_number_and_keeps_the_publisher_s_split(tmp_path: Path) -> None:
    dataset = opened("dagm", tmp_path)
    expected = [
        row
        for name in ("Class1", "Class2", "Class10")
        for split in ("Train", "Test")
        for row in (
            (name, split.lower(), None, f"{name}/{split}/0001.PNG", None),
            (
                name,
                split.lower(),
                "anomalous",
                f"{name}/{split}/0002.PNG",
                f"{name}/{split}/Label/0002_label.PNG",
            ),
        )
    ]
    assert told(dataset) == expected


def test_dagm_reads_archives_unpacked_one_level_deeper(tmp_path: Path) -> None:
    trees.dagm(tmp_path / "flat")
    for folder in sorted((tmp_path / "flat").iterdir()):
        (tmp_path / "deep" / folder.name).mkdir(parents=True)
        folder.rename(tmp_path / "deep" / folder.name / folder.name)
    dataset = open_dataset("dagm", tmp_path / "deep")
    assert dataset.categories == ("Class1", "Class10", "Class2")
    assert len(dataset.samples) == 12


def test_dagm_believes_labels_txt_and_names_contradictions(tmp_path: Path) -> None:
    root = trees.dagm(tmp_path)
    label = root / "Class1/Train/Label"
    (label / "0002_label.PNG").unlink()
    trees.mask(label / "0001_label.PNG")
    dataset = open_dataset("dagm", root)
    assert [(each.path.name, each.warning) for each in dataset.problems] == [
        ("0001.PNG", False),
        ("0002.PNG", True),
    ]
    (label / "Labels.txt").unlink()
    by_mask = open_dataset("dagm", root)
    assert by_mask.problems == ()
    assert [each.anomalous for each in by_mask.samples[:2]] == [True, False]


def test_headct_follows_its_table_and_names_what_is_not_in_it(tmp_path: Path) -> None:
    dataset = opened("headct", tmp_path)
    assert told(dataset) == [
        ("brain", "test", "hemorrhage", "head_ct/head_ct/000.png", None),
        ("brain", "test", None, "head_ct/head_ct/001.png", None),
        ("brain", "test", None, "head_ct/head_ct/002.png", None),
    ]
    folder = tmp_path / "head_ct/head_ct"
    (folder / "002.png").rename(folder / "200.png")
    assert [each.path.name for each in open_dataset("headct", tmp_path).problems] == [
        "002.png",
        "200.png",
    ]
    trees.text(tmp_path / "labels.csv", "id, hemorrhage", "0,yes")
    with pytest.raises(InputError, match=r"labels\.csv, line 2: expected a number and 0 or 1"):
        open_dataset("headct", tmp_path)


@pytest.mark.parametrize(("name", "good"), [("brainmri", "no/1 no.jpeg"), ("br35h", "no/no0.jpg")])
def test_yes_is_a_tumour_and_no_is_good(name: str, good: str, tmp_path: Path) -> None:
    rows = told(opened(name, tmp_path))
    assert rows[0] == ("brain", "test", None, good, None)
    assert [row[2] for row in rows[1:]] == ["tumor", "tumor"]
    assert len(rows) == 3  # neither pred/ nor the second copy counts


def test_brainmri_reads_its_inner_folder(tmp_path: Path) -> None:
    trees.brainmri(tmp_path / "all")
    (tmp_path / "one").mkdir()
    (tmp_path / "all/brain_tumor_dataset").rename(tmp_path / "one/brain_tumor_dataset")
    assert len(open_dataset("brainmri", tmp_path / "one").samples) == 3


@pytest.mark.parametrize("name", LESIONS)
def test_lesion_datasets_hold_anomalous_test_images_alone(name: str, tmp_path: Path) -> None:
    dataset = opened(name, tmp_path)
    category, defect = ("skin", "lesion") if name == "isic" else ("colon", "polyp")
    assert {row[:3] for row in told(dataset)} == {(category, "test", defect)}
    assert all(each.masked for each in dataset.samples)
    assert {each.mask_above for each in dataset.samples} == {
        127 if name in ("endotect", "kvasir") else 0
    }


def test_isic_2017_and_2018_read_like_2016(tmp_path: Path) -> None:
    both = open_dataset("isic", trees.isic_2017(tmp_path / "2017"))
    assert [(each.split, each.image.name) for each in both.samples] == [
        ("train", "ISIC_Training.jpg"),
        ("test", "ISIC_Test_v2.jpg"),
    ]
    assert both.problems == ()
    late = open_dataset("isic", trees.isic_2018(tmp_path / "2018"))
    assert [each.masked for each in late.samples] == [True]


def test_isic_refuses_several_years_at_once(tmp_path: Path) -> None:
    trees.isic(tmp_path)
    trees.isic_2018(tmp_path)
    with pytest.raises(InputError, match="holds ISIC 2016, 2018, which share pictures"):
        open_dataset("isic", tmp_path)


def test_colondb_reads_the_publisher_s_flat_folder(tmp_path: Path) -> None:
    dataset = open_dataset("colondb", trees.colondb_flat(tmp_path))
    assert [row[3:] for row in told(dataset)] == [("1.bmp", "p1.bmp"), ("10.bmp", "p10.bmp")]
    assert dataset.problems == ()


@pytest.mark.parametrize("kind", ["PNG", "TIF"])
def test_clinicdb_reads_either_of_the_two_formats(kind: str, tmp_path: Path) -> None:
    trees.clinicdb(tmp_path / kind)
    rows = told(open_dataset("clinicdb", tmp_path))
    assert rows[0][3:] == (f"{kind}/Original/1.tif", f"{kind}/Ground Truth/1.tif")


def test_lesions_without_a_folder_of_masks_are_refused(tmp_path: Path) -> None:
    trees.picture(tmp_path / "images/1.jpg")
    with pytest.raises(InputError, match="not in the kvasir layout: expected the folder masks"):
        open_dataset("kvasir", tmp_path)


def test_meta_follows_the_index(tmp_path: Path) -> None:
    for name in ("a/0.png", "a/1.png", "b/0.png"):
        trees.picture(tmp_path / name)
    trees.mask(tmp_path / "m/1.jpg")
    good = {"img_path": "a/0.png", "mask_path": "", "cls_name": "x", "specie_name": "good"}
    bad = {"img_path": "a/1.png", "mask_path": "m/1.jpg", "cls_name": "x", "specie_name": "dent"}
    absolute = str(tmp_path / "b/0.png")
    unmasked = {"img_path": absolute, "mask_path": "", "cls_name": "y", "specie_name": ""}
    index = {
        "Train": {"x": [good | {"anomaly": 0, "extra": 1}]},
        "test": {"x": [bad | {"anomaly": 1}], "y": [unmasked | {"anomaly": 1}]},
    }
    (tmp_path / "meta.json").write_text(json.dumps(index))
    dataset = open_dataset("meta", tmp_path)
    assert dataset.problems == ()
    assert told(dataset) == [
        ("x", "train", None, "a/0.png", None),
        ("x", "test", "dent", "a/1.png", "m/1.jpg"),
        ("y", "test", "anomalous", "b/0.png", None),
    ]
    assert [each.mask_above for each in dataset.samples] == [0, 127, 0]


def test_meta_names_missing_files(tmp_path: Path) -> None:
    trees.picture(tmp_path / "1.png")
    entry = {"mask_path": "gone.png", "cls_name": "x", "specie_name": "dent", "anomaly": 1}
    index = {"test": {"x": [entry | {"img_path": "0.png"}, entry | {"img_path": "1.png"}]}}
    (tmp_path / "meta.json").write_text(json.dumps(index))
    dataset = open_dataset("meta", tmp_path)
    assert [(each.path.name, each.warning) for each in dataset.problems] == [
        ("0.png", False),
        ("gone.png", True),
    ]
    assert [each.masked for each in dataset.samples] == [False]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "valid dictionary"),
        ("{", "not such an index"),
        ('{"test": {"x": [{"img_path": "a", "cls_name": "x"}]}}', r"test\.x\.0\.anomaly"),
        ('{"val": {}}', "expected the splits train and test, got val"),
        ("[" * 100_000, "not such an index"),
    ],
)
def test_meta_refuses_what_is_no_index_in_one_line(
    content: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "meta.json").write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        open_dataset("meta", tmp_path)
    assert "\n" not in str(caught.value)


def test_folders_of_good_and_bad_pictures(tmp_path: Path) -> None:
    root = tmp_path / "lids"
    trees.pictures(root / "good", ["a.png", "camera2/a.png"])
    trees.pictures(root / "bad", ["a.png", "b.png", "dent/a.jpg"])
    trees.mask(root / "masks/a.png")
    trees.mask(root / "masks/dent/a_mask.png")
    dataset = open_dataset("folders", root)
    assert told(dataset) == [
        ("lids", "test", None, "good/a.png", None),
        ("lids", "test", None, "good/camera2/a.png", None),
        ("lids", "test", "anomalous", "bad/a.png", "masks/a.png"),
        ("lids", "test", "anomalous", "bad/b.png", None),
        ("lids", "test", "dent", "bad/dent/a.jpg", "masks/dent/a_mask.png"),
    ]
    assert [each.path for each in dataset.problems] == [root / "bad/b.png"]


def test_folders_without_masks_or_without_bad_pictures_are_fine(tmp_path: Path) -> None:
    trees.pictures(tmp_path / "good", ["a.png"])
    assert len(open_dataset("folders", tmp_path).samples) == 1
    trees.pictures(tmp_path / "bad", ["a.png"])
    dataset = open_dataset("folders", tmp_path)
    assert (len(dataset.samples), dataset.problems) == (2, ())


def test_csv_with_every_column(tmp_path: Path) -> None:
    trees.pictures(tmp_path, ["0.png", "1.png", "2.png"])
    trees.mask(tmp_path / "m1.png")
    trees.text(
        tmp_path / "dataset.csv",
        "image;label;mask;category;split;defect",
        "0.png;good;;lid;train;",
        "1.png;NG;m1.png;lid;;dent",
        "2.png;1;;cap;test;",
    )
    for root in (tmp_path, tmp_path / "dataset.csv"):
        dataset = open_dataset("csv", root)
        assert [
            (each.category, each.split, each.defect, each.mask and each.mask.name)
            for each in dataset.samples
        ] == [
            ("lid", "train", None, None),
            ("lid", "test", "dent", "m1.png"),
            ("cap", "test", "anomalous", None),
        ]


def test_csv_with_the_defect_alone(tmp_path: Path) -> None:
    trees.pictures(tmp_path / "lids", ["0.png", "1.png"])
    table = trees.text(tmp_path / "lids/parts.csv", "image,defect", "0.png,", '1.png,"dent, deep"')
    dataset = open_dataset("csv", table)
    assert [each.defect for each in dataset.samples] == [None, "dent, deep"]
    assert dataset.categories == ("lids",)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["picture,label"], "the header lacks image"),
        (["image", "0.png"], "line 2: expected a column label or defect"),
        (["image,label", "0.png,maybe"], "line 2: expected a label such as good or bad"),
        (["image,label", "0.png"], "line 2: expected 2 cells, got 1"),
        (["image,label,split", "0.png,good,val"], "expected the split train or test"),
        (["image,label,defect", "0.png,good,dent"], "the label is good, but the defect dent"),
        (["image,label", "9.png,good"], "without a usable picture; the first problem is .*9.png"),
    ],
)
def test_csv_that_contradicts_itself_is_refused(
    lines: list[str], message: str, tmp_path: Path
) -> None:
    trees.picture(tmp_path / "0.png")
    trees.text(tmp_path / "dataset.csv", *lines)
    with pytest.raises(InputError, match=message):
        open_dataset("csv", tmp_path)


def test_csv_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dataset.csv").write_bytes(b"image,label\n\xff\xfe,good\n")
    with pytest.raises(InputError, match="cannot be read as CSV"):
        open_dataset("csv", tmp_path)


def test_masks_of_good_pictures_are_kept_apart(tmp_path: Path) -> None:
    root = trees.visa(tmp_path)
    truth = trees.mask(root / "candle/mask.png", value=0)
    table = root / "split_csv/1cls.csv"
    text = table.read_text(encoding="utf-8")
    table.write_text(text.replace("Normal/0001.JPG,", "Normal/0001.JPG,candle/mask.png", 1))
    dataset = open_dataset("visa", root)
    assert [each.mask for each in dataset.good_masks] == [truth]
    assert all(each.anomalous for each in dataset.samples if each.mask)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared pictures are not on this machine")
def test_the_shared_pictures_read_as_mvtec() -> None:
    industrial = open_dataset("mvtec", SHARED / "industrial")
    assert industrial.categories == ("cookie", "hazelnut_toy", "magnetic_tile")
    assert (len(industrial.samples), industrial.problems) == (966, ())
    assert all(each.masked for each in industrial.samples)
    medical = open_dataset("mvtec", SHARED / "medical")
    assert (len(medical.samples), medical.problems) == (252, ())
    unmasked = {each.category for each in medical.samples if not each.masked}
    assert unmasked == {"brain_mri"}
