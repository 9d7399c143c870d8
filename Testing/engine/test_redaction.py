"""Nothing that names a person or a place survives the redaction, whatever it is embedded in."""

import getpass
import platform
import traceback
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from veloxseg.contract import errors, redaction
from veloxseg.contract.redaction import redacted

# Made of letters that no sentence of ours has in this order.
WORD = st.text("qxzjvkQXZJVK\u00e4\u0416", min_size=5, max_size=9)
COMPONENT = st.lists(WORD, min_size=1, max_size=3).flatmap(
    lambda words: st.sampled_from([" ", "_", "-", ".", "'", '"', ", ", " (", "+", "^", ": "]).map(lambda join: join.join(words))
)
ROOT = st.sampled_from(["/", "/home/", "~/", "C:\\", "C:\\Users\\", "\\\\server\\", "file:///", "../", "./", ""])
AROUND = st.sampled_from(
    [
        "{path}",
        "cannot open {path}",
        "cannot open {path} because it is gone",
        "'{path}': no such file",
        'File "{path}", line 12, in load',
        'OSError: [Errno 2] No such file or directory: "{path}"',
        "reading {path}, then {path} again",
        "{path} -> {path}",
        '{{"inputs": {{"CT": "{path}"}}}}',
        "warning: {path}:12: UserWarning: something",
        "Window 3/40, {path}, 3.2 it/s",
        "DISK_FULL: The disk with {path} is full; free some space.",
    ]
)


def words_of(components):
    letters = set("qxzjvkQXZJVK\u00e4\u0416")
    for component in components:
        yield from "".join(letter if letter in letters else " " for letter in component).split()


@settings(max_examples=400, deadline=None)
@given(ROOT, st.lists(COMPONENT, min_size=2, max_size=5), st.sampled_from(["/", "\\", "\\\\"]), AROUND)
def test_no_component_of_a_path_survives(root, components, separator, around):
    text = redacted(around.format(path=root + separator.join(components)))
    for word in words_of(components):
        assert word not in text


@settings(max_examples=200, deadline=None)
@given(COMPONENT, st.sampled_from(["nii.gz", "NRRD", "dcm", "png", "csv", "mha"]), AROUND)
def test_no_name_of_a_file_survives(stem, ending, around):
    text = redacted(around.format(path=f"{stem}.{ending}"))
    for word in words_of([stem]):
        assert word not in text


@settings(max_examples=300, deadline=None)
@given(
    st.text(min_size=1, max_size=20).filter(lambda name: any(letter.isalnum() for letter in name)),
    st.sampled_from(["{}", "[{}]", "({}).", "loading {} now", "{}, {}", "role=T1 image={}", "the{}result"]),
)
def test_no_given_name_survives(name, around):
    long = "".join(part for part in name if part.isalnum())
    if len(long) < redaction.SHORT_NAME and around == "the{}result":
        return
    text = redacted(around.format(name, name), [name]).casefold()
    for line in name.splitlines():
        if sum(map(str.isalnum, line)) >= redaction.SHORT_NAME:
            assert line.strip().casefold() not in text


def test_words_of_a_name_and_its_other_spellings():
    text = redacted("Miller^Ann, MILLER_ANN, ann miller, Ann; planning channels", ["Miller^Ann"])
    assert "miller" not in text.lower()
    assert " Ann" not in text
    assert "planning channels" in text


def test_account_and_computer():
    for name in (Path.home().name, getpass.getuser(), platform.node(), platform.node().partition(".")[0]):
        if name:
            assert name not in redacted(f"started by {name} on {name}").replace("started by", "").replace(" on ", "")


def test_environment_names(monkeypatch):
    monkeypatch.setenv("USERNAME", "kowalczyk")
    monkeypatch.setenv("COMPUTERNAME", "RAD-WS-17")
    text = redacted("kowalczyk at RAD-WS-17 (rad-ws-17.clinic)")
    assert "kowal" not in text and "RAD" not in text and "rad" not in text


def test_identifiers():
    for secret in ("1.2.840.113619.2.55.3.604688", "DOE^JOHN^^", "ann@clinic.example", "192.168.17.4", "00:1a:2B:3c:4d:5E",
                   "19500304"):  # fmt: skip
        assert secret not in redacted(f"series {secret}, read")
        assert "read" in redacted(f"series {secret}, read")


def test_what_helps_stays():
    for line in (
        "Window 12/40 - 14 s left, 3.2 it/s",
        "Slicer 5.12.3 revision 34567",
        "torch 2.4.0+cu121, device NVIDIA RTX 4070",
        "ModuleNotFoundError: No module named 'torch'",
        "SUVpeak 7.2 g/ml, mean 4000 Bq/ml, PET/CT",
        "CRASH: The computation ended unexpectedly (code 3). Your images are unchanged.",
        "Writing mask.nrrd and results.json",
    ):
        assert redacted(line) == line


def test_places_in_our_own_source_stay():
    try:
        redacted([])
    except TypeError:
        text = redaction.exception_text()
    assert "File veloxseg/contract/redaction.py, line" in text
    assert "TypeError" in text
    assert str(Path(__file__).parent) not in text
    foreign = traceback.format_list([("/home/qxzjv kvq/veloxseg/patient.py", 3, "load", None)])[0]
    assert "qxzjv" not in redacted(foreign) and "patient" not in redacted(foreign)


def test_every_sentence_of_the_table_is_covered():
    """The facts of a sentence are paths, names and reasons of others."""
    for code, (_, sentence) in errors.TABLE.items():
        facts = _Facts("/data/Qxzjv Kvqzx/scan 1.nii.gz")
        text = redacted(f"{code}: {sentence.format_map(facts)}")
        assert text.startswith(code)
        for word in ("Qxzjv", "Kvqzx", "scan 1"):
            assert word not in text


class _Facts(dict):
    """Gives one path for every placeholder, also for those of numbers."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def __missing__(self, key):
        return _Path(self.path)


class _Path(str):
    def __format__(self, spec):
        return str(self)
