"""Image files as they are stored: every documented format is read as ITK reads it, and what is not whole is refused."""

import gzip
import shutil
import struct
import zlib

import numpy as np
import pytest
import SimpleITK as sitk

from engine_cases import blob_image, write_image
from veloxseg.contract.errors import VeloxSegError
from veloxseg.imaging import images, reading

SIZE = (9, 8, 7)
TURN = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)


def volume(kind=np.int16, seed=0):
    array = (np.random.default_rng(seed).random(SIZE) * 100).astype(kind)
    return images.image_of(array, images.Grid(SIZE, (1.5, 2.0, 3.0), (3.0, -4.0, 5.5), TURN))


def refusal(path):
    with pytest.raises(VeloxSegError) as caught:
        images.read_volume(path, "CT")
    assert caught.value.text.startswith("The") and "CT" in caught.value.text and caught.value.text.count(".") >= 1
    return caught.value


def heard(path):
    notes = []
    image = images.read_volume(path, "CT", notes.append)
    return image, {note.code: note.text for note in notes}


def assert_as_itk(path):
    image, expected = reading.read(path), sitk.ReadImage(str(path))
    for name in ("GetSize", "GetPixelID"):
        assert getattr(image, name)() == getattr(expected, name)()
    for name in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(image, name)(), getattr(expected, name)(), atol=1e-5)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(expected))


KINDS = {
    "nrrd": ("a.nrrd", False),
    "compressed nrrd": ("a.nrrd", True),
    "nhdr": ("a.nhdr", False),
    "compressed nhdr": ("a.nhdr", True),
    "nii": ("a.nii", False),
    "nii.gz": ("a.nii.gz", True),
    "hdr and img": ("a.img", False),
    "mha": ("a.mha", False),
    "compressed mha": ("a.mha", True),
    "mhd and raw": ("a.mhd", False),
    "mhd and zraw": ("a.mhd", True),
}


def write(folder, kind, image=None):
    """The file to read, and the file that holds the voxels."""
    name, compress = KINDS[kind]
    folder.mkdir(exist_ok=True)
    sitk.WriteImage(volume() if image is None else image, str(folder / name), compress)
    files = [path for path in folder.iterdir() if path.suffix not in (".nhdr", ".mhd", ".hdr")]
    assert len(files) == 1
    return folder / name, files[0]


class TestFormats:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("number", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
    def test_as_itk(self, tmp_path, kind, number):
        assert_as_itk(write(tmp_path, kind, volume(number))[0])

    @pytest.mark.parametrize("name", ["a.nrrd", "a.nhdr", "a.mha", "a.mhd"])
    def test_colors(self, tmp_path, name):
        array = np.random.default_rng(0).integers(0, 255, (1, 6, 5, 3), np.uint8)
        sitk.WriteImage(sitk.GetImageFromArray(array, isVector=True), str(tmp_path / name))
        assert_as_itk(tmp_path / name)

    def test_colors_of_nifti(self, tmp_path):
        """Channels lie one after the other; ITK takes one slice for a picture."""
        array = np.random.default_rng(0).integers(0, 255, (1, 6, 5, 3), np.uint8)
        sitk.WriteImage(sitk.GetImageFromArray(array, isVector=True), str(tmp_path / "a.nii"))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(reading.read(tmp_path / "a.nii")), array)

    def test_big_endian(self, tmp_path):
        for name, change in (
            ("a.nrrd", (b"endian: little", b"endian: big")),
            ("a.mha", (b"BinaryDataByteOrderMSB = False", b"BinaryDataByteOrderMSB = True")),
        ):
            path = write_image(volume(), tmp_path / name)
            header, _, _ = path.read_bytes().partition(sitk.GetArrayFromImage(volume()).tobytes())
            path.write_bytes(header.replace(*change) + sitk.GetArrayFromImage(volume()).astype(">i2").tobytes())
            assert_as_itk(path)

    @pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
    def test_nifti_whose_name_is_wrong_about_the_compression(self, tmp_path, name):
        content = write_image(volume(), tmp_path / "plain.nii").read_bytes()
        (tmp_path / name).write_bytes(gzip.compress(content) if name == "a.nii" else content)
        np.testing.assert_array_equal(images.array_of(reading.read(tmp_path / name)), images.array_of(volume()))

    def test_several_compressed_parts(self, tmp_path):
        """As programs write that compress blocks side by side."""
        content = write_image(volume(), tmp_path / "plain.nii").read_bytes()
        (tmp_path / "a.nii.gz").write_bytes(b"".join(gzip.compress(content[n : n + 500]) for n in range(0, len(content), 500)))
        np.testing.assert_array_equal(images.array_of(reading.read(tmp_path / "a.nii.gz")), images.array_of(volume()))

    def test_voxels_are_read_once(self, tmp_path, monkeypatch):
        path = write_image(volume(), tmp_path / "a.nii.gz")
        given = []
        plain = zlib.decompressobj

        class Counting:
            def __init__(self, *arguments):
                self._decoder = plain(*arguments)

            def decompress(self, *arguments):
                part = self._decoder.decompress(*arguments)
                given.append(len(part))
                return part

            def __getattr__(self, name):
                return getattr(self._decoder, name)

        monkeypatch.setattr(zlib, "decompressobj", Counting)
        images.read(path)
        assert sum(given) <= 540 + 352 + np.prod(SIZE) * 2

    def test_padding(self, tmp_path):
        path = write_image(volume(), tmp_path / "a.nii")
        path.write_bytes(path.read_bytes() + bytes(512))
        np.testing.assert_array_equal(images.array_of(reading.read(path)), images.array_of(volume()))


