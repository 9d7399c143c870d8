"""The front door: images from files and memory, every setting at every door, typed refusals, examples that run."""

import inspect
import json
import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest
import SimpleITK as sitk

import veloxseg
from engine_cases import blob_image, tiny_package, write_image
from photo_cases import disk, photo_package, save, skin
from veloxseg import api, validation
from veloxseg.commands import cli
from veloxseg.contract.errors import VeloxSegError
from veloxseg.contract.settings import FIELDS
from veloxseg.imaging import images
from veloxseg.inference.progress import Listener
from veloxseg.packages import packages
from veloxseg.service import batch, runner


def refusal(call, *arguments, **options):
    with pytest.raises(VeloxSegError) as caught:
        call(*arguments, **options)
    return caught.value


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return tiny_package(tmp_path_factory.mktemp("packages") / "tiny")


@pytest.fixture(scope="module")
def photo_model(tmp_path_factory):
    return photo_package(tmp_path_factory.mktemp("photos") / "tiny-test")


@pytest.fixture
def image():
    return blob_image()


def test_the_package_is_light_until_used():
    code = "import sys, veloxseg; print({'torch', 'numpy'} & set(sys.modules), veloxseg.segment.__module__, dir(veloxseg)[-1])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set() veloxseg.api sys\n" or done.stdout.startswith("set() veloxseg.api ")
    with pytest.raises(AttributeError, match="nothing"):
        _ = veloxseg.nothing


class TestDoors:
    """A request's fields are the fields of every door, with the same defaults."""

    OWN = {"schema_version", "model", "inputs", "output"}

    @pytest.fixture
    def keys(self):
        schema = json.loads((validation.FOLDER / "request.json").read_text(encoding="utf-8"))
        return set(schema["properties"]) - self.OWN

    def test_settings(self, keys):
        assert set(FIELDS) == keys and {*runner.REQUEST_DEFAULTS} == keys | {"output"}

    def test_api(self, keys):
        parameters = inspect.signature(veloxseg.segment).parameters
        assert keys <= set(parameters)
        assert {name: parameters[name].default for name in FIELDS} == FIELDS

    def test_command_line(self, keys):
        defaults = {field.name: field.default for field in fields(cli.Segment)}
        assert {name: defaults[name] for name in keys} == FIELDS

    def test_batch(self, keys):
        schema = json.loads((validation.FOLDER / "batch.json").read_text(encoding="utf-8"))
        request = json.loads((validation.FOLDER / "request.json").read_text(encoding="utf-8"))
        assert keys <= set(schema["properties"]) and keys <= set(batch.DEFAULTS)
        # outputs are maps alone there: mask and measures are what a batch is for
        same = keys - {"outputs"}
        assert {name: batch.DEFAULTS[name] for name in same} == {name: FIELDS[name] for name in same}
        assert {name: schema["properties"][name] for name in same} == {name: request["properties"][name] for name in same}


