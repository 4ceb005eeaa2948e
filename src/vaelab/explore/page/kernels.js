// The fourteen operators of a program, each on dense float32 arrays, and the programs they run in.
// Runs in a worker; every array lies in one memory, which the GEMM in WebAssembly shares.

const erf = (x) => {  // Abramowitz & Stegun 7.1.26, |error| < 1.5e-7
  const a = Math.abs(x), t = 1 / (1 + 0.3275911 * a);
  const tail = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  return Math.sign(x) * (1 - tail * Math.exp(-a * a));
};
// GELU from a table of Φ on [−6, 6], interpolated: three times as fast as the error function, and
// within 1e-6 of it.
const BINS = 8192, SPAN = 6, PHI = Float64Array.from({ length: BINS + 2 }, (_, i) => 0.5 * (1 + erf(((i / BINS) * 2 - 1) * SPAN * Math.SQRT1_2)));
function gelu(x) {
  if (x >= SPAN) return x;
  if (!(x > -SPAN)) return x < 0 ? 0 : x;
  const at = ((x + SPAN) * BINS) / (2 * SPAN), i = at | 0;
  return x * (PHI[i] + (at - i) * (PHI[i + 1] - PHI[i]));
}
const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const roundHalfEven = (x) => { const r = Math.round(x); return r - x === 0.5 && r % 2 !== 0 ? r - 1 : r; };

const UNARY = {
  abs: () => Math.abs, neg: () => (x) => -x, exp: () => Math.exp, expm1: () => Math.expm1,
  log: () => Math.log, log1p: () => Math.log1p, sqrt: () => Math.sqrt,
  rsqrt: () => (x) => 1 / Math.sqrt(x), reciprocal: () => (x) => 1 / x,
  relu: () => (x) => (x > 0 ? x : 0), sigmoid: () => (x) => 1 / (1 + Math.exp(-x)),
  tanh: () => Math.tanh, sin: () => Math.sin, cos: () => Math.cos, erf: () => erf,
  round: () => roundHalfEven, floor: () => Math.floor, ceil: () => Math.ceil,
  trunc: () => Math.trunc, sign: () => Math.sign, silu: () => (x) => x / (1 + Math.exp(-x)),
  softsign: () => (x) => x / (1 + Math.abs(x)),
  gelu: () => gelu,
  gelu_tanh: () => (x) => 0.5 * x * (1 + Math.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))),
  elu: (s) => (x) => (x > 0 ? s.scale * x : s.scale * s.alpha * Math.expm1(s.input_scale * x)),
  softplus: (s) => (x) => (x * s.beta > s.threshold ? x : softplus(x * s.beta) / s.beta),
  leaky_relu: (s) => (x) => (x > 0 ? x : s.slope * x),
  clamp: (s) => (x) => Math.min(Math.max(x, s.min ?? -Infinity), s.max ?? Infinity),
  log_sigmoid: () => (x) => -softplus(-x),
};

const BINARY = {
  add: (a, b) => a + b, sub: (a, b) => a - b, mul: (a, b) => a * b, div: (a, b) => a / b,
  maximum: Math.max, minimum: Math.min, pow: Math.pow, atan2: Math.atan2,
  eq: (a, b) => +(a === b), ne: (a, b) => +(a !== b), lt: (a, b) => +(a < b), le: (a, b) => +(a <= b),
  gt: (a, b) => +(a > b), ge: (a, b) => +(a >= b), bitwise_and: (a, b) => a & b, bitwise_or: (a, b) => a | b,
};

// Calls visit(offset of each operand) at every index of a shape, in row-major order.
function walk(shape, strides, starts, visit) {
  const at = [...starts], index = shape.map(() => 0), total = shape.reduce((a, b) => a * b, 1), last = shape.length - 1;
  for (let i = 0; i < total; i++) {
    visit(i, at);
    for (let d = last; d >= 0; d--) {
      for (let o = 0; o < at.length; o++) at[o] += strides[o][d];
      if (++index[d] < shape[d]) break;
      index[d] = 0;
      for (let o = 0; o < at.length; o++) at[o] -= strides[o][d] * shape[d];
    }
  }
}

// Products by the plain language, for browsers that refuse WebAssembly.
function plainGemm(memory) {
  return (a, b, c, m, n, k) => {
    const A = new Float32Array(memory, a, m * k), B = new Float32Array(memory, b, k * n), C = new Float32Array(memory, c, m * n);
    for (let i = 0; i < m; i++) for (let l = 0; l < k; l++) {
      const s = A[i * k + l], row = l * n, out = i * n;
      if (s !== 0) for (let j = 0; j < n; j++) C[out + j] += s * B[row + j];
    }
  };
}

