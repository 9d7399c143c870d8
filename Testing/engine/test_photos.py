"""Photos: hostile files end in one sentence, good ones in the same pixels, and results lie where the photo has them."""

import struct
import zlib

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from veloxseg.contract.errors import VeloxSegError
from veloxseg.imaging import photos
from veloxseg.inference import photo_pipeline


def picture(rows=80, columns=100, seed=0):
    """Skin-like noise; no two rows or columns are alike."""
    rng = np.random.default_rng(seed)
    base = np.add.outer(np.arange(rows), 0.5 * np.arange(columns))[..., None] * 0.4 + (120, 70, 50)
    return (base + rng.integers(0, 20, (rows, columns, 3))).clip(0, 255).astype(np.uint8)


def refused(action, code, *words):
    """The action ends in this code with one sentence that names these words and a remedy."""
    with pytest.raises(VeloxSegError) as caught:
        action()
    error = caught.value
    assert error.code == code and error.exit_code == 4
    assert "; " in error.text and error.text.endswith(".") and "\n" not in error.text
    for word in words:
        assert word in error.text
    return error


class TestReading:
    @pytest.mark.parametrize("ending", ["png", "tif", "PNG"])
    def test_lossless_formats_keep_every_pixel(self, tmp_path, ending):
        path = tmp_path / f"Ünicode photo.{ending}"
        Image.fromarray(picture()).save(path)
        array = photos.read(path)
        assert array.dtype == np.uint8 and (array == picture()).all()
        array[0] = 0  # owns its memory

    def test_jpeg(self, tmp_path):
        Image.fromarray(picture()).save(tmp_path / "a.jpg", quality=95)
        assert np.abs(photos.read(tmp_path / "a.jpg").astype(int) - picture()).mean() < 6

    def test_format_is_taken_from_the_content_not_the_name(self, tmp_path):
        Image.fromarray(picture()).save(tmp_path / "a.jpg", "PNG")
        assert (photos.read(tmp_path / "a.jpg") == picture()).all()

    @pytest.mark.parametrize("ending", ["png", "jpg", "tif"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_exif_orientation_is_honored(self, tmp_path, orientation, ending):
        """Stored as a camera would for each orientation: the inverse turn of the upright picture."""
        upright = np.zeros((80, 120, 3), np.uint8) + np.uint8(60)
        upright[:40, :60, 0] = upright[:40, 60:, 1] = upright[40:, :60, 2] = 200
        inverse = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
        turn = inverse.get(orientation, photos.TURNS.get(orientation))
        stored = Image.fromarray(upright)
        stored = stored if turn is None else stored.transpose(turn)
        exif = Image.Exif()
        exif[photos.ORIENTATION] = orientation
        stored.save(tmp_path / f"a.{ending}", exif=exif)
        array = photos.read(tmp_path / f"a.{ending}")
        assert array.shape == upright.shape
        assert np.abs(array.astype(int) - upright).mean() < 3

    @pytest.mark.parametrize("ending", ["png", "tif"])
    def test_alpha_is_dropped_not_blended(self, tmp_path, ending):
        alpha = np.linspace(0, 255, 80 * 100).reshape(80, 100, 1).astype(np.uint8)
        Image.fromarray(np.concatenate([picture(), alpha], axis=2)).save(tmp_path / f"a.{ending}")
        assert (photos.read(tmp_path / f"a.{ending}") == picture()).all()

    @pytest.mark.parametrize("transparency", [None, 3, bytes(range(64))])
    def test_palette(self, tmp_path, transparency):
        image = Image.fromarray(picture()).quantize(64)
        extra = {} if transparency is None else {"transparency": transparency}
        image.save(tmp_path / "a.png", **extra)
        assert (photos.read(tmp_path / "a.png") == np.array(image.convert("RGB"))).all()

    @pytest.mark.parametrize("ending", ["png", "tif"])
    def test_of_16_bits_the_upper_8_are_kept(self, tmp_path, ending):
        deep = picture().astype(np.uint16) * 256 + 77
        sitk.WriteImage(sitk.GetImageFromArray(deep, isVector=True), str(tmp_path / f"a.{ending}"))
        assert (photos.read(tmp_path / f"a.{ending}") == picture()).all()

    @pytest.mark.parametrize("ending", ["png", "tif", "nrrd", "mha"])
    @pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
    def test_16_bits_that_hold_fewer(self, tmp_path, ending, bits):
        """A camera's 12 bits are no 16 bits of a black photo."""
        array = picture()
        array[0, 0] = 255
        deep = sitk.GetImageFromArray((array.astype(np.uint16) << (bits - 8))[None], isVector=True)
        path, notes = tmp_path / f"a.{ending}", []
        sitk.WriteImage(deep[..., 0] if ending in ("png", "tif") else deep, str(path))
        pixels = photo_pipeline.read(path, notes.append).pixels
        np.testing.assert_array_equal(pixels, array)
        assert [note.code for note in notes] == ["PHOTO_BITS"] * (bits < 16)
        assert bits == 16 or f"hold {bits} bits" in notes[0].text

    @pytest.mark.parametrize("orientation", [3, 6, 8])
    def test_exif_orientation_of_16_bits(self, tmp_path, orientation):
        sitk.WriteImage(sitk.GetImageFromArray(picture().astype(np.uint16) * 257, isVector=True), str(tmp_path / "a.png"))
        with Image.open(tmp_path / "a.png") as file:
            exif = file.getexif()
        exif[0x0112] = orientation
        chunk = b"eXIf" + exif.tobytes()[6:]
        content = (tmp_path / "a.png").read_bytes()
        whole = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        (tmp_path / "a.png").write_bytes(content[:33] + whole + content[33:])
        np.testing.assert_array_equal(photos.read(tmp_path / "a.png"), np.rot90(picture(), {3: 2, 6: 3, 8: 1}[orientation]))

    @pytest.mark.parametrize("ending", ["png", "tif"])
    def test_cut_off_16_bits(self, tmp_path, ending):
        path = tmp_path / f"a.{ending}"
        sitk.WriteImage(sitk.GetImageFromArray(picture().astype(np.uint16) * 257, isVector=True), str(path))
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        refused(lambda: photos.read(path), "PHOTO_UNREADABLE")

    def test_phone_photo_with_a_preview_behind(self, tmp_path):
        first, second = Image.fromarray(picture()), Image.fromarray(picture(seed=1)[:40, :50])
        first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second], quality=95)
        assert photos.read(tmp_path / "a.jpg").shape == (80, 100, 3)