class TestWhole:
    """What ITK reads without a word and fills with rubbish."""

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("kept", [0.6, 0.9, -1])
    def test_cut_off(self, tmp_path, kind, kept):
        path, voxels = write(tmp_path, kind)
        content = voxels.read_bytes()
        voxels.write_bytes(content[: kept if kept < 0 else int(len(content) * kept)])
        error = refusal(path)
        assert error.code == "INPUT_UNREADABLE" and "ends before its last voxel" in error.text

    @pytest.mark.parametrize("kind", KINDS)
    def test_something_behind(self, tmp_path, kind):
        path, voxels = write(tmp_path, kind)
        voxels.write_bytes(voxels.read_bytes() + b"garbage")
        error = refusal(path)
        assert error.code == "INPUT_UNREADABLE" and "goes on after its last voxel" in error.text

    @pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind][1]])
    def test_damaged_inside(self, tmp_path, kind):
        path, voxels = write(tmp_path, kind)
        content = bytearray(voxels.read_bytes())
        content[-200] ^= 0x10
        voxels.write_bytes(content)
        assert refusal(path).code == "INPUT_UNREADABLE"

    @pytest.mark.parametrize("kind", ["nhdr", "compressed nhdr", "hdr and img", "mhd and raw", "mhd and zraw"])
    def test_voxels_are_missing(self, tmp_path, kind):
        path, voxels = write(tmp_path, kind)
        voxels.unlink()
        if path != voxels:
            assert "the file with its voxels is missing" in refusal(path).text
        else:
            assert "the file with its voxels is missing" in refusal(path.with_suffix(".hdr")).text

    def test_compressed_voxels_of_fewer_slices(self, tmp_path):
        """The stream is whole, but holds a third of what the header says."""
        path, _ = write(tmp_path, "mha")
        header, _, _ = path.read_bytes().partition(b"ElementDataFile")
        voxels = zlib.compress(sitk.GetArrayFromImage(volume())[:2].tobytes())
        fields = header.replace(b"CompressedData = False", b"CompressedData = True\nCompressedDataSize = %d" % len(voxels))
        path.write_bytes(fields + b"ElementDataFile = LOCAL\n" + voxels)
        assert "ends before its last voxel" in refusal(path).text

    def test_header_that_promises_terabytes(self, tmp_path):
        path, _ = write(tmp_path, "nii.gz")
        content = bytearray(gzip.decompress(path.read_bytes()))
        struct.pack_into("<3h", content, 42, 32767, 32767, 32767)
        path.write_bytes(gzip.compress(bytes(content)))
        assert "ends before its last voxel" in refusal(path).text

    @pytest.mark.parametrize("word", [b"1e30", b"1e400", b"7x", b"nan", b"-7", b"0", b"99999999999999999999"])
    @pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
    def test_sizes_that_are_no_counts(self, tmp_path, name, word):
        """ITK reads the digit in front of what it does not understand, and is ended by some."""
        path = write_image(volume(), tmp_path / name)
        field = b"sizes: 9 8 " if name == "a.nrrd" else b"DimSize = 9 8 "
        path.write_bytes(path.read_bytes().replace(field + b"7", field + word))
        assert refusal(path).code == "INPUT_UNREADABLE"

    @pytest.mark.parametrize(
        "words", [(b"origin: (", b"origin: (1;"), (b"directions: (", b"directions: (1e"), (b",0)", b",0.\x15)")]
    )
    def test_numbers_that_are_none(self, tmp_path, words):
        """ITK takes the digits in front of what it does not understand for the number."""
        path = write_image(volume(), tmp_path / "a.nrrd")
        path.write_bytes(path.read_bytes().replace(*words, 1))
        assert refusal(path).code == "INPUT_UNREADABLE"

    @pytest.mark.parametrize("line", [b"ElementSpacing = 1 1 1\n", b"Offset = 0 0 900\n", b"DimSize = 7 8 9\n"])
    def test_metaimage_that_says_two_things(self, tmp_path, line):
        path = write_image(volume(), tmp_path / "a.mha")
        path.write_bytes(line + path.read_bytes())
        assert refusal(path).code == "INPUT_UNREADABLE"


