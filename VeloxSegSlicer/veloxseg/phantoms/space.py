"""Implicit solids over arrays of positions, evaluated only where they can be."""

import numpy as np

from .fields import rotation


class Space:
    """Positions in mm as three arrays (k, j, i) whose planes are nearly flat, as those of a warped grid."""

    def __init__(self, x, y, z):
        self.x, self.y, self.z = x, y, z
        # Smallest and largest coordinate of every plane, to find the part of the arrays near a solid.
        self.span = [
            (z.min(axis=(1, 2)), z.max(axis=(1, 2))),
            (y.min(axis=(0, 2)), y.max(axis=(0, 2))),
            (x.min(axis=(0, 1)), x.max(axis=(0, 1))),
        ]

    def box(self, low, high):
        """Slices (k, j, i) of all voxels that can lie in the box low..high (x, y, z), or None."""
        slices = []
        for (least, most), a, b in zip(self.span, low[::-1], high[::-1], strict=True):
            hit = np.flatnonzero((most >= a) & (least <= b))
            if hit.size == 0:
                return None
            slices.append(slice(int(hit[0]), int(hit[-1]) + 1))
        return tuple(slices)

    def ellipsoid(self, center, half, turn=(0, 0, 0), square=0.0):
        """Box and squared superquadric radius (<= 1 inside) of a turned, more or less square ellipsoid."""
        turned = rotation(turn)
        reach = np.sqrt(((turned * np.asarray(half)) ** 2).sum(axis=1))
        if square:
            reach = np.abs(turned) @ np.asarray(half)
        box = self.box(np.asarray(center) - reach, np.asarray(center) + reach)
        if box is None:
            return None, None
        matrix = (turned.T / np.asarray(half)[:, None]).astype(np.float32)
        dx, dy, dz = (c[box] - np.float32(o) for c, o in zip((self.x, self.y, self.z), center, strict=True))
        u, v, w = ((row[0] * dx + row[1] * dy + row[2] * dz) ** 2 for row in matrix)
        radius = u + v + w
        if square:
            radius = radius - square * (u * v + v * w + w * u) + square * square * u * v * w
            radius[np.maximum(np.maximum(u, v), w) > 1] = 4
        return box, radius

    def capsules(self, points, radius):
        """Yield box and squared distance / radius^2 of every segment of a polyline."""
        for a, b in zip(np.asarray(points[:-1], float), np.asarray(points[1:], float), strict=True):
            box = self.box(np.minimum(a, b) - radius, np.maximum(a, b) + radius)
            if box is None:
                continue
            along = ((b - a) / np.dot(b - a, b - a)).astype(np.float32)
            dx, dy, dz = (c[box] - np.float32(o) for c, o in zip((self.x, self.y, self.z), a, strict=True))
            t = np.clip(dx * along[0] + dy * along[1] + dz * along[2], 0, 1)
            ex, ey, ez = (d - t * np.float32(s) for d, s in zip((dx, dy, dz), b - a, strict=True))
            yield box, (ex * ex + ey * ey + ez * ez) / np.float32(radius * radius)

    def mask(self, shapes):
        """True (k, j, i) inside any of the shapes: (center, half axes[, turn]) or (points, radius) of a polyline."""
        result = np.zeros(self.x.shape, bool)
        for shape in shapes:
            pieces = self.capsules(*shape) if np.isscalar(shape[1]) else [self.ellipsoid(*shape)]
            for box, radius in pieces:
                if box is not None:
                    result[box] |= radius <= 1
        return result
