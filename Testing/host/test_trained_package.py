"""A package that training wrote is one that the panel lists, and its engine accepts."""

import shutil

import export
import tiny
import train
from veloxseg import packages


def test_trainedPackageIsListedByThePanel(module, tmp_path):
    from VeloxSegSlicerLib.Models import Catalogue

    train.train(tiny.settings(tiny.write_dataset(tmp_path / "data"), tmp_path / "run", steps=2, validate_every=2))
    package = export.export(tmp_path / "run")
    assert packages.verify(package) > 0.99
    models = tmp_path / "models"
    shutil.copytree(package, models / package.name)
    catalogue = Catalogue(models)
    assert catalogue.errors == []
    card = catalogue.cards[0]
    assert (card.id, card.isDemo, [role.name for role in card.roles]) == ("smoke", True, ["CT", "PET"])