class TestOtherFiles:
    @pytest.mark.parametrize("name", ["a.gipl", "a.vtk", "a.tif"])
    def test_other_formats(self, tmp_path, name):
        sitk.WriteImage(sitk.Cast(volume(), sitk.sitkUInt8), str(tmp_path / name))
        error = refusal(tmp_path / name)
        assert error.code == "INPUT_UNREADABLE" and "save it as .nrrd or .nii.gz" in error.text

    @pytest.mark.parametrize("name", ["0.dcm", "IM0001", "slice.nii"])
    def test_one_dicom_file(self, tmp_path, name):
        slice_ = sitk.Cast(volume()[..., :1], sitk.sitkInt16)
        sitk.WriteImage(slice_, str(tmp_path / "a.dcm"))
        shutil.move(tmp_path / "a.dcm", tmp_path / name)
        error = refusal(tmp_path / name)
        assert error.code == "INPUT_UNREADABLE" and "one DICOM file" in error.text and "load the whole series" in error.text

    def test_folder(self, tmp_path):
        error = refusal(tmp_path)
        assert error.code == "INPUT_UNREADABLE" and "it is a folder" in error.text

    @pytest.mark.parametrize("name", ["a.nrrd", "a.nii", "a.nii.gz", "a.mha", "a.mhd", "a.nhdr", "a.hdr"])
    def test_content_of_another_format(self, tmp_path, name):
        for other in ("b.nrrd", "b.nii", "b.nii.gz", "b.mha"):
            content = write_image(volume(), tmp_path / other).read_bytes()
            (tmp_path / name).write_bytes(content)
            same = {name, other} in ({"a.nii", "b.nii.gz"}, {"a.nii.gz", "b.nii"})
            if name[1:] == other[1:] or same or {name, other} in ({"a.mhd", "b.mha"}, {"a.nhdr", "b.nrrd"}):
                continue
            assert refusal(tmp_path / name).code == "INPUT_UNREADABLE"

    def test_analyze(self, tmp_path):
        path, _ = write(tmp_path, "hdr and img")
        header = tmp_path / "a.hdr"
        header.write_bytes(header.read_bytes()[:344] + bytes(4))
        assert "Analyze" in refusal(path).text


def with_line(folder, line):
    """An NRRD file with one more line in its header."""
    path = write_image(volume(), folder / "a.nrrd")
    path.write_bytes(path.read_bytes().replace(b"encoding:", line.encode() + b"\nencoding:", 1))
    return path


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha", "a.nii.gz"])
def test_a_position_far_from_every_scanner(tmp_path, name):
    image = volume()
    image.SetOrigin((0.0, -1e30, 0.0))
    error = refusal(write_image(image, tmp_path / name))
    assert error.code == "INPUT_GEOMETRY" and "1e+30 mm away" in error.text