class TestSources:
    def test_file_image_and_array_are_the_same(self, package, image, tmp_path):
        path = write_image(image, tmp_path / "t1.nrrd")
        pair = (images.array_of(image), images.grid_of(image))
        model = veloxseg.load(package)
        results = [veloxseg.segment(model, given) for given in (str(path), path, image, pair, {"T1": path}, {"T1": pair})]
        for result in results:
            assert result.mask.dtype == np.uint8 and result.mask.any()
            assert np.array_equal(result.mask, results[0].mask) and result.grid == results[0].grid
            assert np.array_equal(result.probability, results[0].probability)
        assert results[0].image().GetSize() == image.GetSize()

    def test_number_types(self, package, image):
        array, grid = images.array_of(image), images.grid_of(image)
        expected = veloxseg.segment(package, (array.astype(np.float16).astype(np.float32), grid)).mask
        assert np.array_equal(veloxseg.segment(package, (array.astype(np.float16), grid)).mask, expected)
        assert np.array_equal(veloxseg.segment(package, (np.asfortranarray(array.astype(np.float16)), grid)).mask, expected)
        swapped = array.astype(np.float16).astype(">f4")
        assert np.array_equal(veloxseg.segment(package, (swapped, grid)).mask, expected)

    def test_inputs_stay_as_they_are(self, package, image):
        array, grid = images.array_of(image), images.grid_of(image)
        before = array.copy()
        veloxseg.segment(package, (array, grid))
        assert np.array_equal(array, before)

    def test_photo_array(self, photo_model, tmp_path):
        pixels = skin(disk(70, 90, 20))
        result = veloxseg.segment(photo_model, pixels, mm_per_px=0.1)
        from_file = veloxseg.segment(photo_model, save(pixels, tmp_path / "lesion.png"), mm_per_px=0.1)
        assert np.array_equal(result.mask, from_file.mask) and result.segments == from_file.segments
        assert result.mask.shape == (pixels.shape[1], pixels.shape[0], 1) and result.lesions is None

    def test_refusals(self, package, image, photo_model):
        array, grid = images.array_of(image), images.grid_of(image)
        bad_grids = [
            images.Grid(grid.size, (0.0, 1.0, 1.0), grid.origin),
            images.Grid(grid.size, (1.0, float("nan"), 1.0), grid.origin),
            images.Grid(grid.size, grid.spacing, (float("inf"), 0.0, 0.0)),
            images.Grid(grid.size, grid.spacing, grid.origin, (1.0, 0, 0, 1.0, 0, 0, 0, 0, 1.0)),
        ]
        cases = [
            (package, array, "REQUEST"),
            (package, None, "REQUEST"),
            (package, [array, grid], "REQUEST"),
            (package, (array, None), "REQUEST"),
            (package, (array[1:], grid), "INPUT_GEOMETRY"),
            *((package, (array, bad), "INPUT_GEOMETRY") for bad in bad_grids),
            (package, (array.astype(complex), grid), "INPUT_KIND"),
            (package, (array.astype(object), grid), "INPUT_KIND"),
            (package, (array * np.nan, grid), "INPUT_NAN"),
            (package, (array * 0, grid), "INPUT_CONSTANT"),
            (package, image[:, :, 3], "INPUT_KIND"),
            (package, {"T2": image}, "MODEL_ROLES"),
            (package, {}, "MODEL_ROLES"),
            ("petct-lesions-demo", image, "MODEL_ROLES"),
            ("petct-lesions-demo", {"CT": image, "PET": image}, "INPUT_ROLE"),
            (photo_model, np.zeros((9, 9)), "INPUT_KIND"),
            (photo_model, np.zeros((90, 90, 3), np.uint8), "PHOTO_EMPTY"),
            (photo_model, image, "PHOTO_KIND"),
        ]
        for model, given, code in cases:
            assert refusal(veloxseg.segment, model, given).code == code, (type(given), code)


class TestSettings:
    REGION = {"center": [0, 0, 0], "size": [20, 20, 20], "axes": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}

    @pytest.mark.parametrize(
        "field,value",
        [("overlap", 2), ("seed", -1), ("seed", 1.5), ("members", 0), ("device", "tpu"), ("outputs", ["all"]), ("accept", ["X"]),
         ("region", {"center": [0, 0, 0]}), ("region", REGION | {"axes": [[1, 0, 0]] * 3}), ("mirrors", "yes"), ("suv", None)],
    )  # fmt: skip
    def test_one_sentence(self, package, image, tmp_path, field, value):
        error = refusal(veloxseg.segment, package, image, tmp_path / "out", **{field: value})
        assert error.code == "REQUEST" and "\n" not in error.text and not (tmp_path / "out").exists()

    def test_command_line_passes_all_on(self, package, image, tmp_path, monkeypatch):
        heard = {}

        def segment(_package, _images, _output, *, listener, **settings):
            heard.update(settings)
            raise KeyboardInterrupt

        monkeypatch.setattr(api, "segment", segment)
        path = write_image(image, tmp_path / "t1.nrrd")
        arguments = ["segment", "--model", str(package), "--input", f"T1={path}", "--output", str(tmp_path / "out")]
        options = ["--region", json.dumps(self.REGION), "--accept-overlap", "--no-suv", "--outputs", "mask", "probability",
                   "--overlap", "0.5", "--mirrors", "--seed", "7", "--device", "cpu", "--accept", "CT_UNIT"]  # fmt: skip
        assert cli.main([*arguments, *options]) == 6
        assert heard == FIELDS | {
            "region": self.REGION, "accept_overlap": True, "suv": False, "outputs": ("mask", "probability"), "overlap": 0.5,
            "mirrors": True, "seed": 7, "device": "cpu", "accept": ("CT_UNIT",),
        }  # fmt: skip

    @pytest.mark.parametrize("text", ["{", "[1]", '{"center": [0, 0, 0]}', "\udcff"])
    def test_bad_region_on_the_command_line(self, package, image, tmp_path, capsys, text):
        path = write_image(image, tmp_path / "t1.nrrd")
        arguments = ["segment", "--model", str(package), "--input", f"T1={path}", "--output", str(tmp_path / "out")]
        assert cli.main([*arguments, "--region", text]) == 2
        assert "region" in capsys.readouterr().err and not (tmp_path / "out").exists()


