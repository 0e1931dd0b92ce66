"""What `upright bench` refuses before it measures anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from upright.cli.bench.results_file import check_results_file
from upright.cli.commands import app
from upright.config import ConfigError, EngineConfig, ServeConfig

NOBODY = ["--http", "http://127.0.0.1:1"]  # an address that a bench gets to only if it refuses nothing before


def refused(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    result = CliRunner().invoke(app, ["bench", *arguments])
    assert result.exit_code == 2, result.output
    return capfd.readouterr().err + result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            [*NOBODY, "--requests", "3", "--no-stream"],
            "--requests, --no-stream: this is for a load of your own; add --load",
        ),
        ([*NOBODY, "--max-tokens", "3"], "--max-tokens"),
        (
            [*NOBODY, "--load", "text", "--only", "page", "--quick"],
            "--only, --quick: this is for the loads that there are",
        ),
        ([*NOBODY, "--dtype", "float16", "--no-standby"], "--dtype, --no-standby: this is the server's own"),
        ([*NOBODY, "--load", "figure"], "text, page, crop"),
        ([*NOBODY, "--only", "page,figure"], "--only figure: nothing"),
        (["m", "--requests", "3"], "--requests: this is for a server; give its address with --http"),
        (["m", "--stream"], "--stream: this is for a server"),
        (["m", "--port", "1", "--api-key", "k"], "--port, --api-key: this is for `upright serve`"),
        (["m", "--only", "decode 1,figure"], "--only figure: nothing"),
    ],
)
def test_what_would_change_nothing_is_refused(
    arguments: list[str], words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert words in refused(arguments, capfd)


def test_settings_are_checked_for_a_server_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file.yaml").write_text("portt: 1\n")
    assert "portt is no option" in refused([*NOBODY, "--config", str(tmp_path / "file.yaml")], capfd)
    monkeypatch.setenv("UPRIGHT_API_KEYS", "k")
    assert "did you mean UPRIGHT_API_KEY?" in refused(NOBODY, capfd)


def test_a_file_that_cannot_be_written_is_told_before_anything_is_measured(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "missing" / "x.json"
    for arguments in (["m"], NOBODY):
        assert f"there is no directory {missing.parent}" in refused([*arguments, "--json", str(missing)], capfd)
        assert "is a directory" in refused([*arguments, "--json", str(tmp_path)], capfd)
    assert not missing.parent.exists()


def test_a_file_is_looked_at_and_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x.json"
    check_results_file(file)
    assert not file.exists()
    file.write_text("from before")
    check_results_file(file)
    assert file.read_text() == "from before"
    monkeypatch.setattr("os.access", lambda path, mode: path != file)  # whoever runs this may be root
    with pytest.raises(ConfigError, match="may not be written"):
        check_results_file(file)
    check_results_file(tmp_path / "y.json")


def test_the_help_shows_what_matters_for_a_bench() -> None:
    told = CliRunner(env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"}).invoke(app, ["bench", "--help"]).output
    serving = ServeConfig.model_fields.keys() - EngineConfig.model_fields.keys() - {"api_key"}
    for name in serving:
        assert f"--{name.replace('_', '-')} " not in told
    for flag in ("--http", "--json", "--api-key", "--config", "--dtype", "--max-num-seqs"):
        assert f"{flag} " in told
    assert told.index("--http ") < told.index("--dtype ")
