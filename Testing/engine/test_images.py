"""Reading, writing, grids and resampling by position."""

import errno
import os
import subprocess

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

import sphere_borders
from engine_cases import blob_image, write_image
from veloxseg import files
from veloxseg.contract.errors import VeloxSegError
from veloxseg.imaging import images
from veloxseg.imaging.images import Grid

OBLIQUE = tuple(np.array([[0.8660254, -0.5, 0], [0.5, 0.8660254, 0], [0, 0, 1]]).ravel())


def refusal(call, *arguments):
    with pytest.raises(VeloxSegError) as caught:
        call(*arguments)
    return caught.value


@pytest.mark.parametrize("extension", [".nrrd", ".nii", ".nii.gz", ".mha"])
def test_written_image_reads_back_on_the_same_grid(tmp_path, extension):
    image = images.image_of(
        np.random.default_rng(0).random((7, 6, 5)).astype(np.float32),
        Grid((7, 6, 5), (0.9, 1.1, 3.0), (-10.5, 20.25, 3.0), OBLIQUE),
    )
    images.write(image, tmp_path / f"image{extension}")
    back = images.read(tmp_path / f"image{extension}")
    assert images.same_grid(images.grid_of(back), images.grid_of(image))
    np.testing.assert_array_equal(images.array_of(back), images.array_of(image))
    assert os.listdir(tmp_path) == [f"image{extension}"]


def test_array_axes_are_the_grid_axes():
    image = images.image_of(np.arange(24, dtype=np.float32).reshape(2, 3, 4), Grid((2, 3, 4), (1, 1, 1), (0, 0, 0)))
    assert image.GetSize() == (2, 3, 4)
    assert image.GetPixel(1, 2, 3) == images.array_of(image)[1, 2, 3] == 23


class TestBadInput:
    def test_missing(self, tmp_path):
        error = refusal(images.read, tmp_path / "none.nrrd", "CT")
        assert (error.code, error.exit_code) == ("INPUT_MISSING", 4)
        assert "CT" in error.text

    @pytest.mark.parametrize("content", [b"", b"not an image", b"NRRD0004\ntype: float\ndimension: 3\n"])
    def test_unreadable(self, tmp_path, content):
        (tmp_path / "a.nrrd").write_bytes(content)
        assert refusal(images.read, tmp_path / "a.nrrd", "CT").code == "INPUT_UNREADABLE"

    @pytest.mark.parametrize("extension", [".nrrd", ".nii", ".nii.gz", ".mha"])
    @pytest.mark.parametrize("kept", [0.5, 0.999])
    def test_cut_off(self, tmp_path, extension, kept):
        """ITK itself reads a cut-off NIfTI file without a word and fills the rest with rubbish."""
        path = write_image(blob_image(), tmp_path / f"a{extension}")
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * kept)])
        assert refusal(images.read, path, "CT").code == "INPUT_UNREADABLE"

    def test_four_axes(self, tmp_path):
        image = sitk.JoinSeries([blob_image((8, 8, 8)), blob_image((8, 8, 8))])
        error = refusal(images.read, write_image(image, tmp_path / "a.nii"), "PET")
        assert error.code == "INPUT_KIND" and "4-dimensional" in error.text

    def test_fourth_axis_of_length_one_is_dropped(self, tmp_path):
        image = sitk.JoinSeries([blob_image((8, 8, 8))])
        assert images.read(write_image(image, tmp_path / "a.nii"), "PET").GetSize() == (8, 8, 8)

    def test_two_axes(self, tmp_path):
        image = sitk.GetImageFromArray(np.arange(12, dtype=np.float32).reshape(3, 4))
        assert refusal(images.read, write_image(image, tmp_path / "a.mha"), "PET").code == "INPUT_KIND"

    def test_color(self, tmp_path):
        image = sitk.Compose([sitk.Cast(blob_image((8, 8, 8)), sitk.sitkUInt8)] * 3)
        error = refusal(images.read, write_image(image, tmp_path / "a.nrrd"), "PET")
        assert error.code == "INPUT_KIND" and "3 channels" in error.text

    @pytest.mark.parametrize("extension", [".nrrd", ".nii", ".nii.gz", ".mha"])
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_not_a_number(self, tmp_path, extension, value):
        """The same in every format: a few count as empty with a note, most of an image is refused."""
        image = blob_image((8, 8, 8))
        array = images.array_of(image)
        array[1:3, 2, 3] = value
        path = write_image(images.image_of(array, images.grid_of(image)), tmp_path / f"a{extension}")
        notes = []
        read = images.array_of(images.read(path, "T1", np.median, notes.append))
        assert [note.code for note in notes] == ["INPUT_NAN"] and "2 voxel(s) of the T1 image (0.39 %)" in notes[0].text
        assert (read[1:3, 2, 3] == np.median(array[np.isfinite(array)])).all()
        array[1:3, 2, 3] = read[1:3, 2, 3]
        np.testing.assert_array_equal(read, array)

        array[:5] = value
        path = write_image(images.image_of(array, images.grid_of(image)), tmp_path / f"b{extension}")
        error = refusal(images.read, path, "T1")
        assert error.code == "INPUT_NAN" and "62 % of the T1" in error.text

    def test_constant(self, tmp_path):
        image = images.image_of(np.full((8, 8, 8), 7, np.int16), Grid((8, 8, 8), (1, 1, 1), (0, 0, 0)))
        error = refusal(images.read, write_image(image, tmp_path / "a.nrrd"), "T1")
        assert error.code == "INPUT_CONSTANT" and "7" in error.text

    def test_singular_direction(self, tmp_path):
        path = write_image(blob_image((8, 8, 8)), tmp_path / "a.nrrd")
        header, _, data = path.read_bytes().partition(b"\n\n")
        lines = [
            b"space directions: (2,0,0) (2,0,0) (0,0,2)" if line.startswith(b"space directions") else line
            for line in header.split(b"\n")
        ]
        path.write_bytes(b"\n".join(lines) + b"\n\n" + data)
        error = refusal(images.read, path, "T1")
        assert (error.code, error.exit_code) == ("INPUT_GEOMETRY", 4)


