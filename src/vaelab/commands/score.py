"""`vaelab score RUN INPUT`: a line of scores per example, beside its name."""

from __future__ import annotations

from pathlib import Path

from vaelab.commands.arguments import Device
from vaelab.commands.generate import Class, DataDir, Input, Overwrite, RunFolder, Seed, load_told
from vaelab.commands.output_files import check_output_path
from vaelab.data import read_inputs
from vaelab.runs.score import check_density, log_prob
from vaelab.runs.score import score as score_rows
from vaelab.utils import atomic_files
from vaelab.utils.progress import counted, say


def score(
    run: RunFolder,
    input: Input,
    out: Path = Path("scores.csv"),
    samples: int = 16,
    log_prob_samples: int = 0,
    skip_unreadable: bool = False,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    data_dir: DataDir = None,
    label: Class = None,
    device: Device = "auto",
) -> None:
    """Write −ELBO, distortion and rate of each example in nats; higher is less like the training.

    Args:
        out: .csv file with a line per example: name of its file or number of its row, and scores.
        samples: draws of z per example, averaged.
        log_prob_samples: draws for a column log_prob, importance-weighted; none if 0.
        skip_unreadable: leave out pictures that cannot be read.
    """
    check_output_path(out, overwrite, ".csv")
    model = load_told(run, label, device)
    if log_prob_samples:
        check_density(model)
    inputs = read_inputs(
        input, model.spec, data_dir=data_dir, beside=model.path, skip=skip_unreadable
    )
    for note in inputs.notes:
        say(note)
    model = model.told(inputs.known)
    frame = score_rows(model, inputs.raw, inputs.names, samples, seed).to_frame()
    if log_prob_samples:
        frame["log_prob"] = log_prob(model, inputs.raw, log_prob_samples, seed).numpy()
    atomic_files.write(out, frame.to_csv(index=False))
    print(f"{out}  scores of {counted(len(frame), 'example')} in nats, higher is less likely")
