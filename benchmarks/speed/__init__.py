"""Speed against pythae, a plain DataLoader loop, and the matrix products alone.

`python benchmarks/speed/run.py` measures everything and writes `docs/benchmarks.md`. Every figure
comes from a process of its own (`ours`, `pythae_jobs`, `loader`, `products`), started by `main` in
turn, A B A B, with the same number of threads; `report` compares them pair by pair.
"""
