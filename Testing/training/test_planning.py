"""The plan that follows from a fingerprint: the published data sets get the published network, odd ones one that works."""

import re
from ast import literal_eval
from dataclasses import replace
from itertools import product
from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training import networks, planning
from training.planning import Fingerprint, plan
from training.settings import CONFIGS, SKIN_VELOXSEG
from veloxseg.networks import VeloxSegConfig
from veloxseg.networks.config import fitted_patch_size, nearest_sizes, takes, token_step

CUBE = ((3, 3, 3), (6, 6, 6), (3, 3, 3), (3, 3, 3))
FLAT = ((4, 4, 2), (8, 8, 4), (4, 4, 2), (4, 4, 2))
# median shape and spacing of what the scanners gave, channels of the branches, classes: patch and windows as published
PUBLISHED = {
    "AutoPET-II": (Fingerprint((400, 400, 326), (2.03642, 2.03642, 3.0), (1, 1), 2), (96, 96, 96), CUBE),
    "HECKTOR 2022": (Fingerprint((512, 512, 124), (0.976562, 0.976562, 3.27), (1, 1), 2), (128, 128, 64), FLAT),
    "BraTS 2021": (Fingerprint((138, 169, 138), (1.0, 1.0, 1.0), (4,), 4), (96, 96, 96), CUBE),
    "MSD Task01": (Fingerprint((240, 240, 155), (1.0, 1.0, 1.0), (4,), 4), (96, 96, 96), CUBE),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_data_sets_get_the_published_network(name):
    fingerprint, patch, windows = PUBLISHED[name]
    found = plan(fingerprint)
    network = found.network
    assert (network.input_size, network.min_big_window_sizes) == (patch, windows)
    assert (network.patch_size, network.min_dim_group, found.batch_size) == (4, (4, 8, 8, 16), 4)
    assert (network.in_ch, network.n_classes) == (fingerprint.in_ch, fingerprint.n_classes)


ODD = {
    "slab of 20 slices": (Fingerprint((320, 320, 20), (0.625, 0.625, 3.6), (2,), 3), (192, 160, 32), 4),
    "three slices": (Fingerprint((256, 256, 3), (1.0, 1.0, 8.0), (1,), 2), (192, 160, 32), 4),
    "small crop": (Fingerprint((36, 50, 35), (1.0, 1.0, 1.0), (1,), 3), (48, 48, 48), 2),
    "tiny": (Fingerprint((9, 7, 5), (1.0, 1.0, 1.0), (1,), 2), (16, 8, 8), 1),
    "one voxel": (Fingerprint((1, 1, 1), (1.0, 1.0, 1.0), (1,), 2), (16, 8, 8), 1),
    "huge": (Fingerprint((2000, 2000, 4000), (0.3, 0.3, 0.3), (1, 1), 2), (96, 96, 96), 4),
    "slices": (Fingerprint((512, 512), (0.8, 0.8), (1,), 2), (512, 512), 4),
    "tiny slices": (Fingerprint((20, 30), (1.0, 1.0), (1,), 2), (24, 32), 1),
    "five images": (Fingerprint((240, 240, 155), (1.0, 1.0, 1.0), (5,), 3), (96, 96, 96), 4),
    "five branches": (Fingerprint((240, 240, 155), (1.0, 1.0, 1.0), (1,) * 5, 30), (96, 96, 96), 4),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_data_sets(name):
    fingerprint, patch, tokens = ODD[name]
    network = plan(fingerprint, base(fingerprint)).network
    assert (network.input_size, network.patch_size) == (patch, tokens)
    groups = 8 if sum(fingerprint.in_ch) == 5 else 4
    assert network.min_dim_group == (groups, 8, 8, 16)


def base(fingerprint: Fingerprint) -> VeloxSegConfig:
    return planning.PUBLISHED if len(fingerprint.shape) == 3 else SKIN_VELOXSEG.veloxseg


@pytest.mark.parametrize("name", ["tiny", "tiny slices", "three slices", "five images"])
def test_a_planned_network_computes(name):
    fingerprint = ODD[name][0]
    network = plan(replace(fingerprint, memory_gib=1.5), base(fingerprint)).network
    built = networks.build("veloxseg", network).train()
    image = torch.randn(1, sum(network.in_ch), *network.input_size)
    assert built(image).seg[0].shape == (1, network.n_classes, *network.input_size)


def test_less_memory_makes_patch_and_batch_smaller_and_too_little_is_said():
    fingerprint = PUBLISHED["AutoPET-II"][0]
    found = [plan(replace(fingerprint, memory_gib=memory)) for memory in (1.2, 1.5, 2.0, 3.0, 8.0, 80.0)]
    sizes = [prod(one.network.input_size) * one.batch_size for one in found]
    assert sizes == sorted(sizes) and sizes[0] < sizes[2] < sizes[-1] and found[-1] == found[-2]
    with pytest.raises(ValueError, match=r"0.5 GiB of memory aren't enough .* (\d\.\d) GiB would do") as caught:
        plan(replace(fingerprint, memory_gib=0.5))
    enough = float(re.search(r"([\d.]+) GiB would", str(caught.value))[1])
    assert plan(replace(fingerprint, memory_gib=enough)).batch_size >= planning.FEWEST_PATCHES


shapes = st.one_of(st.tuples(*[st.integers(1, 700)] * 3), st.tuples(*[st.integers(1, 3000)] * 2))


@settings(max_examples=150, deadline=None)
@given(shapes, st.data())
def test_every_fingerprint_gets_a_network_that_works(shape, data):
    spacing = tuple(data.draw(st.floats(0.05, 20)) for _ in shape)
    branches = (data.draw(st.integers(1, 6)),) * data.draw(st.integers(1, 6))
    fingerprint = Fingerprint(shape, spacing, branches, data.draw(st.integers(2, 120)), 64.0)
    network = plan(fingerprint, base(fingerprint)).network
    assert all(network.window_plan(stage) for stage in range(4))
    step = token_step(network.patch_size)
    longest = max(range(len(shape)), key=lambda axis: shape[axis] * spacing[axis])
    for axis, (n, patch) in enumerate(zip(shape, network.input_size, strict=True)):
        assert patch < n + 4 * step or axis == longest  # no axis of mere padding
    assert network.resized(network.input_size) == network  # train.py finds the same for the patch that is suggested


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.tuples(*[st.integers(1, 200)] * 3), st.tuples(*[st.integers(1, 600)] * 2)))
def test_every_patch_works_or_the_sizes_that_are_named_do(patch):
    settings_of = planning.PUBLISHED if len(patch) == 3 else SKIN_VELOXSEG.veloxseg
    try:
        assert planning.fitted(settings_of, patch, (1,), 2).input_size == patch
    except ValueError as error:
        named = [literal_eval(text) for text in re.findall(r"\(\d[\d, ]+\)", str(error)) if literal_eval(text) != patch]
        assert named
        for size in named:
            assert planning.fitted(settings_of, size, (1,), 2).input_size == size