class TestNoOrientation:
    def test_nrrd_without_space(self, tmp_path):
        path = write_image(volume(), tmp_path / "a.nrrd")
        path.write_bytes(path.read_bytes().replace(b"space: left-posterior-superior", b"space dimension: 3"))
        assert list(heard(path)[1]) == ["INPUT_ORIENTATION"]

    def test_metaimage_without_matrix(self, tmp_path):
        path = write_image(volume(), tmp_path / "a.mha")
        lines = path.read_bytes().split(b"\n", 20)
        path.write_bytes(b"\n".join(line for line in lines if not line.startswith(b"TransformMatrix")))
        assert list(heard(path)[1]) == ["INPUT_ORIENTATION"]

    @pytest.mark.parametrize("name,field", [("a.mha", b"Offset"), ("a.nrrd", b"space origin")])
    def test_position_is_not_stored(self, tmp_path, name, field):
        path = write_image(volume(), tmp_path / name)
        lines = path.read_bytes().split(b"\n", 20)
        path.write_bytes(b"\n".join(line for line in lines if not line.startswith(field)))
        image, notes = heard(path)
        assert list(notes) == ["INPUT_ORIGIN"] and image.GetOrigin() == (0, 0, 0)

    @pytest.mark.parametrize("unit", ["um", "m", "inches"])
    def test_nrrd_in_another_unit(self, tmp_path, unit):
        """ITK takes all lengths for millimeters."""
        error = refusal(with_line(tmp_path, f'space units: "{unit}" "{unit}" "{unit}"'))
        assert error.code == "INPUT_GEOMETRY" and f"lengths are in '{unit}'" in error.text

    def test_nrrd_in_millimeters(self, tmp_path):
        assert heard(with_line(tmp_path, 'space units: "mm" "mm" "mm"'))[1] == {}

    def test_nrrd_with_an_axis_without_direction(self, tmp_path):
        """ITK takes 1 mm along the first axis of the world."""
        path = write_image(volume(), tmp_path / "a.nrrd")
        lines = path.read_bytes().split(b"\n", 20)
        (place,) = [n for n, line in enumerate(lines) if line.startswith(b"space directions")]
        lines[place] = b"space directions: none (0,4,0) (0,0,4)"
        path.write_bytes(b"\n".join(lines))
        assert "one of its axes has no direction" in refusal(path).text

    @pytest.mark.parametrize("name,field", [("a.mha", b"ElementSpacing"), ("a.nrrd", b"space directions")])
    def test_spacing_is_not_stored(self, tmp_path, name, field):
        path = write_image(volume(), tmp_path / name)
        lines = path.read_bytes().split(b"\n", 20)
        path.write_bytes(b"\n".join(line for line in lines if not line.startswith(field)))
        error = refusal(path)
        assert error.code == "INPUT_GEOMETRY" and "spacing is not stored" in error.text


def sheared_file(folder, name, amount):
    """Voxels of 2 x 2 x 3 mm, the second axis leaning by `amount` towards the first."""
    image = blob_image((40, 44, 36), (2.0, 2.0, 3.0))
    path = write_image(image, folder / name)
    content = path.read_bytes()
    if name.endswith(".nrrd"):
        content = content.replace(b"(0,2,0)", b"(%.9g,2,0)" % (2 * amount))
    elif name.endswith(".mha"):
        length = np.hypot(amount, 1)
        matrix = b"TransformMatrix = 1 0 0 %.9g %.9g 0 0 0 1" % (amount / length, 1 / length)
        content = content.replace(b"TransformMatrix = 1 0 0 0 1 0 0 0 1", matrix)
    else:
        content = bytearray(content)
        struct.pack_into("<2h", content, 252, 0, 1)
        struct.pack_into("<f", content, 284, -2 * amount)
    path.write_bytes(content)
    return path, image


