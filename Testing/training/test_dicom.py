"""DICOM series with something wrong in their headers: a sentence that names it, and the other cases go on."""

import numpy as np
import pytest
import SimpleITK as sitk

from dicom_series import write_dicom
from training import prepare
from training.datasets import cards, reading
from training.datasets.listed import Listed
from veloxseg.contract.errors import VeloxSegError
from veloxseg.imaging import images

pydicom = pytest.importorskip("pydicom")

GRID = images.Grid((16, 14, 12), (4.0, 4.0, 4.0), (0.0, 0.0, 0.0))
MADE = cards.made("Test", ["PET", "CT"], "PET", {1: "Lesion"}, (1, 1, 1))
PET, CT = (next(role for role in MADE.roles if role.name == name) for name in ("PET", "CT"))


def volume(height):
    index = np.stack(np.meshgrid(*map(np.arange, GRID.size), indexing="ij"), axis=-1)
    ball = np.linalg.norm(index - np.array([8, 7, 6]), axis=-1) < 5
    return images.image_of((ball * height).astype(np.float32), GRID)


def series(folder, modality, change):
    write_dicom(volume(8.0 if modality == "PT" else 60.0), folder, modality, change)
    return folder


def refused(folder, role):
    with pytest.raises(VeloxSegError) as caught:
        reading.read_series(folder, role)
    return caught.value.text


def setting(keyword, value, slices=range(100)):
    """A change that sets an element of some slices, or takes it out."""

    def change(number, header):
        if number in slices and value is None:
            delattr(header, keyword)
        elif number in slices:
            setattr(header, keyword, value)

    return change


@pytest.mark.parametrize("modality, role", [("PT", PET), ("CT", CT)])
@pytest.mark.parametrize("slices", [range(100), [5]], ids=["all", "one"])
@pytest.mark.parametrize(
    "keyword, values",
    [
        ("ImagePositionPatient", [None, "", [1, 2]]),
        ("ImageOrientationPatient", [None, "", [1, 0, 0], [1, 0, 0, 1, 0, 0]]),
        ("PixelSpacing", [None, "", [4], [0, 4]]),
        ("RescaleSlope", [None, ""]),
        ("RescaleIntercept", [None, ""]),
    ],
)
def test_elements_that_the_image_cannot_do_without(tmp_path, modality, role, slices, keyword, values):
    for number, value in enumerate(values):
        text = refused(series(tmp_path / str(number), modality, setting(keyword, value, slices)), role)
        assert keyword in text or "DICOM series instead of one" in text


def test_a_series_of_another_modality(tmp_path):
    assert "CT instead of PT (Modality)" in refused(series(tmp_path / "a", "CT", setting("Units", "BQML")), PET)


def test_slices_at_one_place_or_not_straight_above_each_other(tmp_path):
    same = refused(series(tmp_path / "same", "CT", setting("ImagePositionPatient", [0, 0, 0])), CT)
    assert "one is missing or doubled" in same
    tilted = series(tmp_path / "tilted", "CT", lambda k, header: setattr(header, "ImagePositionPatient", [0, 0.5 * k, 4 * k]))
    assert "tilted gantry" in refused(tilted, CT)


def prepared(tmp_path, change):
    """Prepares a fine case and one with a change; returns the problem of the second."""
    rows = ["id,PET,label"]
    sitk.WriteImage(sitk.Cast(volume(1), sitk.sitkUInt8), str(tmp_path / "label-fine.nrrd"))
    sitk.WriteImage(sitk.Cast(volume(1), sitk.sitkUInt8), str(tmp_path / "label-odd.nrrd"))
    for case, what in (("fine", lambda *_: None), ("odd", change)):
        series(tmp_path / case, "PT", what)
        rows.append(f"{case},{case},label-{case}.nrrd")
    (tmp_path / "all.csv").write_text("\n".join(rows))
    options = Listed(output=tmp_path / "o", source=tmp_path / "all.csv", labels=("Lesion",), spacing_mm=(4.0, 4.0, 4.0))
    failed = prepare.prepare(options)
    assert (tmp_path / "o" / "cases" / "fine" / "case.json").exists()
    assert [result.case for result in failed] == ["odd"] * len(failed)
    return [result.text for result in failed]


def start_at(time):
    def change(_number, header):
        header.DecayCorrection, header.SeriesDate, header.SeriesTime = "START", "20240101", "100000"
        header.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartTime = time

    return change


def test_colons_in_a_time_are_read(tmp_path):
    assert prepared(tmp_path, start_at("09:00:00")) == []
    pets = [sitk.ReadImage(str(tmp_path / "o" / "cases" / case / "PET.nii.gz")) for case in ("fine", "odd")]
    found = [images.array_of(pet).max() for pet in pets]
    assert found[1] / found[0] == pytest.approx(2 ** (3600 / 6586.2), rel=1e-3)


@pytest.mark.parametrize(
    "change, words",
    [
        (start_at("29:00:00"), ("RadiopharmaceuticalStartTime", "29:00:00")),
        (setting("PatientWeight", 0.07), ("PatientWeight", "0.07 kg")),
        (setting("PatientWeight", 70000), ("PatientWeight", "70000 kg")),
    ],
)
def test_an_odd_header_names_its_element_and_the_other_case_is_prepared(tmp_path, change, words):
    (text,) = prepared(tmp_path, change)
    assert all(word in text for word in words)
    assert "odd" in (tmp_path / "o" / "report.csv").read_text()


def test_what_nobody_thought_of_ends_one_case_only(tmp_path, monkeypatch, capsys):
    real = reading.read_series

    def broken(folder, role):
        if folder.name == "odd":
            raise ZeroDivisionError
        return real(folder, role)

    monkeypatch.setattr(reading, "read_series", broken)
    (text,) = prepared(tmp_path, lambda *_: None)
    assert "unexpected" in text and "ZeroDivisionError" in capsys.readouterr().err
