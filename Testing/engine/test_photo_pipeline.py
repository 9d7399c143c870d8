"""The way from a photo to a mask on its own pixels, with measures and uncertainty. Geometry is proven with a stand-in network
that only thresholds, ensembles with a tiny NCA of random weights."""

import dataclasses
import gzip
import math

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from engine_cases import blob_image, stand_in, write_image
from photo_cases import (
    CPU,
    SAMPLING,
    SIZE,
    Model,
    disk,
    finds_the_dark,
    lively_nca,
    photo_card,
    save,
    segment,
    skin,
    slicer_volume,
    tilted_grid,
    veloxseg_card,
)
from veloxseg import diffusion
from veloxseg.contract.card import Card
from veloxseg.contract.errors import VeloxSegError
from veloxseg.imaging import findings, images
from veloxseg.inference import devices, dispatch, photo_pipeline
from veloxseg.inference.progress import Listener, Run
from veloxseg.packages import packages


def thresholding(**changes):
    return stand_in(veloxseg_card(**changes), finds_the_dark)


def automaton(**changes):
    the_card = photo_card(**changes)
    return Model(the_card, lively_nca(the_card["architecture"]["arguments"]))


def mask_of(outcome):
    """bool (y, x)"""
    return outcome.mask[..., 0].T > 0


def refusal(code, call, *arguments, **keywords):
    with pytest.raises(VeloxSegError) as caught:
        call(*arguments, **keywords)
    assert caught.value.code == code
    return caught.value.text


@pytest.fixture
def photo(tmp_path):
    return save(skin(disk(70, 90, 20)), tmp_path / "photo.png")


class TestGeometry:
    @pytest.mark.parametrize("rows,columns", [(64, 64), (150, 110), (90, 400), (700, 250), (64, 900)], ids=lambda n: str(n))
    def test_any_size_and_aspect(self, tmp_path, rows, columns):
        truth = disk(rows, columns, min(rows, columns) / 3)
        found = mask_of(segment(thresholding(working_size=256), save(skin(truth), tmp_path / "p.png")))
        assert found.shape == (rows, columns)
        assert findings.dice(found, truth, 1) > 0.96

    def test_place_and_label(self, tmp_path):
        truth = disk(120, 200, 15, (30, 160))
        outcome = segment(thresholding(working_size=128), save(skin(truth), tmp_path / "p.png"))
        assert outcome.mask.dtype == np.uint8 and set(np.unique(outcome.mask)) == {0, 7}
        y, x = np.argwhere(mask_of(outcome)).mean(axis=0)
        assert (y, x) == pytest.approx((30, 160), abs=0.5)
        assert outcome.probability[160, 30, 0] > 0.9 and outcome.probability[30, 30, 0] < 0.1

    def test_picture_and_slicer_volume_give_the_same(self, tmp_path):
        pixels, grid = skin(disk(70, 90, 20, (30, 50))), tilted_grid(70, 90)
        first = segment(thresholding(), save(pixels, tmp_path / "p.png"))
        second = segment(thresholding(), write_image(slicer_volume(pixels, grid), tmp_path / "p.nrrd"))
        assert np.array_equal(first.mask, second.mask)
        assert images.same_grid(second.grid, grid)
        assert first.grid == images.Grid((90, 70, 1), (1, 1, 1), (0, 0, 0))
        assert first.highest_probability["position_lps"][2] == 0

    @pytest.mark.parametrize("name", ["p.NRRD", "p.mha", "p.nii.gz"])
    def test_volume_formats(self, tmp_path, name):
        path = tmp_path / name
        volume = slicer_volume(skin(disk(70, 90, 20)))
        write_image(volume, path.with_suffix(path.suffix.lower()))
        path.with_suffix(path.suffix.lower()).rename(path)
        assert mask_of(segment(thresholding(), path)).shape == (70, 90)

    @pytest.mark.parametrize("axes", [2, 4])
    def test_volumes_of_two_and_four_axes(self, tmp_path, axes):
        pixels = skin(disk(70, 90, 20))
        volume = sitk.GetImageFromArray(pixels, isVector=True)
        volume = volume if axes == 2 else sitk.JoinSeries(sitk.JoinSeries(volume))
        volume.SetSpacing((0.5,) * axes)
        outcome = segment(thresholding(), write_image(volume, tmp_path / "p.nrrd"))
        assert outcome.grid.size == (90, 70, 1) and outcome.grid.spacing[:2] == (0.5, 0.5)

    def test_read_mask_is_the_slice_of_the_same_grid(self, tmp_path):
        truth = disk(70, 90, 20, (30, 50))
        mask, grid = photo_pipeline.read_mask(save(truth.astype(np.uint8) * 255, tmp_path / "m.png"))
        assert np.array_equal(mask[..., 0].T, truth) and grid.size == mask.shape == (90, 70, 1)


