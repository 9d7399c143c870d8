"""SUV factors against values computed by hand, and the refusals."""

import pytest

from veloxseg.contract.errors import VeloxSegError
from veloxseg.imaging import suv

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


@pytest.mark.parametrize("time", ["10:00:00", "10:00", "1000", "10:00:00.000000", "100000.", "09:59:60"])
def test_times_as_old_scanners_write_them(time):
    assert factor({"RadiopharmaceuticalStartTime": time}) == pytest.approx(2.92127e-4, rel=1e-5)


def test_date_with_dots():
    assert factor(SeriesDate="2026.01.02") == pytest.approx(factor(), rel=1e-12)


def test_injection_days_before_with_its_date():
    zirconium = {"RadionuclideHalfLife": 282276.0, "RadiopharmaceuticalStartDateTime": "20251231110000",
                 "RadiopharmaceuticalStartTime": "110000", "RadionuclideCodeSequence": nuclide("^89^Zirconium")}  # fmt: skip
    assert factor(zirconium) == pytest.approx(2e-4 * 2 ** (172800 / 282276), rel=1e-9)


def nuclide(name):
    code = pydicom.Dataset()
    code.CodeMeaning = name
    return [code]


def no_time(text, keyword):
    return f"{text!r} is no date or time to the minute ({keyword})"


@pytest.mark.parametrize(
    "keyword, other",
    [("Units", "CNTS"), ("PatientWeight", 71), ("SeriesTime", "110001"), ("CorrectedImage", ["DECY"]),
     ("DecayCorrection", "ADMIN"), ("SeriesDate", None)],
)  # fmt: skip
def test_slices_that_disagree(keyword, other):
    with pytest.raises(VeloxSegError, match=f"its slices differ in {keyword}"):
        suv.factor([header(), header(), header(**{keyword: other})], "series")


def test_slices_that_disagree_on_the_injection():
    with pytest.raises(VeloxSegError, match="its slices differ in RadionuclideTotalDose"):
        suv.factor([header(), header({"RadionuclideTotalDose": 340e6})], "series")
    with pytest.raises(VeloxSegError, match="its slices differ in RadiopharmaceuticalInformationSequence"):
        suv.factor([header(), header(RadiopharmaceuticalInformationSequence=[])], "series")


@pytest.mark.parametrize("keyword", ["PatientWeight", "Units", "SeriesTime", "CorrectedImage", "DecayCorrection"])
def test_every_element_may_be_missing_empty_or_of_another_type(keyword):
    for value in (None, "", "abc", ["1", "2", "3"]):
        found = header()
        if value is None:
            delattr(found, keyword)
        else:
            element = found[keyword]
            found[keyword] = pydicom.DataElement(element.tag, "LO", value)
        with pytest.raises(VeloxSegError) as caught:
            suv.factor([found, found], "series")
        assert caught.value.code == "SUV" and keyword in caught.value.text


