// One map with the picture decoded under its pointer. A sweep has one view over all of its models;
// otherwise every model has a view of its own, and one pointer moves through all of them.
const TILES = 21;  // decoded pictures along a side of the background

class View {
  constructor(app, models) {
    this.app = app;
    this.models = models;
    this.place = 0;  // position among the models; between two of them only pictures are blended
    this.backgrounds = new Map();
    this.base = element("canvas", { class: "base", "aria-hidden": "true" });
    this.over = element("canvas", { class: "over", tabindex: "0", role: "application", "aria-describedby": "reading" });
    this.name = element("h2");
    this.about = element("p", { class: "about" });
    this.picture = screen("", "decoded");
    this.verdict = element("p", { class: "verdict" });
    this.facts = element("p", { class: "facts" });
    const words = element("div", { class: "words" }, this.verdict, this.facts);
    this.element = element("article", { class: "view" }, this.name, this.about,
      element("div", { class: "map" }, this.base, this.over),
      element("div", { class: "under" }, this.picture.element, words));
    this.decode = latest(() => this.refresh());
    this.bind();
    new ResizeObserver(() => this.resize()).observe(this.over);
  }

  get space() { return this.models[Math.round(this.place)]; }
  get index() { return this.space.index; }

  // The two models around a place of the sweep, and the share of the second.
  get neighbours() {
    const low = Math.floor(this.place), share = this.place - low;
    return [this.models[low], this.models[Math.min(low + 1, this.models.length - 1)], share];
  }

  bind() {
    const at = (event) => {
      const box = this.over.getBoundingClientRect();
      return [((event.clientX - box.left) / box.width) * 2 - 1, 1 - ((event.clientY - box.top) / box.height) * 2];
    };
    let pressed = null, moved = 0;
    this.over.addEventListener("pointerdown", (e) => {
      pressed = at(e); moved = 0;
      this.over.setPointerCapture(e.pointerId);
      this.app.point(pressed);
    });
    this.over.addEventListener("pointermove", (e) => {
      if (pressed) moved = Math.max(moved, Math.hypot(at(e)[0] - pressed[0], at(e)[1] - pressed[1]));
      if (!this.app.held || pressed) this.app.point(at(e));
    });
    this.over.addEventListener("pointerup", (e) => {
      if (pressed && moved < 0.03 && e.pointerType === "mouse") this.app.hold(!this.app.held);
      pressed = null;
    });
    this.over.addEventListener("keydown", (e) => {
      const step = e.shiftKey ? 0.15 : 0.03, ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
      const way = ways[e.key], [x, y] = this.space.project(this.space.z);
      if (way) this.app.point([x + way[0] * step, y + way[1] * step]);
      else if (e.key === "a" || e.key === "b") this.app.pin(e.key === "a" ? 0 : 1);
      else if (e.key === "g") this.app.toGap();
      else return;
      e.preventDefault();
    });
  }

  resize() {
    const side = Math.round(this.over.clientWidth * devicePixelRatio);
    if (!side || this.over.width === side) return;
    for (const canvas of [this.base, this.over]) canvas.width = canvas.height = side;
    this.drawBase();
    this.drawOver();
  }

  pixel([x, y]) { const n = this.over.width; return [((x + 1) / 2) * n, ((1 - y) / 2) * n]; }

