"""Check 21 of docs/acceptance.md: a package that training wrote is imported by the panel, a damaged one is refused."""

import time

import pytest
import VeloxSegSlicerFixtures as fixtures

import damaged_packages
import slicerhost
import tiny
from acceptance import amount
from training import export, train
from veloxseg.contract.errors import VeloxSegError
from veloxseg.packages import package_import, packages


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folder of a run with its package."""
    folder = tmp_path_factory.mktemp("trained")
    train.train(tiny.settings(tiny.write_dataset(folder / "data"), folder / "run", steps=2, validate_every=2))
    export.export(folder / "run")
    return folder / "run"


@pytest.mark.acceptance(21)
def test_zipOfTrainingIsImported(module, trained, tmp_path, measured):
    """The manager with the real engine: four ticks, and the panel lists the model."""
    from VeloxSegSlicerLib.common.Models import Catalogue
    from VeloxSegSlicerLib.panel.ModelManager import ModelManager

    assert packages.verify(trained / "package" / "smoke") > 0.99
    (archive,) = (trained / "package").glob("smoke-*.zip")
    catalogue = Catalogue(tmp_path / "none", tmp_path / "imported")
    manager = ModelManager(catalogue, fixtures.modulePath(), print, lambda: None)
    manager.show()
    started = time.monotonic()
    manager.importPackage(str(archive))
    assert slicerhost.waitFor(lambda: not manager.tool.isBusy, timeout=300)
    measured(f"the zip of a training was imported in {amount(time.monotonic() - started, 's')}, four ticks")
    assert set(manager._checks.words().values()) == {"Passed"}, manager.ui.messageLabel.text
    (card,) = catalogue.cards
    assert (card.id, card.is_demo, card.isImported) == ("smoke", True, True)
    assert [role.name for role in card.roles] == ["CT", "PET"]
    manager.close()


@pytest.mark.acceptance(21)
def test_fiveKindsOfDamage(trained, tmp_path, measured):
    texts = set()
    for code, source in damaged_packages.five(trained / "package" / "smoke", tmp_path).items():
        with pytest.raises(VeloxSegError) as caught:
            package_import.import_package(source, tmp_path / "models")
        assert caught.value.code == code
        texts.add(caught.value.text)
    measured(f"{len(texts)} sentences for five kinds of damage")
    assert len(texts) == 5