@pytest.mark.parametrize("size", [64, 96, 128, 160, 192, 224, 256, 320, 384, 512])
def test_photos_of_usual_sizes(size):
    assert planning.fitted(SKIN_VELOXSEG.veloxseg, (size, size), (3,), 2).patch_size == (2 if size == 64 else 4)


def test_the_same_tokens_as_chosen_by_hand_before():
    for size, tokens in (((96, 96, 96), 4), ((128, 128, 64), 4), ((64, 64, 64), 4), ((32, 48, 32), 2), ((32, 32, 32), 2),
                         ((128, 128), 4), ((256, 256), 4)):  # fmt: skip
        assert fitted_patch_size(size) == tokens


def test_named_sizes_are_the_nearest():
    assert nearest_sizes((100, 130, 64), 32) == [(96, 128, 64), (128, 160, 64)]
    assert nearest_sizes((20, 9, 9), 32) == [(64, 32, 32)]
    assert nearest_sizes((20, 9, 40), 32) == [(32, 32, 64)]
    for size in product((1, 31, 32, 33, 63, 65), repeat=3):
        assert all(takes(near, 4) for near in nearest_sizes(size, 32))


def test_images_of_groups_that_differ_in_number_share_one_branch():
    assert planning.branches([["CT"], ["PET"]]) == (1, 1)
    assert planning.branches([["CT", "CT2"], ["T1", "T2"]]) == (2, 2)
    assert planning.branches([["CT"], ["T1", "T2"]]) == (3,)


BAD = {
    "one axis": {"shape": (5,), "spacing": (1.0,)},
    "axes that differ": {"spacing": (1.0, 1.0)},
    "no voxel": {"shape": (0, 4, 4)},
    "no millimeter": {"spacing": (1.0, 0.0, 1.0)},
    "not a number": {"spacing": (1.0, float("nan"), 1.0)},
    "no image": {"in_ch": ()},
    "no memory": {"memory_gib": 0.0},
}


@pytest.mark.parametrize("name", BAD)
def test_fingerprints_that_are_none(name):
    with pytest.raises(ValueError, match="got"):
        replace(PUBLISHED["MSD Task01"][0], **BAD[name])


def test_windows_of_no_configuration_are_typed_by_hand():
    for _, defaults in CONFIGS.values():
        network = defaults.veloxseg
        assert network.resized(network.input_size) == network == replace(network, min_big_window_sizes=())