class TestShear:
    @pytest.mark.parametrize("name", ["a.nii", "a.nrrd", "a.mha"])
    @pytest.mark.parametrize("amount", [1e-4, 1e-3, 0.01])
    def test_a_little_is_straightened_with_a_note(self, tmp_path, name, amount):
        path, image = sheared_file(tmp_path, name, amount)
        read, notes = heard(path)
        axes = np.reshape(read.GetDirection(), (3, 3))
        np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-6)
        np.testing.assert_allclose(axes, np.eye(3), atol=amount)
        assert list(notes) == ["INPUT_SHEAR"] and f"{np.degrees(amount):.2g} degrees" in notes["INPUT_SHEAR"]
        middle = [(n - 1) / 2 for n in image.GetSize()]
        moved = np.subtract(
            read.TransformContinuousIndexToPhysicalPoint(middle), image.TransformContinuousIndexToPhysicalPoint(middle)
        )
        # the center is where the sheared header has it, whose second step two of the formats make of length 2
        np.testing.assert_allclose(moved, [2 * amount * middle[1], 0, 0], atol=3e-3)
        np.testing.assert_array_equal(images.array_of(read), images.array_of(image))

    @pytest.mark.parametrize("name", ["a.nii", "a.nrrd", "a.mha"])
    def test_more_is_refused_with_the_reason(self, tmp_path, name):
        error = refusal(sheared_file(tmp_path, name, 0.02)[0])
        assert error.code == "INPUT_GEOMETRY" and "1.1 degrees" in error.text and "resample" in error.text
        assert "singular" not in error.text

    @pytest.mark.parametrize("name", ["a.nii", "a.nrrd", "a.mha"])
    def test_straight_files_have_no_note(self, tmp_path, name):
        assert heard(sheared_file(tmp_path, name, 0)[0])[1] == {}

    def test_directions_that_are_no_unit_vectors(self, tmp_path):
        path = write_image(volume(), tmp_path / "a.mha")
        content = path.read_bytes()
        start = content.index(b"TransformMatrix")
        path.write_bytes(content[:start] + b"TransformMatrix = 2 0 0 0 2 0 0 0 2" + content[content.index(b"\n", start) :])
        assert "contradict" in refusal(path).text


