// Masks on canvases: packed run lengths to pixels, overlays, error maps. Nothing is ever read back from a canvas or a
// picture, which a page opened from disk may not do.
"use strict";

const Masks = (() => {
  const OPACITY = 0.45;
  // Okabe and Ito's colours; the same as --hit, --extra, --missing and --wrong of the style.
  const ERRORS = {hit: [0, 114, 178, 150], extra: [213, 94, 0, 255], missing: [240, 228, 66, 255], wrong: [204, 121, 167, 255]};

  const HATCH = [[105, 105, 105, 255], [175, 175, 175, 255]];  // as figures/pictures.py has it

  // base64 of variable-length integers: value, length, value, length ... Where classes may overlap, a value's bit k says
  // that class k is there; where they exclude each other, it is the class's number plus 1. 0 is nothing. Overlapping
  // classes beyond WORD follow as one more mask per WORD classes, behind the first in the same array.
  const WORD = 31;
  const words = ({classes, exclusive}) => exclusive ? 1 : Math.ceil(classes.length / WORD);

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

  // What is left of a word's value when one class is chosen; null: all of it.
  function part(value, word, chosen, exclusive) {
    if (chosen === null) return value;
    if (exclusive) return value === chosen + 1 ? value : 0;
    return Math.floor(chosen / WORD) === word ? value & 2 ** (chosen % WORD) : 0;
  }

  // The mean colour of the classes of a pixel's words.
  function blended(values, palette, exclusive) {
    const colors = exclusive ? [palette[values[0] - 1]]
      : palette.filter((_, k) => values[Math.floor(k / WORD)] >>> k % WORD & 1);
    return [0, 1, 2].map(channel => colors.reduce((sum, color) => sum + color[channel], 0) / colors.length);
  }

  // Each class tinted in its colour and outlined.
  function overlay(mask, form, chosen) {
    const {width, height, colors, exclusive} = form, pixels = width * height, count = words(form);
    const image = new ImageData(width, height), data = image.data, palette = colors.map(rgb), known = new Map();
    const last = pixels - width, values = new Array(count), edges = new Array(count);
    for (let i = 0; i < pixels; i++) {
      const x = i % width;
      let isThere = false, isEdge = false;
      for (let word = 0; word < count; word++) {
        const at = word * pixels + i, value = values[word] = part(mask[at], word, chosen, exclusive);
        edges[word] = 0;
        if (!value) continue;
        const left = x > 0 ? mask[at - 1] : 0, right = x < width - 1 ? mask[at + 1] : 0;
        const above = i >= width ? mask[at - width] : 0, below = i < last ? mask[at + width] : 0;
        const inside = exclusive ? left === value && right === value && above === value && below === value : value & left & right & above & below;
        edges[word] = exclusive ? (inside ? 0 : value) : value & ~inside;
        isThere = true;
        if (edges[word]) isEdge = true;
      }
      if (!isThere) continue;
      const drawn = isEdge ? edges : values, key = count === 1 ? drawn[0] : drawn.join();
      if (!known.has(key)) known.set(key, blended(drawn, palette, exclusive));
      data.set(known.get(key), 4 * i);
      data[4 * i + 3] = 255 * (isEdge ? 0.95 : OPACITY);
    }
    return image;
  }

  // Of the chosen classes: found, found but not there, there but not found, and both at once (another class).
  function errors(mask, truth, form, chosen) {
    const {width, height, exclusive} = form, pixels = width * height, count = words(form);
    const image = new ImageData(width, height), data = image.data;
    for (let i = 0; i < pixels; i++) {
      let isAny = false, extra = false, missing = false;
      for (let word = 0; word < count; word++) {
        const at = word * pixels + i;
        const found = part(mask[at], word, chosen, exclusive), there = part(truth[at], word, chosen, exclusive);
        if (!found && !there) continue;
        isAny = true;
        if (exclusive ? found && found !== there : found & ~there) extra = true;
        if (exclusive ? there && found !== there : there & ~found) missing = true;
      }
      if (!isAny) continue;
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

  return {words, unpack, overlay, errors, hatch};
})();
