"""Preparing tiny cases of every layout: geometry, labels, reports, and what goes wrong."""

import csv
import dataclasses
import json
import sys

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from dicom_series import write_dicom
from training import prepare
from training.datasets import cards, conversion
from training.datasets.autopet import AutoPet
from training.datasets.base import DataSet
from training.datasets.brats import Brats
from training.datasets.hecktor import Hecktor
from training.datasets.isic import Isic
from training.datasets.listed import Listed
from training.datasets.msd import MsdBrainTumor
from training.datasets.nnunet import NnUnet
from training.datasets.phantom import Phantom
from veloxseg import phantoms
from veloxseg.contract.errors import VeloxSegError
from veloxseg.imaging import images

GRID = images.Grid((24, 20, 16), (4.0, 4.0, 4.0), (-46.0, -38.0, -30.0))
CENTER = np.array([4.0, -2.0, 3.0])


@pytest.mark.parametrize(
    "sizes, spacing, patch",
    [
        ([[35, 51, 35]] * 3, 1, (48, 48, 48)),
        ([[200, 190, 300]], 1, (96, 96, 96)),
        ([[200, 190, 300]], 3, (128, 128, 64)),
        ([[30, 31, 30], [200, 200, 200], [20, 20, 10]], 1, (32, 32, 32)),
        ([[30, 65, 20]], 1, (32, 80, 32)),
        ([], 1, (96, 96, 96)),
    ],
)
def test_patch_fits_the_cases(sizes, spacing, patch):
    card = cards.made("Test", ["T1"], "T1", {1: "Lesion"}, (1, 1, spacing))
    data = DataSet(card, [["T1"]], {1: 1}, [])
    assert prepare.suggested_patch(data, sizes) == patch
    photos = DataSet(dataclasses.replace(card, working_size=192, spacing_mm=None), [["Photo"]], {1: 1}, [])
    assert prepare.suggested_patch(photos, [[100, 80]]) == (192, 192)


def body(grid, inside, outside, lesion=None, noise=0.0, seed=0):
    """An ellipsoid of 70 x 60 x 50 mm with a lesion of 10 mm radius at CENTER, sampled on a grid."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.size], indexing="ij"), axis=-1)
    world = grid.world(index)
    array = np.where(((world / (35, 30, 25)) ** 2).sum(axis=-1) < 1, inside, outside).astype(np.float32)
    if lesion is not None:
        array[((world - CENTER) ** 2).sum(axis=-1) < 100] = lesion
    return images.image_of(array + np.random.default_rng(seed).normal(0, noise, array.shape).astype(np.float32), grid)


def ct(grid=GRID, seed=0):
    return sitk.Cast(body(grid, 40, -1000, 60, 10, seed), sitk.sitkInt16)


def pet(grid=GRID, seed=0):
    return sitk.Abs(body(grid, 1.0, 0.0, 8.0, 0.02, seed))


def mr(value, grid=GRID):
    return sitk.Abs(body(grid, value, 0, 2 * value, 1))


def label(grid=GRID, value=1):
    return sitk.Cast(body(grid, 0, 0, value), sitk.sitkUInt8)


def write(image, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path), True)
    return path


def write_autopet(folder, name="A", **changes):
    parts = {"CTres": ct(), "SUV": pet(), "SEG": label(), **changes}
    for part, image in parts.items():
        write(image, folder / name / "one" / f"{part}.nii.gz")


def autopet(tmp_path, **changes):
    return AutoPet(output=tmp_path / "out", source=tmp_path / "raw", **changes)


def read(tmp_path, case, name):
    return sitk.ReadImage(str(tmp_path / "out" / "cases" / case / f"{name}.nii.gz"))


def facts(tmp_path, case):
    return json.loads((tmp_path / "out" / "cases" / case / "case.json").read_text())


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def centroid(image):
    """World position in mm of the labelled voxels' middle."""
    return images.grid_of(image).world(np.argwhere(images.array_of(image) > 0).mean(axis=0))


