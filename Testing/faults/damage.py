"""How things are damaged, as functions of a random generator."""

import copy
import json
from collections.abc import Iterator

import numpy as np

HOSTILE = (
    None, True, False, "", "x", "a\nb", "\x00", "\ud800", "../up", "/", ".", "CON", "x" * 5000, "=cmd|' /C calc'!A0",
    "<img src=x>", 0, -1, 1, 3.5, 1e-300, 1e300, 10**400, float("nan"), float("inf"), [], [None], [[]], {}, {"a": 1},
)  # fmt: skip


def data(content: bytes, rng: np.random.Generator) -> bytes:
    """Bytes flipped, cut, swapped, zeroed, doubled, put in or taken out."""
    changed = bytearray(content)
    place, other = sorted(int(number) for number in rng.integers(0, max(len(content), 1), 2))
    way = int(rng.integers(7))
    if way == 0:
        changed[place : place + 1] = bytes(byte ^ (1 << int(rng.integers(8))) for byte in changed[place : place + 1])
    elif way == 1:
        del changed[place:]
    elif way == 2:
        changed[place : place + 16], changed[other : other + 16] = changed[other : other + 16], changed[place : place + 16]
    elif way == 3:
        changed[place : place + 64] = bytes(len(changed[place : place + 64]))
    elif way == 4:
        changed[place:place] = changed[place : place + 32]
    elif way == 5:
        changed[place:place] = rng.bytes(8)
    else:
        del changed[place : place + 8]
    return bytes(changed)


def flipped(content: bytes, rng: np.random.Generator) -> bytes:
    """One bit turned over."""
    changed = bytearray(content)
    changed[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def cut(content: bytes, rng: np.random.Generator) -> bytes:
    """The beginning alone."""
    return content[: int(rng.integers(len(content)))]


def paths(value: object, path: tuple = ()) -> Iterator[tuple]:
    """The path to every value of a JSON content."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield (*path, key)
        yield from paths(entry, (*path, key))


def content(value: object, rng: np.random.Generator) -> object:
    """A JSON content with one value replaced by a hostile one, taken out, put in, or said twice in a list."""
    changed = copy.deepcopy(value)
    places = list(paths(changed))
    path = places[int(rng.integers(len(places)))]
    holder = changed
    for key in path[:-1]:
        holder = holder[key]
    way = int(rng.integers(10))
    if way == 0:
        del holder[path[-1]]
    elif way == 1 and isinstance(holder, dict):
        holder[f"{path[-1]}2"] = holder[path[-1]]
    elif way == 2 and isinstance(holder, list):
        holder.append(holder[path[-1]])
    else:
        holder[path[-1]] = copy.deepcopy(HOSTILE[int(rng.integers(len(HOSTILE)))])
    return changed


def text_of_json(value: object, rng: np.random.Generator) -> bytes:
    """A JSON file whose content, or more seldom whose bytes, are damaged."""
    if rng.random() < 0.7:
        return json.dumps(content(value, rng)).encode("utf-8", "surrogatepass")
    whole = json.dumps(value, indent=1).encode()
    ways = (
        lambda: data(whole, rng),
        lambda: whole.decode().encode("utf-16"),
        lambda: b"[" * 100_000,
        lambda: b"\xff" + whole,
        lambda: whole + whole,
        lambda: b"",
    )
    return ways[int(rng.integers(len(ways)))]()
