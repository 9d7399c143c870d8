"""What each layout lists, found by name alone: the files here are empty."""

import json
from pathlib import Path

import pytest

from training.datasets import cards
from training.datasets.autopet import AutoPet
from training.datasets.brats import Brats
from training.datasets.hecktor import Hecktor
from training.datasets.listed import Listed
from training.datasets.msd import MsdBrainTumor
from training.datasets.nnunet import NnUnet
from training.datasets.phantom import Phantom
from veloxseg.contract.errors import VeloxSegError
from veloxseg.packages.cards import check_card

CARDS = Path(cards.__file__).resolve().parents[1] / "cards"
OUT = Path("unused")
MSD = {
    "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
    "labels": {"0": "background", "1": "edema", "2": "non-enhancing tumor", "3": "enhancing tumour"},
}


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def problems(options):
    """Sentences of a listing that is refused."""
    with pytest.raises((VeloxSegError, ExceptionGroup)) as caught:
        options.listing()
    error = caught.value
    return [one.text for one in error.exceptions] if isinstance(error, ExceptionGroup) else [error.text]


def check_completed(card):
    """A card of a data set is a valid card as soon as a training has added its part."""
    complete = json.loads(json.dumps(card.content))
    channels = [len(group) for group in cards.groups(card)]
    complete["architecture"]["arguments"] = {
        "input_size": [96] * 3, "patch_size": 2, "in_ch": channels, "n_classes": len(card.labels) + 1,
    }  # fmt: skip
    complete["training"] |= {"command": "none", "seed": 1}
    complete["weights_sha256"] = "0" * 64
    for role in complete["roles"]:
        if role["intensity"] == {"kind": "clip_zscore"}:
            role["intensity"] |= {"low": -800, "high": 700, "mean": 30, "std": 200}
    check_card(complete, card.title)


@pytest.mark.parametrize("name", ["autopet", "hecktor", "brats", "msd-brain-tumor", "petct-lesions-demo"])
def test_cards_of_files(name):
    check_completed(cards.load(CARDS / f"{name}.json"))


def test_cards_that_are_made():
    card = cards.made("Our own cases", ["T1", "CT", "T2", "PET"], "CT", {2: "Node", 1: "Tumor"}, (1, 1, 3))
    check_completed(card)
    assert card.id == "our-own-cases"
    assert [role.name for role in card.roles] == ["T1", "T2", "CT", "PET"]
    assert cards.groups(card) == [["T1", "T2"], ["CT"], ["PET"]]
    assert [role.unit for role in card.roles] == [None, None, "HU", "SUVbw"]
    assert [role.name for role in card.roles if role.is_reference] == ["CT"]
    assert [(label.value, label.name) for label in card.labels] == [(1, "Tumor"), (2, "Node")]


class TestAutoPet:
    STUDY = "PETCT_01/03-23-2003-NA-PET-CT Ganzkoerper  primaer mit KM-42966"

    def test_studies_of_patients(self, tmp_path):
        for study in (self.STUDY, "PETCT_01/later", "PETCT_00/only"):
            touch(tmp_path, *(f"{study}/{part}.nii.gz" for part in ("CTres", "SUV", "SEG", "CT", "PET")))
        touch(tmp_path, "fdg_metadata.csv")
        data = AutoPet(output=OUT, source=tmp_path).listing()
        assert [(case.id, case.patient) for case in data.cases] == [
            ("PETCT_00__only", "PETCT_00"),
            ("PETCT_01__03-23-2003-NA-PET-CT_Ganzkoerper_primaer_mit_KM-42966", "PETCT_01"),
            ("PETCT_01__later", "PETCT_01"),
        ]
        study = tmp_path / self.STUDY
        assert data.cases[1].sources == {"CT": study / "CTres.nii.gz", "PET": study / "SUV.nii.gz"}
        assert data.cases[1].label == study / "SEG.nii.gz"
        assert data.groups == [["CT"], ["PET"]] and data.split is None

    def test_missing_files_are_all_named(self, tmp_path):
        touch(tmp_path, "A/one/CTres.nii.gz", "A/one/SEG.nii.gz", "B/two/CTres.nii.gz", "B/two/SUV.nii.gz")
        remedy = f"add the file or take the case out of {tmp_path}."
        assert problems(AutoPet(output=OUT, source=tmp_path)) == [
            f"The case A__one has no PET (SUV.nii.gz in the folder of A__one); {remedy}",
            f"The case B__two has no label (SEG.nii.gz in the folder of B__two); {remedy}",
        ]

    def test_reference(self, tmp_path):
        touch(tmp_path, *(f"A/one/{name}" for name in ("CTres.nii.gz", "SUV.nii.gz", "SEG.nii.gz")))
        roles = AutoPet(output=OUT, source=tmp_path, reference="CT").listing().card.roles
        assert [role.is_reference for role in roles] == [True, False]

    def test_wrong_folder(self, tmp_path):
        assert problems(AutoPet(output=OUT, source=tmp_path / "nowhere")) == [
            f"The folder {tmp_path / 'nowhere'} does not exist; choose the folder of the data set with --source."
        ]
        assert problems(AutoPet(output=OUT, source=tmp_path))[0].startswith(f"No case was found in {tmp_path}, which should hold")


