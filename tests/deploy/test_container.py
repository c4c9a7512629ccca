"""The Containerfile, read as a builder reads it. No engine runs here; its steps are tried apart."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "Containerfile"
IGNORE = ROOT / ".containerignore"


def instructions() -> list[tuple[str, str]]:
    """Return (instruction, arguments), continued lines joined, comments left out."""
    lines = [line for line in FILE.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [
        (word.upper(), rest.strip())
        for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())
    ]


def of(name: str) -> list[str]:
    return [rest for word, rest in instructions() if word == name]


def last_stage() -> list[tuple[str, str]]:
    found = instructions()
    start = max(place for place, (word, _) in enumerate(found) if word == "FROM")
    return found[start:]


def copied() -> list[str]:
    """Return what is copied from the build context."""
    return [
        source
        for rest in of("COPY")
        if "--from=" not in rest
        for source in rest.split()[:-1]
        if not source.startswith("--")
    ]


def test_it_has_known_instructions_only():
    known = {"FROM", "WORKDIR", "RUN", "COPY", "ENV", "USER", "VOLUME", "STOPSIGNAL"}
    known |= {"HEALTHCHECK", "ENTRYPOINT", "CMD"}  # and no ADD, which fetches from anywhere
    assert {word for word, _ in instructions()} <= known


def test_both_stages_stand_on_the_same_tagged_image():
    images = {rest.split()[0] for rest in of("FROM")}
    assert len(of("FROM")) == 2
    assert len(images) == 1
    assert re.fullmatch(r"[a-z.]+/[a-z/]+:3\.\d+-slim-[a-z]+", images.pop())


def test_every_copied_source_is_there_and_not_ignored():
    patterns = [line for line in IGNORE.read_text().split("\n") if line and line[0] != "#"]
    assert patterns[0] == "*"
    allowed = [line[1:] for line in patterns if line.startswith("!")]
    for source in copied():
        assert (ROOT / source).exists(), source
        assert any(fnmatch(source, each) for each in allowed), source
    assert set(allowed) == set(copied())


def test_every_package_and_file_of_the_wheel_is_copied():
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    wheel = wheel["targets"]["wheel"]
    assert {*wheel["packages"], *wheel["force-include"]} <= set(copied())


def test_what_runs_is_written_as_a_list_without_a_shell():
    for word in ("RUN", "ENTRYPOINT", "CMD", "VOLUME"):
        assert of(word)
        for rest in of(word):
            parts = json.loads(rest)
            assert all(isinstance(part, str) for part in parts)
    (check,) = of("HEALTHCHECK")
    assert json.loads(check.partition("CMD ")[2]) == ["holdfast", "health", "--live"]


def test_dependencies_are_locked_by_their_hashes():
    installs = [json.loads(rest) for rest in of("RUN") if "pip" in json.loads(rest)]
    assert all("--require-hashes" in each or "--no-deps" in each for each in installs)
    assert sum("--require-hashes" in each for each in installs) == 1


def test_it_runs_as_a_user_of_its_own_with_data_in_a_volume():
    words = [word for word, _ in last_stage()]
    values = dict(last_stage())
    uid, gid = values["USER"].split(":")
    assert int(uid) > 1000
    assert uid == gid
    assert json.loads(values["VOLUME"]) == ["/var/lib/holdfast"]
    assert words.index("USER") > max(place for place, word in enumerate(words) if word == "RUN")
    assert values["STOPSIGNAL"] == "SIGTERM"
    assert not re.search(r"secret|password|token|api_?key", FILE.read_text(), re.IGNORECASE)


@pytest.mark.timeout(300)
def test_its_steps_make_a_holdfast_that_runs(tmp_path):
    """The stage `build` in a directory of its own: the same commands on what it copies.

    Where the image installs from an index, this takes what the environment of the tests has: the
    versions are those of the same lock.
    """
    context, prefix = tmp_path / "context", tmp_path / "holdfast"
    context.mkdir()
    for source in copied():
        target = context / source
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
        copy(ROOT / source, target)
    installed = False
    stage = instructions()[: [word for word, _ in instructions()].index("FROM", 1)]
    for word, rest in stage:
        if word != "RUN":
            continue
        command = [
            part.replace("/usr/local/lib/holdfast", str(prefix)) for part in json.loads(rest)
        ]
        if command[0] == "python":
            command[0] = sys.executable
        if "--require-hashes" in command:
            site = next((prefix / "lib").glob("python3*")) / "site-packages"
            ours = next(Path(sys.executable).parents[1].glob("lib/python3*/site-packages"))
            (site / "lock.pth").write_text(f"{ours}\n")
            installed = True
            continue
        if "pip" in command:
            command.append("--ignore-installed")
        subprocess.run(command, cwd=context, check=True, capture_output=True, timeout=200)
    assert installed
    program = prefix / "bin" / "holdfast"
    environment = {**os.environ, "HOLDFAST_CONFIG": str(context / "deploy" / "config.yaml")}
    for arguments in (["--version"], ["config", "check"], ["health", "--help"]):
        done = subprocess.run(
            [program, *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, (arguments, done.stderr)
    found = subprocess.run(
        [prefix / "bin" / "python", "-c", "import daemon; print(daemon.__file__)"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    assert found.stdout.startswith(str(prefix))