class TestResult:
    def test_output_and_save_are_the_same(self, package, image, tmp_path):
        result = veloxseg.segment(package, image, tmp_path / "one", outputs=["mask", "measures", "probability"])
        assert result.save(tmp_path / "two") == tmp_path / "two"
        names = sorted(path.name for path in (tmp_path / "one").iterdir())
        assert names == sorted(path.name for path in (tmp_path / "two").iterdir())
        assert names == ["mask.nrrd", "probability.nrrd", "results.json"]
        assert (tmp_path / "one/mask.nrrd").read_bytes() == (tmp_path / "two/mask.nrrd").read_bytes()
        assert json.loads((tmp_path / "one/results.json").read_text(encoding="utf-8")) == result.provenance
        assert result.provenance["segments"] == result.segments and result.notes == result.provenance["notes"]
        assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "one/mask.nrrd"))).T, result.mask)
        assert refusal(result.save, tmp_path / "one").code == "OUTPUT_UNWRITABLE"

    def test_nothing_is_left_of_a_failure(self, package, tmp_path):
        assert refusal(veloxseg.segment, package, tmp_path / "none.nrrd", tmp_path / "a" / "out").code == "INPUT_MISSING"
        assert list(tmp_path.iterdir()) == []

    def test_listener_cancels(self, package, image, tmp_path):
        class Stop(Listener):
            def cancelled(self):
                return True

        assert refusal(veloxseg.segment, package, image, tmp_path / "out", listener=Stop()).code == "CANCELLED"
        assert list(tmp_path.iterdir()) == []


class TestModels:
    def test_shipped(self, monkeypatch, tmp_path):
        monkeypatch.setenv("VELOXSEG_MODELS", str(tmp_path))
        (tmp_path / "broken/configs").mkdir(parents=True)
        (tmp_path / "broken/configs/velox.json").write_text("{")
        assert [model.folder for model in veloxseg.models()] == api.cards.shipped() and veloxseg.models()

    def test_network_is_kept(self, package, image, monkeypatch):
        built, build = [], packages.ModelPackage.network
        monkeypatch.setattr(packages.ModelPackage, "network", lambda self, device: built.append(device) or build(self, device))
        model = veloxseg.load(package)
        for _ in range(3):
            veloxseg.segment(model, image)
        assert len(built) == 1

    def test_unknown_and_restricted(self, tmp_path, image):
        assert refusal(veloxseg.load, "petct-lesion-demo").code == "MODEL_MISSING"
        restricted = tiny_package(tmp_path / "tiny", license="CC-BY-NC-4.0")
        assert refusal(veloxseg.load, restricted).code == "MODEL_LICENSE"
        assert refusal(veloxseg.segment, restricted, image).code == "MODEL_LICENSE"
        assert veloxseg.segment(restricted, image, accept_license=True).mask.any()