class TestWriting:
    def test_unwritable_folder(self, tmp_path):
        (tmp_path / "file").write_text("")
        error = refusal(images.write, blob_image((8, 8, 8)), tmp_path / "file" / "a.nrrd")
        assert (error.code, error.exit_code) == ("OUTPUT_UNWRITABLE", 4)
        assert refusal(images.write, blob_image((8, 8, 8)), tmp_path / "none" / "a.nrrd").code == "OUTPUT_UNWRITABLE"

    def test_failure_leaves_the_older_file(self, tmp_path, monkeypatch):
        (tmp_path / "a.nrrd").write_text("older")

        def full(*_arguments):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(files.os, "fsync", full)
        assert refusal(images.write, blob_image((8, 8, 8)), tmp_path / "a.nrrd").code == "DISK_FULL"
        assert os.listdir(tmp_path) == ["a.nrrd"]
        assert (tmp_path / "a.nrrd").read_text() == "older"

    @pytest.mark.parametrize("extension", [".nrrd", ".nii", ".mha", ".nii.gz"])
    def test_full_disk(self, small_disk, extension):
        noise = np.random.default_rng(0).random((80, 80, 80)).astype(np.float32)
        image = images.image_of(noise, Grid(noise.shape, (1, 1, 1), (0, 0, 0)))
        error = refusal(images.write, image, small_disk / f"a{extension}", extension == ".nii.gz")
        assert (error.code, error.exit_code) == ("DISK_FULL", 4)
        assert os.listdir(small_disk) == []


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("a small file system can only be mounted by root on Linux")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


class TestWorkingGrid:
    def test_covers_the_image_and_is_centered_on_it(self):
        reference = Grid((181, 217, 181), (1, 1, 1), (-90, -126, -72))
        grid = images.working_grid(reference, (2, 2, 2))
        assert grid == Grid((91, 109, 91), (2, 2, 2), (-90, -126, -72))

    @pytest.mark.parametrize("spacing", [(2.0, 2.0, 2.0), (1.5, 1.5, 1.5), (3.0, 3.0, 3.0)])
    @pytest.mark.parametrize("size", [(240, 240, 155), (256, 256, 176), (181, 217, 181)])
    def test_what_is_the_same_has_the_same_grid(self, size, spacing):
        """Half a voxel of the working grid is millimeters, whatever the header's rounding."""
        plain = Grid(size, (1.0, 1.0, 1.0), (-90.0, -126.0, -72.0))
        expected = images.working_grid(plain, spacing)
        for turn in (1e-6, 1e-5, 1e-4, 9e-4):
            near = Grid(size, (1.0 + turn / 2, 1.0, 1.0), plain.origin, (1.0, -turn, turn, turn, 1.0, 0.0, -turn, 0.0, 1.0))
            assert images.same_grid(plain, near)
            found = images.working_grid(near, spacing)
            assert found.size == expected.size
            assert np.abs(np.subtract(found.origin, expected.origin)).max() < turn * 256

    def test_turning_moves_no_voxel(self):
        """Nearly the same oblique grids may differ by a voxel on both sides, but not by half a one."""
        plain = Grid((80, 75, 60), (1.0, 1.0, 2.0), (0.0, 0.0, 0.0))
        working = []
        for turn in np.arange(0.0, 0.6, 0.003):
            c, s = np.cos(turn), np.sin(turn)
            turned = images.around_center(plain, np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]))
            working.append(images.working_grid(turned, (2, 2, 2)))
        assert len({grid.size for grid in working}) > 5
        for grid in working:
            shift = np.subtract(grid.origin, working[0].origin) / 2
            np.testing.assert_allclose(shift, np.round(shift), atol=1e-4)

    def test_whole_voxels_are_not_added_for_rounding(self):
        grid = images.working_grid(Grid((30, 30, 30), (0.1, 0.1, 0.1), (0, 0, 0)), (0.3, 0.3, 0.3))
        assert grid.size == (10, 10, 10)

    @settings(max_examples=30, deadline=None)
    @given(st.permutations([0, 1, 2]), st.tuples(st.booleans(), st.booleans(), st.booleans()))
    def test_flips_and_permutations_change_nothing(self, order, flips):
        image = images.image_of(
            np.random.default_rng(1).random((9, 12, 7)).astype(np.float32),
            Grid((9, 12, 7), (1.3, 0.7, 2.9), (5.5, -7.25, 11.125), OBLIQUE),
        )
        turned = sitk.Flip(sitk.PermuteAxes(image, order), flips)
        grid = images.working_grid(images.grid_of(image), (1.5, 1.5, 2.0))
        assert images.working_grid(images.grid_of(turned), (1.5, 1.5, 2.0)) == grid
        np.testing.assert_allclose(
            images.array_of(images.resample(turned, grid)),
            images.array_of(images.resample(image, grid)),
            atol=1e-4,
        )


