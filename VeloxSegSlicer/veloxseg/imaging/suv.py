"""SUV by body weight from the headers of a DICOM PET series.

Only images in Bq/ml, corrected for decay and attenuation, with a known reference time are converted; everything else is
refused, because a wrong factor looks like a plausible image. Rules: DICOM PS3.3 C.8.9 and the QIBA FDG-PET/CT profile's
vendor-neutral SUV calculation. Every refusal names the tag and its value.
"""

from __future__ import annotations

import datetime
import math
import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from veloxseg.contract.errors import VeloxSegError
from veloxseg.imaging.stored import unreadable

if TYPE_CHECKING:
    import pydicom

WEIGHT_KG = (1.0, 500.0)
DOSE_BQ = (1e6, 1e10)
HALF_LIFE_S = (60.0, 1e6)
LEAST_DECAY_FACTOR = 0.99
LONGEST_UPTAKE_HALF_LIVES = 5.0
DAY_S = 86400.0
NEEDED_CORRECTIONS = {"DECY": "radioactive decay", "ATTN": "attenuation"}
NUCLIDES_S = {11: 1223.4, 13: 597.9, 15: 122.2, 18: 6586.2, 64: 45721.0, 68: 4063.0, 82: 76.4, 89: 282276.0, 124: 360806.0}
"""Mass number of the nuclides of PET -> half-life; no two share one."""
HALF_LIFE_TOLERANCE = 0.03
MOST_DISAGREEMENT_S = 60.0
INJECTIONS = "RadiopharmaceuticalInformationSequence"
OF_SERIES = ("Modality", "Units", "SUVType", "CorrectedImage", "DecayCorrection", "PatientWeight", "SeriesDate", "SeriesTime")
OF_INJECTION = ("RadionuclideTotalDose", "RadionuclideHalfLife", "RadiopharmaceuticalStartTime",
                "RadiopharmaceuticalStartDateTime")  # fmt: skip
"""What all slices of a series must agree on."""
DATE = re.compile(r"(\d{4})\.?(\d\d)\.?(\d\d)")
TIME = re.compile(r"(\d\d):?(\d\d)(?::?(\d\d(?:\.\d*)?))?")
"""DICOM's HHMM and HHMMSS.F, and the form with colons and dots of ACR-NEMA that readers have to know."""
ZONE = re.compile(r"[+-]\d{4}$")
BROKEN_ELEMENT = (ValueError, TypeError, KeyError, AttributeError, NotImplementedError, OverflowError, struct.error)
"""What pydicom raises for bytes that are no value of their type."""


def header(path: Path) -> pydicom.Dataset:
    """The header of one DICOM file, without voxels. Raises SUV_PYDICOM or INPUT_UNREADABLE."""
    try:
        import pydicom
    except ImportError as error:
        raise VeloxSegError("SUV_PYDICOM") from error
    try:
        return pydicom.dcmread(path, stop_before_pixels=True)
    except (pydicom.errors.InvalidDicomError, OSError, EOFError, *BROKEN_ELEMENT) as error:
        raise unreadable(f"DICOM file {path}", "it is no DICOM file", detail=str(error)) from error


def factor(headers: Sequence[pydicom.Dataset], source: object) -> float:
    """SUVbw (g/ml) per unit of the rescaled voxels of a series.

    headers: one per slice. source: what the error calls the series. A series in g/ml by body weight already has factor 1.
    Raises SUV.
    """
    _check_agreement(headers, source)
    first = headers[0]
    if _text(first, "Modality", source) not in ("", "PT"):
        raise _refusal(source, f"its modality is {_text(first, 'Modality', source)} instead of PT (Modality)")
    units = _text(first, "Units", source)
    if units == "GML":
        if _text(first, "SUVType", source) not in ("", "BW"):
            raise _refusal(source, "it holds SUV that are not by body weight (SUVType)")
        return 1.0
    if units != "BQML":
        raise _refusal(source, f"its unit is {units or 'not given'} instead of BQML (Units)")
    corrections = _texts(first, "CorrectedImage", source)
    for code, name in NEEDED_CORRECTIONS.items():
        if code not in corrections:
            raise _refusal(source, f"it is not corrected for {name} (CorrectedImage)")
    grams = 1000.0 * _number(first, "PatientWeight", "the body weight", "kg", WEIGHT_KG, source)
    return grams / _dose_at_reference(headers, source)


def numbers(header: pydicom.Dataset, keyword: str, count: int) -> list[float] | None:
    """So many finite numbers of an element; None when it holds something else."""
    try:
        found = [float(value) for value in header.get(keyword) or ()]
    except BROKEN_ELEMENT:
        return None
    return found if len(found) == count and all(map(math.isfinite, found)) else None


