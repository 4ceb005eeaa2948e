// Panels below the maps: an input and its variations, a walk between two codes, one dimension at a time.
const VARIATIONS = 9, STEPS = 11;

class InputPanel {
  constructor(app) {
    this.app = app;
    this.temperature = 1;
    this.codes = {};
    this.x = null;
    this.update = latest(() => this.infer());
    const body = document.getElementById("input-body");
    this.results = element("div", { class: "results" });
    body.append(element("div", { class: "source" }, ...(IMAGE ? this.drawing() : []), this.examples()), this.results);
    this.outputs = app.models().map((space) => this.output(space));
    this.results.append(this.slider(), ...this.outputs.map((o) => o.element));
  }

  slider() {
    const value = element("output", { text: number(1, 1) });
    const fixed = RUNS.every((run) => !run.stochastic);
    const range = element("input", {
      type: "range", min: 0, max: 3, step: 0.1, value: 1, disabled: fixed, id: "temperature",
      oninput: () => { this.temperature = Number(range.value); value.textContent = number(this.temperature, 1); this.update(); },
    });
    return element("label", { class: "slider" }, worded("span", "input.temperature"), range, value);
  }

  output(space) {
    const title = element("h3", { text: this.app.sweep ? "" : space.run.name }), own = screen(t("input.reconstruction"), "large");
    const many = strip(t("input.variations"), Array.from({ length: VARIATIONS }, (_, i) => String(i + 1)), "nine");
    const note = element("p", { class: "facts" });
    const made = element("article", { class: "output" }, title, element("div", { class: "pair" },
      element("figure", {}, own.element, worded("figcaption", "input.reconstruction")),
      element("figure", {}, many.element, worded("figcaption", "input.variations"))), note);
    return { space, title, own, many, note, element: made };
  }

  drawing() {
    const scale = Math.max(1, Math.floor(280 / Math.max(WIDTH, HEIGHT)));
    this.canvas = element("canvas", { width: WIDTH, height: HEIGHT, class: "draw", role: "img", "data-label": "input.draw", style: `width:${WIDTH * scale}px;aspect-ratio:${WIDTH}/${HEIGHT}` });
    const g = this.canvas.getContext("2d", { willReadFrequently: true });
    const dark = this.darkGround();
    this.ink = element("input", { type: "color", value: dark ? "#ffffff" : "#000000", "data-label": "input.ink" });
    const clear = () => { g.fillStyle = dark ? "#000" : "#fff"; g.fillRect(0, 0, WIDTH, HEIGHT); };
    clear();
    let last = null;
    const at = (e) => { const box = this.canvas.getBoundingClientRect(); return [((e.clientX - box.left) / box.width) * WIDTH, ((e.clientY - box.top) / box.height) * HEIGHT]; };
    const stroke = (e) => {
      const here = at(e);
      g.strokeStyle = this.ink.value; g.lineWidth = Math.max(1.2, WIDTH / 13); g.lineCap = g.lineJoin = "round";
      g.beginPath(); g.moveTo(...(last ?? here)); g.lineTo(here[0] + 0.01, here[1]); g.stroke();
      last = here;
      this.take(this.read(g));
    };
    this.canvas.addEventListener("pointerdown", (e) => { this.canvas.setPointerCapture(e.pointerId); last = null; stroke(e); });
    this.canvas.addEventListener("pointermove", (e) => { if (e.buttons) stroke(e); });
    this.show = (x) => g.putImageData(pixels(x), 0, 0);
    const load = element("input", { type: "file", accept: "image/*", class: "hidden", id: "file", "data-label": "input.file", onchange: async () => {
      const [file] = load.files;
      if (!file) return;
      const picture = await createImageBitmap(file);
      g.imageSmoothingQuality = "high";
      g.drawImage(picture, 0, 0, WIDTH, HEIGHT);
      this.take(this.read(g));
    } });
    return [this.canvas, element("div", { class: "bar" },
      worded("button", "input.clear", { type: "button", onclick: () => { clear(); this.take(this.read(g)); } }),
      element("label", { class: "button", for: "file" }, worded("span", "input.file"), load),
      ...(CHANNELS >= 3 ? [this.ink] : []))];
  }

