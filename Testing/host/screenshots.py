"""Puts the pictures of `make demo` into Screenshots/, in all their colors and small enough for a page.

make screenshots
"""

import io
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
# in Screenshots/ -> in demo/
PICTURES = {
    "brain-regions.png": "overview.png",
    "petct-lesions.png": "petct/overview.png",
    "head-neck.png": "head-neck/overview.png",
    "brain-tumor.png": "brain-tumor/overview.png",
    "skin-lesion.png": "skin/overview.png",
    "skin-uncertainty.png": "skin/uncertainty.png",
}
LARGEST_BYTES = 500_000
STEP = 0.95


def encoded(picture: Image.Image) -> bytes:
    """PNG of at most LARGEST_BYTES: made smaller in steps, never with a palette, which would merge colors of the legend."""
    scale = 1.0
    while True:
        size = (round(picture.width * scale), round(picture.height * scale))
        stream = io.BytesIO()
        picture.resize(size, Image.Resampling.LANCZOS).save(stream, "PNG", optimize=True)
        if len(stream.getvalue()) <= LARGEST_BYTES:
            return stream.getvalue()
        scale *= STEP


def main(demo: Path = ROOT / "demo", screenshots: Path = ROOT / "Screenshots") -> None:
    screenshots.mkdir(exist_ok=True)
    for name, source in PICTURES.items():
        with Image.open(demo / source) as picture:
            (screenshots / name).write_bytes(encoded(picture.convert("RGB")))


if __name__ == "__main__":
    main()