class TestRefusals:
    def save(self, path, array, **options):
        Image.fromarray(array).save(path, **options)
        return path

    def test_missing_file_and_folder(self, tmp_path):
        refused(lambda: photos.read(tmp_path / "no.png"), "INPUT_MISSING", "photo")
        refused(lambda: photos.read(tmp_path), "INPUT_MISSING", "photo")

    @pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"II*\0\x08\0\0\0", b"hello" * 100])
    def test_rubbish(self, tmp_path, content):
        (tmp_path / "a.png").write_bytes(content)
        refused(lambda: photos.read(tmp_path / "a.png"), "PHOTO_UNREADABLE", "a.png")

    @pytest.mark.parametrize("ending", ["png", "jpg", "tif"])
    def test_cut_off(self, tmp_path, ending):
        content = self.save(tmp_path / f"a.{ending}", picture()).read_bytes()
        (tmp_path / f"a.{ending}").write_bytes(content[: len(content) * 2 // 3])
        refused(lambda: photos.read(tmp_path / f"a.{ending}"), "PHOTO_UNREADABLE")

    @pytest.mark.parametrize("ending", ["png", "jpg", "tif"])
    def test_damaged_bytes_end_in_a_photo_or_a_sentence(self, tmp_path, ending):
        options = {"compression": "tiff_lzw"} if ending == "tif" else {}
        content = self.save(tmp_path / "whole", picture(), format={"jpg": "JPEG", "tif": "TIFF"}.get(ending, "PNG"), **options)
        content, rng = content.read_bytes(), np.random.default_rng(0)
        for _ in range(60):
            wrong = bytearray(content)
            for place in rng.integers(0, min(len(wrong), 400), 3):
                wrong[place] = int(rng.integers(256))
            (tmp_path / "broken").write_bytes(wrong)
            try:
                assert photos.read(tmp_path / "broken").dtype == np.uint8
            except VeloxSegError as error:
                assert error.code.startswith("PHOTO_")

    @pytest.mark.parametrize("ending", ["png", "tif"])
    def test_several_pictures(self, tmp_path, ending):
        more = [Image.fromarray(picture(seed=n)) for n in (1, 2)]
        self.save(tmp_path / f"a.{ending}", picture(), save_all=True, append_images=more)
        refused(lambda: photos.read(tmp_path / f"a.{ending}"), "PHOTO_KIND", "3 pictures")

    def test_animated_gif(self, tmp_path):
        self.save(tmp_path / "a.gif", picture(), save_all=True, append_images=[Image.fromarray(picture(seed=1))])
        refused(lambda: photos.read(tmp_path / "a.gif"), "PHOTO_UNREADABLE", "PNG, JPEG or TIFF")

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16", "RGB"])
    def test_gray(self, tmp_path, mode):
        gray = Image.fromarray(picture()[..., 0])
        gray = Image.fromarray(picture()[..., 0].astype(np.uint16) * 200) if mode == "I;16" else gray.convert(mode)
        gray.save(tmp_path / "a.png")
        refused(lambda: photos.read(tmp_path / "a.png"), "PHOTO_KIND", "gray", "choose the color photo")

    def test_gray_palette(self, tmp_path):
        Image.fromarray(picture()[..., 0]).convert("P").save(tmp_path / "a.png")
        refused(lambda: photos.read(tmp_path / "a.png"), "PHOTO_KIND", "gray")

    @pytest.mark.parametrize("ending", ["jpg", "tif"])
    def test_cmyk(self, tmp_path, ending):
        Image.fromarray(picture()).convert("CMYK").save(tmp_path / f"a.{ending}")
        refused(lambda: photos.read(tmp_path / f"a.{ending}"), "PHOTO_KIND", "CMYK", "RGB")

    @pytest.mark.parametrize("shape", [(1, 200), (200, 1), (63, 500), (1, 1)])
    def test_too_small(self, tmp_path, shape):
        path = self.save(tmp_path / "a.png", np.resize(picture(), (*shape, 3)))
        refused(lambda: photos.read(path), "PHOTO_SIZE", f"{shape[1]} x {shape[0]} pixels", "larger photo")

    def test_too_large_is_refused_before_decoding(self, tmp_path, monkeypatch):
        path = self.save(tmp_path / "a.png", np.zeros((64, 6001, 3), np.uint8))
        refused(lambda: photos.read(path), "PHOTO_SIZE", "6001 x 64 pixels", "scale it down")
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
        refused(lambda: photos.read(path), "PHOTO_SIZE", "far too large")

    @pytest.mark.parametrize("color", [(0, 0, 0), (255, 255, 255), (180, 120, 100)])
    def test_one_color(self, tmp_path, color):
        path = self.save(tmp_path / "a.jpg", np.full((80, 90, 3), color, np.uint8))
        refused(lambda: photos.read(path), "PHOTO_EMPTY", "same color everywhere")


class TestFromVolume:
    def volume(self, array):
        return sitk.JoinSeries([sitk.GetImageFromArray(array, isVector=True)])

    def test_the_same_array_as_the_file(self, tmp_path):
        Image.fromarray(picture()).save(tmp_path / "a.png")
        volume = self.volume(picture())
        volume.SetSpacing((0.1, 0.1, 1.0))
        volume.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
        sitk.WriteImage(volume, str(tmp_path / "a.nrrd"))
        array = photos.from_volume(sitk.ReadImage(str(tmp_path / "a.nrrd")))
        assert array.dtype == np.uint8 and (array == photos.read(tmp_path / "a.png")).all()
        assert (photos.from_volume(sitk.ReadImage(str(tmp_path / "a.png"))) == array).all()
        array[0] = 0

    def test_alpha_and_16_bits(self):
        four = np.concatenate([picture(), picture()[..., :1]], axis=2)
        assert (photos.from_volume(self.volume(four)) == picture()).all()
        assert (photos.from_volume(self.volume(picture().astype(np.uint16) * 256)) == picture()).all()

    def test_refusals(self):
        scalar = sitk.JoinSeries([sitk.GetImageFromArray(picture()[..., 0])])
        refused(lambda: photos.from_volume(scalar), "PHOTO_KIND", "gray")
        stack = sitk.JoinSeries([sitk.GetImageFromArray(picture(), isVector=True)] * 4)
        refused(lambda: photos.from_volume(stack), "PHOTO_KIND", "4 slices")
        refused(lambda: photos.from_volume(self.volume(picture().astype(np.float32))), "PHOTO_KIND", "float32")
        refused(lambda: photos.from_volume(self.volume(np.zeros((80, 90, 3), np.uint8))), "PHOTO_EMPTY")
        refused(lambda: photos.from_volume(self.volume(picture(2, 90))), "PHOTO_SIZE", "90 x 2 pixels")
        two = np.ascontiguousarray(picture()[..., :2])
        refused(lambda: photos.from_volume(self.volume(two)), "PHOTO_KIND", "gray")


def disk(shape, center, radius):
    y, x = np.ogrid[: shape[0], : shape[1]]
    return (y - center[0]) ** 2 + (x - center[1]) ** 2 < radius**2


class TestWorkingSize:
    @pytest.mark.parametrize("shape", [(200, 200), (900, 300), (300, 900), (200, 800), (800, 200), (257, 391), (1500, 1500)])
    def test_a_disk_comes_back_round_and_in_its_place(self, shape):
        radius = 0.3 * min(shape)
        center = (0.45 * shape[0], 0.55 * shape[1])
        mask = disk(shape, center, radius)
        _working, placement = photos.to_working(np.zeros((*shape, 3), np.uint8), 256)
        working_mask = photos.mask_to_working(mask, placement)
        assert working_mask.shape == (256, 256) and working_mask.dtype == bool
        back = photos.to_photo(working_mask.astype(np.float32), placement)
        assert back.shape == shape and back.dtype == np.float32
        found = back > 0.5
        assert 2 * (found & mask).sum() / (found.sum() + mask.sum()) > 0.97
        pixel = max(shape) / 256
        assert np.argwhere(found).mean(axis=0) == pytest.approx(np.argwhere(mask).mean(axis=0), abs=0.3 * pixel)
        height, width = np.ptp(np.argwhere(found), axis=0) + 1
        assert height == pytest.approx(width, abs=2.1 * pixel)

    @pytest.mark.parametrize("shape", [(96, 96), (100, 300), (400, 100)])
    def test_shape_is_kept_in_the_square_and_the_rest_is_mirrored(self, shape):
        photo = picture(*shape)
        working, placement = photos.to_working(photo, 64)
        assert working.shape == (64, 64, 3) and working.dtype == np.uint8
        assert max(placement.content) == 64
        assert placement.content[0] / shape[0] == pytest.approx(placement.content[1] / shape[1], rel=0.5 / min(placement.content))
        (top, left), (rows, columns) = placement.corner, placement.content
        if top:
            assert (working[top - 1] == working[top]).all() and (working[top + rows] == working[top + rows - 1]).all()
        if left:
            assert (working[:, left - 1] == working[:, left]).all()
        inside = working[top : top + rows, left : left + columns]
        assert inside.mean() == pytest.approx(photo.mean(), rel=0.01)

    def test_linear_ramp_survives_the_way_there_and_back(self):
        ramp = np.tile(np.linspace(20, 220, 600)[None, :, None], (200, 1, 3)).astype(np.uint8)
        working, placement = photos.to_working(ramp, 128)
        back = photos.to_photo(working[..., 0].astype(np.float32), placement)
        assert np.abs(back[:, 8:-8] - ramp[:, 8:-8, 0]).max() < 2

    def test_photo_that_is_smaller_than_the_square(self):
        working, placement = photos.to_working(picture(64, 64), 256)
        assert np.abs(photos.to_photo(working[..., 1].astype(np.float32), placement) - picture(64, 64)[..., 1]).mean() < 4

    @pytest.mark.parametrize("shape", [(6000, 1500), (64, 6000)])
    def test_largest_photo(self, shape):
        working, placement = photos.to_working(np.zeros((*shape, 3), np.uint8), 256)
        assert working.shape == (256, 256, 3)
        assert photos.to_photo(np.ones((256, 256), np.float32), placement).shape == shape