class TestHecktor:
    def test_pairs_by_id_and_not_by_order(self, tmp_path):
        touch(tmp_path, *(f"imagesTr/{case}__{part}.nii.gz" for case in ("CHUM-10", "CHUM-2") for part in ("CT", "PT")))
        touch(tmp_path, "labelsTr/CHUM-10.nii.gz", "labelsTr/CHUM-2.nii.gz", "labelsTr/._CHUM-2.nii.gz")
        for case in Hecktor(output=OUT, source=tmp_path).listing().cases:
            names = [path.name for path in (case.sources["CT"], case.sources["PET"], case.label)]
            assert names == [f"{case.id}__CT.nii.gz", f"{case.id}__PT.nii.gz", f"{case.id}.nii.gz"]

    def test_one_label_too_few_and_one_too_many(self, tmp_path):
        touch(tmp_path, "imagesTr/A__CT.nii.gz", "imagesTr/A__PT.nii.gz", "imagesTr/B__CT.nii.gz", "imagesTr/B__PT.nii.gz")
        touch(tmp_path, "labelsTr/A.nii.gz", "labelsTr/A.nii")
        label = tmp_path / "labelsTr"
        assert problems(Hecktor(output=OUT, source=tmp_path)) == [
            f"The case A has more than one label ({label / 'A.nii'} and {label / 'A.nii.gz'}); keep one of them.",
            f"The case B has no label (labelsTr/B.nii.gz); add the file or take the case out of {tmp_path}.",
        ]


class TestBrats:
    def test_four_channels_in_one_group(self, tmp_path):
        touch(tmp_path, *(f"BraTS2021_00002/BraTS2021_00002_{part}.nii.gz" for part in ("t2", "t1ce", "t1", "flair", "seg")))
        data = Brats(output=OUT, source=tmp_path).listing()
        assert data.groups == [["FLAIR", "T1", "T1ce", "T2"]]
        assert data.label_values == {1: 1, 2: 2, 4: 3}
        assert [label.name for label in data.card.labels][2] == "Enhancing tumor"
        assert data.cases[0].sources["T1ce"].name == "BraTS2021_00002_t1ce.nii.gz"

    def test_missing_sequence(self, tmp_path):
        touch(tmp_path, *(f"X/X_{part}.nii.gz" for part in ("t2", "t1", "flair", "seg")))
        assert problems(Brats(output=OUT, source=tmp_path)) == [
            f"The case X has no T1ce (X/X_t1ce.nii.gz); add the file or take the case out of {tmp_path}."
        ]


class TestMsd:
    def test_labels_are_put_in_our_order(self, tmp_path):
        touch(tmp_path, "imagesTr/BRATS_001.nii.gz", "imagesTr/._BRATS_001.nii.gz", "labelsTr/BRATS_001.nii.gz")
        (tmp_path / "dataset.json").write_text(json.dumps(MSD))
        data = MsdBrainTumor(output=OUT, source=tmp_path).listing()
        names = {label.value: label.name for label in data.card.labels}
        assert {MSD["labels"][str(value)]: names[ours] for value, ours in data.label_values.items()} == {
            "edema": "Peritumoral edema",
            "non-enhancing tumor": "Necrotic and non-enhancing core",
            "enhancing tumour": "Enhancing tumor",
        }
        assert [case.id for case in data.cases] == ["BRATS_001"]

    def test_another_task_is_refused(self, tmp_path):
        (tmp_path / "dataset.json").write_text(json.dumps(MSD | {"labels": {"0": "background", "1": "liver"}}))
        assert problems(MsdBrainTumor(output=OUT, source=tmp_path)) == [
            f"{tmp_path / 'dataset.json'} cannot be used because its labels is not that of Task01 BrainTumour; "
            "correct it and start again."
        ]


