// Content of the page, and the engine that runs its programs: a worker, or the server it came from.
const PAYLOAD = JSON.parse(document.getElementById("payload").textContent);
const DATA = PAYLOAD.data, RUNS = PAYLOAD.runs;

const bytesOf = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

async function unzipped(base64) {
  const stream = new Blob([bytesOf(base64)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

// A packed array of the payload as rows of equal width, (N, width).
function rowsOf(buffer, index, width) {
  const length = PAYLOAD.layout[index][1], all = unpacked(buffer, PAYLOAD.layout[index]);
  return Array.from({ length: length / width }, (_, i) => all.subarray(i * width, (i + 1) * width));
}

class Engine {
  constructor(buffer) {
    this.waiting = new Map();
    this.next = 0;
    const source = document.getElementById("worker-source").textContent;
    this.worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
    const programs = {};
    PAYLOAD.programs.forEach((own, i) => { for (const name in own ?? {}) programs[`${i}.${name}`] = own[name]; });
    this.ready = new Promise((done) => {
      this.worker.onmessage = ({ data }) => {
        if (data.ready) { done(); return; }
        this.waiting.get(data.id)(data.results);
        this.waiting.delete(data.id);
      };
    });
    this.worker.postMessage({ start: { programs, layout: PAYLOAD.layout, buffer, wasm: bytesOf(PAYLOAD.wasm) } });
  }

  // Results of a program, "encode", "draw" or "decode", of a run on each row: [[output, …], …].
  run(run, program, rows, { condition = [], temperature = 1, seed } = {}) {
    if (!PAYLOAD.programs[run]) return remote(run, program, rows, { condition, temperature, seed });
    const id = this.next++;
    return new Promise((done) => {
      this.waiting.set(id, done);
      this.worker.postMessage({ id, program: `${run}.${program}`, rows, condition, temperature, seed });
    });
  }
}

// The same from the server; the token is in the fragment of the address, which no request carries.
async function remote(run, program, rows, { condition, temperature, seed }) {
  const body = { rows: rows.map((row) => [...row]), condition: condition.map((c) => [...c]), temperature, seed: seed ?? null };
  const token = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";
  const answer = await fetch(`api/${run}/${program}`, {
    method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json", "x-token": token },
  });
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
  const widths = answer.headers.get("x-widths").split(",").map(Number), all = new Float32Array(await answer.arrayBuffer());
  let at = 0;
  return rows.map(() => widths.map((width) => all.subarray(at, (at += width))));
}

// Only the latest of many requests runs once the one in progress is done; the others are dropped.
function latest(task) {
  let busy = false, queued = null;
  return async function request(...args) {
    queued = args;
    if (busy) return;
    busy = true;
    try { while (queued) { const now = queued; queued = null; await task(...now); } } finally { busy = false; }
  };
}
