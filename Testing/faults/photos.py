"""Files of photos: bytes flipped, cut and swapped, odd modes and sizes. A photo that is taken gives the mask of its pixels, which
Pillow alone reads a second time."""

import io
import shutil

import numpy as np
from PIL import Image

import photo_cases

from . import damage
from .verdicts import Verdict, judge
from .workshop import Answer, Workshop

EXITS = (4,)


def _run(workshop: Workshop, name: str, notes: list) -> Answer:
    return workshop.run({"schema_version": 1, "model": str(workshop.photo_package), "inputs": {"Photo": f"../inputs/{name}"},
                         "device": "cpu", "members": 1, "seed": 1}, notes)  # fmt: skip


def _judged(workshop: Workshop, name: str, content: bytes) -> Verdict:
    path = workshop.inputs / name
    path.write_bytes(content)
    kept, notes = workshop.kept(), []

    def difference(answer: Answer) -> str:
        try:
            with Image.open(io.BytesIO(content)) as photo:
                pixels = np.asarray(photo.convert("RGB"))
        except Exception as error:  # noqa: BLE001 - whatever Pillow says: it is no photo
            return f"taken, though {error!r}"
        shutil.rmtree(workshop.place / "job" / "result")
        photo_cases.save(pixels, workshop.inputs / "plain.png")
        right = _run(workshop, "plain.png", [])
        (workshop.inputs / "plain.png").unlink()
        return right.difference(answer)

    return judge(lambda: _run(workshop, name, notes), difference, EXITS, kept, notes)


def _sound(ending: str) -> bytes:
    buffer = io.BytesIO()
    photo = Image.fromarray(photo_cases.skin(photo_cases.disk(70, 90, 20)))
    photo.save(buffer, {"png": "PNG", "jpg": "JPEG", "tif": "TIFF"}[ending])
    return buffer.getvalue()


def bytes_of_a_photo(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    ending = str(rng.choice(["png", "jpg", "tif"]))
    return _judged(workshop, f"a.{ending}", damage.data(_sound(ending), rng))


def odd_photo(workshop: Workshop, rng: np.random.Generator) -> Verdict:
    mode = str(rng.choice(["1", "L", "P", "RGBA", "CMYK", "I", "F", "LAB", "I;16"]))
    size = tuple(int(n) for n in rng.choice([1, 63, 64, 90, 300], 2))
    photo = Image.fromarray(photo_cases.skin(photo_cases.disk(size[1], size[0], 20)))
    photo = photo.convert("L").convert("I").convert("I;16") if mode == "I;16" else photo
    buffer = io.BytesIO()
    ending = "tif" if mode in ("CMYK", "I", "F", "LAB", "I;16") else "png"
    try:
        (photo if mode in ("LAB", "I;16") else photo.convert(mode)).save(buffer, "TIFF" if ending == "tif" else "PNG")
    except (OSError, ValueError) as error:
        raise AssertionError(mode) from error
    return _judged(workshop, f"a.{ending}", buffer.getvalue())


KINDS = {"photo: bytes": bytes_of_a_photo, "photo: mode and size": odd_photo}