def _check_agreement(headers: Sequence[pydicom.Dataset], source: object) -> None:
    injections = [_injections(header, source) for header in headers]
    if len({len(found) for found in injections}) > 1:
        raise _refusal(source, f"its slices differ in {INJECTIONS}")
    pairs = [(headers, OF_SERIES), *((found, OF_INJECTION) for found in zip(*injections))]
    for datasets, keywords in pairs:
        for keyword in keywords:
            values = [_value(dataset, keyword, source) for dataset in datasets]
            other = next((value for value in values if value != values[0]), values[0])
            if other != values[0]:
                raise _refusal(source, f"its slices differ in {keyword} ({values[0]} and {other})")


def _dose_at_reference(headers: Sequence[pydicom.Dataset], source: object) -> float:
    """Activity in Bq of the injected dose at the time that the voxels are corrected to."""
    first = headers[0]
    injections = _injections(first, source)
    if len(injections) != 1:
        raise _refusal(source, f"it names {len(injections)} injections instead of one ({INJECTIONS})")
    injection = injections[0]
    dose = _number(injection, "RadionuclideTotalDose", "the injected dose", "Bq", DOSE_BQ, source)
    half_life = _half_life(injection, source)
    reference = _text(first, "DecayCorrection", source)
    if reference not in ("START", "ADMIN"):
        raise _refusal(source, f"the time of its decay correction is {reference or 'not given'} (DecayCorrection)")
    for header in headers:
        if _value(header, "DecayFactor", source) is not None:
            _number(header, "DecayFactor", "the decay factor", "", (LEAST_DECAY_FACTOR, math.inf), source)
    return dose if reference == "ADMIN" else dose * 0.5 ** (_uptake(headers, injection, half_life, source) / half_life)


def _half_life(injection: pydicom.Dataset, source: object) -> float:
    """Seconds; it must be that of the nuclide, where one is named."""
    found = _number(injection, "RadionuclideHalfLife", "the half-life", "s", HALF_LIFE_S, source)
    codes = _value(injection, "RadionuclideCodeSequence", source) or ()
    names = [_text(code, "CodeMeaning", source) for code in codes if hasattr(code, "get")]
    for number in re.findall(r"\d+", " ".join(names)):
        known = NUCLIDES_S.get(int(number))
        if known is not None and abs(found - known) > HALF_LIFE_TOLERANCE * known:
            raise _refusal(source, f"the half-life of {found:g} s is not that of {' '.join(names)}, which is {known:g} s "
                                   "(RadionuclideHalfLife)")  # fmt: skip
    return found


def _uptake(headers: Sequence[pydicom.Dataset], injection: pydicom.Dataset, half_life: float, source: object) -> float:
    """Seconds from the injection to the time that the voxels are corrected to."""
    start = _series_start(headers, source)
    moment = _injection_moment(injection, headers[0], source)
    time = _time(injection, "RadiopharmaceuticalStartTime", source)
    longest = LONGEST_UPTAKE_HALF_LIVES * half_life
    if moment is not None:
        uptake = (start - moment).total_seconds()
        apart = 0.0 if time is None else (_since_midnight(moment) - time + DAY_S / 2) % DAY_S - DAY_S / 2
        if abs(apart) > MOST_DISAGREEMENT_S:
            raise _refusal(source, "RadiopharmaceuticalStartTime and RadiopharmaceuticalStartDateTime contradict each other "
                                   f"by {abs(apart) / 60:.0f} minutes")  # fmt: skip
    elif time is not None:
        # a time alone belongs to the 24 hours before the scan
        uptake = (_since_midnight(start) - time) % DAY_S
        if uptake + DAY_S <= longest:
            raise _refusal(source, "only the time of day of the injection is given, and with this half-life it may have been "
                                   "days before (RadiopharmaceuticalStartDateTime)")  # fmt: skip
    else:
        raise _refusal(source, "the time of the injection is not given (RadiopharmaceuticalStartTime)")
    if not 0 <= uptake <= longest:
        raise _refusal(source, f"the time between injection and scan would be {uptake / 60:.0f} minutes "
                               "(RadiopharmaceuticalStartTime, SeriesTime)")  # fmt: skip
    return uptake


def _series_start(headers: Sequence[pydicom.Dataset], source: object) -> datetime.datetime:
    """Series time, unless it is later than a slice's acquisition: then the series was made anew and its time is no scan's."""
    start = _moment(headers[0], "SeriesDate", "SeriesTime", source)
    if start is None:
        raise _refusal(source, "the time of the series is not given (SeriesDate, SeriesTime)")
    acquired = [_moment(header, "AcquisitionDate", "AcquisitionTime", source) for header in headers]
    if any(moment is not None and moment < start for moment in acquired):
        raise _refusal(source, "the time of the series is later than its acquisition (SeriesTime)")
    return start