class TestResample:
    def test_a_linear_ramp_stays_where_it_is(self):
        source = Grid((30, 28, 26), (1.0, 1.2, 1.4), (-10, -20, -5), OBLIQUE)
        x, y, z = np.moveaxis(source.world(np.stack(np.meshgrid(*map(np.arange, source.size), indexing="ij"), -1)), -1, 0)
        image = images.image_of((x + 2 * y - 3 * z).astype(np.float32), source)
        center = source.world(np.asarray(source.size) / 2)
        target = Grid((4, 4, 4), (0.7, 0.9, 0.8), tuple(center))
        x, y, z = np.moveaxis(target.world(np.stack(np.meshgrid(*map(np.arange, target.size), indexing="ij"), -1)), -1, 0)
        np.testing.assert_allclose(images.array_of(images.resample(image, target)), x + 2 * y - 3 * z, atol=1e-3)

    def test_outside_is_background(self):
        image = blob_image((8, 8, 8))
        far = Grid((2, 2, 2), (2, 2, 2), (500, 500, 500))
        assert set(images.array_of(images.resample(image, far, background=-7)).ravel()) == {-7}
        assert set(images.array_of(images.resample(image, far, "nearest", -7)).ravel()) == {-7}

    def test_coarser_targets_average(self):
        """Alternating voxels of 0 and 1 become 0.5, not an arbitrary one of the two."""
        stripes = np.zeros((32, 8, 8), np.float32)
        stripes[::2] = 1
        image = images.image_of(stripes, Grid(stripes.shape, (1, 1, 1), (0, 0, 0)))
        coarse = images.array_of(images.resample(image, Grid((5, 4, 4), (4, 1, 1), (8, 2, 2))))
        np.testing.assert_allclose(coarse, 0.5, atol=0.02)

    def test_finer_and_equal_grids_are_not_smoothed(self):
        source = Grid((5, 5, 5), (2, 2, 2), (0, 0, 0))
        assert not images.blur_variances(source, Grid((5, 5, 5), (1, 2, 2), (0, 0, 0))).any()
        assert images.blur_variances(source, Grid((5, 5, 5), (2, 2, 6), (0, 0, 0))).nonzero()[0].tolist() == [2]

    def test_smoothing_follows_the_physical_axis(self):
        swapped = (0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
        target = Grid((5, 5, 5), (1, 4, 1), (0, 0, 0))
        assert images.blur_variances(Grid((5, 5, 5), (1, 1, 1), (0, 0, 0), swapped), target).nonzero()[0].tolist() == [0]

    def test_one_slice_and_nearest_keep_working(self):
        image = images.image_of(np.arange(16, dtype=np.int16).reshape(4, 4, 1), Grid((4, 4, 1), (1, 1, 1), (0, 0, 0)))
        assert images.resample(image, Grid((2, 2, 1), (2, 2, 3), (0.5, 0.5, 0))).GetSize() == (2, 2, 1)
        labels = images.resample(image, Grid((4, 4, 1), (1, 1, 1), (0, 0, 0)), "nearest")
        assert labels.GetPixelID() == sitk.sitkInt16


def test_overlap():
    box = Grid((10, 10, 10), (1, 1, 1), (0, 0, 0))
    assert images.overlap(box, box) == 1
    assert images.overlap(box, Grid((10, 10, 10), (1, 1, 1), (5, 0, 0))) == pytest.approx(0.5, abs=0.05)
    assert images.overlap(box, Grid((100, 100, 100), (1, 1, 1), (-40, -40, -40))) == 1
    assert images.overlap(Grid((100, 100, 100), (1, 1, 1), (-40, -40, -40)), box) == 1
    assert images.overlap(box, Grid((10, 10, 10), (1, 1, 1), (50, 0, 0))) == 0


def test_labels_on_grid_is_the_arg_max_of_the_resampled_maps():
    rng = np.random.default_rng(0)
    source = Grid((12, 10, 8), (2, 2, 2), (0, 0, 0))
    target = Grid((20, 18, 14), (1, 1, 1), (1, 1, 1))
    maps = rng.random((4, *source.size)).astype(np.float32)
    expected = np.argmax([images.map_on_grid(each, source, target) for each in maps], axis=0)
    labels = images.labels_on_grid(iter(maps), source, target, [0, 5, 7, 9])
    np.testing.assert_array_equal(labels, np.array([0, 5, 7, 9])[expected])


@pytest.mark.parametrize("size", [(1, 1, 1), (1, 1, 5), (3, 4, 5)])
def test_array_of_owns_its_memory(size):
    array = images.array_of(sitk.GetImageFromArray(np.ones(size, np.float32)))
    assert array.flags.owndata and array.flags.writeable and array.flags.c_contiguous


class TestParallelGrids:
    """Products along the axes give what SimpleITK's filters give."""

    def compare(self, target, background=0.0, seed=0):
        rng = np.random.default_rng(seed)
        source = Grid((30, 24, 21), (1.1, 0.9, 2.5), (-12.0, 4.0, 30.0), (0, 0, 1, -1, 0, 0, 0, 1, 0))
        image = images.image_of(rng.uniform(-50, 100, source.size).astype(np.float32), source)
        expected = images.array_of(images.resample(image, target(source), background=background))
        assert images._axis_change(source, target(source)) is not None
        found = images.on_grid(image, target(source), background)
        assert found.flags.c_contiguous and found.dtype == np.float32
        assert np.abs(found - expected).max() < 1e-4
        map_ = rng.uniform(0, 1, source.size)
        slow = images.array_of(images.resample(images.image_of(map_.astype(np.float32), source), target(source)))
        assert np.abs(images.map_on_grid(map_, source, target(source)) - slow).max() < 1e-6
        return expected

    @pytest.mark.parametrize("spacing", [(2.0, 2.0, 2.0), (0.7, 1.3, 1.0), (4.0, 9.0, 0.5)])
    def test_onto_the_working_grid(self, spacing):
        assert (self.compare(lambda source: images.working_grid(source, spacing), -7.0) == -7).mean() < 0.5

    def test_partly_and_wholly_outside(self):
        far = Grid((20, 21, 22), (1.3, 1.3, 1.3), (-25.0, -5.0, 20.0), (0, 1, 0, 0, 0, -1, -1, 0, 0))
        assert (self.compare(lambda source: far, -7.0) == -7).any()
        gone = Grid((5, 5, 5), (1.0, 1.0, 1.0), (500.0, 0.0, 0.0))
        assert (self.compare(lambda source: gone, 3.0) == 3).all()

    def test_integers_and_oblique_grids(self):
        where = Grid((9, 8, 7), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
        image = images.image_of(np.random.default_rng(0).integers(-99, 99, where.size).astype(np.int16), where)
        turned = Grid((8, 8, 8), (1.5, 1.5, 1.5), (0.0, 0.0, 0.0), (0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, 1))
        assert images._axis_change(images.grid_of(image), turned) is None
        for target in (turned, Grid((5, 5, 5), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0))):
            expected = images.array_of(images.resample(image, target))
            assert np.abs(images.on_grid(image, target) - expected).max() < 1e-4

    def test_smoothing(self):
        where = Grid((150, 20, 11), (1.0, 2.0, 3.5), (0.0, 0.0, 0.0))
        array = np.random.default_rng(0).uniform(0, 1, where.size).astype(np.float32)
        expected = images.array_of(sitk.DiscreteGaussian(images.image_of(array, where), [9.0] * 3, 256, [0.001] * 3, True))
        before = array.copy()
        assert np.abs(images.smooth(array, where, 3.0) - expected).max() < 1e-6
        assert np.array_equal(array, before)


@pytest.mark.parametrize("spacing,least", [(1.5, 0.98), (3.0, 0.95)])
def test_borders_between_working_voxels(spacing, least):
    """Probabilities go back and not labels, so that a border may lie inside a working voxel."""
    found = sphere_borders.dices(spacing, range(6))
    assert found[:, 0].min() > least
    assert (found[:, 0] > found[:, 1] + 0.01).all()
