"""TIFFs that Pillow does not write."""

import io
import struct

import numpy as np


def tiff(pixels_HWC: np.ndarray, *, extra: int = 0) -> io.BytesIO:
    """An uncompressed RGB, uint8 or uint16 (H, W, C) with C ≥ 3. extra: what bands beyond the third are, 0 unspecified,
    1 transparency by which the colours are multiplied, 2 transparency."""
    height, width, bands = pixels_HWC.shape
    data = pixels_HWC.astype(pixels_HWC.dtype.newbyteorder("<")).tobytes()
    bits = struct.pack(f"<{bands}H", *[8 * pixels_HWC.itemsize] * bands)
    extras = struct.pack(f"<{bands - 3}H", *[extra] * (bands - 3))
    after = 8 + len(data)
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, bands, after), (259, 3, 1, 1), (262, 3, 1, 2),
            (273, 4, 1, 8), (277, 3, 1, bands), (278, 4, 1, height), (279, 4, 1, len(data))]
    if bands > 3:
        place = int.from_bytes(extras.ljust(4, b"\0"), "little") if bands <= 5 else after + len(bits)
        tags.append((338, 3, bands - 3, place))
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    return io.BytesIO(b"II*\0" + struct.pack("<I", after + len(bits) + len(extras)) + data + bits + extras + directory)
