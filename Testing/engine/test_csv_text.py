"""What a spreadsheet would compute is guarded, numbers stay, and nothing is lost on the way back."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veloxseg.contract import csv_text

DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\n", " =", "\uff1d")
TEXT = st.builds(lambda start, rest: start + rest, st.sampled_from(["", *DANGEROUS, "'"]), st.text(max_size=12))


@pytest.mark.parametrize("start", DANGEROUS)
def test_formulas_are_guarded(start):
    assert csv_text.cell(f"{start}cmd|' /C calc'!A0") == f"'{start}cmd|' /C calc'!A0"


@pytest.mark.parametrize("value", ["-1.5", "+3", "-1e-05", "-.5", "7", -1.5, 3, None, "", "T1 head", "a=b", "3-4"])
def test_numbers_and_plain_texts_stay(value):
    assert csv_text.cell(value) == value


@given(TEXT)
def test_the_way_back(text):
    guarded = csv_text.cell(text)
    assert csv_text.plain(guarded) == text or text.startswith("'")
    assert csv_text.cell(guarded) == guarded


@given(st.lists(TEXT, min_size=1, max_size=4), TEXT)
def test_no_cell_of_a_table_is_a_formula(values, column):
    text = csv_text.table([{column: value} for value in values], [column])
    rows = list(csv.reader(io.StringIO(text, newline="")))
    for entry in (entry for row in rows for entry in row):
        assert csv_text.cell(entry) == entry


def test_clipboard_keeps_its_cells():
    assert csv_text.clipboard([["=1+1", "a\tb\nc"], ["-2.0", ""]]) == "'=1+1\ta b c\n-2.0\t"
