// The gallery: pictures chosen by compare, every variant beside the truth. Tiles are drawn when they come near the screen.
"use strict";

class Gallery {
  static FIRST = 2;  // pictures of each place that are shown before "show all"

  constructor(root, data, viewer) {
    Object.assign(this, {root, data, viewer, all: false, tiles: []});
    this.form = root.querySelector("form");
    this.crisp = Math.max(data.width, data.height) <= 160;  // small pictures in squares, photographs smooth
    this.observer = new IntersectionObserver(entries => entries.forEach(entry => {
      entry.target.tile.near = entry.isIntersecting;
      if (entry.isIntersecting) this.draw(entry.target.tile);
    }), {rootMargin: "300px"});
    root.querySelector(".shots").append(...data.pictures.map(picture => this.shot(picture)));
    this.form.addEventListener("submit", event => event.preventDefault());
    this.form.addEventListener("change", () => this.update());
    for (const [name, checked] of [["all", true], ["none", false]]) {
      this.form.elements[name].addEventListener("click", () => {
        this.boxes().forEach(box => { box.checked = checked; });
        this.update();
      });
    }
    this.more = root.querySelector(".more");
    this.more.addEventListener("click", () => { this.all = true; this.update(); });
    this.update();
  }

  boxes() { return [...this.form.querySelectorAll("[name=variant]")]; }
  get view() { return this.form.elements.view.value; }
  set view(value) { this.form.elements.view.value = value; this.update(); }
  // The number of the chosen class; null for all of them.
  get chosen() {
    const value = this.form.elements.class.value;
    return value === "" ? null : Number(value);
  }

  shot(picture) {
    const article = element("article", "shot");
    const title = element("h4");
    title.append(element("b", "", picture.place), ` · ${picture.id} · mean IoU ${picture.score.toFixed(2)} · ${picture.classes.join(", ") || "no class"}`);
    const tiles = element("div", "tiles");
    tiles.append(this.tile(picture, "picture"), this.tile(picture, "truth"));
    for (const variant of this.data.variants) {
      if (picture.variants[variant]) tiles.append(this.tile(picture, "variant", variant));
    }
    article.append(title, tiles);
    picture.article = article;
    return article;
  }

  tile(picture, kind, variant) {
    const tile = {gallery: this, picture, kind, variant, drawn: ""};
    const of = variant && picture.variants[variant];
    tile.caption = kind === "variant" ? `${variant}, IoU\u00a0${of.iou === null ? "–" : of.iou.toFixed(2)}` : kind;
    tile.packed = kind === "variant" ? of.runs : kind === "truth" ? picture.truth : null;
    const figure = element("figure", "tile"), button = element("button");
    button.type = "button";
    button.setAttribute("aria-label", `Enlarge: ${picture.id}, ${tile.caption}`);
    tile.stack = this.stack(picture);
    button.append(tile.stack);
    button.addEventListener("click", () => this.viewer.open(tile));
    const caption = element("figcaption", "", tile.caption);
    if (of) {
      for (const line of of.brief) caption.append(element("small", "", line));
      caption.title = of.classes.join("\n");
    }
    figure.append(button, caption);
    figure.tile = tile;
    tile.figure = figure;
    this.tiles.push(tile);
    this.observer.observe(figure);
    return figure;
  }

  stack(picture) {
    const stack = element("span", this.crisp ? "stack crisp" : "stack");
    const image = element("img"), canvas = element("canvas");
    Object.assign(image, {loading: "lazy", decoding: "async", alt: "", width: this.data.width, height: this.data.height});
    image.src = picture.file;
    Object.assign(canvas, {width: this.data.width, height: this.data.height});
    stack.append(image, canvas);
    return stack;
  }

  // Draw a tile, or the viewer's copy of it, as the controls say.
  paint(tile, stack) {
    const {width, height} = this.data, pixels = width * height;
    const errors = this.view === "errors" && tile.kind === "variant";
    const canvas = stack.querySelector("canvas"), context = canvas.getContext("2d");
    stack.classList.toggle("dim", errors);
    context.clearRect(0, 0, width, height);
    if (this.view === "plain" || tile.packed === null) return;
    const mask = Masks.unpack(tile.packed, pixels * Masks.words(this.data));
    const image = errors ? Masks.errors(mask, Masks.unpack(tile.picture.truth, pixels * Masks.words(this.data)), this.data, this.chosen)
      : Masks.overlay(mask, this.data, this.chosen);
    if (tile.picture.ignored) Masks.hatch(image, Masks.unpack(tile.picture.ignored, pixels));
    context.putImageData(image, 0, 0);
  }