const REDUCE = {
  sum: (x, from, n) => { let s = 0; for (let i = 0; i < n; i++) s += x[from + i]; return s; },
  mean: (x, from, n) => REDUCE.sum(x, from, n) / n,
  norm: (x, from, n) => { let s = 0; for (let i = 0; i < n; i++) s += x[from + i] ** 2; return Math.sqrt(s); },
  argmax: (x, from, n) => { let best = 0; for (let i = 1; i < n; i++) if (x[from + i] > x[from + best]) best = i; return best; },
  argmin: (x, from, n) => { let best = 0; for (let i = 1; i < n; i++) if (x[from + i] < x[from + best]) best = i; return best; },
  max: (x, from, n) => x[from + REDUCE.argmax(x, from, n)],
};

// Each kernel prepares a step once, (output, inputs, settings, room) => a function that computes it.
const KERNELS = {
  view: (y, [x], s) => {
    if (s.shape.length === 1 && s.strides[0] === 1) return () => y.set(x.subarray(s.offset, s.offset + y.length));
    const order = new Int32Array(y.length);
    walk(s.shape, [s.strides], [s.offset], (i, at) => { order[i] = at[0]; });
    return () => { for (let i = 0; i < order.length; i++) y[i] = x[order[i]]; };
  },
  matmul: (y, [a, b, bias], { g, m, k, n }, room) => () => {
    for (let i = 0; i < g * m; i++) bias ? y.set(bias, i * n) : y.fill(0, i * n, (i + 1) * n);
    for (let i = 0; i < g; i++) room.gemm(a.byteOffset + 4 * i * m * k, b.byteOffset + 4 * i * k * n, y.byteOffset + 4 * i * m * n, m, n, k);
  },
  conv: (y, [x, w, bias], s, room) => {
    const { c, h, w: width, d, kh, kw, oh, ow, sy, sx, py, px } = s, k = c * kh * kw, n = oh * ow;
    const columns = kh * kw === 1 && sy * sx === 1 && py + px === 0 ? x : room.scratch(k * n);
    return () => {
      if (columns !== x) {
        let at = 0;
        for (let ch = 0; ch < c; ch++) for (let ky = 0; ky < kh; ky++) for (let kx = 0; kx < kw; kx++) {
          const first = Math.max(0, Math.ceil((px - kx) / sx)), last = Math.min(ow, Math.floor((width - 1 + px - kx) / sx) + 1);
          for (let oy = 0; oy < oh; oy++, at += ow) {
            const iy = oy * sy + ky - py;
            if (iy < 0 || iy >= h || last <= first) { columns.fill(0, at, at + ow); continue; }
            let from = (ch * h + iy) * width + first * sx + kx - px;
            for (let ox = 0; ox < first; ox++) columns[at + ox] = 0;
            for (let ox = first; ox < last; ox++, from += sx) columns[at + ox] = x[from];
            for (let ox = last; ox < ow; ox++) columns[at + ox] = 0;
          }
        }
      }
      for (let i = 0; i < d; i++) y.fill(bias ? bias[i] : 0, i * n, (i + 1) * n);
      room.gemm(w.byteOffset, columns.byteOffset, y.byteOffset, d, n, k);
    };
  },
  upsample: (y, [x], { c, h, w, oh, ow }) => {
    const from = (n, m) => Int32Array.from({ length: n }, (_, i) => Math.min(m - 1, Math.floor(Math.fround(i * Math.fround(m / n)))));
    const rows = from(oh, h), columns = from(ow, w);
    return () => {
      let at = 0;
      for (let ch = 0; ch < c; ch++) for (let i = 0; i < oh; i++) {
        const row = (ch * h + rows[i]) * w;
        for (let j = 0; j < ow; j++) y[at++] = x[row + columns[j]];
      }
    };
  },
  normalize: (y, [x], { rows, eps }) => () => {
    const n = x.length / rows;
    for (let r = 0; r < rows; r++) {
      const mean = REDUCE.mean(x, r * n, n);
      let square = 0;
      for (let i = r * n; i < (r + 1) * n; i++) square += (x[i] - mean) ** 2;
      const scale = 1 / Math.sqrt(square / n + eps);
      for (let i = r * n; i < (r + 1) * n; i++) y[i] = (x[i] - mean) * scale;
    }
  },
  unary: (y, [x], s) => { const f = UNARY[s.f](s); return () => { for (let i = 0; i < y.length; i++) y[i] = f(x[i]); }; },
  binary: (y, [a, b], s) => {
    const f = BINARY[s.f];
    if (s.shape.length === 1) {
      const [[p], [q]] = s.strides;
      return () => { for (let i = 0; i < y.length; i++) y[i] = f(a[i * p], b[i * q]); };
    }
    return () => walk(s.shape, s.strides, [0, 0], (i, at) => { y[i] = f(a[at[0]], b[at[1]]); });
  },
  where: (y, [c, a, b]) => () => { for (let i = 0; i < y.length; i++) y[i] = c[i] ? a[i] : b[i]; },
  reduce: (y, [x], s) => { const f = REDUCE[s.f], n = x.length / s.rows; return () => { for (let r = 0; r < s.rows; r++) y[r] = f(x, r * n, n); }; },
  softmax: (y, [x], { rows, log }) => () => {
    const n = x.length / rows;
    for (let r = 0; r < rows; r++) {
      const top = REDUCE.max(x, r * n, n);
      let sum = 0;
      for (let i = r * n; i < (r + 1) * n; i++) sum += Math.exp(x[i] - top);
      for (let i = r * n; i < (r + 1) * n; i++) y[i] = log ? x[i] - top - Math.log(sum) : Math.exp(x[i] - top) / sum;
    }
  },
  concat: (y, parts, { rows }) => () => {
    let at = 0;
    for (let r = 0; r < rows; r++) for (const x of parts) {
      const n = x.length / rows;
      y.set(x.subarray(r * n, (r + 1) * n), at);
      at += n;
    }
  },
  take: (y, [table, index], { n }) => () => { for (let i = 0; i < index.length; i++) y.set(table.subarray(index[i] * n, (index[i] + 1) * n), i * n); },
  normal: (y, _, s, room) => () => { for (let i = 0; i < y.length; i++) y[i] = room.temperature * room.normal(); },
  uniform: (y, _, s, room) => () => { for (let i = 0; i < y.length; i++) y[i] = room.random(); },
};