class TestNifti:
    def file(self, folder, sform=1, qform=1, **changes):
        """A NIfTI file of 4 x 5 x 3 mm with fields of its header replaced: name -> (offset, kinds, values)."""
        image = blob_image((20, 18, 16), (4.0, 5.0, 3.0))
        path = write_image(image, folder / "a.nii")
        content = bytearray(path.read_bytes())
        struct.pack_into("<2h", content, 252, qform, sform)
        for offset, kinds, *values in changes.values():
            struct.pack_into("<" + kinds, content, offset, *values)
        path.write_bytes(content)
        return path, image

    def test_nothing_is_odd(self, tmp_path):
        assert heard(self.file(tmp_path)[0])[1] == {}

    def test_no_orientation(self, tmp_path):
        read, notes = heard(self.file(tmp_path, 0, 0)[0])
        assert list(notes) == ["INPUT_ORIENTATION"] and "columns run to the left" in notes["INPUT_ORIENTATION"]
        assert read.GetOrigin() == (0, 0, 0) and read.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)
        np.testing.assert_allclose(read.GetSpacing(), (4, 5, 3))

    @pytest.mark.parametrize("sform,taken", [(1, "sform"), (2, "qform"), (4, "qform")])
    def test_two_positions(self, tmp_path, sform, taken):
        path, image = self.file(tmp_path, sform, moved=(292, "f", 100.0))
        read, notes = heard(path)
        distance = abs(100.0 + image.GetOrigin()[0])
        assert list(notes) == ["INPUT_POSITIONS"] and f"{distance:.1f} mm; the {taken}" in notes["INPUT_POSITIONS"]
        assert read.GetOrigin()[0] == pytest.approx(-100.0 if taken == "sform" else image.GetOrigin()[0])

    @pytest.mark.parametrize("pixdim", [(1.0, 1.0, 1.0), (4.0, 5.0, 3.1), (0.0, 0.0, 0.0), (np.nan, 5.0, 3.0), (-4.0, 5.0, 3.0)])
    @pytest.mark.parametrize("qform", [0, 1])
    def test_spacing_contradicts_the_matrix(self, tmp_path, pixdim, qform):
        error = refusal(self.file(tmp_path, 1, qform, pixdim=(80, "3f", *pixdim))[0])
        assert error.code == "INPUT_GEOMETRY" and error.text.count("mm") in (0, 2)

    @pytest.mark.parametrize("code,name,factor", [(1, "meters", 1000.0), (3, "micrometers", 0.001)])
    def test_units(self, tmp_path, code, name, factor):
        path, image = self.file(tmp_path, units=(123, "B", code))
        read, notes = heard(path)
        assert list(notes) == ["INPUT_UNIT"] and name in notes["INPUT_UNIT"]
        np.testing.assert_allclose(read.GetSpacing(), np.multiply(image.GetSpacing(), factor), rtol=1e-6)
        np.testing.assert_allclose(read.GetOrigin(), np.multiply(image.GetOrigin(), factor), rtol=1e-6)

    def test_unknown_unit(self, tmp_path):
        assert "unit of length" in refusal(self.file(tmp_path, units=(123, "B", 5))[0]).text

    @pytest.mark.parametrize("values", [(np.nan, 0.0), (np.inf, 0.0), (2.0, np.nan)])
    def test_scale_that_is_no_number(self, tmp_path, values):
        path, image = self.file(tmp_path, scale=(112, "2f", *values))
        read, notes = heard(path)
        assert list(notes) == ["INPUT_SCALE"]
        np.testing.assert_array_equal(images.array_of(read), images.array_of(image))

    @pytest.mark.parametrize("values,change", [((0.0, 7.0), lambda v: v), ((2.0, -3.0), lambda v: 2 * v - 3)])
    def test_scale(self, tmp_path, values, change):
        path, image = self.file(tmp_path, scale=(112, "2f", *values))
        read, notes = heard(path)
        assert notes == {}
        np.testing.assert_allclose(images.array_of(read), change(images.array_of(image)), rtol=1e-6)

    def test_time_axis(self, tmp_path):
        """One point in time is a volume, several are not."""
        path, _ = self.file(tmp_path, dim=(40, "6h", 4, 20, 18, 16, 1, 1))
        assert images.read_volume(path).GetSize() == (20, 18, 16)
        path, _ = self.file(tmp_path, dim=(40, "6h", 4, 20, 18, 8, 2, 1))
        assert refusal(path).code == "INPUT_KIND"
        path, _ = self.file(tmp_path, dim=(40, "6h", 5, 20, 18, 8, 1, 2))
        assert refusal(path).code == "INPUT_KIND"

    def test_second_version(self, tmp_path):
        nibabel = pytest.importorskip("nibabel")
        array = np.random.default_rng(0).random((7, 8, 9)).astype(np.float32)
        affine = np.array([[-2.0, 0, 0, 11], [0, -3, 0, 12], [0, 0, 4, 13], [0, 0, 0, 1]])
        image = nibabel.Nifti2Image(array, affine)
        image.set_qform(affine, 1)
        image.set_sform(affine, 1)
        nibabel.save(image, tmp_path / "a.nii.gz")
        read, notes = heard(tmp_path / "a.nii.gz")
        assert notes == {}
        np.testing.assert_allclose(read.GetOrigin(), (-11, -12, 13))
        np.testing.assert_allclose(read.GetSpacing(), (2, 3, 4))
        np.testing.assert_allclose(read.GetDirection(), np.eye(3).ravel(), atol=1e-7)
        np.testing.assert_array_equal(images.array_of(read), array)

    @pytest.mark.parametrize("sform,qform", [(0, 1), (1, 0), (1, 1), (2, 0), (2, 1), (4, 2), (0, 3)])
    @pytest.mark.parametrize("seed", range(3))
    def test_positions_are_itk_s(self, tmp_path, sform, qform, seed):
        rng = np.random.default_rng(seed)
        turned = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        grid = images.Grid((5, 6, 7), tuple(rng.uniform(0.5, 3, 3)), tuple(rng.uniform(-90, 90, 3)), tuple(turned.ravel()))
        path = write_image(images.image_of(rng.random((5, 6, 7)).astype(np.float32), grid), tmp_path / "a.nii")
        content = bytearray(path.read_bytes())
        struct.pack_into("<2h", content, 252, qform, sform)
        path.write_bytes(content)
        assert_as_itk(path)
