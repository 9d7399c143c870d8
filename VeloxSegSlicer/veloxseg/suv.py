"""SUV by body weight from the headers of a DICOM PET series.

Only images in Bq/ml, corrected for decay and attenuation, with a known reference time are converted; everything else is
refused, because a wrong factor looks like a plausible image. Rules: DICOM PS3.3 C.8.9 and the QIBA FDG-PET/CT profile's
vendor-neutral SUV calculation.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from veloxseg.errors import VeloxSegError

if TYPE_CHECKING:
    import pydicom

LEAST_DOSE_BQ = 1e6
LONGEST_UPTAKE_HALF_LIVES = 10.0
NEEDED_CORRECTIONS = {"DECY": "radioactive decay", "ATTN": "attenuation"}


def header(path: Path) -> pydicom.Dataset:
    """The header of one DICOM file, without voxels. Raises SUV_PYDICOM or INPUT_UNREADABLE."""
    try:
        import pydicom
    except ImportError as error:
        raise VeloxSegError("SUV_PYDICOM") from error
    try:
        return pydicom.dcmread(path, stop_before_pixels=True)
    except (pydicom.errors.InvalidDicomError, OSError) as error:
        raise VeloxSegError("INPUT_UNREADABLE", role=f"DICOM file {path}", detail=str(error)) from error


def factor(headers: Sequence[pydicom.Dataset], source: object) -> float:
    """SUVbw (g/ml) per unit of the rescaled voxels of a series.

    headers: one per slice. source: what the error calls the series. A series in g/ml by body weight already has factor 1.
    Raises SUV.
    """
    first = headers[0]
    if _text(first, "Units") == "GML":
        if _text(first, "SUVType") not in ("", "BW"):
            raise _refusal(source, "it holds SUV that are not by body weight (SUVType)")
        return 1.0
    if _text(first, "Units") != "BQML":
        raise _refusal(source, f"its unit is {_text(first, 'Units') or 'not given'} instead of BQML (Units)")
    for code, name in NEEDED_CORRECTIONS.items():
        if code not in (first.get("CorrectedImage") or []):
            raise _refusal(source, f"it is not corrected for {name} (CorrectedImage)")
    grams = 1000.0 * _positive(first, "PatientWeight", "the body weight", source)
    return grams / _dose_at_reference(headers, source)


def _dose_at_reference(headers: Sequence[pydicom.Dataset], source: object) -> float:
    """Activity in Bq of the injected dose at the time that the voxels are corrected to."""
    first = headers[0]
    injection = _injection(first, source)
    dose = _positive(injection, "RadionuclideTotalDose", "the injected dose", source)
    half_life = _positive(injection, "RadionuclideHalfLife", "the half-life", source)
    if dose < LEAST_DOSE_BQ:
        raise _refusal(source, f"the injected dose of {dose:g} Bq is too small, as if it were given in MBq")
    reference = _text(first, "DecayCorrection")
    if reference == "ADMIN":
        return dose
    if reference != "START":
        raise _refusal(source, f"the time of its decay correction is {reference or 'not given'} (DecayCorrection)")
    start = _series_start(headers, source)
    uptake = (start - _injection_time(injection, start, source)).total_seconds()
    if not 0 <= uptake <= LONGEST_UPTAKE_HALF_LIVES * half_life:
        raise _refusal(source, f"the time between injection and scan would be {uptake / 60:.0f} minutes")
    return dose * 0.5 ** (uptake / half_life)


def _injection(first: pydicom.Dataset, source: object) -> pydicom.Dataset:
    injections = first.get("RadiopharmaceuticalInformationSequence") or []
    if len(injections) != 1:
        raise _refusal(source, f"it names {len(injections)} injections instead of one")
    return injections[0]


def _series_start(headers: Sequence[pydicom.Dataset], source: object) -> datetime.datetime:
    """Series time, unless it is later than a slice's acquisition: then the series was made anew and its time is no scan's."""
    start = _moment(headers[0], "SeriesDate", "SeriesTime")
    if start is None:
        raise _refusal(source, "the time of the series is not given (SeriesDate, SeriesTime)")
    acquired = [_moment(header, "AcquisitionDate", "AcquisitionTime") for header in headers]
    if any(moment is not None and moment < start for moment in acquired):
        raise _refusal(source, "the time of the series is later than its acquisition (SeriesTime)")
    return start


def _injection_time(injection: pydicom.Dataset, start: datetime.datetime, source: object) -> datetime.datetime:
    """Date and time where given; a time alone belongs to the 24 hours before the scan."""
    whole = _text(injection, "RadiopharmaceuticalStartDateTime")
    if len(whole) >= 14:
        return _parsed(whole[:8], whole[8:].partition("+")[0].partition("-")[0])
    time = _text(injection, "RadiopharmaceuticalStartTime")
    if len(time) < 4:
        raise _refusal(source, "the time of the injection is not given (RadiopharmaceuticalStartTime)")
    moment = _parsed(start.strftime("%Y%m%d"), time)
    return moment if moment <= start else moment - datetime.timedelta(days=1)


def _moment(header: pydicom.Dataset, date: str, time: str) -> datetime.datetime | None:
    date, time = _text(header, date), _text(header, time)
    return _parsed(date, time) if len(date) == 8 and len(time) >= 4 else None


def _parsed(date: str, time: str) -> datetime.datetime:
    """DICOM DA and TM (HHMM, HHMMSS or HHMMSS.f)."""
    whole, _, fraction = time.partition(".")
    seconds = float(f"0.{fraction or 0}")
    day = datetime.datetime.strptime(date + whole.ljust(6, "0"), "%Y%m%d%H%M%S")
    return day + datetime.timedelta(seconds=seconds)


def _positive(header: pydicom.Dataset, keyword: str, name: str, source: object) -> float:
    value = header.get(keyword)
    number = float(value) if value not in (None, "") else 0.0
    if number <= 0:
        raise _refusal(source, f"{name} is not given ({keyword})")
    return number


def _text(header: pydicom.Dataset, keyword: str) -> str:
    value = header.get(keyword)
    return "" if value is None else str(value).strip()


def _refusal(source: object, reason: str) -> VeloxSegError:
    return VeloxSegError("SUV", source=source, reason=reason)