def only_problem(options):
    failed = prepare.prepare(options)
    assert len(failed) == 1
    return failed[0].text


class TestLayouts:
    def test_autopet(self, tmp_path):
        write_autopet(tmp_path / "raw")
        assert prepare.prepare(autopet(tmp_path)) == []
        grids = [images.grid_of(read(tmp_path, "A__one", name)) for name in ("CT", "PET", "label")]
        assert all(images.same_grid(grids[0], other) for other in grids)
        np.testing.assert_allclose(grids[0].spacing, (2.03642, 2.03642, 3.0), atol=1e-5)
        ct_image, mask = read(tmp_path, "A__one", "CT"), read(tmp_path, "A__one", "label")
        assert ct_image.GetPixelID() == sitk.sitkInt16 and mask.GetPixelID() == sitk.sitkUInt8
        assert np.linalg.norm(centroid(mask) - CENTER) < 1.0
        case = facts(tmp_path, "A__one")
        assert case["patient"] == "A" and case["moved"] is None and case["size"] == list(grids[0].size)
        assert case["sources"]["PET"].endswith("SUV.nii.gz") and case["label_source"].endswith("SEG.nii.gz")
        volumes = case["label_ml"]["Lesion"]
        assert volumes["prepared"] == pytest.approx(volumes["source"], rel=0.1)
        data = json.loads((tmp_path / "out" / "dataset.json").read_text())
        assert data["groups"] == [["CT"], ["PET"]] and data["patch_size"] == [48, 48, 32]
        assert data["split"] is None and data["synthetic"] is False
        assert data["card"]["roles"][0]["intensity"] == {"kind": "clip_zscore"}

    def test_hecktor_brings_two_grids_together(self, tmp_path):
        fine = images.Grid((60, 50, 30), (2.0, 2.0, 2.5), (-59.0, -49.0, -36.0))
        raw = tmp_path / "raw"
        write(ct(fine), raw / "imagesTr" / "A__CT.nii.gz")
        write(pet(), raw / "imagesTr" / "A__PT.nii.gz")
        write(label(fine, 2), raw / "labelsTr" / "A.nii.gz")
        assert prepare.prepare(Hecktor(output=tmp_path / "out", source=raw, reference="PET")) == []
        mask, uptake = read(tmp_path, "A", "label"), images.array_of(read(tmp_path, "A", "PET"))
        assert set(np.unique(images.array_of(mask))) == {0, 2}
        assert np.linalg.norm(centroid(mask) - CENTER) < 0.5
        assert uptake[images.array_of(mask) == 2].mean() > 5
        assert facts(tmp_path, "A")["label_ml"]["Lymph node metastasis"]["prepared"] == pytest.approx(4.19, rel=0.1)

    def test_brats_maps_four_to_three(self, tmp_path):
        for part, image in {"flair": mr(100), "t1": mr(200), "t1ce": mr(300), "t2": mr(400), "seg": label(value=4)}.items():
            write(image, tmp_path / "raw" / "X" / f"X_{part}.nii.gz")
        assert prepare.prepare(Brats(output=tmp_path / "out", source=tmp_path / "raw")) == []
        mask = images.array_of(read(tmp_path, "X", "label"))
        assert set(np.unique(mask)) == {0, 3}
        levels = [images.array_of(read(tmp_path, "X", role))[mask == 3].mean() for role in ("FLAIR", "T1", "T1ce", "T2")]
        np.testing.assert_allclose(levels, (200, 400, 600, 800), rtol=0.1)

    def write_msd(self, raw, channels):
        modality = {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}
        labels = {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"}
        write(sitk.JoinSeries([mr(100 * (n + 1)) for n in range(channels)]), raw / "imagesTr" / "B.nii.gz")
        write(label(), raw / "labelsTr" / "B.nii.gz")
        (raw / "dataset.json").write_text(json.dumps({"modality": modality, "labels": labels}))

    def test_msd_takes_four_channels_apart(self, tmp_path):
        self.write_msd(tmp_path / "raw", 4)
        assert prepare.prepare(MsdBrainTumor(output=tmp_path / "out", source=tmp_path / "raw")) == []
        mask = images.array_of(read(tmp_path, "B", "label"))
        assert set(np.unique(mask)) == {0, 2}
        assert images.array_of(read(tmp_path, "B", "T1ce"))[mask == 2].mean() == pytest.approx(600, rel=0.1)

    def test_msd_with_three_channels(self, tmp_path):
        self.write_msd(tmp_path / "raw", 3)
        assert only_problem(MsdBrainTumor(output=tmp_path / "out", source=tmp_path / "raw")) == (
            f"The image {tmp_path / 'raw/imagesTr/B.nii.gz'} has 3 channel(s) instead of 4 (FLAIR, T1, T1ce, T2); "
            "export it again with all of them."
        )

    def test_nnunet(self, tmp_path):
        raw = tmp_path / "Dataset001_Head"
        write(mr(100), raw / "imagesTr" / "a_0000.nrrd")
        write(label(), raw / "labelsTr" / "a.nrrd")
        description = {"channel_names": {"0": "T1"}, "labels": {"background": 0, "thing": 1}, "file_ending": ".nrrd"}
        (raw / "dataset.json").write_text(json.dumps(description))
        assert prepare.prepare(NnUnet(output=tmp_path / "out", source=raw, spacing_mm=(4.0, 4.0, 4.0))) == []
        assert read(tmp_path, "a", "T1").GetPixelID() == sitk.sitkFloat32

    def test_dicom_becomes_suv_and_hounsfield_units(self, tmp_path):
        pytest.importorskip("pydicom")
        write_dicom(ct(), tmp_path / "ct", "CT")
        write_dicom(pet(), tmp_path / "pt", "PT")
        write(label(), tmp_path / "m.nrrd")
        (tmp_path / "cases.csv").write_text("id,CT,PET,label\na,ct,pt,m.nrrd\n")
        assert prepare.prepare(listed(tmp_path, reference="PET")) == []
        mask = images.array_of(read(tmp_path, "a", "label")) > 0
        # 8 SUV were written with a slope for each slice
        assert images.array_of(read(tmp_path, "a", "PET"))[mask].mean() == pytest.approx(8.0, rel=0.01)
        assert images.array_of(read(tmp_path, "a", "CT"))[mask].mean() == pytest.approx(60, abs=2)

    def test_a_slice_is_missing(self, tmp_path):
        pytest.importorskip("pydicom")
        write_dicom(ct(), tmp_path / "ct", "CT")
        (tmp_path / "ct" / "7.dcm").unlink()
        write(label(), tmp_path / "m.nrrd")
        (tmp_path / "cases.csv").write_text("id,CT,label\na,ct,m.nrrd\n")
        assert only_problem(listed(tmp_path)) == (
            f"The image given as CT ({tmp_path / 'ct'}) is not usable in this place (its slices are not evenly spaced, so that "
            f"one is missing or doubled); choose another image for CT ({tmp_path / 'ct'})."
        )


def listed(tmp_path, **changes):
    settings = {"labels": ("Lesion",), "spacing_mm": (4.0, 4.0, 4.0), **changes}
    return Listed(output=tmp_path / "out", source=tmp_path / "cases.csv", **settings)


class TestForeground:
    def test_air_is_cut_off_and_specks_hold_nothing_open(self):
        grid = images.Grid((30, 30, 30), (4.0, 4.0, 4.0), (-58.0, -58.0, -58.0))
        uptake = images.array_of(pet(grid))
        uptake[0, 0, 0] = uptake[29, 29, 29] = 5.0
        box = conversion.foreground_box({"PET": uptake}, np.zeros(uptake.shape, np.uint8))
        # 70 x 60 x 50 mm about the middle are voxels 6-23, 8-21 and 9-20, and three more on each side
        assert [(side.start, side.stop) for side in box] == [(3, 27), (5, 25), (6, 24)]

    def test_a_label_in_air_stays(self):
        mask = np.zeros(GRID.size, np.uint8)
        mask[0, 0, 0] = 1
        box = conversion.foreground_box({"PET": images.array_of(pet())}, mask)
        assert [side.start for side in box] == [0, 0, 0]


class TestRegistration:
    def test_label_goes_with_its_own_image(self, tmp_path):
        shifted = dataclasses.replace(GRID, origin=(-34.0, -38.0, -30.0))
        moved_ct, moved_label = ct(), label()
        for image in (moved_ct, moved_label):
            image.SetOrigin(shifted.origin)
        for name, image in {"CT": moved_ct, "PET": pet(seed=1), "m": moved_label}.items():
            write(image, tmp_path / f"{name}.nrrd")
        (tmp_path / "cases.csv").write_text("id,CT,PET,label\na,CT.nrrd,PET.nrrd,m.nrrd\n")
        assert prepare.prepare(listed(tmp_path, reference="PET", register=True)) == []
        motion = facts(tmp_path, "a")["moved"]["CT"]
        assert motion["kept"] == "" and motion["translation_mm"] == pytest.approx(12.0, abs=1.0)
        assert motion["information_after"] > motion["information_before"]
        assert np.linalg.norm(centroid(read(tmp_path, "a", "label")) - CENTER) < 1.5
        row = next(csv.DictReader((tmp_path / "out" / "report.csv").open()))
        assert row["CT translation_mm"] == str(motion["translation_mm"]) and row["CT kept"] == ""


class TestRuns:
    def test_second_run_writes_nothing(self, tmp_path):
        write_autopet(tmp_path / "raw")
        prepare.prepare(autopet(tmp_path))
        before = times(tmp_path / "out")
        assert prepare.prepare(autopet(tmp_path)) == []
        assert times(tmp_path / "out") == before

    def test_an_interrupted_run_goes_on(self, tmp_path, monkeypatch):
        for name in ("A", "B"):
            write_autopet(tmp_path / "raw", name)
        real = conversion.files.write_json

        def interrupted(path, content):
            if "B__one" in str(path):
                raise KeyboardInterrupt
            real(path, content)

        monkeypatch.setattr(conversion.files, "write_json", interrupted)
        monkeypatch.setattr(conversion.shutil, "rmtree", lambda *_a, **_k: None)  # as when the power goes
        with pytest.raises(KeyboardInterrupt):
            prepare.prepare(autopet(tmp_path))
        monkeypatch.undo()
        cases = tmp_path / "out" / "cases"
        assert sorted(path.name for path in cases.iterdir()) == [".partial-B__one", "A__one"]
        assert not (tmp_path / "out" / "dataset.json").exists()
        before = times(cases / "A__one")
        assert prepare.prepare(autopet(tmp_path)) == []
        assert sorted(path.name for path in cases.iterdir()) == ["A__one", "B__one"]
        assert times(cases / "A__one") == before

    def test_two_processes_give_the_same(self, tmp_path):
        for name in ("A", "B"):
            write_autopet(tmp_path / "raw", name)
        prepare.prepare(autopet(tmp_path))
        prepare.prepare(dataclasses.replace(autopet(tmp_path, workers=2), output=tmp_path / "two"))
        for path in sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file()):
            assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "out")).read_bytes(), path

    def test_an_edited_card_stays(self, tmp_path):
        write_autopet(tmp_path / "raw")
        prepare.prepare(autopet(tmp_path))
        path = tmp_path / "out" / "dataset.json"
        path.write_text(path.read_text().replace("Lesions on FDG PET/CT (AutoPET)", "Our title"))
        write_autopet(tmp_path / "raw", "B")
        prepare.prepare(autopet(tmp_path))
        assert json.loads(path.read_text())["card"]["title"] == "Our title"

    def test_other_settings_are_refused(self, tmp_path):
        write_autopet(tmp_path / "raw")
        prepare.prepare(autopet(tmp_path))
        with pytest.raises(VeloxSegError) as caught:
            prepare.prepare(autopet(tmp_path, register=True))
        assert caught.value.text == (
            f"{tmp_path / 'out'} was prepared with another registration; choose another --output or delete that folder."
        )

    def test_a_case_that_left_the_source_is_named(self, tmp_path):
        for name in ("A", "B"):
            write_autopet(tmp_path / "raw", name)
        prepare.prepare(autopet(tmp_path))
        for path in (tmp_path / "raw" / "B" / "one").iterdir():
            path.unlink()
        with pytest.raises(VeloxSegError) as caught:
            prepare.prepare(autopet(tmp_path))
        assert caught.value.text == (
            f"{tmp_path / 'out'} holds the case B__one, which the source does not have; "
            "delete its folder or choose another --output."
        )

    def test_full_disk_leaves_nothing_half_written(self, tmp_path, monkeypatch):
        write_autopet(tmp_path / "raw")
        real = images.write

        def full(image, path, compress=False):
            if path.name.startswith("PET"):
                raise VeloxSegError("DISK_FULL", path=path.parent)
            real(image, path, compress)

        monkeypatch.setattr(images, "write", full)
        with pytest.raises(SystemExit, match=r"^The disk with .* is full; free some space or choose another folder\.$"):
            prepare.prepare(autopet(tmp_path))
        assert list((tmp_path / "out" / "cases").iterdir()) == []

    @pytest.mark.parametrize("step", [0.0, -1.0, float("nan"), float("inf"), 1e6, 1e-6])
    def test_a_working_grid_that_no_image_has(self, tmp_path, step):
        write(mr(100), tmp_path / "a.nrrd")
        write(label(), tmp_path / "m.nrrd")
        (tmp_path / "cases.csv").write_text("id,T1,label\na,a.nrrd,m.nrrd\n")
        options = dataclasses.replace(listed(tmp_path), spacing_mm=(4.0, step, 4.0))
        with pytest.raises(VeloxSegError, match=r"--spacing-mm has .*, and it goes from 0.01 to 25 mm; correct it") as caught:
            prepare.prepare(options)
        assert caught.value.code == "REQUEST" and not (tmp_path / "out").exists()

    def test_structural_problems_stop_before_anything_is_written(self, tmp_path, monkeypatch):
        write_autopet(tmp_path / "raw")
        (tmp_path / "raw" / "A" / "one" / "SUV.nii.gz").unlink()
        monkeypatch.setattr(
            sys, "argv", ["prepare.py", "autopet", "--source", str(tmp_path / "raw"), "--output", str(tmp_path / "out")]
        )
        with pytest.raises(SystemExit, match=r"^The case A__one has no PET \(SUV.nii.gz in the folder of A__one\); add the file"):
            prepare.main()
        assert not (tmp_path / "out").exists()


