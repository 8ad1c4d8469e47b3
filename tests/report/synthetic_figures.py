"""Stand-ins for the figures that `compare` draws: of their size, with lines in them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIZES = {"learning": (1600, 900), "scores": (1600, 608), "loss": (1600, 608),
         "loss_normalised": (1600, 608), "terms": (1600, 608), "best_and_worst": (1600, 928)}
TILE, ROWS = 160, 6


def write_figures(variants: Sequence[str], folder: Path, *, snapshots: int) -> None:
    """Every figure of `SIZES`, pictures.png, and so many of snapshots."""
    rng = np.random.default_rng(1)
    wanted = SIZES | {f"snapshots_{n}": (900, 600) for n in range(1, snapshots + 1)}
    for name, (width, height) in wanted.items():
        image = Image.new("RGB", (width, height), "white")
        draw = ImageDraw.Draw(image)
        for i in range(len(variants)):
            x = np.linspace(60, width - 40, 80)
            y = 40 + (height - 80) * (1 - np.exp(-np.linspace(0, 3 + i * 0.2, 80))) + rng.random(80) * 8
            color = (0, 40 + 9 * i % 200, 178 - 8 * i % 170)
            draw.line(list(zip(x.tolist(), y.tolist(), strict=True)), fill=color, width=3)
        draw.rectangle((60, 30, width - 40, height - 30), outline="gray")
        image.save(folder / f"{name}.png")
    grid = Image.new("RGB", (TILE * (len(variants) + 2), TILE * ROWS), "white")
    draw = ImageDraw.Draw(grid)
    for row in range(ROWS):
        for column in range(len(variants) + 2):
            x, y = column * TILE, row * TILE
            draw.rectangle((x + 4, y + 4, x + TILE - 8, y + TILE - 24), fill=(16, 16, 20))
            draw.ellipse((x + 30, y + 20 + 4 * row, x + 110, y + 100), fill=(230 - 20 * row, 120, 60 + 4 * column))
    grid.save(folder / "pictures.png")
