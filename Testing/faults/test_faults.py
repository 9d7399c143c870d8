"""A bounded part of the fault run, and that its judge catches what is wrong and what is lost."""

import shutil
from pathlib import Path

import pytest

from Testing.faults import campaign
from Testing.faults.verdicts import LOST, NOTED, REFUSED, RIGHT, WRONG, Kept, judge
from veloxseg.contract.errors import VeloxSegError
from veloxseg.imaging import images
from veloxseg.packages import package_import

SEED, COUNT = 20, 100
QUICK = {kind: inject for kind, inject in campaign.kinds().items() if kind not in campaign.PROCESSES}


def found_of(kind, count=4):
    return campaign.run(SEED, count, chosen={kind: campaign.kinds()[kind]})


def test_a_hundred_faults():
    found = campaign.run(SEED, COUNT, chosen=QUICK)
    print(found.table())
    assert found.bad == []
    total = sum(found.counts.values(), start=type(next(iter(found.counts.values())))())
    assert total.total() == COUNT and set(found.counts) == set(QUICK)
    assert total[RIGHT] > 20 and total[REFUSED] > 20


def test_a_fault_is_a_function_of_its_seed():
    assert found_of("text: tables").counts == found_of("text: tables").counts


def test_a_mask_that_differs_without_a_word_is_wrong(monkeypatch):
    plain = images.read_volume

    def mirrored(path, role="input", hear=images.unheard):
        image = plain(path, role, hear)
        return images.image_of(images.array_of(image)[::-1], images.grid_of(image)) if path.name != "t1.nrrd" else image

    monkeypatch.setattr(images, "read_volume", mirrored)
    found = found_of("volume: bytes, plain", 12)
    assert any(text.startswith(WRONG) and "voxels of the mask differ" in text for text in found.bad)


def test_a_traceback_is_wrong(monkeypatch):
    monkeypatch.setattr(images, "read_volume", lambda *arguments: [][0])
    assert all("UNEXPECTED" in text or "IndexError" in text for text in found_of("volume: another kind of file").bad)
    assert found_of("volume: another kind of file").counts["volume: another kind of file"][WRONG] == 4


def test_an_earlier_package_that_is_gone_is_lost(monkeypatch):
    monkeypatch.setattr(package_import.files, "remove_leftovers", lambda folder: shutil.rmtree(folder, ignore_errors=True))
    found = found_of("package: zip, bytes")
    assert found.counts["package: zip, bytes"][LOST] == 4 and found.bad[0].startswith(LOST)


@pytest.mark.parametrize(
    "error, outcome",
    [
        (VeloxSegError("REQUEST", reason="x"), REFUSED),
        (VeloxSegError("MODEL_UNSAFE", model="x", reason="y"), WRONG),  # another kind's exit code
        (VeloxSegError("UNEXPECTED", kind="x"), WRONG),
        (KeyError("x"), WRONG),
    ],
)
def test_refusals(error, outcome):
    def fail():
        raise error

    assert judge(fail, str, (2,)).outcome == outcome


def test_results(tmp_path: Path):
    assert judge(lambda: 1, lambda _: "", (2,)).outcome == RIGHT
    assert judge(lambda: 1, lambda _: "differs", (2,)).outcome == WRONG
    assert judge(lambda: 1, lambda _: "differs", (2,), notes=["told"]).outcome == NOTED
    (tmp_path / "mask").write_text("1")
    assert judge(lambda: (tmp_path / "mask").write_text("2"), lambda _: "", (2,), Kept(tmp_path)).outcome == LOST

    def leave_something():
        (tmp_path / "left").write_text("x")
        raise VeloxSegError("REQUEST", reason="x")

    assert judge(leave_something, str, (2,), Kept(tmp_path)).outcome == WRONG