def test_bytes_that_are_no_number(tmp_path):
    """As a file has them: pydicom converts when it is asked for the value."""
    found = header()
    found[0x00101030] = pydicom.dataelem.RawDataElement(pydicom.tag.Tag(0x00101030), "DS", 4, b"many", 0, False, True)
    with pytest.raises(VeloxSegError, match="PatientWeight"):
        suv.factor([found], "series")


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
        ({}, {"PatientWeight": 0}, "the body weight of 0 kg is not between 1 and 500 (PatientWeight)"),
        ({}, {"PatientWeight": 0.07}, "the body weight of 0.07 kg is not between 1 and 500 (PatientWeight)"),
        ({}, {"PatientWeight": 70000}, "the body weight of 70000 kg is not between 1 and 500 (PatientWeight)"),
        ({}, {"PatientWeight": -70}, "the body weight of -70 kg is not between 1 and 500 (PatientWeight)"),
        ({}, {"PatientWeight": ["70", "80"]}, "the body weight is no number but '[70, 80]' (PatientWeight)"),
        (
            {"RadionuclideTotalDose": 350e9},
            {},
            "the injected dose of 3.5e+11 Bq is not between 1e+06 and 1e+10 (RadionuclideTotalDose)",
        ),
        (
            {"RadionuclideTotalDose": -350e6},
            {},
            "the injected dose of -3.5e+08 Bq is not between 1e+06 and 1e+10 (RadionuclideTotalDose)",
        ),
        ({"RadionuclideTotalDose": None}, {}, "the injected dose is not given (RadionuclideTotalDose)"),
        ({"RadionuclideHalfLife": -6586.2}, {}, "the half-life of -6586.2 s is not between 60 and 1e+06 (RadionuclideHalfLife)"),
        ({"RadionuclideHalfLife": 1.83}, {}, "the half-life of 1.83 s is not between 60 and 1e+06 (RadionuclideHalfLife)"),
        (
            {"RadionuclideHalfLife": 65862, "RadionuclideCodeSequence": nuclide("^18^Fluorine")},
            {},
            "the half-life of 65862 s is not that of ^18^Fluorine, which is 6586.2 s (RadionuclideHalfLife)",
        ),
        ({}, {"DecayFactor": -1.1}, "the decay factor of -1.1 is not 0.99 or more (DecayFactor)"),
        ({}, {"DecayFactor": 0.4}, "the decay factor of 0.4 is not 0.99 or more (DecayFactor)"),
        ({}, {"Units": ["BQML", "GML"]}, "Units has 2 values instead of one"),
        ({}, {"Modality": "NM"}, "its modality is NM instead of PT (Modality)"),
        ({"RadiopharmaceuticalStartTime": "250000"}, {}, no_time("250000", "RadiopharmaceuticalStartTime")),
        ({"RadiopharmaceuticalStartTime": "10:61:00"}, {}, no_time("10:61:00", "RadiopharmaceuticalStartTime")),
        ({"RadiopharmaceuticalStartTime": "10"}, {}, no_time("10", "RadiopharmaceuticalStartTime")),
        ({"RadiopharmaceuticalStartTime": "10h00"}, {}, no_time("10h00", "RadiopharmaceuticalStartTime")),
        (
            {"RadiopharmaceuticalStartDateTime": "20261302100000"},
            {},
            no_time("20261302100000", "RadiopharmaceuticalStartDateTime"),
        ),
        ({"RadiopharmaceuticalStartDateTime": "yesterday"}, {}, no_time("yesterday", "RadiopharmaceuticalStartDateTime")),
        ({}, {"SeriesTime": "ten"}, no_time("ten", "SeriesTime")),
        ({}, {"SeriesDate": "20260230"}, no_time("20260230", "SeriesDate")),
        ({}, {"SeriesDate": "2026"}, no_time("2026", "SeriesDate")),
        ({}, {"AcquisitionTime": "99"}, no_time("99", "AcquisitionTime")),
        (
            {"RadiopharmaceuticalStartDateTime": "20260102113000", "RadiopharmaceuticalStartTime": "113000"},
            {},
            "the time between injection and scan would be -30 minutes (RadiopharmaceuticalStartTime, SeriesTime)",
        ),
        (
            {"RadiopharmaceuticalStartDateTime": "20260102100000", "RadiopharmaceuticalStartTime": "103000"},
            {},
            "RadiopharmaceuticalStartTime and RadiopharmaceuticalStartDateTime contradict each other by 30 minutes",
        ),
        (
            {"RadiopharmaceuticalStartDateTime": "20260102100000+0100"},
            {"TimezoneOffsetFromUTC": "+0200"},
            "injection and scan are given in two time zones (RadiopharmaceuticalStartDateTime, TimezoneOffsetFromUTC)",
        ),
        (
            {"RadionuclideHalfLife": 282276.0},
            {},
            "only the time of day of the injection is given, and with this half-life it may "
            "have been days before (RadiopharmaceuticalStartDateTime)",
        ),
        (
            {"RadionuclideTotalDose": 350.0},
            {},
            "the injected dose of 350 Bq is not between 1e+06 and 1e+10 (RadionuclideTotalDose)",
        ),
        ({"RadionuclideHalfLife": 0}, {}, "the half-life of 0 s is not between 60 and 1e+06 (RadionuclideHalfLife)"),
        ({"RadiopharmaceuticalStartTime": ""}, {}, "the time of the injection is not given (RadiopharmaceuticalStartTime)"),
        (
            {"RadiopharmaceuticalStartTime": "113000"},
            {},
            "the time between injection and scan would be 1410 minutes (RadiopharmaceuticalStartTime, SeriesTime)",
        ),
        ({}, {"SeriesTime": None}, "the time of the series is not given (SeriesDate, SeriesTime)"),
        ({}, {"AcquisitionTime": "103000"}, "the time of the series is later than its acquisition (SeriesTime)"),
        (
            {},
            {"RadiopharmaceuticalInformationSequence": []},
            "it names 0 injections instead of one (RadiopharmaceuticalInformationSequence)",
        ),
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
