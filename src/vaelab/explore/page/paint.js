// Examples drawn: images as pixels, series as lines, rows of a table as text; texts and elements.
const root = document.documentElement;
const t = (key, values = {}) => (PAYLOAD.texts[root.lang][key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
const number = (x, digits = 2) => (Number.isFinite(x) ? x.toFixed(digits).replace("-", "−") : "–");
const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "text") made.textContent = value;
    else if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}
// A text in both languages: an element that `speak` fills again.
const worded = (tag, key, attributes = {}) => element(tag, { ...attributes, "data-t": key, text: t(key) });

const IMAGE = DATA.kind === "image", TABLE = DATA.kind === "table";
const [CHANNELS, HEIGHT, WIDTH] = IMAGE ? DATA.shape : [1, 96, 160];
const SIZE = DATA.shape.reduce((a, b) => a * b, 1);

const level = (x) => Math.max(0, Math.min(255, ((x - DATA.low) / (DATA.high - DATA.low || 1)) * 255));

// Pixels of an image (C, H, W) on the raw scale: grey, colour, or the first three channels.
function pixels(x) {
  const image = new ImageData(WIDTH, HEIGHT), area = WIDTH * HEIGHT, color = CHANNELS >= 3;
  for (let i = 0; i < area; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = level(x[(color ? c : 0) * area + i]);
    image.data[4 * i + 3] = CHANNELS === 4 ? level(x[3 * area + i]) : 255;
  }
  return image;
}

// A series (T, C) as one line a channel, on the scale of the data.
function lines(context, x, width, height) {
  const [steps, channels] = DATA.shape;
  context.clearRect(0, 0, width, height);
  for (let c = 0; c < channels; c++) {
    context.beginPath();
    for (let i = 0; i < steps; i++) {
      const at = [(i / Math.max(1, steps - 1)) * (width - 4) + 2, height - 3 - (level(x[i * channels + c]) / 255) * (height - 6)];
      if (i) context.lineTo(...at); else context.moveTo(...at);
    }
    context.strokeStyle = DATA.colors[c % DATA.colors.length];
    context.lineWidth = 1.5;
    context.stroke();
  }
}

const cell = (column, x) => {
  if (column.values.length) return column.values[Math.max(0, Math.min(column.values.length - 1, Math.round(x)))];
  return number(x, column.decimals ?? (Math.abs(x) >= 100 ? 1 : 3));
};

// Something that shows an example: `show(x)`; `element` goes on the page.
function screen(label, className = "") {
  if (TABLE) {
    const body = element("tbody"), made = element("table", { class: `row ${className}`, "aria-label": label }, body);
    const cells = DATA.columns.slice(0, MOST_COLUMNS).map((column) => {
      const value = element("td");
      body.append(element("tr", {}, element("th", { scope: "row", text: column.name }), value));
      return value;
    });
    return { element: made, show: (x) => cells.forEach((td, j) => { td.textContent = cell(DATA.columns[j], x[j]); }) };
  }
  const canvas = element("canvas", { width: WIDTH, height: HEIGHT, role: "img", "aria-label": label, class: `picture ${IMAGE ? "pixels" : ""} ${className}` });
  const context = canvas.getContext("2d");
  return { element: canvas, show: (x) => (IMAGE ? context.putImageData(pixels(x), 0, 0) : lines(context, x, WIDTH, HEIGHT)) };
}
const MOST_COLUMNS = 14;

// Several examples side by side: thumbnails, or a table with one column each.
function strip(label, titles, className = "") {
  if (TABLE) {
    const rows = DATA.columns.slice(0, MOST_COLUMNS).map((column) => [column, element("tr", {}, element("th", { scope: "row", text: column.name }))]);
    const head = element("tr", {}, element("td"), ...titles.map((title) => element("th", { scope: "col", text: title })));
    const made = element("div", { class: "scroll" }, element("table", { class: "row", "aria-label": label }, element("thead", {}, head), element("tbody", {}, ...rows.map(([, tr]) => tr))));
    return {
      element: made, screens: [],
      show: (xs) => rows.forEach(([column, tr], j) => { while (tr.cells.length > 1) tr.cells[1].remove(); for (const x of xs) tr.append(element("td", { text: cell(column, x[j]) })); }),
    };
  }
  const screens = titles.map((title) => screen(`${label} ${title}`));
  const made = element("div", { class: `strip ${className}`, role: "group", "aria-label": label }, ...screens.map((s) => s.element));
  return { element: made, screens, show: (xs) => xs.forEach((x, i) => screens[i].show(x)) };
}

const blend = (a, b, share) => a.map((x, i) => x + share * (b[i] - x));
