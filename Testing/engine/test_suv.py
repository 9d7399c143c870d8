"""SUV factors against values computed by hand, and the refusals."""

import pytest

from veloxseg import suv
from veloxseg.errors import VeloxSegError

pydicom = pytest.importorskip("pydicom")


def header(injection=None, **changes):
    """350 MBq of F-18 at 10:00, scan at 11:00, 70 kg; a value of None takes the attribute out."""
    dose = pydicom.Dataset()
    values = {"RadiopharmaceuticalStartTime": "100000", "RadionuclideTotalDose": 350e6, "RadionuclideHalfLife": 6586.2}
    for keyword, value in (values | (injection or {})).items():
        setattr(dose, keyword, value)
    result = pydicom.Dataset()
    values = {
        "Units": "BQML", "CorrectedImage": ["DECY", "ATTN", "SCAT"], "DecayCorrection": "START", "PatientWeight": 70.0,
        "SeriesDate": "20260102", "SeriesTime": "110000", "AcquisitionDate": "20260102", "AcquisitionTime": "110000.00",
        "RadiopharmaceuticalInformationSequence": [dose],
    }  # fmt: skip
    for keyword, value in (values | changes).items():
        if value is not None:
            setattr(result, keyword, value)
    return result


def factor(*arguments, **changes):
    return suv.factor([header(*arguments, **changes)], "series")


def test_decayed_to_the_start_of_the_series():
    # 3600 s are 0.5466 half-lives of 6586.2 s: 350 MBq * 0.68463 = 239.622 MBq; 70000 g / 239.622e6 Bq
    assert factor() == pytest.approx(2.92127e-4, rel=1e-5)


def test_liver_of_a_textbook_patient():
    # 7188.67 Bq/ml are 2.1 times the mean of 239.622 MBq in 70 kg, which is 3423.18 Bq/g
    assert 7188.67 * factor() == pytest.approx(2.1, rel=1e-4)


def test_decay_corrected_to_the_injection():
    assert factor(DecayCorrection="ADMIN") == pytest.approx(2.0e-4)


def test_grams_per_milliliter_stay():
    assert factor(Units="GML") == 1.0
    assert factor(Units="GML", SUVType="BW") == 1.0


def test_injection_before_midnight():
    assert factor({"RadiopharmaceuticalStartTime": "233000"}, SeriesTime="003000", AcquisitionTime="003000") == pytest.approx(
        factor(), rel=1e-9
    )


def test_date_of_the_injection_counts():
    same = {"RadiopharmaceuticalStartDateTime": "20260102100000.00"}
    assert factor(same) == pytest.approx(factor(), rel=1e-9)


def test_fractions_of_a_second():
    later = factor({"RadiopharmaceuticalStartTime": "095959.5"})
    assert later / factor() == pytest.approx(2 ** (0.5 / 6586.2), rel=1e-9)


@pytest.mark.parametrize(
    "injection, changes, reason",
    [
        ({}, {"Units": "CNTS"}, "its unit is CNTS instead of BQML (Units)"),
        ({}, {"Units": None}, "its unit is not given instead of BQML (Units)"),
        ({}, {"Units": "GML", "SUVType": "LBM"}, "it holds SUV that are not by body weight (SUVType)"),
        ({}, {"CorrectedImage": ["DECY"]}, "it is not corrected for attenuation (CorrectedImage)"),
        ({}, {"CorrectedImage": None}, "it is not corrected for radioactive decay (CorrectedImage)"),
        ({}, {"DecayCorrection": "NONE"}, "the time of its decay correction is NONE (DecayCorrection)"),
        ({}, {"DecayCorrection": None}, "the time of its decay correction is not given (DecayCorrection)"),
        ({}, {"PatientWeight": None}, "the body weight is not given (PatientWeight)"),
        ({}, {"PatientWeight": 0}, "the body weight is not given (PatientWeight)"),
        ({"RadionuclideTotalDose": 350.0}, {}, "the injected dose of 350 Bq is too small, as if it were given in MBq"),
        ({"RadionuclideHalfLife": 0}, {}, "the half-life is not given (RadionuclideHalfLife)"),
        ({"RadiopharmaceuticalStartTime": ""}, {}, "the time of the injection is not given (RadiopharmaceuticalStartTime)"),
        ({"RadiopharmaceuticalStartTime": "113000"}, {}, "the time between injection and scan would be 1410 minutes"),
        ({}, {"SeriesTime": None}, "the time of the series is not given (SeriesDate, SeriesTime)"),
        ({}, {"AcquisitionTime": "103000"}, "the time of the series is later than its acquisition (SeriesTime)"),
        ({}, {"RadiopharmaceuticalInformationSequence": []}, "it names 0 injections instead of one"),
    ],
)
def test_refusals(injection, changes, reason):
    with pytest.raises(VeloxSegError) as caught:
        factor(injection, **changes)
    assert caught.value.text == (
        f"The PET series series cannot be converted to SUV because {reason}; convert it with the scanner's software first."
    )


def test_no_dicom_file(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("no image")
    with pytest.raises(VeloxSegError) as caught:
        suv.header(path)
    assert caught.value.code == "INPUT_UNREADABLE"