  // The layer that stays: background, axes, codes, prior. Redrawn only if one of them changes.
  drawBase() {
    const g = this.base.getContext("2d"), n = this.base.width, dot = devicePixelRatio;
    if (!n) return;
    g.clearRect(0, 0, n, n);
    const { background, ellipses } = this.app.options, [first, second, share] = this.neighbours;
    const tiles = background === "pictures" ? this.backgrounds.get(this.tilesKey(this.space)) : null;
    if (tiles) {
      g.imageSmoothingQuality = "high";
      g.fillStyle = "#000";
      g.fillRect(0, 0, n, n);
      g.globalAlpha = 0.7;  // the codes stay in front
      g.drawImage(tiles, 0, 0, n, n);
      g.globalAlpha = 1;
    }
    const labels = DATA.labels, points = first.points.map((p, i) => this.pixel(share ? blend(p, second.points[i], share) : p));
    const color = (i) => DATA.colors[(labels ? labels[i] : 0) % DATA.colors.length];
    if (background !== "empty") {
      if (ellipses) {
        g.lineWidth = dot;
        this.space.sigmas.forEach((sigma, i) => {
          g.globalAlpha = 0.55;
          g.strokeStyle = color(i);
          this.ellipse(g, this.space.ellipse(this.space.codes[i], sigma));
        });
      }
      const radius = dot * (points.length > 2500 ? 1.6 : 2.3);
      g.lineWidth = dot;
      g.strokeStyle = "#000000a0";
      points.forEach(([x, y], i) => {
        g.fillStyle = color(i);
        g.beginPath(); g.arc(x, y, radius, 0, 7);
        if (tiles) g.stroke();
        g.fill();
      });
      if (labels && DATA.classes.length <= 12) this.names(g, points);
    }
    if (this.space.run.prior) {
      g.setLineDash([4 * dot, 4 * dot]);
      g.lineWidth = 1.2 * dot;
      g.strokeStyle = tiles ? "#ffffffb0" : css("--soft");
      const [mean, sigma] = this.space.run.prior;
      for (const scale of [1, 2]) this.ellipse(g, this.space.ellipse(mean, sigma, scale));
      g.setLineDash([]);
    }
  }

  // Names of the classes at the medians of their codes: a second cue beside the colour.
  names(g, points) {
    const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
    g.font = `600 ${13 * devicePixelRatio}px system-ui, sans-serif`;
    g.textAlign = "center"; g.textBaseline = "middle"; g.lineJoin = "round";
    DATA.classes.forEach((name, k) => {
      const own = points.filter((_, i) => DATA.labels[i] === k);
      if (!own.length) return;
      const at = [median(own.map((p) => p[0])), median(own.map((p) => p[1]))];
      g.lineWidth = 4 * devicePixelRatio; g.strokeStyle = css("--paper"); g.strokeText(name, ...at);
      g.fillStyle = css("--ink"); g.fillText(name, ...at);
    });
  }

  ellipse(g, { at, radii, angle }) {
    const [x, y] = this.pixel(at), k = this.over.width / 2;
    g.beginPath();
    g.ellipse(x, y, Math.max(1, radii[0] * k), Math.max(1, radii[1] * k), -angle, 0, 2 * Math.PI);
    g.stroke();
  }

  // The layer that moves: pointer, way back through the encoder, pins, walk, q(z|x) of the input.
  drawOver() {
    const g = this.over.getContext("2d"), n = this.over.width, dot = devicePixelRatio;
    if (!n) return;
    g.clearRect(0, 0, n, n);
    const space = this.space, ring = (at, radius, fill, stroke, label) => {
      const [x, y] = this.pixel(at);
      g.beginPath(); g.arc(x, y, radius * dot, 0, 7);
      g.lineWidth = 4.5 * dot; g.strokeStyle = "#000000a0"; g.stroke();
      g.lineWidth = 2.2 * dot; g.strokeStyle = stroke; g.stroke();
      if (fill) { g.fillStyle = fill; g.fill(); }
      if (label) { g.font = `700 ${11 * dot}px system-ui, sans-serif`; g.textAlign = "center"; g.textBaseline = "middle"; g.fillStyle = "#fff"; g.fillText(label, x, y); }
    };
    const line = (points, stroke, dash) => {
      g.beginPath(); points.forEach((p, i) => (i ? g.lineTo(...this.pixel(p)) : g.moveTo(...this.pixel(p))));
      g.setLineDash([]); g.lineWidth = 4 * dot; g.strokeStyle = "#00000080"; g.stroke();
      g.setLineDash(dash.map((d) => d * dot)); g.lineWidth = 2 * dot; g.strokeStyle = stroke; g.stroke(); g.setLineDash([]);
    };
    const pins = this.app.pins[space.index], way = this.app.way(space.index, 24);
    if (way) line(way.map((z) => space.project(z)), "#fff", []);
    pins?.forEach((z, i) => z && ring(space.project(z), 9, css("--mark"), "#fff", "AB"[i]));
    const input = this.app.input.codes[space.index];
    if (input) {
      if (input.sigma) {
        g.lineWidth = 2.5 * dot; g.strokeStyle = css("--mark");
        for (const scale of [1, 2]) this.ellipse(g, space.ellipse(input.z, input.sigma, scale));
      }
      ring(space.project(input.z), 4, css("--mark"), "#fff");
    }
    const here = space.project(space.z);
    if (this.back) line([here, this.back], css("--mark"), [5, 4]);
    if (this.back) ring(this.back, 4, null, css("--mark"));
    ring(here, 7, null, "#fff");
  }

