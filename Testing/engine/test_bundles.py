"""Packages in the hands of MONAI's own bundle tool: the same mask as ours, and the package stays as it was."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk

from veloxseg import bundle_steps, files
from veloxseg.contract.errors import VeloxSegError
from veloxseg.imaging import images
from veloxseg.inference import devices, pipeline
from veloxseg.packages import bundles, cards, package_writer, packages

SPACING_MM = (1.7, 2.6, 3.9)
# packages of photos hold nothing for MONAI's tools
volumes = [folder for folder in cards.shipped() if not packages.read(folder).card.takes_photo]
each_package = pytest.mark.parametrize("shipped", volumes, ids=lambda folder: folder.name)


@pytest.fixture
def package(shipped, tmp_path):
    """A copy of a shipped package with the texts as they are generated today."""
    folder = tmp_path / "package"
    shutil.copytree(shipped, folder, ignore=shutil.ignore_patterns("scripts", "__pycache__"))
    read = packages.read(folder)
    for name, text in bundles.texts(read.card).items():
        files.write_text(folder / name, text)
    package_writer.write_manifest(folder)
    return read


def examples(package):
    return {role.name: package.folder / "example" / f"{role.name}.nii.gz" for role in package.card.roles}


def oblique(path, folder, degrees):
    """The same object on a coarse grid of unequal steps turned about all three axes."""
    image = sitk.Cast(sitk.ReadImage(str(path)), sitk.sitkFloat32)
    grid = images.grid_of(image)
    turn = np.reshape(sitk.Euler3DTransform((0, 0, 0), *np.deg2rad(degrees).tolist()).GetMatrix(), (3, 3))
    local = grid.corners() @ turn
    size = np.ceil((local.max(0) - local.min(0)) / SPACING_MM).astype(int)
    origin = turn @ (local.min(0) + np.array(SPACING_MM) / 2)
    target = images.Grid(tuple(size.tolist()), SPACING_MM, tuple(origin.tolist()), tuple(turn.ravel().tolist()))
    air = float(sitk.GetArrayViewFromImage(image).min())
    images.write(images.resample(image, target, background=air), folder / f"{path.name[:-7]}.nrrd")
    return folder / f"{path.name[:-7]}.nrrd"


def monai_bundle(package, *arguments):
    """`python -m monai.bundle run` on the CPU; returns the mask that it wrote."""
    engine = cards.SHIPPED.parents[1]
    config = ["--config_file", "configs/inference.json", "--bundle_root", ".", "--device", "cpu"]
    output = package.folder.parent / "output"
    done = subprocess.run(
        [sys.executable, "-m", "monai.bundle", "run", *config, "--output_dir", str(output), *arguments],
        cwd=package.folder,
        env={**os.environ, "PYTHONPATH": str(engine)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (mask,) = output.iterdir()
    return sitk.ReadImage(str(mask))


def assert_is_ours(mask, package, paths):
    settings = pipeline.Settings(device="cpu")
    ours = pipeline.segment(package, paths, settings, devices.choose("cpu"), measure=False)
    assert ours.mask.any()
    assert images.same_grid(images.grid_of(mask), ours.grid)
    assert mask.GetPixelID() == sitk.sitkUInt8
    np.testing.assert_array_equal(images.array_of(mask), ours.mask)


@each_package
def test_the_example_gives_our_mask_and_leaves_the_package_alone(package):
    mask = monai_bundle(package)
    assert_is_ours(mask, package, examples(package))
    packages.check_manifest(package)


@each_package
def test_own_images_on_oblique_grids_give_our_mask(package, tmp_path):
    angles = [(3.0 + 2 * number, -4.0, 5.0) for number in range(4)]
    paths = {role: oblique(path, tmp_path, turn) for (role, path), turn in zip(examples(package).items(), angles)}
    mask = monai_bundle(package, "--datalist", str([{"image": [str(path) for path in paths.values()]}]))
    assert_is_ours(mask, package, paths)


@each_package
def test_too_few_or_too_many_images_are_refused(package):
    paths = [str(path) for path in examples(package).values()]
    for wrong in (paths[1:], [*paths, paths[0]]):
        with pytest.raises(VeloxSegError) as caught:
            bundle_steps.Prepare(str(package.folder))({"image": wrong})
        assert caught.value.code == "MODEL_ROLES"


@each_package
def test_monai_finds_every_property_of_an_inference_bundle(package, monkeypatch):
    from monai.bundle import ConfigWorkflow

    monkeypatch.setattr(sys, "path", list(sys.path))
    workflow = ConfigWorkflow(
        workflow_type="infer",
        config_file=str(package.folder / "configs/inference.json"),
        logging_file=False,
        bundle_root=str(package.folder),
    )
    workflow.initialize()
    assert not workflow.check_properties()
