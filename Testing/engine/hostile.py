"""Files with the names of Python's modules, as somebody might leave them in a folder of images."""

from pathlib import Path

NAMES = (
    "json", "torch", "numpy", "SimpleITK", "safetensors", "jsonschema", "tyro", "tqdm", "PIL", "pickle", "struct", "socket",
    "subprocess", "multiprocessing", "tempfile", "shutil", "sitecustomize", "usercustomize", "random", "datasets",
)  # fmt: skip


def plant(folder: Path, witness: Path) -> None:
    """Fill a folder with modules, packages among them, that write their name to `witness` when they are imported."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        code = f"open({str(witness)!r}, 'a').write({name + chr(10)!r})\nraise SystemExit('imported from a data folder')\n"
        (folder / f"{name}.py").write_text(code)
    for name in ("torch", "scipy"):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "__init__.py").write_text((folder / "torch.py").read_text())


def imported(witness: Path) -> str:
    """What was imported, "" when nothing."""
    return witness.read_text() if witness.exists() else ""
