// The page: state that maps and panels share, its controls, its language and theme.
const remember = (key, value) => { try { localStorage[key] = value; } catch { /* not remembered */ } };

class App {
  constructor(buffer) {
    this.engine = new Engine(buffer);
    this.spaces = RUNS.map((_, i) => new Space(i, buffer));
    this.sweep = PAYLOAD.sweep;
    this.examples = DATA.examples ? rowsOf(buffer, DATA.examples.x, SIZE) : [];
    this.options = { background: IMAGE ? "pictures" : "codes", ellipses: false, map: 0, class: 0 };
    this.held = false;
    this.pins = {};
    this.input = { codes: {} };
    this.views = this.sweep ? [new View(this, this.spaces)] : this.spaces.map((space) => new View(this, [space]));
    const place = document.getElementById("views");
    place.className = this.views.length === 1 ? "views solo" : "views";
    place.append(...this.views.map((view) => view.element));
    this.tools();
    if (this.sweep) this.sweeper();
    this.input = new InputPanel(this);
    this.walk = new WalkPanel(this);
    this.dims = new DimensionPanel(this);
    for (const b of document.querySelectorAll("[data-set]")) b.addEventListener("click", () => { this.speak(b.dataset.set); remember("vaelabLanguage", b.dataset.set); });
    document.getElementById("theme").addEventListener("click", () => {
      const now = root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
      root.dataset.theme = now === "dark" ? "light" : "dark";
      remember("vaelabTheme", root.dataset.theme);
      this.redraw();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
    this.speak(root.lang);
  }

  async begin() {
    await this.engine.ready;
    root.dataset.ready = "true";
    if (this.examples.length) {
      const other = DATA.labels ? DATA.labels.findIndex((y, i) => i < this.examples.length && y !== DATA.labels[0]) : 1;
      this.input.take(this.examples[0], 0);
      this.input.show?.(this.examples[0]);
      await this.pinExamples(0, Math.max(other, this.examples.length > 1 ? 1 : 0));
    }
    if (this.views.length > 1 && DATA.count) await this.toGap(); else this.moved();
    this.held = false;  // the first movement of a pointer takes over
    for (const view of this.views) view.paintTiles();
  }

  // The models in sight: all runs, or the one of a sweep that is nearest.
  models() { return this.sweep ? [this.views[0].space] : this.spaces; }

  // The condition of a run: the class chosen, or the vector of the example in use.
  condition(index) {
    const run = RUNS[index];
    if (run.condition === "labels") return [Float32Array.from({ length: run.known }, (_, k) => +(k === this.options.class))];
    if (run.condition === "vectors") return [Float32Array.from(DATA.vectors?.[Math.max(0, this.input.example ?? 0)] ?? Array(run.known).fill(0))];
    return [];
  }

  // Move the pointer of all maps to one position.
  point(at) {
    const [x, y] = at.map((v) => Math.max(-1, Math.min(1, v)));
    for (const space of this.spaces) space.z = space.lift([x, y]);
    this.moved();
  }

  moved() {
    this.views.forEach((view) => { view.back = null; view.drawOver(); view.decode(); });
    this.dims.update();
  }

  hold(held) { this.held = held; this.read(held ? "map.held" : "map.hint"); }

  read(key, values) { const reading = document.getElementById("reading"); reading.dataset.t = key; reading.textContent = t(key, values); }

  // Of the emptiest positions, the one whose picture comes back farthest away when encoded again.
  async toGap() {
    this.hold(true);
    for (const space of this.models()) {
      space.empty ??= {};
      const gaps = (space.empty[this.options.map] ??= space.gaps()), codes = gaps.map((at) => space.lift(at));
      const condition = this.condition(space.index), run = (program, rows) => this.engine.run(space.index, program, rows, { condition });
      const pictures = await run("decode", codes), returned = await run("encode", pictures.map(([x]) => x));
      const off = returned.map(([z], i) => { const [x, y] = space.project(z); return Math.hypot(x - gaps[i][0], y - gaps[i][1]); });
      space.z = codes[off.indexOf(Math.max(...off))];
    }
    this.read(this.views.length > 1 ? "map.gap.many" : "map.gap.one");
    this.moved();
  }

  async toExample(i) {
    this.hold(true);
    const labelled = DATA.labels && RUNS.some((run) => run.condition === "labels");
    if (labelled) this.choose(DATA.labels[i]);
    this.input.take(this.examples[i], i);
    this.input.show?.(this.examples[i]);
    for (const space of this.spaces) {
      const [[z]] = await this.engine.run(space.index, "encode", [this.examples[i]], { condition: this.condition(space.index) });
      space.z = z;
    }
    this.read("map.example", { n: i + 1 });
    this.moved();
  }

  async pinExamples(i, j) {
    for (const space of this.spaces) {
      const found = await this.engine.run(space.index, "encode", [this.examples[i], this.examples[j]], { condition: this.condition(space.index) });
      this.pins[space.index] = found.map(([z]) => z);
    }
    this.walk.update();
  }

  pin(which) {
    for (const space of this.spaces) (this.pins[space.index] ??= [null, null])[which] = space.z.slice();
    this.walk.update();
    this.redraw();
  }

  way(index, steps) {
    const [a, b] = this.pins[index] ?? [];
    return a && b ? Array.from({ length: steps }, (_, i) => between(a, b, i / (steps - 1), this.walk?.spherical)) : null;
  }

  redraw() { this.views.forEach((view) => { view.drawBase(); view.drawOver(); }); }

  choose(k) {
    this.options.class = k;
    if (this.classes) this.classes.value = k;
    this.views.forEach((view) => view.paintTiles());
    this.redraw();
    this.moved();
    this.walk.update();
    this.input.update();
  }

  tools() {
    const bar = document.getElementById("tools"), option = (value, key) => worded("option", key, { value });
    const select = (key, options, change) => { const made = element("select", { "data-label": key, onchange: () => change(made.value) }, ...options); return element("label", {}, worded("span", key), made); };
    const parts = [];
    if (DATA.count) parts.push(worded("button", "tools.gap", { type: "button", class: "first", onclick: () => this.toGap() }));
    if (this.examples.length) parts.push(worded("button", "tools.example", { type: "button", onclick: () => { this.turn = ((this.turn ?? -1) + 1) % this.examples.length; this.toExample(this.turn); } }));
    if (IMAGE && DATA.count) parts.push(select("tools.background", [option("pictures", "tools.pictures"), option("codes", "tools.codes")], (value) => { this.options.background = value; this.redraw(); }));
    if (RUNS.some((run) => run.maps.length > 1)) parts.push(select("tools.map", [option(0, "tools.active"), option(1, "tools.pca")], (value) => {
      this.options.map = Number(value);
      this.spaces.forEach((space) => space.use(this.options.map));
      this.views.forEach((view) => view.paintTiles());
      this.speak(root.lang);
      this.redraw();
      this.moved();
    }));
    if (RUNS.some((run) => run.condition === "labels")) {
      const label = select("tools.class", DATA.classes.map((name, k) => element("option", { value: k, text: name })), (value) => this.choose(Number(value)));
      this.classes = label.querySelector("select");
      parts.push(label);
    }
    if (RUNS.some((run) => run.sigma !== null)) {
      const box = element("input", { type: "checkbox", onchange: () => { this.options.ellipses = box.checked; this.redraw(); } });
      parts.push(element("label", {}, box, worded("span", "tools.ellipses")));
    }
    bar.append(...parts);
  }

  // One hand from reconstruction only through the VAE to the KL only.
  sweeper() {
    const { betas, figures } = this.sweep, view = this.views[0], last = betas.length - 1, bar = document.getElementById("sweep");
    const range = element("input", { type: "range", min: 0, max: last, step: 0.01, value: 0, "data-label": "sweep.label", id: "beta" });
    const ticks = element("div", { class: "ticks" }, ...betas.map((beta, i) => element("button", { type: "button", text: beta, onclick: () => move(i, true) })));
    const table = element("table", { class: "figures" });
    const move = (place, snap) => {
      view.place = place;
      if (snap) range.value = place;
      range.setAttribute("aria-valuetext", `β = ${betas[Math.round(place)]}`);
      const here = this.sweep.at = Math.round(place);
      [...ticks.children].forEach((b, i) => b.setAttribute("aria-pressed", String(i === here)));
      table.replaceChildren(...["distortion", "rate", "loss"].map((key) => {
        const share = figures[here][key] / Math.max(...figures.map((f) => f[key]));
        const bar = element("span", { class: "share", "aria-hidden": "true", style: `width:${Math.max(0, 110 * share)}px` });
        return element("tr", {}, element("th", { scope: "row", text: t(`sweep.${key}`) }), element("td", { text: number(figures[here][key]) }), element("td", {}, bar));
      }));
      view.title();
      view.paintTiles();
      view.drawBase();
      this.moved();
      this.input.update?.();
      this.walk?.update();
    };
    range.addEventListener("input", () => move(Number(range.value), false));
    range.addEventListener("change", () => move(Math.round(Number(range.value)), true));
    this.slide = move;
    bar.hidden = false;
    bar.append(element("div", { class: "beta" }, worded("strong", "sweep.title"), range, ticks, element("div", { class: "ends" }, worded("span", "sweep.low"), worded("span", "sweep.high"))), table);
  }

  speak(language) {
    root.lang = language;
    for (const e of document.querySelectorAll("[data-t]")) e.textContent = t(e.dataset.t);
    for (const e of document.querySelectorAll("[data-label]")) e.setAttribute("aria-label", t(e.dataset.label));
    for (const b of document.querySelectorAll("[data-set]")) b.setAttribute("aria-pressed", String(b.dataset.set === language));
    const names = RUNS.map((run) => run.name).join(", ");
    const title = this.sweep ? t("title.sweep") : RUNS.length > 1 ? t("title.many") : t("title.one", { name: names });
    document.getElementById("title").textContent = title;
    document.title = `${title} – vaelab`;
    document.getElementById("deck").textContent = t(this.sweep ? "deck.sweep" : RUNS.length > 1 ? "deck.many" : "deck.one", { source: DATA.source });
    document.getElementById("input-lead").textContent = t(IMAGE ? "input.lead.image" : "input.lead");
    document.getElementById("dims-lead").textContent = t(RUNS.some((run) => run.rate) ? "dims.lead" : "dims.lead.spread");
    const reading = document.getElementById("reading");
    if (!reading.dataset.t) this.read("map.hint");
    this.views.forEach((view) => { view.title(); view.say(); });
    if (this.sweep && this.slide) this.slide(this.views[0].place, false);
    this.dims.build();
    this.input.update();
    this.about();
  }

  about() {
    const parts = [];
    if (DATA.count) parts.push(t(this.sweep ? "about.codes.sweep" : "about.codes", { n: DATA.count.toLocaleString("en"), total: DATA.total.toLocaleString("en"), split: t(`about.${DATA.split}`) }));
    for (const space of this.spaces.slice(0, this.sweep ? 1 : undefined)) {
      const { map, run } = space, dims = map.dims.map((j) => `z${j}`).join(", ");
      if (map.kind === "active") parts.push(t("about.active", { name: run.name, dims, latent: run.latent }));
      if (map.kind === "pca") parts.push(t("about.pca", { name: run.name, share: number(100 * map.share, 0), latent: run.latent }));
    }
    if (this.sweep) parts.push(t("about.sweep"));
    parts.push(t("about.local", { version: PAYLOAD.version }));
    document.getElementById("about").replaceChildren(...parts.map((text) => element("p", { text })));
  }
}

unzipped(document.getElementById("blob").textContent.trim()).then((buffer) => {
  new App(buffer).begin();
});