class TestNnUnet:
    DESCRIPTION = {
        "channel_names": {"0": "CT", "1": "PET"}, "labels": {"background": 0, "node": 2, "tumor": 1}, "file_ending": ".nrrd",
    }  # fmt: skip

    def options(self, folder, **changes):
        source = folder / "Dataset017_Neck"
        source.mkdir()
        (source / "dataset.json").write_text(json.dumps({**self.DESCRIPTION, **changes}))
        return source, NnUnet(output=OUT, source=source, spacing_mm=(2.0, 2.0, 2.0))

    def test_channels_and_labels(self, tmp_path):
        source, options = self.options(tmp_path)
        touch(source, "imagesTr/a_b_0000.nrrd", "imagesTr/a_b_0001.nrrd", "labelsTr/a_b.nrrd")
        data = options.listing()
        assert data.card.id == "neck" and data.label_values == {2: 2, 1: 1}
        names = {role: path.name for role, path in data.cases[0].sources.items()}
        assert names == {"CT": "a_b_0000.nrrd", "PET": "a_b_0001.nrrd"}

    def test_missing_channel(self, tmp_path):
        source, options = self.options(tmp_path)
        touch(source, "imagesTr/a_0000.nrrd", "labelsTr/a.nrrd")
        assert problems(options) == [
            f"The case a has no PET (imagesTr/a_0001.nrrd); add the file or take the case out of {source}."
        ]

    def test_regions_are_refused(self, tmp_path):
        _source, options = self.options(tmp_path, labels={"background": 0, "whole": [1, 2]})
        assert "its labels are regions or ignored ones, and plain values from 0 to 255 are needed" in problems(options)[0]

    def test_broken_description(self, tmp_path):
        source, options = self.options(tmp_path)
        (source / "dataset.json").write_text("{")
        assert problems(options)[0].startswith(f"{source / 'dataset.json'} cannot be used because it cannot be read as JSON")


