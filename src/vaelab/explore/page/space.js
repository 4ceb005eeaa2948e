// Latent spaces: one model's plane, its codes, and where the person is in it.
//
// A position on a map is (x, y) in [−1, 1]² of its frame, y up, and is the same for all models: one
// pointer moves through all of them. The code under it keeps what lies outside the plane.
class Space {
  constructor(index, buffer) {
    this.index = index;
    this.run = RUNS[index];
    this.codes = this.run.codes === null ? [] : rowsOf(buffer, this.run.codes, this.run.latent);
    this.sigmas = this.run.sigma === null ? [] : rowsOf(buffer, this.run.sigma, this.run.latent);
    this.z = Float32Array.from(this.run.mean);
    this.use(0);
  }

  // Take another map of the same space: the most active dimensions, or principal components.
  use(which) {
    this.map = this.run.maps[Math.min(which, this.run.maps.length - 1)];
    this.points = this.codes.map((z) => this.project(z));
    this.spacing = this.typicalSpacing();
  }

  inPlane(z) {
    const { u, v, origin } = this.map;
    let x = 0, y = 0;
    for (let j = 0; j < z.length; j++) { const d = z[j] - origin[j]; x += d * u[j]; y += d * v[j]; }
    return [x, y];
  }

  project(z) {
    const { centre, half } = this.map, [x, y] = this.inPlane(z);
    return [(x - centre[0]) / half, (y - centre[1]) / half];
  }

  // The code at a position of the map, with the rest of `from` kept.
  lift([x, y], from = this.z) {
    const { centre, half, u, v } = this.map, [a, b] = this.inPlane(from);
    const dx = centre[0] + x * half - a, dy = centre[1] + y * half - b;
    return from.map((value, j) => value + dx * u[j] + dy * v[j]);
  }

  // An ellipse in the frame of a diagonal normal: centre, half axes, angle.
  ellipse(mean, sigma, scale = 1) {
    const { u, v, half } = this.map;
    let a = 0, b = 0, c = 0;
    for (let j = 0; j < sigma.length; j++) { const s = sigma[j] ** 2; a += u[j] * u[j] * s; b += u[j] * v[j] * s; c += v[j] * v[j] * s; }
    const middle = (a + c) / 2, off = Math.hypot((a - c) / 2, b);
    return { at: this.project(mean), radii: [Math.sqrt(Math.max(0, middle + off)), Math.sqrt(Math.max(0, middle - off))].map((r) => (scale * r) / half), angle: 0.5 * Math.atan2(2 * b, a - c) };
  }

  // Index of and distance to the nearest code in the plane, in units of the frame.
  nearest([x, y], except = -1) {
    let best = -1, least = Infinity;
    for (let i = 0; i < this.points.length; i++) {
      if (i === except) continue;
      const d = (this.points[i][0] - x) ** 2 + (this.points[i][1] - y) ** 2;
      if (d < least) { least = d; best = i; }
    }
    return { index: best, distance: Math.sqrt(least) };
  }

  // Median distance from a code to the next, in units of the frame, of collapsed codes 1%.
  typicalSpacing() {
    const step = Math.max(1, Math.floor(this.points.length / 200)), found = [];
    for (let i = 0; i < this.points.length; i += step) found.push(this.nearest(this.points[i], i).distance);
    return found.length ? Math.max(0.01, found.sort((a, b) => a - b)[Math.floor(found.length / 2)]) : Infinity;
  }

  // Empty positions among the codes, at most `most`: far from any code, with codes on every side.
  gaps(most = 24) {
    const middle = [0, 1].map((k) => this.points.reduce((s, p) => s + p[k], 0) / (this.points.length || 1));
    const away = this.points.map((p) => Math.hypot(p[0] - middle[0], p[1] - middle[1])).sort((a, b) => a - b);
    const reach = away[Math.floor(away.length * 0.8)] ?? 0.5, found = [];
    const every = Math.ceil(this.points.length / 1000), some = this.points.filter((_, i) => i % every === 0);
    for (let i = -24; i <= 24; i++) for (let j = -24; j <= 24; j++) {
      const at = [middle[0] + (i / 24) * reach, middle[1] + (j / 24) * reach];
      if (Math.hypot(at[0] - middle[0], at[1] - middle[1]) > reach) continue;
      const quarters = new Set();
      for (const p of some) if (Math.hypot(p[0] - at[0], p[1] - at[1]) < 0.8) quarters.add((p[0] > at[0] ? 1 : 0) + (p[1] > at[1] ? 2 : 0));
      if (quarters.size === 4) found.push([this.nearest(at).distance, at]);
    }
    if (!found.length) return [middle];
    found.sort((a, b) => b[0] - a[0]);
    const empty = found.filter(([distance]) => distance >= 0.6 * found[0][0]), step = Math.ceil(empty.length / most);
    return empty.filter((_, k) => k % step === 0).map(([, at]) => at);
  }
}

// Between codes: along the line, or along the great circle with the lengths interpolated.
function between(a, b, share, spherical) {
  const line = a.map((x, j) => x + share * (b[j] - x));
  if (!spherical) return line;
  const norm = (z) => Math.hypot(...z), na = norm(a), nb = norm(b);
  const angle = Math.acos(Math.max(-1, Math.min(1, a.reduce((s, x, j) => s + x * b[j], 0) / Math.max(na * nb, 1e-12))));
  if (Math.sin(angle) < 1e-4 || !(na * nb > 0)) return line;
  const [p, q] = [Math.sin((1 - share) * angle) / na, Math.sin(share * angle) / nb], length = (na + share * (nb - na)) / Math.sin(angle);
  return a.map((x, j) => length * (p * x + q * b[j]));
}
