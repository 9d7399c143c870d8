"""nnU-Net's planner with VeloxSeg's patch, batch and network in place of a U-Net's; spacing and intensities stay nnU-Net's."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner

from training import planning
from training.datasets import cards
from training.nnunet import network
from veloxseg.networks import VeloxSegConfig

PLANS = "VeloxSegPlans"
SLICES = VeloxSegConfig((256, 256), 4, (1,), depths=(1, 1, 1, 1), conv_drop=0.1, spatial_dim=2)
BASES = {2: SLICES, 3: planning.PUBLISHED}
"""The rest of a network, by its axes."""


def by_modality(channels: Iterable[str]) -> list[list[str]]:
    """Channels that follow each other and are of one modality by their names: CT, PET, else MR."""
    return [list(group) for _, group in groupby(channels, cards.modality)]


class VeloxSegPlanner(ExperimentPlanner):
    """Plans for `VeloxSegTrainer`, by `training.planning`."""

    def __init__(self, dataset_name_or_id, gpu_memory_target_in_gb=8, preprocessor_name="DefaultPreprocessor",
                 plans_name=PLANS, overwrite_target_spacing=None, suppress_transpose=False) -> None:  # fmt: skip
        super().__init__(dataset_name_or_id, gpu_memory_target_in_gb, preprocessor_name, plans_name, overwrite_target_spacing,
                         suppress_transpose)  # fmt: skip

    def get_plans_for_configuration(self, spacing, median_shape, data_identifier, approximate_n_voxels_dataset, _cache) -> dict:
        """nnU-Net's plan of a configuration, axes in its order (slices first), with VeloxSeg's part replaced."""
        found = super().get_plans_for_configuration(spacing, median_shape, data_identifier, approximate_n_voxels_dataset, _cache)
        axes = len(spacing)
        fingerprint = planning.Fingerprint(
            shape=tuple(float(n) for n in median_shape[:axes]),
            spacing=tuple(map(float, spacing)),
            in_ch=planning.branches(by_modality(self.dataset_json["channel_names"].values())),
            n_classes=max(2, len(self.dataset_json["labels"])),
            memory_gib=float(self.UNet_vram_target_GB),
        )
        planned = planning.plan(fingerprint, BASES[axes])
        architecture = {
            "network_class_name": f"{network.__name__}.{network.veloxseg.__name__}",
            "arch_kwargs": network.arguments(planned.network),
            "_kw_requires_import": [],
        }
        batch = min(planned.batch_size, max(found["batch_size"], self.UNet_min_batch_size))
        return found | {"patch_size": list(planned.network.input_size), "batch_size": batch, "architecture": architecture}