  // Decodes the code under the pointer, then encodes the result again.
  async refresh() {
    const [first, second, share] = this.neighbours, space = this.space, { engine } = this.app;
    const decoded = (s, z) => engine.run(s.index, "decode", [z], { condition: this.app.condition(s.index) }).then(([[x]]) => x);
    let x = await decoded(first, first.z);
    if (share) x = blend(x, await decoded(second, second.z), share);
    this.picture.show(x);
    performance.mark("decoded");
    this.drawOver();
    this.say(null);
    const [[back]] = await engine.run(space.index, "encode", [x], { condition: this.app.condition(space.index) });
    this.back = space.project(back);
    this.say(back);
    this.drawOver();
  }

  say() {
    const space = this.space, here = space.project(space.z), { distance, index } = space.nearest(here);
    const away = distance / space.spacing, empty = away > EMPTY;
    const coordinates = [...space.z].slice(0, 4).map((x) => number(x)).join(", ") + (space.z.length > 4 ? ", …" : "");
    this.facts.textContent = t("facts.code", { z: coordinates });
    if (index < 0) { this.verdict.textContent = ""; return; }
    const closest = DATA.labels ? DATA.classes[DATA.labels[index]] : null;
    const returned = this.back ? Math.hypot(this.back[0] - here[0], this.back[1] - here[1]) / 2 : null;
    this.verdict.textContent = empty ? t("facts.gap", { times: number(away, away < 10 ? 1 : 0) }) : closest !== null ? t("facts.near.class", { name: closest }) : t("facts.near");
    this.verdict.dataset.empty = String(empty);
    if (returned !== null) this.facts.textContent += ` ${t(returned > 0.05 ? "facts.lost" : "facts.returned", { share: number(100 * returned, 0) })}`;
  }

  title() {
    const { run } = this.space, { figures } = run;
    this.name.textContent = this.app.sweep ? "" : run.name;
    this.name.hidden = Boolean(this.app.sweep);
    const parts = [t("about.recipe", { recipe: run.recipe, latent: run.latent })];
    if (figures.distortion !== undefined) parts.push(t("about.distortion", { x: number(figures.distortion) }));
    if (figures.rate !== undefined) parts.push(t("about.rate", { x: number(figures.rate) }));
    this.about.textContent = this.app.sweep ? "" : parts.join(" · ");
    this.over.setAttribute("aria-label", t("map.label", { name: run.name }));
    this.picture.element.setAttribute("aria-label", t("picture.label", { name: run.name }));
  }

  tilesKey(space) { return `${space.index}/${this.app.options.map}/${this.app.options.class}`; }

  // The decoded manifold behind the codes, row by row so that the pointer stays ahead of it.
  async paintTiles() {
    const space = this.space, key = this.tilesKey(space);
    if (!IMAGE || this.backgrounds.has(key) || !PAYLOAD.programs[space.index]) return;
    const sheet = element("canvas", { width: TILES * WIDTH, height: TILES * HEIGHT }), g = sheet.getContext("2d");
    this.backgrounds.set(key, sheet);
    const base = Float32Array.from(space.run.mean), at = (i) => ((i + 0.5) / TILES) * 2 - 1;
    for (let i = 0; i < TILES; i++) {
      const rows = Array.from({ length: TILES }, (_, j) => space.lift([at(j), -at(i)], base));
      const found = await this.app.engine.run(space.index, "decode", rows, { condition: this.app.condition(space.index) });
      if (this.backgrounds.get(key) !== sheet) return;
      found.forEach(([x], j) => g.putImageData(pixels(x), j * WIDTH, i * HEIGHT));
      if (i % 3 === 2 || i === TILES - 1) this.drawBase();
    }
  }
}
const EMPTY = 5;  // a code is in a gap if the nearest one is so many typical distances away