class TestMeasures:
    def test_pixels(self, tmp_path):
        path = save(skin(disk(300, 400, 80)), tmp_path / "p.png")
        (found,) = segment(thresholding(working_size=256), path).segments
        assert (found["value"], found["name"], found["parts"]) == (7, "Lesion", 1)
        assert found["area_px"] == pytest.approx(math.pi * 80**2, rel=0.03)
        assert found["perimeter_px"] == pytest.approx(math.tau * 80, rel=0.03)
        assert found["diameter_px"] == pytest.approx(160, abs=3)
        assert "area_mm2" not in found

    def test_scale(self, tmp_path):
        path = save(skin(disk(100, 100, 30)), tmp_path / "p.png")
        (found,) = segment(thresholding(), path, mm_per_px=0.1).segments
        assert found["area_mm2"] == pytest.approx(found["area_px"] / 100)
        assert found["diameter_mm"] == pytest.approx(found["diameter_px"] / 10)

    def test_none(self, photo):
        outcome = photo_pipeline.segment(thresholding(), {"Photo": photo}, photo_pipeline.Settings(), CPU, measure=False)
        assert outcome.segments == [] and outcome.mask.any()

    def test_nothing_found(self, photo):
        nothing = stand_in(veloxseg_card(), lambda x: 0 * finds_the_dark(x) + torch.tensor([9.0, -9.0])[:, None, None])
        outcome = segment(nothing, photo)
        assert not outcome.mask.any() and outcome.segments[0]["area_px"] == 0


class TestEnsemble:
    def test_is_that_of_diffusion(self, photo):
        model = automaton()
        image, placement = photo_pipeline.prepare(photo_pipeline.read(photo).pixels, SIZE)
        expected = diffusion.segment(model.network("cpu"), image, diffusion.Sampling(**SAMPLING, threshold=0.5, seed=5))
        outcome = segment(model, photo, seed=5)
        top, rows = placement.corner[0], placement.content[0]
        shown = photo_pipeline.photos.to_photo(expected.probability.numpy(), placement)
        assert rows < SIZE and top > 0
        assert np.array_equal(outcome.probability[..., 0].T, shown)
        assert np.array_equal(mask_of(outcome), shown >= 0.5)
        assert outcome.agreement == expected.agreement and outcome.sampling == SAMPLING
        assert outcome.uncertainty.shape == outcome.mask.shape and 0 < outcome.uncertainty.max() <= 0.25

    def test_seed(self, photo):
        first, again, other = (segment(automaton(), photo, seed=seed) for seed in (1, 1, 2))
        assert np.array_equal(first.probability, again.probability)
        assert not np.array_equal(first.probability, other.probability)

    @pytest.mark.parametrize("fusion", ["majority", "staple"])
    def test_votes_decide_in_the_square(self, photo, fusion):
        model = automaton(sampling={**SAMPLING, "fusion": fusion})
        image, placement = photo_pipeline.prepare(photo_pipeline.read(photo).pixels, SIZE)
        sampling = diffusion.Sampling(**model.card.sampling, threshold=0.5, seed=1234)
        mask = diffusion.segment(model.network("cpu"), image, sampling).mask.float().numpy()
        expected = photo_pipeline.photos.to_photo(mask, placement) >= 0.5
        assert np.array_equal(mask_of(segment(model, photo)), expected)

    def test_threshold_of_the_card(self, photo):
        low, high = (mask_of(segment(automaton(threshold=value), photo)) for value in (0.3, 0.7))
        assert high.sum() < low.sum() and not (high & ~low).any()

    def test_members(self, photo):
        one, five = (segment(automaton(), photo, members=number) for number in (1, 5))
        assert one.uncertainty is None and one.agreement is None and one.sampling["members"] == 1
        assert five.sampling == {**SAMPLING, "members": 5} and five.agreement is not None

    @pytest.mark.parametrize("prediction", ["direct", "noise"])
    def test_other_predictions(self, photo, prediction):
        arguments = {**photo_card()["architecture"]["arguments"], "prediction": prediction, "mask_range": [0, 1]}
        assert segment(automaton(architecture={"name": "NCA", "arguments": arguments}), photo).uncertainty.max() > 0

    def test_one_call_network(self, photo):
        outcome = segment(thresholding(), photo)
        assert (outcome.sampling, outcome.agreement, outcome.uncertainty) == (None, None, None)

    def test_random_veloxseg(self, photo):
        model = stand_in(veloxseg_card(), packages.build_network(Card.of(veloxseg_card())).eval())
        assert segment(model, photo).probability.std() > 0

    def test_numbers_that_are_none(self, photo):
        refusal("NUMERIC", segment, stand_in(veloxseg_card(), lambda x: finds_the_dark(x) * math.nan), photo)
        broken = automaton()
        broken.network("cpu").rules[0].fc0.bias.data.fill_(math.nan)
        refusal("NUMERIC", segment, broken, photo)


