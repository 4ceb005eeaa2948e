// Packed arrays: float16 or float32 at an offset of a buffer. Part of the page and of its worker.
function halfToFloat(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, part = bits & 1023;
  if (exponent === 0) return sign * part * 2 ** -24;
  return exponent === 31 ? (part ? NaN : sign * Infinity) : sign * (1 + part / 1024) * 2 ** (exponent - 15);
}
let halves = null;

// The numbers of a packed array: float16 or float32, at an offset of a buffer, as float32.
function unpacked(buffer, [offset, length, bytes], into = new Float32Array(length)) {
  if (bytes === 4) { into.set(new Float32Array(buffer, offset, length)); return into; }
  halves ??= Float32Array.from({ length: 65536 }, (_, bits) => halfToFloat(bits));
  const packed = new Uint16Array(buffer, offset, length);
  for (let i = 0; i < length; i++) into[i] = halves[packed[i]];
  return into;
}
