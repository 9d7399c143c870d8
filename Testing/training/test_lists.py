"""Lists of cases as spreadsheets of several languages save them, for training and for batches."""

import json

import pytest

from training.datasets import cards
from training.datasets.listed import Listed
from veloxseg.contract.errors import VeloxSegError
from veloxseg.service import batch_cases, case_lists

CARD = cards.made("Test", ["T1"], "T1", {1: "Lesion"}, (1, 1, 1))


def listing(path):
    return Listed(output=path.parent / "out", source=path, labels=("Lesion",), spacing_mm=(2.0, 2.0, 2.0)).listing()


def write(folder, text, encoding="utf-8", cases=("c0", "c1")):
    for case in cases:
        for part in ("t1", "label"):
            (folder / f"{case}_{part}.nii.gz").write_bytes(b"")
    (folder / "all.csv").write_bytes(text.encode(encoding))
    return folder / "all.csv"


ROWS = [["id", "patient", "T1", "label"], ["c0", "p0", "c0_t1.nii.gz", "c0_label.nii.gz"],
        ["c1", "p1", "c1_t1.nii.gz", "c1_label.nii.gz"]]  # fmt: skip
PLAIN = "\n".join(",".join(row) for row in ROWS)
FORMS = {
    "comma": (PLAIN, "utf-8"),
    "semicolon": (PLAIN.replace(",", ";"), "utf-8"),
    "tab": (PLAIN.replace(",", "\t"), "utf-8"),
    "byte order mark": (PLAIN, "utf-8-sig"),
    "UTF-16": (PLAIN.replace(",", "\t"), "utf-16"),
    "Windows": (PLAIN.replace("\n", "\r\n") + "\r\n", "utf-8"),
    "blank lines": ("\n\n" + PLAIN.replace("\n", "\n\n") + "\n \n", "utf-8"),
    "lines of delimiters": (PLAIN.replace(",", ";").replace("\n", ";;;\n") + ";;;\n;;;;;;\n;;;;;;\n", "utf-8"),
    "spaces": (PLAIN.replace(",", " , "), "utf-8"),
    "quotes": ("\n".join(", ".join(f'"{cell}"' for cell in row) for row in ROWS), "utf-8"),
    "capitals": (PLAIN.replace("id,patient,T1,label", "ID,Patient,T1,Label"), "utf-8"),
    "declared": ("sep=;\n" + PLAIN.replace(",", ";"), "utf-8"),
    "unnamed column": ("\n".join(f"{number or ''},{line}" for number, line in enumerate(PLAIN.splitlines())), "utf-8"),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_a_training_list(tmp_path, form):
    data = listing(write(tmp_path, *FORMS[form]))
    assert [(case.id, case.patient, case.sources["T1"].name, case.label.name) for case in data.cases] == [
        ("c0", "p0", "c0_t1.nii.gz", "c0_label.nii.gz"), ("c1", "p1", "c1_t1.nii.gz", "c1_label.nii.gz")]  # fmt: skip
    assert [role.name for role in data.card.roles] == ["T1"]


@pytest.mark.parametrize("form", FORMS)
def test_the_same_forms_of_a_batch_list(tmp_path, form):
    text, encoding = FORMS[form]
    path = write(tmp_path, text.replace("id", "case", 1).replace("ID", "Case", 1), encoding)
    cases = batch_cases.discover({"kind": "list", "path": str(path)}, CARD)
    assert [(case.name, case.files["T1"].name, case.problem) for case in cases] == [
        ("c0", "c0_t1.nii.gz", ""), ("c1", "c1_t1.nii.gz", "")]  # fmt: skip


def test_a_column_without_images_is_left_out_aloud(tmp_path, capsys):
    lines = [f"{line},{value}" for line, value in zip(PLAIN.splitlines(), ("age", "55", "55"))]
    data = listing(write(tmp_path, "\n".join(lines)))
    assert [role.name for role in data.card.roles] == ["T1"]
    assert capsys.readouterr().err == "The column age of all.csv names no image and is left out.\n"


def test_a_column_whose_files_are_all_missing_is_no_age(tmp_path):
    lines = [f"{line},{value}" for line, value in zip(PLAIN.splitlines(), ("T2", "a.nii.gz", "b.nii.gz"))]
    with pytest.raises(ExceptionGroup) as caught:
        listing(write(tmp_path, "\n".join(lines)))
    assert "the T2 of c0" in str(caught.value.exceptions[0])


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "it is empty"),
        ("\n;;\n", "it is empty"),
        (PLAIN + "\n,p2,c0_t1.nii.gz,c0_label.nii.gz", "line 4 has no id"),
        ("\n" + PLAIN + "\nc2,p,a,b,extra", "line 5 has more cells than the heading"),
        (PLAIN.replace("patient", "t1", 1), "the column t1 twice"),
        ("id,label\nc0,c0_label.nii.gz", "no column with image files"),
    ],
)
def test_lists_that_cannot_be_used_name_the_line(tmp_path, text, words):
    path = write(tmp_path, text)
    with pytest.raises(VeloxSegError) as caught:
        listing(path)
    assert words in caught.value.text and str(path) in caught.value.text


def test_another_encoding_names_the_line(tmp_path):
    path = write(tmp_path, PLAIN.replace("p1", "Müller"), "cp1252")
    with pytest.raises(case_lists.ListProblem, match="line 3 cannot be read as UTF-8"):
        case_lists.read(path)


def test_json_with_capitals(tmp_path):
    write(tmp_path, "")
    rows = [dict(zip(("ID", "Patient", "T1", "Label"), row)) for row in ROWS[1:]]
    (tmp_path / "all.json").write_text(json.dumps(rows))
    assert [case.patient for case in listing(tmp_path / "all.json").cases] == ["p0", "p1"]
