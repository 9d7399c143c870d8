"""The rules that rebuild every tensor of the fixtures in `Testing/Data/veloxseg_parity`.

Nothing here imports the network: these functions only make numbers from names and shapes.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch

FIXTURES = Path(__file__).resolve().parents[1] / "Data" / "veloxseg_parity"
SALT = "velox-parity-v1"
NETWORKS = ("tiny", "autopetii", "hecktor2022", "brats2021")

# Below this norm a gradient is rounding noise: the biases in front of an instance norm.
DEAD_GRADIENT = 1e-5


def load_json(name: str) -> dict:
    """One fixture description, e.g. `load_json("tiny")`."""
    return json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))


def load_arrays(name: str) -> dict[str, np.ndarray]:
    """The arrays beside a fixture description."""
    with np.load(FIXTURES / f"{name}.npz") as archive:
        return dict(archive)


def base_stream(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """z: float64 in [-1, 1), reproducible from its name, in C order."""
    seed = int.from_bytes(hashlib.sha256(f"{SALT}|{name}".encode()).digest()[:8], "big")
    uniform = np.random.Generator(np.random.PCG64(seed)).random(int(np.prod(shape)))
    return 2 * uniform.reshape(shape) - 1


def noise(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """The noise rule: uniform with unit variance."""
    return as_tensor(np.sqrt(3) * base_stream(name, shape))


def parameter(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    """The value of one parameter, by its full state-dict key."""
    z = base_stream(key, shape)
    if key.endswith("relative_position_bias_table"):
        return as_tensor(0.8 * z)
    if len(shape) >= 3:
        return as_tensor(z * np.sqrt(3 / np.prod(shape[1:])))
    if key.endswith("weight"):
        return as_tensor(1 + 0.3 * z)
    if key.endswith("bias"):
        return as_tensor(0.3 * z)
    raise ValueError(f"no rule fills {key} of shape {tuple(shape)}")


def fill(network: torch.nn.Module) -> torch.nn.Module:
    """Fills all parameters of a network in place; buffers keep their geometry."""
    with torch.no_grad():
        for key, value in network.named_parameters():
            value.copy_(parameter(key, tuple(value.shape)))
    return network


def image(shape: tuple[int, int, int, int, int], name: str = "input") -> torch.Tensor:
    """The image rule, shape (B, C, H, W, D)."""
    b, c, i, j, k = np.ogrid[tuple(slice(n) for n in shape)]
    height, width, depth = shape[2:]
    turn = 2 * np.pi
    smooth = np.sin(turn * ((c + 1) * i / height + 0.3 * b)) * np.cos(turn * (c + 1) * j / width)
    smooth = smooth + 0.5 * np.sin(turn * (k / depth + (c + 1) * j / width))
    return as_tensor(0.8 * base_stream(name, shape) + smooth)


def labels(batch: int, size: tuple[int, int, int], n_classes: int) -> torch.Tensor:
    """The label rule, shape (B, 1, H, W, D), int64."""
    b, _, i, j, k = np.ogrid[:batch, :1, : size[0], : size[1], : size[2]]
    stripes = 3 * i // size[0] + 2 * (4 * j // size[1]) + 5 * k // size[2] + b
    return torch.from_numpy((stripes % n_classes).astype(np.int64))


def as_tensor(array: np.ndarray) -> torch.Tensor:
    """float64 arithmetic ends here, in float32."""
    return torch.from_numpy(np.asarray(array, dtype=np.float32))


def no_dropout(network: torch.nn.Module) -> torch.nn.Module:
    """Training mode with every dropout probability set to zero."""
    network.train()
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if hasattr(module, "attn_drop"):
            module.attn_drop = 0.0
    return network


def subsample(tensor: torch.Tensor, stride: int) -> np.ndarray:
    """Every stride-th voxel of a 5-axis tensor, as numpy; other tensors in full."""
    tensor = tensor.detach()
    return (tensor[:, :, ::stride, ::stride, ::stride] if tensor.ndim == 5 else tensor).numpy()


def largest_error(actual: torch.Tensor | np.ndarray, expected: np.ndarray) -> float:
    """Largest absolute difference; the shapes must agree exactly."""
    actual = actual.detach().numpy() if isinstance(actual, torch.Tensor) else actual
    assert actual.shape == expected.shape, f"shape {actual.shape}, expected {expected.shape}"
    return float(np.abs(actual.astype(np.float64) - expected.astype(np.float64)).max())


def statistics(tensor: torch.Tensor) -> dict[str, float]:
    """The float64 statistics that the fixtures hold of a tensor too large to store."""
    values = tensor.detach().double()
    return {
        "mean": values.mean().item(),
        "std": values.std(unbiased=False).item(),
        "min": values.min().item(),
        "max": values.max().item(),
        "l2": values.norm().item(),
    }


def balls(shape: tuple[int, int, int], described: list) -> np.ndarray:
    """A label map of balls [[center], radius, label]; a later ball overwrites an earlier one."""
    volume = np.zeros(shape, dtype=np.int64)
    i, j, k = np.ogrid[tuple(slice(n) for n in shape)]
    for (ci, cj, ck), radius, label in described:
        volume[(i - ci) ** 2 + (j - cj) ** 2 + (k - ck) ** 2 <= radius**2] = label
    return volume
