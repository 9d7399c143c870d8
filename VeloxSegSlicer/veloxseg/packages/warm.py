"""What a process keeps between two jobs: the network of the last one, as long as its package is the same."""

from __future__ import annotations

import gc
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

# A bad request is answered before torch is imported.
if TYPE_CHECKING:
    import torch

    from veloxseg.contract.card import Card
    from veloxseg.inference.case import Network
    from veloxseg.packages import packages


class Keeper:
    """Keeps one network."""

    def __init__(self) -> None:
        self._key: tuple[str, torch.device] | None = None
        self._network: Network | None = None

    def package(self, cold: packages.ModelPackage) -> WarmPackage:
        """The package with what the last job left of it."""
        return WarmPackage(cold, self)

    def network(self, cold: packages.ModelPackage, device: torch.device) -> Network:
        """The kept network if it is that of this package on this device, else a new one, which is kept from now on."""
        cold.check_weights()
        # The card names the hash of the weights: equal cards are equal networks.
        key = (json.dumps(cold.card.content), device)
        if key != self._key:
            self._key = self._network = None
            self._network = cold.network(device)
            self._key = key
        return self._network

    def tidy(self) -> None:
        """Give the memory of a job back, all but the network."""
        gc.collect()
        if "torch" in sys.modules and sys.modules["torch"].cuda.is_available():
            sys.modules["torch"].cuda.empty_cache()


@dataclass(frozen=True)
class WarmPackage:
    """A `packages.ModelPackage` that builds its network only if the last job did not leave the same one."""

    cold: packages.ModelPackage
    keeper: Keeper

    @property
    def card(self) -> Card:
        return self.cold.card

    @property
    def folder(self) -> Path:
        return self.cold.folder

    def network(self, device: torch.device) -> Network:
        """As `ModelPackage.network`; the file with the weights is checked every time."""
        return self.keeper.network(self.cold, device)