  draw(tile) {
    const state = `${this.view} ${this.chosen}`;
    if (tile.drawn === state || tile.figure.hidden) return;
    tile.drawn = state;
    this.paint(tile, tile.stack);
  }

  update() {
    const {place, class: chosen} = this.form.elements, boxes = this.boxes();
    const variants = new Set(boxes.filter(box => box.checked).map(box => box.value));
    const name = chosen.value === "" ? "" : this.data.classes[chosen.value];
    const matching = this.data.pictures.filter(picture => (!place.value || picture.place === place.value) &&
      (!name || picture.classes.includes(name)));
    const seen = {};
    const shown = new Set(matching.filter(picture => {
      seen[picture.place] = (seen[picture.place] || 0) + 1;
      return this.all || place.value || seen[picture.place] <= Gallery.FIRST;
    }));
    for (const picture of this.data.pictures) picture.article.hidden = !shown.has(picture);
    for (const tile of this.tiles) {
      tile.figure.hidden = tile.kind === "variant" && !variants.has(tile.variant);
      if (tile.near) this.draw(tile);
    }
    this.root.querySelectorAll(".legend").forEach(legend => { legend.hidden = legend.dataset.view !== this.view; });
    this.root.querySelector(".legend .any").hidden = Boolean(name);
    this.root.querySelectorAll(".legend .one").forEach(part => { part.hidden = !name; });  // else each is another class too
    this.root.querySelector(".shown").textContent = variants.size === boxes.length ? `all ${boxes.length}` : `${variants.size} of ${boxes.length}`;
    this.root.querySelector(".count").textContent = matching.length ? `${shown.size} of ${this.data.pictures.length} pictures shown.` : "No picture matches.";
    this.more.hidden = shown.size === matching.length;
    this.more.textContent = `Show all ${matching.length}`;
  }

  visible() { return this.tiles.filter(tile => !tile.figure.hidden && !tile.picture.article.hidden); }
}

// One dialog for all galleries: Escape closes it; left and right go through the tiles, up and down through the pictures.
class Viewer {
  constructor() {
    this.dialog = element("dialog");
    this.dialog.id = "viewer";
    this.figure = element("figure");
    const keys = element("p", "keys");
    const button = (text, label, action, name = "") => {
      const made = element("button", name, text);
      made.type = "button";
      made.setAttribute("aria-label", label);
      made.addEventListener("click", action);
      keys.append(made);
    };
    button("←", "previous", () => this.step(-1));
    button("→", "next", () => this.step(1));
    button("masks", "show masks", () => this.look("masks"));
    button("error map", "show the error map", () => this.look("errors"));
    button("picture", "show the picture alone", () => this.look("plain"));
    button("close", "close", () => this.dialog.close(), "close");
    this.dialog.append(this.figure, keys);
    this.dialog.addEventListener("keydown", event => {
      const action = {ArrowLeft: () => this.step(-1), ArrowRight: () => this.step(1), ArrowUp: () => this.leap(-1), ArrowDown: () => this.leap(1)}[event.key];
      if (action) { event.preventDefault(); action(); }
    });
    this.dialog.addEventListener("click", event => { if (event.target === this.dialog) this.dialog.close(); });
    this.dialog.addEventListener("close", () => this.tile.figure.querySelector("button").focus());
    document.body.append(this.dialog);
  }

  open(tile) {
    this.show(tile);
    this.dialog.showModal();
  }

  show(tile) {
    this.tile = tile;
    const {picture, gallery} = tile, stack = gallery.stack(picture);
    const caption = element("figcaption", "", `${tile.caption}${tile.variant && gallery.data.seed_shown[tile.variant] !== null ? `, seed ${gallery.data.seed_shown[tile.variant]}` : ""} · ${picture.id} · ${picture.place} · ${picture.classes.join(", ") || "no class"}`);
    if (tile.variant) caption.append(element("small", "", picture.variants[tile.variant].classes.join(" · ")));
    this.figure.replaceChildren(stack, caption);
    gallery.paint(tile, stack);
  }

  step(by) {
    const tiles = this.tile.gallery.visible();
    this.show(tiles[(tiles.indexOf(this.tile) + by + tiles.length) % tiles.length]);
  }

  leap(by) {
    const same = this.tile.gallery.visible().filter(tile => tile.kind === this.tile.kind && tile.variant === this.tile.variant);
    this.show(same[(same.indexOf(this.tile) + by + same.length) % same.length]);
  }

  look(view) {
    this.tile.gallery.view = view;
    this.show(this.tile);
  }
}

function element(tag, name = "", text = "") {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text) made.textContent = text;
  return made;
}
