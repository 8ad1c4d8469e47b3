// Masks on canvases: packed run lengths to pixels, overlays, error maps. Nothing is ever read back from a canvas or a
// picture, which a page opened from disk may not do.
"use strict";

const Masks = (() => {
  const OPACITY = 0.45;
  // Okabe and Ito's colours; the same as --hit, --extra, --missing and --wrong of the style.
  const ERRORS = {hit: [0, 114, 178, 150], extra: [213, 94, 0, 255], missing: [240, 228, 66, 255], wrong: [204, 121, 167, 255]};

  const HATCH = [[105, 105, 105, 255], [175, 175, 175, 255]];  // as figures/pictures.py has it

  // base64 of variable-length integers: value, length, value, length ... Where classes may overlap, a value's bit k says
  // that class k is there; where they exclude each other, it is the class's number plus 1. 0 is nothing.
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

  // What is left of a value when one class is chosen; null: all of it.
  function part(value, chosen, exclusive) {
    if (chosen === null) return value;
    return exclusive ? (value === chosen + 1 ? value : 0) : value & 2 ** chosen;
  }

  // The mean colour of a value's classes.
  function blended(value, palette, exclusive) {
    const colors = exclusive ? [palette[value - 1]] : palette.filter((_, k) => value >>> k & 1);
    return [0, 1, 2].map(channel => colors.reduce((sum, color) => sum + color[channel], 0) / colors.length);
  }

  // Each class tinted in its colour and outlined.
  function overlay(mask, {width, height, colors, exclusive}, chosen) {
    const image = new ImageData(width, height), data = image.data, palette = colors.map(rgb), known = new Map();
    const last = mask.length - width;
    for (let i = 0; i < mask.length; i++) {
      const value = part(mask[i], chosen, exclusive);
      if (!value) continue;
      const x = i % width;
      const left = x > 0 ? mask[i - 1] : 0, right = x < width - 1 ? mask[i + 1] : 0;
      const above = i >= width ? mask[i - width] : 0, below = i < last ? mask[i + width] : 0;
      const inside = exclusive ? left === value && right === value && above === value && below === value : value & left & right & above & below;
      const edges = exclusive ? (inside ? 0 : value) : value & ~inside;
      const drawn = edges || value;
      if (!known.has(drawn)) known.set(drawn, blended(drawn, palette, exclusive));
      data.set(known.get(drawn), 4 * i);
      data[4 * i + 3] = 255 * (edges ? 0.95 : OPACITY);
    }
    return image;
  }

  // Of the chosen classes: found, found but not there, there but not found, and both at once (another class).
  function errors(mask, truth, {width, height, exclusive}, chosen) {
    const image = new ImageData(width, height), data = image.data;
    for (let i = 0; i < mask.length; i++) {
      const found = part(mask[i], chosen, exclusive), there = part(truth[i], chosen, exclusive);
      if (!found && !there) continue;
      const extra = exclusive ? found && found !== there : found & ~there;
      const missing = exclusive ? there && found !== there : there & ~found;
      data.set(extra && missing ? ERRORS.wrong : extra ? ERRORS.extra : missing ? ERRORS.missing : ERRORS.hit, 4 * i);
    }
    return image;
  }

  // Grey stripes over what is ignored.
  function hatch(image, ignored) {
    const {width, height, data} = image, period = Math.max(6, Math.floor(Math.max(width, height) / 24));
    for (let i = 0; i < ignored.length; i++) {
      if (ignored[i]) data.set(HATCH[(i % width + Math.floor(i / width)) % period < Math.floor(period / 2) ? 1 : 0], 4 * i);
    }
  }

  return {unpack, overlay, errors, hatch};
})();
