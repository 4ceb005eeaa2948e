"""Commands that are printed can be pasted, whatever files are called."""

import re
import shlex
from pathlib import Path

import pytest

import vaelab
from vaelab.commands import main as cli
from vaelab.runs.run import Run
from vaelab.verbs.compare import read

NASTY = "it's a run; $(rm -rf ~) “x”"
SOURCE = Path(vaelab.__file__).parent


@pytest.mark.parametrize("prior", ["", "@two words"])
def test_what_compare_asks_for_can_be_pasted(tmp_path, prior):
    folder = tmp_path / NASTY
    folder.mkdir()
    with pytest.raises(FileNotFoundError) as missing:
        read(f"{folder}{prior}")
    command = re.search("`(.*)`", str(missing.value))[1]
    wanted = ["vaelab", "evaluate", str(folder)]
    assert shlex.split(command) == wanted + (["--prior", "two words"] if prior else [])


@pytest.mark.parametrize("command", ["train", "sweep"])
def test_what_to_try_after_a_training_can_be_pasted(tmp_path, capsys, command):
    out = str(tmp_path / NASTY)
    args = [command, "vae", "--data", "digits8x8", "--width", "8", "--latent", "2", "--out", out]
    assert cli.main([*args, "--epochs", "1", "--compile", "off"]) == 0
    told = capsys.readouterr()
    line = next(line for line in (told.out + told.err).splitlines() if "try: " in line)
    words = shlex.split(line.partition("try: ")[2])
    assert words[:2] == ["vaelab", "sample"]
    assert words[2].startswith(out)
    assert Path(words[2]).is_dir()
    assert isinstance(vaelab.load(words[2]), Run)


def test_no_command_of_the_source_names_a_path_without_quotes():
    """Blanks of printed commands hold `shlex`, a number, or a name of the library's own."""
    own = {"name", "prog", "program()"}
    loose = []
    for path in SOURCE.rglob("*.py"):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            for command in re.findall(r"vaelab (?:train|sample|evaluate|fit-prior)[^`]*", line):
                blanks = re.findall(r"\{([^{}]*)\}", command)
                loose += [
                    f"{path.name}:{number}: {blank}"
                    for blank in blanks
                    if not blank.startswith(("shlex", "cli_example", "flag", "run"))
                    and blank not in own
                    and "COMMANDS" not in line
                    and path.name != "values.py"  # its blanks are quoted at once
                ]
    assert loose == []