class TestHostileCases:
    def test_good_cases_stay_and_bad_ones_are_named_at_the_end(self, tmp_path, monkeypatch, capsys):
        write_autopet(tmp_path / "raw", "A")
        write_autopet(tmp_path / "raw", "B", SEG=label(value=3))
        monkeypatch.setattr(
            sys, "argv", ["prepare.py", "autopet", "--source", str(tmp_path / "raw"), "--output", str(tmp_path / "out")]
        )
        with pytest.raises(SystemExit, match=r"^1 case\(s\) could not be prepared; the others are in "):
            prepare.main()
        sentence = (
            f"The label {tmp_path / 'raw/B/one/SEG.nii.gz'} has the value(s) 3, but the task knows 0, 1 only; correct the label."
        )
        assert f"B__one: {sentence}\n" in capsys.readouterr().err
        rows = list(csv.DictReader((tmp_path / "out" / "report.csv").open()))
        assert [(row["id"], row["problem"]) for row in rows] == [("A__one", ""), ("B__one", sentence)]
        assert [path.name for path in (tmp_path / "out" / "cases").iterdir()] == ["A__one"]

    def test_label_in_another_place(self, tmp_path):
        elsewhere = label()
        elsewhere.SetOrigin((-46.0, -38.0, 10.0))
        write_autopet(tmp_path / "raw", SEG=elsewhere)
        assert only_problem(autopet(tmp_path)) == (
            f"The label {tmp_path / 'raw/A/one/SEG.nii.gz'} has the size of the PET image but lies up to 40.0 mm elsewhere; "
            "export it again with the geometry of that image."
        )

    def test_images_that_do_not_overlap(self, tmp_path):
        far = ct()
        far.SetOrigin((-46.0, -38.0, 400.0))
        write_autopet(tmp_path / "raw", CTres=far)
        path = tmp_path / "raw/A/one/CTres.nii.gz"
        assert only_problem(autopet(tmp_path)) == (
            f"The CT ({path}) image covers only 0 % of the same space as the PET image; "
            "choose images of one patient and visit or register them first."
        )

    def test_file_that_is_no_image(self, tmp_path):
        write_autopet(tmp_path / "raw")
        path = tmp_path / "raw/A/one/SUV.nii.gz"
        path.write_bytes(b"no image")
        assert only_problem(autopet(tmp_path)) == (
            f"The PET ({path}) image cannot be read as NRRD, NIfTI or MetaImage because its header is damaged; "
            "export it again or choose another file."
        )

    def test_file_that_ends_too_early(self, tmp_path):
        write_autopet(tmp_path / "raw")
        path = tmp_path / "raw/A/one/SUV.nii.gz"
        path.write_bytes(path.read_bytes()[:-2000])
        assert only_problem(autopet(tmp_path)).startswith(f"The PET ({path}) image cannot be read")

    def test_becquerel_given_as_suv(self, tmp_path):
        write_autopet(tmp_path / "raw", SUV=pet() * 5000)
        path = tmp_path / "raw/A/one/SUV.nii.gz"
        assert only_problem(autopet(tmp_path)).startswith(f"The unit of this PET ({path}) is not stored. Largest value ")

    def test_values_that_are_no_numbers(self, tmp_path):
        """One counts as empty, and the report says so; most of an image is refused."""
        (tmp_path / "cases.csv").write_text("id,PET,label\na,a.nrrd,a-m.nrrd\nb,b.nrrd,b-m.nrrd\n")
        for case, holes in (("a", np.s_[3, 3, 3]), ("b", np.s_[2:])):
            write(label(), tmp_path / f"{case}-m.nrrd")
            array = images.array_of(pet())
            array[holes] = np.nan
            write(images.image_of(array, GRID), tmp_path / f"{case}.nrrd")
        assert "92 % of the PET" in only_problem(listed(tmp_path))
        with open(tmp_path / "out" / "report.csv", newline="") as file:
            first, second = csv.DictReader(file)
        assert "1 voxel(s) of the PET" in first["notes"] and not second["notes"]
        assert np.isfinite(images.array_of(read(tmp_path, "a", "PET"))).all()


