"""Headers of whole files with fields changed at random: a right image, a note, or one sentence, and never anything else."""

import gzip
import struct

import numpy as np
import pytest
import SimpleITK as sitk

from engine_cases import blob_image, write_image
from veloxseg.contract.errors import TABLE, VeloxSegError
from veloxseg.imaging import images

ROUNDS = 150
SIZE = (12, 10, 8)
NUMBERS = ("0", "-1", "nan", "inf", "-inf", "1e30", "1e-30", "2", "999999999999", "-3", "", "x", "1e400", "0x10")
NIFTI_FIELDS = {"h": (40, 42, 44, 46, 48, 70, 72, 252, 254), "f": (76, 80, 84, 88, 108, 112, 116, 256, 260, 264, 268, 280, 300)}
NIFTI_NUMBERS = (0, 1, -1, 2, 3, 5, 7, 32767, 16, 64, 128, 1792)
NIFTI_REALS = (0.0, -1.0, np.nan, np.inf, 1e30, 1e-30, 352.0, 348.0, 2.0, 0.5)


def text_header(content, end, rng):
    """One to three words of a header in lines are replaced, doubled or dropped."""
    lines = content[:end].decode("latin-1").split("\n")
    for _ in range(rng.integers(1, 4)):
        number = rng.integers(len(lines))
        words = lines[number].split(" ")
        place = rng.integers(len(words))
        change = rng.integers(4)
        if change == 0:
            del lines[number]
        elif change == 1:
            lines.insert(number, lines[number])
        else:
            words[place] = str(rng.choice(NUMBERS))
            lines[number] = " ".join(words)
        lines = lines or [""]
    return "\n".join(lines).encode("latin-1") + content[end:]


def nifti_header(content, _end, rng):
    changed = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        kind = str(rng.choice(list(NIFTI_FIELDS)))
        value = rng.choice(NIFTI_NUMBERS) if kind == "h" else rng.choice(NIFTI_REALS)
        struct.pack_into("<" + kind, changed, int(rng.choice(NIFTI_FIELDS[kind])), value)
    if rng.random() < 0.2:
        changed[int(rng.integers(352))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


FORMATS = {"a.nrrd": text_header, "a.mha": text_header, "a.nii": nifti_header, "a.nii.gz": nifti_header}


@pytest.mark.parametrize("name", FORMATS)
def test_changed_headers(tmp_path, name):
    image = sitk.Cast(blob_image(SIZE), sitk.sitkInt16)
    plain = write_image(image, tmp_path / name)
    content = plain.read_bytes()
    content = gzip.decompress(content) if name.endswith(".gz") else content
    end = len(content) - 2 * int(np.prod(SIZE))
    ends = {"right": 0, "noted": 0, "refused": 0}
    for seed in range(ROUNDS):
        changed = FORMATS[name](content, end, np.random.default_rng(seed))
        plain.write_bytes(gzip.compress(changed, 1) if name.endswith(".gz") else changed)
        notes = []
        try:
            read = images.read(plain, "CT", hear=notes.append)
        except VeloxSegError as error:
            assert error.code in TABLE and error.exit_code == 4 and error.text.endswith(".") and "\n" not in error.text, seed
            ends["refused"] += 1
            continue
        assert np.isfinite([*read.GetSpacing(), *read.GetOrigin(), *read.GetDirection()]).all(), seed
        assert min(read.GetSpacing()) > 0, seed
        axes = np.reshape(read.GetDirection(), (3, 3))
        np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-3, err_msg=str(seed))
        ends["noted" if notes else "right"] += 1
    print(name, ends)
    assert ends["refused"] > ROUNDS / 10 and ends["right"] > 0
