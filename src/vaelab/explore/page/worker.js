// The worker of a page: {start} assembles programs, {id, program, rows, …} runs one on each row.
let programs = null;
self.onmessage = async ({ data }) => {
  if (data.start) {
    const { programs: listed, layout, buffer, wasm } = data.start;
    programs = assemble(listed, layout, buffer, wasm);
    await programs;
    self.postMessage({ ready: true });
    return;
  }
  const { id, program, rows, condition, temperature, seed } = data, run = (await programs)[program];
  const results = rows.map((row, i) => run([row, ...condition], temperature, seed === undefined ? null : seed + i).map((y) => y.slice()));
  self.postMessage({ id, results });
};