// Seeded random numbers (mulberry32, Box and Muller), so that one seed gives one picture.
function seeded(seed) {
  let state = seed >>> 0;
  const random = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return { random, normal: () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()) };
}

// All programs of a page over one memory: {name: program}, the layout and the bytes of constants.
async function assemble(programs, layout, buffer, wasm) {
  const shared = new Map();
  let bytes = 1024, scratch = 0;
  const place = (length) => { const at = bytes; bytes += Math.ceil(length / 8) * 32; return at; };
  const plans = Object.entries(programs).map(([name, program]) => {
    const constants = new Map(program.constants);
    const at = program.sizes.map((size, slot) => {
      if (!constants.has(slot)) return place(size);
      const key = constants.get(slot);
      if (!shared.has(key)) shared.set(key, place(size));
      return shared.get(key);
    });
    for (const [operator, , , s] of program.steps) if (operator === "conv") scratch = Math.max(scratch, s.c * s.kh * s.kw * s.oh * s.ow);
    return [name, program, at];
  });
  const scratchAt = place(scratch), room = { temperature: 1, ...seeded(0) };
  let memory;
  try {
    const own = new WebAssembly.Memory({ initial: Math.ceil(bytes / 65536) + 1 });
    room.gemm = (await WebAssembly.instantiate(wasm, { env: { memory: own } })).instance.exports.gemm;
    memory = own.buffer;
  } catch {
    memory = new ArrayBuffer(bytes + 65536);
    room.gemm = plainGemm(memory);
  }
  room.scratch = (n) => new Float32Array(memory, scratchAt, n);
  for (const [key, at] of shared) unpacked(buffer, layout[key], new Float32Array(memory, at, layout[key][1]));
  const made = {};
  for (const [name, program, at] of plans) {
    const value = (slot) => new Float32Array(memory, at[slot], program.sizes[slot]);
    const steps = program.steps.map(([operator, out, inputs, s]) => KERNELS[operator](value(out), inputs.map(value), s, room));
    const inputs = program.inputs.map(value), outputs = program.outputs.map(value);
    made[name] = (given, temperature = 1, seed = null) => {
      room.temperature = temperature;
      if (seed !== null) Object.assign(room, seeded(seed));
      inputs.forEach((x, i) => x.set(given[i]));
      for (const step of steps) step();
      return outputs;
    };
  }
  return made;
}
