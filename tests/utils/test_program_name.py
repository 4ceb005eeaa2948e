"""Commands in messages: typed as printed, they call this very program."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from vaelab.commands.main import COMMANDS
from vaelab.utils.program import VERBS, as_called, program


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "my env" / "bin" / "vaelab"
    path.parent.mkdir(parents=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(path)])
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return path


def test_verbs_are_the_commands() -> None:
    assert set(VERBS) == set(COMMANDS)


def test_program_off_the_path_is_its_path(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(script.parents[2])
    assert program() == "'my env/bin/vaelab'"
    monkeypatch.chdir(script.parents[1])
    assert program() == "bin/vaelab"
    monkeypatch.chdir("/")
    assert program() == f"'{script}'" or program() == f"'{str(script).lstrip('/')}'"


def test_program_on_the_path_is_its_name(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{script.parent}:/usr/bin")
    assert program() == "vaelab"


def test_program_that_is_no_script_is_called_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/lib/python3/pytest/__main__.py"])
    assert program() == "vaelab"


def test_commands_of_a_message_are_replaced_and_words_are_not(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(script.parents[1])
    said = "a vaelab run; try: vaelab sample a/vaelab train, or `vaelab train vae --help`"
    assert as_called(said) == (
        "a vaelab run; try: bin/vaelab sample a/vaelab train, or `bin/vaelab train vae --help`"
    )
