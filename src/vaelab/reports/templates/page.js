const root = document.documentElement, tip = document.getElementById("tip");
const remember = (key, value) => { try { localStorage[key] = value; } catch { /* not remembered */ } };

// Language. What stands at the top of the window stays there, whatever the lengths of the texts.
function speak(language) {
  hide();
  const here = [...document.querySelectorAll("section, h2, figure, table, .claims")]
    .filter((e) => e.getBoundingClientRect().bottom > 0 && e.getBoundingClientRect().top < innerHeight)
    .sort((a, b) => Math.abs(a.getBoundingClientRect().top) - Math.abs(b.getBoundingClientRect().top))[0];
  const before = here?.getBoundingClientRect().top;
  root.lang = language;
  const short = language.slice(0, 2);
  document.title = document.querySelector(`h1 [lang="${language}"]`).textContent;
  for (const e of document.querySelectorAll("[data-alt-en]")) {
    const words = e.getAttribute(`data-alt-${short}`);
    e.setAttribute(e.tagName === "IMG" ? "alt" : "aria-label", words);
  }
  for (const b of document.querySelectorAll("[data-set]")) b.setAttribute("aria-pressed", String(b.dataset.set === language));
  if (here && scrollY > 0) scrollBy(0, here.getBoundingClientRect().top - before);
}
for (const b of document.querySelectorAll("[data-set]")) {
  b.addEventListener("click", () => { speak(b.dataset.set); remember("vaelabLanguage", b.dataset.set); });
}

// Theme: follows the system until it is chosen here.
document.getElementById("theme").addEventListener("click", () => {
  const now = root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  root.dataset.theme = now === "dark" ? "light" : "dark";
  remember("vaelabTheme", root.dataset.theme);
});

// Tooltips: the definition from the end of the page, and what belongs to this number.
let shown = null;
function hide() { tip.hidden = true; shown?.removeAttribute("aria-describedby"); shown = null; }
function show(button) {
  if (shown === button) return;
  hide();
  const source = document.querySelector(`${button.hash} [lang="${root.lang}"]`);
  tip.innerHTML = source ? `<p>${source.innerHTML}</p>` : "";
  if (button.dataset.facts) {
    const facts = document.createElement("p");
    facts.textContent = button.dataset.facts;
    tip.append(facts);
  }
  tip.hidden = false;
  const at = button.getBoundingClientRect(), width = tip.offsetWidth, height = tip.offsetHeight;
  const left = Math.max(12, Math.min(at.left, root.clientWidth - width - 12));
  const top = at.bottom + 6 + height < innerHeight ? at.bottom + 6 : Math.max(6, at.top - height - 6);
  tip.style.left = `${left + scrollX}px`;
  tip.style.top = `${top + scrollY}px`;
  button.setAttribute("aria-describedby", "tip");
  shown = button;
}
for (const b of document.querySelectorAll(".num")) {
  b.addEventListener("focus", () => show(b));
  b.addEventListener("click", (e) => { e.preventDefault(); show(b); });
  b.addEventListener("blur", hide);
  b.addEventListener("pointerenter", (e) => { if (e.pointerType === "mouse") show(b); });
  b.addEventListener("pointerleave", (e) => { if (e.pointerType === "mouse" && document.activeElement !== b) hide(); });
}
addEventListener("keydown", (e) => { if (e.key === "Escape") hide(); });
addEventListener("pointerdown", (e) => { if (shown && !tip.contains(e.target) && !shown.contains(e.target)) hide(); });

// Pixels are enlarged as squares; where the window makes them smaller, they are averaged.
function sharpen() {
  for (const image of document.querySelectorAll(".pixels")) {
    image.style.imageRendering = image.clientWidth * devicePixelRatio >= image.naturalWidth ? "pixelated" : "auto";
  }
}
addEventListener("load", sharpen);
addEventListener("resize", sharpen);
speak(root.lang);
