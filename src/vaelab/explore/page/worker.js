// The worker of a page: {start} assembles programs, {id, program, rows, …} runs one on each row.
let programs = null;
self.onmessage = async ({ data }) => {
  if (data.start) {
    const { programs: listed, layout, buffer, wasm } = data.start;
    programs = await assemble(listed, layout, buffer, wasm);
    self.postMessage({ ready: true });
    return;
  }
  const { id, program, rows, condition, temperature, seed } = data;
  const results = rows.map((row, i) => programs[program]([row, ...condition], temperature, seed === undefined ? null : seed + i).map((y) => y.slice()));
  self.postMessage({ id, results });
};