def _injection_moment(injection: pydicom.Dataset, first: pydicom.Dataset, source: object) -> datetime.datetime | None:
    """Date and time of the injection where both are given."""
    keyword = "RadiopharmaceuticalStartDateTime"
    whole = _text(injection, keyword, source)
    zones = [found[0] for found in (ZONE.search(whole), ZONE.search(_text(first, "TimezoneOffsetFromUTC", source))) if found]
    if len(set(zones)) > 1:
        raise _refusal(source, f"injection and scan are given in two time zones ({keyword}, TimezoneOffsetFromUTC)")
    date = DATE.match(whole)
    if date is None or len(whole) == len(date[0]):
        if whole and date is None:
            raise _impossible(keyword, whole, source)
        return None
    seconds = _seconds(ZONE.sub("", whole[len(date[0]) :]), keyword, whole, source)
    return _day(date, keyword, whole, source) + datetime.timedelta(seconds=seconds)


def _moment(header: pydicom.Dataset, date: str, time: str, source: object) -> datetime.datetime | None:
    """Date and time of two elements, None where one is missing."""
    day, seconds = _text(header, date, source), _time(header, time, source)
    if not day or seconds is None:
        return None
    found = DATE.fullmatch(day)
    if found is None:
        raise _impossible(date, day, source)
    return _day(found, date, day, source) + datetime.timedelta(seconds=seconds)


def _day(found: re.Match, keyword: str, text: str, source: object) -> datetime.datetime:
    try:
        return datetime.datetime(*map(int, found.groups()))
    except ValueError as error:
        raise _impossible(keyword, text, source) from error


def _time(header: pydicom.Dataset, keyword: str, source: object) -> float | None:
    """Seconds since midnight, None where it is missing."""
    text = _text(header, keyword, source)
    return _seconds(text, keyword, text, source) if text else None


def _seconds(text: str, keyword: str, whole: str, source: object) -> float:
    found = TIME.fullmatch(text)
    hours, minutes, seconds = (float(part or 0) for part in found.groups()) if found else (math.inf,) * 3
    # 60 is a leap second
    if hours >= 24 or minutes >= 60 or seconds >= 61:
        raise _impossible(keyword, whole, source)
    return 3600 * hours + 60 * minutes + seconds


def _since_midnight(moment: datetime.datetime) -> float:
    return (moment - moment.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds()


def _number(header: pydicom.Dataset, keyword: str, name: str, unit: str, limits: tuple[float, float], source: object) -> float:
    value = _value(header, keyword, source)
    if value is None or value == "":
        raise _refusal(source, f"{name} is not given ({keyword})")
    try:
        number = float(value)
    except BROKEN_ELEMENT as error:
        raise _refusal(source, f"{name} is no number but {_shown(value)} ({keyword})") from error
    if not limits[0] <= number <= limits[1]:
        between = f"between {limits[0]:g} and {limits[1]:g}" if math.isfinite(limits[1]) else f"{limits[0]:g} or more"
        raise _refusal(source, f"{name} of {f'{number:g} {unit}'.strip()} is not {between} ({keyword})")
    return number


def _injections(header: pydicom.Dataset, source: object) -> list[pydicom.Dataset]:
    found = _value(header, INJECTIONS, source) or []
    if isinstance(found, str | bytes) or not all(hasattr(injection, "get") for injection in found):
        raise _refusal(source, f"{INJECTIONS} holds something else")
    return list(found)


def _texts(header: pydicom.Dataset, keyword: str, source: object) -> list[str]:
    """The values of an element that may have several."""
    value = _value(header, keyword, source)
    return [str(part).strip() for part in ([] if value is None else [value] if isinstance(value, str) else value)]


def _text(header: pydicom.Dataset, keyword: str, source: object) -> str:
    """The value of an element that has one, "" where it has none."""
    value = _value(header, keyword, source)
    if isinstance(value, Sequence) and not isinstance(value, str):
        raise _refusal(source, f"{keyword} has {len(value)} values instead of one")
    return "" if value is None else str(value).strip()


def _value(header: pydicom.Dataset, keyword: str, source: object) -> object:
    try:
        return header.get(keyword)
    except BROKEN_ELEMENT as error:
        raise _refusal(source, f"{keyword} cannot be read ({error})") from error


def _shown(value: object) -> str:
    return repr(str(value)[:40])


def _impossible(keyword: str, text: str, source: object) -> VeloxSegError:
    return _refusal(source, f"{_shown(text)} is no date or time to the minute ({keyword})")


def _refusal(source: object, reason: str) -> VeloxSegError:
    return VeloxSegError("SUV", source=source, reason=reason)