  // Most data sets of digits are white on black: the ground is the commonest end of the examples.
  darkGround() {
    const xs = this.app.examples, middle = (DATA.low + DATA.high) / 2;
    const sum = xs.reduce((s, x) => s + x.reduce((a, b) => a + (b > middle ? 1 : 0), 0), 0);
    return sum <= (xs.length * SIZE) / 2;
  }

  read(g) {
    const { data } = g.getImageData(0, 0, WIDTH, HEIGHT), area = WIDTH * HEIGHT, scale = (DATA.high - DATA.low) / 255;
    const x = new Float32Array(SIZE);
    for (let i = 0; i < area; i++) for (let c = 0; c < CHANNELS; c++) x[c * area + i] = DATA.low + data[4 * i + Math.min(c, 3)] * scale;
    return x;
  }

  examples() {
    const many = this.app.examples.slice(0, TABLE ? 20 : 24);
    if (TABLE) {
      const select = element("select", { "data-label": "input.example", onchange: () => this.app.toExample(Number(select.value)) },
        ...many.map((_, i) => element("option", { value: i, text: `${i}` })));
      return element("label", { class: "bar" }, worded("span", "input.example"), select);
    }
    return element("div", { class: "thumbs", role: "group", "data-label": "input.example" }, ...many.map((x, i) => {
      const own = screen(""), label = DATA.labels ? DATA.classes[DATA.labels[i]] : String(i);
      own.element.setAttribute("aria-hidden", "true");
      own.show(x);
      return element("button", { type: "button", "aria-label": `${i + 1}: ${label}`, onclick: () => this.app.toExample(i) }, own.element);
    }));
  }

  take(x, example = -1) {
    this.x = x;
    this.example = example;
    this.update();
  }

  async infer() {
    if (!this.x) return;
    const { engine } = this.app;
    this.app.models().forEach((space, i) => { this.outputs[i].space = space; });
    for (const { space, own, many, note, title } of this.outputs) {
      const condition = this.app.condition(space.index), run = (program, rows, more) => engine.run(space.index, program, rows, { condition, ...more });
      const [[z, sigma]] = await run("encode", [this.x]);
      this.codes[space.index] = { z, sigma };
      const [[x]] = await run("decode", [z]);
      own.show(x);
      const draws = await run("draw", Array(VARIATIONS).fill(this.x), { temperature: this.temperature, seed: 1 });
      const made = await run("decode", draws.map(([code]) => code));
      many.show(made.map(([y]) => y));
      title.textContent = this.app.sweep ? "" : space.run.name;
      note.textContent = space.run.stochastic ? (sigma ? t("input.sigma", { sigma: [...sigma].slice(0, 4).map((s) => number(s)).join(", ") + (sigma.length > 4 ? ", …" : "") }) : "") : t("input.point");
    }
    this.app.views.forEach((view) => view.drawOver());
  }
}

class WalkPanel {
  constructor(app) {
    this.app = app;
    this.spherical = false;
    this.update = latest(() => this.decode());
    const bar = document.getElementById("walk-bar"), body = document.getElementById("walk-body");
    const way = element("select", { "data-label": "walk.way", onchange: () => { this.spherical = way.value === "spherical"; this.update(); this.app.redraw(); } },
      worded("option", "walk.straight", { value: "straight" }), worded("option", "walk.spherical", { value: "spherical" }));
    this.play = worded("button", "walk.play", { type: "button", onclick: () => this.travel() });
    bar.append(
      worded("button", "walk.a", { type: "button", onclick: () => app.pin(0) }),
      worded("button", "walk.b", { type: "button", onclick: () => app.pin(1) }),
      way, this.play,
      ...(TABLE ? [] : [worded("button", "walk.save", { type: "button", onclick: () => this.save() })]));
    const titles = Array.from({ length: STEPS }, (_, i) => (i === 0 ? "A" : i === STEPS - 1 ? "B" : String(i)));
    this.rows = app.models().map((space) => {
      const name = element("h3", { text: space.run.name }), own = strip(t("walk.title"), titles, "walk");
      body.append(element("article", { class: "output" }, name, own.element));
      return { space, own, name };
    });
  }