class TestListed:
    def options(self, path, **changes):
        return Listed(**{"output": OUT, "source": path, "labels": ("Lesion",), "spacing_mm": (4.0, 4.0, 4.0), **changes})

    @pytest.mark.parametrize("ending", ["csv", "json"])
    def test_paths_relative_to_the_list(self, tmp_path, ending):
        touch(tmp_path, "x/ct.nii.gz", "x/pet.nrrd", "x/m.nii.gz")
        path = tmp_path / f"cases.{ending}"
        row = {"id": "x1", "patient": "x", "CT": "x/ct.nii.gz", "PET": "x/pet.nrrd", "label": "x/m.nii.gz"}
        path.write_text(json.dumps([row]) if ending == "json" else ",".join(row) + "\n" + ",".join(row.values()) + "\n")
        data = self.options(path, reference="PET").listing()
        assert (data.cases[0].id, data.cases[0].patient) == ("x1", "x")
        assert data.cases[0].sources == {"CT": tmp_path / "x/ct.nii.gz", "PET": tmp_path / "x/pet.nrrd"}
        assert [role.is_reference for role in data.card.roles] == [False, True]

    @pytest.mark.parametrize(
        "text, sentence",
        [
            ("id,CT,label\na,ct,m\na,ct2,m2\n", "The case a has more than one CT ({0}/ct and {0}/ct2); keep one of them."),
            (
                "id,CT,label\na,ct,m\nb,ct,m2\n",
                "{0}/cases.csv cannot be used because the CT of a ({0}/ct) stands in it more than once; "
                "correct it and start again.",
            ),
            (
                "id,CT,label\na,nothing,m\n",
                "{0}/cases.csv cannot be used because the CT of a ({0}/nothing) does not exist; correct it and start again.",
            ),
            (
                "id,CT,PET,label\na,ct,,m\n",
                "The case a has no PET (in the list cases.csv); add the file or take the case out of {0}/cases.csv.",
            ),
            (
                "id,CT,label\n../a,ct,m\n",
                "The case '../a' cannot be the name of a folder; use letters, digits, dots, dashes and underscores only.",
            ),
            (
                "CT,label\nct,m\n",
                "{0}/cases.csv cannot be used because line 2 has no id (column id); correct it and start again.",
            ),
        ],
    )
    def test_refusals(self, tmp_path, text, sentence):
        touch(tmp_path, "ct", "ct2", "m", "m2")
        (tmp_path / "cases.csv").write_text(text)
        options = self.options(tmp_path / "cases.csv")
        # a row without PET leaves the column unseen unless another row has it
        if "PET" in text:
            (tmp_path / "cases.csv").write_text(text + "b,ct2,pet,m2\n")
            touch(tmp_path, "pet")
        assert problems(options)[0] == sentence.format(tmp_path)

    def test_card_of_its_own(self, tmp_path):
        touch(tmp_path, "ct", "pet", "m")
        path = tmp_path / "cases.csv"
        path.write_text("id,CT,PET,label\na,ct,pet,m\n")
        own = cards.FOLDER / "petct-sarcoma.json"
        card = self.options(path, card=own, reference="PET").listing().card
        assert (card.id, card.spacing_mm, card.labels[0].name) == ("petct-sarcoma", (4.0, 4.0, 4.0), "Tumor")
        assert [role.name for role in card.roles if role.is_reference] == ["PET"]
        other = cards.FOLDER / "hippocampus-mri.json"
        sentence = f"{other} cannot be used because its images or labels are not those of cases.csv; correct it and start again."
        assert problems(self.options(path, card=other)) == [sentence]

    def split_of(self, tmp_path, *rows):
        touch(tmp_path, *(f"{part}{number}" for number in range(len(rows)) for part in ("ct", "m")))
        lines = [f"{number},{row},ct{number},m{number}" for number, row in enumerate(rows)]
        (tmp_path / "cases.csv").write_text("\n".join(["id,patient,split,CT,label", *lines]))
        return self.options(tmp_path / "cases.csv")

    def test_given_split(self, tmp_path):
        options = self.split_of(tmp_path, "a,train", "b,test", "c,validation", "b,test", "d,train")
        assert options.listing().split == {"validation": ["2"], "test": ["1", "3"]}

    @pytest.mark.parametrize(
        "rows, reason",
        [
            (("a,train", "b,validation", "a,test"), "a has cases in train and in test, and a patient belongs to one part"),
            (("a,train", "b,Test", "c,validation"), "the split of 1 is 'Test' instead of train, validation or test"),
            (("a,train", "b,", "c,validation"), "the split of 1 is '' instead of train, validation or test"),
            (("a,train", "b,val", "c,test"), "the split of 1 is 'val' instead of train, validation or test"),
            (("a,test", "b,validation"), "its column split names no case for train"),
            (("a,train", "b,validation"), "its column split names no case for test"),
        ],
    )
    def test_splits_that_cannot_be_used(self, tmp_path, rows, reason):
        path = tmp_path / "cases.csv"
        sentence = f"{path} cannot be used because {reason}; correct it and start again."
        assert problems(self.split_of(tmp_path, *rows)) == [sentence]

    def test_unknown_reference(self, tmp_path):
        touch(tmp_path, "ct", "m")
        (tmp_path / "cases.csv").write_text("id,CT,label\na,ct,m\n")
        assert problems(self.options(tmp_path / "cases.csv", reference="MR")) == [
            "There is no image MR; choose --reference from CT."
        ]


class TestPhantom:
    def options(self, **changes):
        seeds = {"train": (0, 2), "validation": (10, 11), "test": (20, 21)}
        card = CARDS / "petct-lesions-demo.json"
        return Phantom(**{"output": OUT, "kind": "petct", "card": card, **seeds, **changes})

    def test_split_by_seed(self):
        data = self.options().listing()
        assert [case.id for case in data.cases] == ["petct-0", "petct-1", "petct-10", "petct-20"]
        assert data.split == {"validation": ["petct-10"], "test": ["petct-20"]} and data.synthetic
        assert [role.intensity["kind"] for role in data.card.roles] == ["clip_zscore", "scale"]

    def test_a_seed_in_two_parts(self):
        assert problems(self.options(test=(1, 3))) == [
            "The parts for training, validation and test share the seed 1; choose ranges that do not overlap."
        ]

    def test_card_of_another_kind(self):
        text = problems(self.options(kind="brain-t1"))[0]
        assert text.endswith("because the phantom brain-t1 has no image for its role CT; correct it and start again.")
