"""A package that training wrote is one that the panel lists, and its engine accepts."""

import shutil
from pathlib import Path

import export
import slicerhost
import tiny
import train
from veloxseg import packages

MODULE = Path(packages.__file__).parent


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
    importWithTheManager(tmp_path / "run" / "package" / f"smoke-{card.version}.zip", tmp_path / "imported")


def importWithTheManager(archive, folder):
    """Acceptance check 21: the zip of training, the real engine, four ticks."""
    from VeloxSegSlicerLib.ModelManager import ModelManager
    from VeloxSegSlicerLib.Models import Catalogue

    catalogue = Catalogue(folder.parent / "none", folder)
    manager = ModelManager(catalogue, MODULE.parent, print, lambda: None)
    manager.show()
    manager.importPackage(str(archive))
    assert slicerhost.waitFor(lambda: not manager.tool.isBusy, timeout=300)
    assert set(manager._checks.words().values()) == {"Passed"}, manager.ui.messageLabel.text
    assert [(card.id, card.isImported) for card in catalogue.cards] == [("smoke", True)]
    manager.close()