  async decode() {
    this.app.models().forEach((space, i) => { this.rows[i].space = space; });
    for (const { space, own, name } of this.rows) {
      const way = this.app.way(space.index, STEPS);
      name.textContent = this.app.sweep ? "" : space.run.name;
      if (!way) continue;
      const found = await this.app.engine.run(space.index, "decode", way, { condition: this.app.condition(space.index) });
      own.show(found.map(([x]) => x));
    }
  }

  // The pointer follows the walk, there and back.
  async travel() {
    if (this.moving) { this.moving = false; return; }
    this.moving = true;
    this.play.dataset.t = "walk.stop";
    this.play.textContent = t("walk.stop");
    const begun = performance.now(), ways = new Map(this.rows.map(({ space }) => [space.index, this.app.way(space.index, 241)]));
    const frame = (now) => {
      const phase = ((now - begun) / 4000) % 2, at = Math.round((phase < 1 ? phase : 2 - phase) * 240);
      for (const [index, way] of ways) if (way) this.app.spaces[index].z = way[at];
      this.app.views.forEach((view) => view.decode());
      if (this.moving && now - begun < 16000) requestAnimationFrame(frame);
      else { this.moving = false; this.play.dataset.t = "walk.play"; this.play.textContent = t("walk.play"); }
    };
    requestAnimationFrame(frame);
  }

  save() {
    const k = Math.max(1, Math.floor(96 / HEIGHT)), sheet = element("canvas", { width: STEPS * WIDTH * k, height: this.rows.length * HEIGHT * k }), g = sheet.getContext("2d");
    g.imageSmoothingEnabled = false;
    this.rows.forEach(({ own }, i) => own.screens.forEach((s, j) => g.drawImage(s.element, j * WIDTH * k, i * HEIGHT * k, WIDTH * k, HEIGHT * k)));
    sheet.toBlob((blob) => element("a", { href: URL.createObjectURL(blob), download: "walk.png" }).click());
  }
}

class DimensionPanel {
  constructor(app) {
    this.app = app;
    this.most = 10;
    this.which = 0;
    this.sliders = element("div", { class: "dimensions" });
    this.picture = screen("", "large");
    this.update = latest(() => this.decode());
    const body = document.getElementById("dims-body");
    this.select = element("select", { "data-label": "dims.run", onchange: () => { this.which = Number(this.select.value); this.build(); } },
      ...app.spaces.map((s, i) => element("option", { value: i, text: s.run.name })));
    const bar = element("div", { class: "bar" }, app.spaces.length > 1 && !app.sweep ? this.select : null,
      worded("button", "dims.reset", { type: "button", onclick: () => { this.space.z = Float32Array.from(this.space.run.mean); app.moved(); } }));
    body.append(element("div", { class: "source" }, this.picture.element), element("div", { class: "results" }, bar, this.sliders));
    this.build();
  }

  get space() { return this.app.sweep ? this.app.models()[0] : this.app.spaces[this.which]; }

  build() {
    const { run } = this.space;
    this.built = run;
    this.inputs = [];
    this.sliders.replaceChildren(...run.order.slice(0, this.most).map((j) => {
      const reach = 3 * Math.max(1, run.spread[j]), value = element("output");
      const input = element("input", { type: "range", min: run.mean[j] - reach, max: run.mean[j] + reach, step: "any", oninput: () => {
        this.space.z = this.space.z.map((x, i) => (i === j ? Number(input.value) : x));
        this.app.moved();
      } });
      const label = element("span", { text: run.rate ? t("dims.rate", { j, rate: number(run.rate[j]) }) : t("dims.spread", { j, spread: number(run.spread[j]) }) });
      this.inputs.push([j, input, value]);
      return element("label", { class: `slider${run.active[j] ? "" : " idle"}` }, label, input, value);
    }));
    if (run.order.length > this.most) {
      this.sliders.append(element("button", { type: "button", text: t("dims.more", { n: run.order.length }), onclick: () => { this.most = 64; this.build(); this.update(); } }));
    }
    this.update();
  }

  async decode() {
    if (this.built !== this.space.run) this.build();
    for (const [j, input, value] of this.inputs) { input.value = this.space.z[j]; value.textContent = number(this.space.z[j]); }
    const [[x]] = await this.app.engine.run(this.space.index, "decode", [this.space.z], { condition: this.app.condition(this.space.index) });
    this.picture.show(x);
  }
}