class Heard(Listener):
    def __init__(self, stop_at=None):
        self.stages, self.steps, self.stop_at = [], [], stop_at

    def stage(self, name, text):
        self.stages.append(name)

    def progress(self, done, total):
        self.steps.append((done, total))

    def cancelled(self):
        return self.stop_at is not None and len(self.steps) > self.stop_at


class TestRun:
    def start(self, model, photo, listener):
        run = Run(listener)
        dispatch.segment(model, {"Photo": photo}, photo_pipeline.Settings(), CPU, run)
        return run

    def test_stages_and_progress(self, photo):
        heard = Heard()
        run = self.start(automaton(), photo, heard)
        assert heard.stages == ["reading", "preparing", "model", "computing", "computing", "measuring"]
        assert heard.steps == [(done, 6) for done in range(7)]
        assert run.seconds["computing"] > 0

    def test_progress_of_one_call(self, photo):
        heard = Heard()
        self.start(thresholding(), photo, heard)
        assert heard.steps == [(0, 1), (1, 1)]

    def test_cancel_between_calls(self, photo):
        heard = Heard(stop_at=2)
        refusal("CANCELLED", self.start, automaton(), photo, heard)
        assert heard.steps[-1] == (2, 6) and "measuring" not in heard.stages

    def test_gpu_without_memory_hands_over(self, photo, monkeypatch):
        def no_memory(x):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")

        gpu = dataclasses.replace(CPU, torch_device=torch.device("cuda"), name="A GPU")
        model = Model(veloxseg_card(), None)
        model.network = lambda device: no_memory if device.type == "cuda" else finds_the_dark
        monkeypatch.setattr(torch.Tensor, "to", lambda self, device: self)
        run = Run()
        outcome = dispatch.segment(model, {"Photo": photo}, photo_pipeline.Settings("auto"), gpu, run)
        assert outcome.device == devices.choose("cpu").name and run.notes[0]["code"] == "RETRY_CPU"
        refusal("MEMORY_GPU", dispatch.segment, model, {"Photo": photo}, photo_pipeline.Settings("cuda"), gpu)


class TestRefusals:
    def test_roles(self, photo):
        for paths in ({}, {"T1": photo}, {"Photo": photo, "T1": photo}):
            refusal("MODEL_ROLES", photo_pipeline.segment, thresholding(), paths, photo_pipeline.Settings(), CPU)

    def test_settings_that_the_model_does_not_have(self, photo):
        assert "overlap" in refusal("REQUEST", segment, thresholding(), photo, overlap=0.5)
        assert "members" in refusal("REQUEST", segment, thresholding(), photo, members=3)
        for scale in (0.0, -1.0, math.nan, math.inf):
            assert "mm_per_px" in refusal("REQUEST", segment, thresholding(), photo, mm_per_px=scale)

    @pytest.mark.parametrize(
        "name,code,words",
        [
            ("none.png", "INPUT_MISSING", "does not exist"),
            ("none.nrrd", "INPUT_MISSING", "does not exist"),
            ("text.jpg", "PHOTO_UNREADABLE", "cannot be read"),
            ("text.nrrd", "PHOTO_UNREADABLE", "cannot be read"),
            ("text.unknown", "PHOTO_UNREADABLE", "cannot be read"),
            ("cut.nii.gz", "PHOTO_UNREADABLE", "cannot be read"),
            ("volume.nrrd", "PHOTO_KIND", "a stack of 36 slices"),
            ("gray.nrrd", "PHOTO_KIND", "gray"),
            ("float.nrrd", "PHOTO_KIND", "number type"),
            ("black.png", "PHOTO_EMPTY", "same color"),
            ("black.nrrd", "PHOTO_EMPTY", "same color"),
            ("small.png", "PHOTO_SIZE", "40 x 30"),
            ("small.nrrd", "PHOTO_SIZE", "40 x 30"),
        ],
    )
    def test_files(self, tmp_path, name, code, words):
        path = tmp_path / name
        write_file(path)
        assert words in refusal(code, segment, thresholding(), path)


def write_file(path):
    """A file that is no photo, by its name."""
    kind = path.name.partition(".")[0]
    pixels = {"black": np.zeros((70, 90, 3), np.uint8), "small": skin(disk(30, 40, 9))}.get(kind, skin(disk(70, 90, 20)))
    if kind == "text":
        path.write_bytes(b"no photo")
    elif kind == "cut":
        whole = path.with_name("whole.nii")
        write_image(slicer_volume(pixels), whole)
        path.write_bytes(gzip.compress(whole.read_bytes()[:3000]))
    elif kind == "volume":
        write_image(blob_image(), path)
    elif kind == "gray":
        write_image(sitk.GetImageFromArray(pixels[None, ..., 0]), path)
    elif kind == "float":
        write_image(slicer_volume(pixels.astype(np.float32)), path)
    elif path.suffix == ".nrrd" and kind != "none":
        write_image(slicer_volume(pixels), path)
    elif kind != "none":
        save(pixels, path)