SKIN_CARD = cards.FOLDER / "skin-lesion-nca-demo.json"


def write_photo(folder, name, size=(120, 90), orientation=1):
    """A red spot on skin of `size` (columns, rows), stored as `orientation` says, and its mask as people draw it, upright."""
    y, x = np.mgrid[: size[1], : size[0]]
    spot = (y - 30) ** 2 + (x - 70) ** 2 < 20**2
    pixels = np.where(spot[..., None], (150, 60, 50), (220, 180, 160)).astype(np.uint8)
    stored = Image.fromarray(pixels if orientation == 1 else np.rot90(pixels))
    exif = Image.Exif()
    exif[0x0112] = orientation
    for part in ("photos", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    stored.save(folder / "photos" / f"{name}.jpg", quality=95, exif=exif)
    Image.fromarray(spot.astype(np.uint8) * 255).save(folder / "masks" / f"{name}_segmentation.png")
    return spot


def isic(tmp_path, **changes):
    return Isic(output=tmp_path / "out", images=tmp_path / "raw/photos", masks=tmp_path / "raw/masks", **changes)


class TestPhotos:
    def test_isic(self, tmp_path):
        spot = write_photo(tmp_path / "raw", "a")
        write_photo(tmp_path / "raw", "turned", orientation=6)
        assert prepare.prepare(isic(tmp_path)) == []
        for case in ("a", "turned"):
            folder = tmp_path / "out" / "cases" / case
            assert {path.name for path in folder.iterdir()} == {"photo.png", "mask.png", "case.json"}
            with Image.open(folder / "photo.png") as photo, Image.open(folder / "mask.png") as mask:
                assert photo.mode == "RGB" and photo.size == (120, 90)
                assert mask.mode == "L" and np.array_equal(np.array(mask), spot * np.uint8(255))
                assert (np.array(photo)[..., 1] < 120)[spot].mean() > 0.97
        about = facts(tmp_path, "a")
        assert about["patient"] == "a" and about["sources"]["Photo"].endswith("a.jpg") and about["size"] == [120, 90]
        assert about["label_share"]["Lesion"] == pytest.approx(spot.mean(), abs=1e-5)
        data = json.loads((tmp_path / "out" / "dataset.json").read_text())
        assert data["groups"] == [["Photo"]] and data["patch_size"] == [256, 256]
        assert data["split"] is None and data["synthetic"] is False
        with (tmp_path / "out" / "report.csv").open() as file:
            assert next(csv.DictReader(file))["Lesion share"] == str(about["label_share"]["Lesion"])

    def test_second_run_changes_nothing(self, tmp_path):
        write_photo(tmp_path / "raw", "a")
        prepare.prepare(isic(tmp_path))
        before = times(tmp_path / "out")
        prepare.prepare(isic(tmp_path))
        assert times(tmp_path / "out") == before

    def test_bad_photos_are_named_and_the_others_stay(self, tmp_path):
        for name in ("a", "broken", "larger"):
            write_photo(tmp_path / "raw", name)
        path = tmp_path / "raw/photos/broken.jpg"
        path.write_bytes(path.read_bytes()[:300])
        Image.new("L", (60, 45)).save(tmp_path / "raw/masks/larger_segmentation.png")
        failed = prepare.prepare(isic(tmp_path))
        assert [result.case for result in failed] == ["broken", "larger"]
        assert failed[0].text.startswith(f"The photo {path} cannot be read")
        assert "60 x 45 pixels and its photo 120 x 90" in failed[1].text
        assert [path.name for path in (tmp_path / "out/cases").iterdir()] == ["a"]

    def test_phantom(self, tmp_path):
        parts = {"train": (1, 3), "validation": (3, 4), "test": (4, 5)}
        assert prepare.prepare(Phantom(output=tmp_path / "out", kind="dermoscopy", card=SKIN_CARD, **parts)) == []
        case = phantoms.generate_case("dermoscopy", 2)
        with Image.open(tmp_path / "out/cases/dermoscopy-2/photo.png") as photo:
            assert np.array_equal(np.array(photo), case.rgb)
        assert facts(tmp_path, "dermoscopy-2")["parameters"]["seed"] == 2
        data = json.loads((tmp_path / "out" / "dataset.json").read_text())
        assert data["synthetic"] and data["split"] == {"validation": ["dermoscopy-3"], "test": ["dermoscopy-4"]}

    def test_cards_of_another_kind(self, tmp_path):
        parts = {"train": (1, 2), "validation": (2, 3), "test": (3, 4)}
        volumes = cards.FOLDER / "smoke.json"
        with pytest.raises(VeloxSegError, match="no image for its role CT"):
            Phantom(output=tmp_path, kind="dermoscopy", card=volumes, **parts).listing()
        with pytest.raises(VeloxSegError, match="no image for its role Photo"):
            Phantom(output=tmp_path, kind="petct", card=SKIN_CARD, **parts).listing()
        with pytest.raises(VeloxSegError, match="its only role isn't Photo"):
            isic(tmp_path, card=volumes).listing()
