// Masks on canvases: packed run lengths to pixels, overlays, error maps. Nothing is ever read back from a canvas or a
// picture, which a page opened from disk may not do.
"use strict";

const Masks = (() => {
  const OPACITY = 0.45;
  // Okabe and Ito's colours; the same as --hit, --extra, --missing and --wrong of the style.
  const ERRORS = {hit: [0, 114, 178, 150], extra: [213, 94, 0, 255], missing: [240, 228, 66, 255], wrong: [204, 121, 167, 255]};

  // base64 of variable-length integers: value, length, value, length ...; a value's bit k says class k is there.
  function unpack(packed, pixels) {
    const bytes = atob(packed), mask = new Uint32Array(pixels);
    let at = 0, filled = 0;
    const next = () => {
      let value = 0, scale = 1;
      for (;;) {
        const byte = bytes.charCodeAt(at++);
        value += (byte & 127) * scale;
        if (byte < 128) return value;
        scale *= 128;
      }
    };
    while (at < bytes.length) {
      const value = next(), length = next();
      if (value) mask.fill(value, filled, filled + length);
      filled += length;
    }
    return mask;
  }

  const rgb = hex => [1, 3, 5].map(start => parseInt(hex.slice(start, start + 2), 16));

  // Each class tinted in its colour and outlined.
  function overlay(mask, width, height, colors, chosen) {
    const image = new ImageData(width, height), data = image.data, palette = colors.map(rgb);
    for (let i = 0; i < mask.length; i++) {
      const value = (mask[i] & chosen) >>> 0;
      if (!value) continue;
      const x = i % width;
      const edges = value & ~((x > 0 ? mask[i - 1] : 0) & (x < width - 1 ? mask[i + 1] : 0) & (i >= width ? mask[i - width] : 0) &
                              (i + width < mask.length ? mask[i + width] : 0));
      const drawn = edges || value;
      let r = 0, g = 0, b = 0, n = 0;
      for (let k = 0; k < palette.length; k++) {
        if (drawn >>> k & 1) { r += palette[k][0]; g += palette[k][1]; b += palette[k][2]; n++; }
      }
      if (n) data.set([r / n, g / n, b / n, 255 * (edges ? 0.95 : OPACITY)], 4 * i);
    }
    return image;
  }

  // Of the chosen classes: found, found but not there, there but not found, and both at once (another class).
  function errors(mask, truth, width, height, chosen) {
    const image = new ImageData(width, height), data = image.data;
    for (let i = 0; i < mask.length; i++) {
      const found = mask[i] & chosen, there = truth[i] & chosen;
      if (!found && !there) continue;
      const extra = found & ~there, missing = there & ~found;
      data.set(extra && missing ? ERRORS.wrong : extra ? ERRORS.extra : missing ? ERRORS.missing : ERRORS.hit, 4 * i);
    }
    return image;
  }

  return {unpack, overlay, errors};
})();
