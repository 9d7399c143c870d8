"""The steps of nnU-Net with VeloxSeg's planner and trainer."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from nnunetv2.experiment_planning import plan_and_preprocess_api as api
from nnunetv2.paths import nnUNet_preprocessed
from nnunetv2.run.run_training import maybe_load_checkpoint

from training.nnunet.planner import PLANS, VeloxSegPlanner
from training.nnunet.trainer import VeloxSegTrainer
from veloxseg.contract.errors import VeloxSegError, one_line


def prepare(dataset: int, name: str, configuration: str, memory_gib: float, processes: int) -> None:
    """Fingerprint, plan and preprocessed cases, unless they are there already. Raises DATASET."""
    folder = Path(nnUNet_preprocessed.get()) / name
    if not (folder / f"{PLANS}.json").is_file():
        api.extract_fingerprint_dataset(dataset, num_processes=processes, check_dataset_integrity=True, show_progress_bar=False)
        try:
            api.plan_experiment_dataset(dataset, VeloxSegPlanner, memory_gib)
        except ValueError as error:
            raise VeloxSegError("DATASET", path=name, reason=one_line(error), remedy="choose another --memory-gib") from error
    plans = json.loads((folder / f"{PLANS}.json").read_text(encoding="utf-8"))
    if configuration not in plans["configurations"]:
        raise VeloxSegError("DATASET", path=name, reason=f"it has no configuration {configuration}",
                            remedy=f"choose from {', '.join(plans['configurations'])}")  # fmt: skip
    done = folder / plans["configurations"][configuration]["data_identifier"]
    cases = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))["numTraining"]
    if len(list(done.glob("*.pkl"))) < cases:  # each is the last file of its case
        api.preprocess_dataset(dataset, PLANS, (configuration,), [processes], show_progress_bar=False)


def run(name: str, configuration: str, fold: int, device: torch.device, epochs: int, iterations: int) -> Path:
    """A training, from its last checkpoint on, and the predictions of its validation cases. Raises DATASET for another fold."""
    folder = Path(nnUNet_preprocessed.get()) / name
    folds = folder / "splits_final.json"
    if folds.is_file() and not 0 <= fold < (count := len(json.loads(folds.read_text(encoding="utf-8")))):
        raise VeloxSegError("DATASET", path=name, reason=f"it has no fold {fold}", remedy=f"choose --fold below {count}")
    plans, description = (json.loads((folder / file).read_text(encoding="utf-8")) for file in (f"{PLANS}.json", "dataset.json"))
    trainer = VeloxSegTrainer(plans | {"continue_training": True}, configuration, fold, description, device)
    trainer.num_epochs, trainer.num_iterations_per_epoch = epochs, iterations
    trainer.num_val_iterations_per_epoch, trainer.save_every = max(1, iterations // 5), 1
    maybe_load_checkpoint(trainer, continue_training=True, validation_only=False)
    if trainer.current_epoch < epochs:
        trainer.run_training()
    trainer.perform_actual_validation()
    return Path(trainer.output_folder)
