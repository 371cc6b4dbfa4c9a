"""What the repository as a whole promises: no secrets, hosts or machines in it, and everything that can be set is told."""

from __future__ import annotations

import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import click
import pytest
from pydantic import BaseModel

from hub import settings
from hub.cli import main
from hub.failpoint import NAMES
from hub.wiring import KINDS

ROOT = Path(__file__).parents[1]
TEXT = {".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".html", ".css", ".js", ".json", ".svg", ".cfg", ".mako", ""}
THIS = Path(__file__).name


@cache
def files() -> tuple[Path, ...]:
    """Every file of the repository, those not added yet too."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    found = [ROOT / name for name in listed.stdout.split("\0") if name]
    return tuple(path for path in found if path.is_file())


def texts() -> dict[str, str]:
    return {
        str(path.relative_to(ROOT)): path.read_text(encoding="utf-8", errors="replace")
        for path in files()
        if path.suffix in TEXT or path.name.endswith(".template")
    }


def offenders(pattern: str, *, but: tuple[str, ...] = ()) -> list[str]:
    """file:line of every match."""
    found = re.compile(pattern)
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in texts().items()
        if not name.endswith((THIS, *but))
        for number, line in enumerate(text.splitlines(), 1)
        if found.search(line)
    ]


# what must not stand here


def test_S29_no_file_names_a_registry_host() -> None:
    hosts = r"py[p]i\.org|python[h]osted|index[-]url|extra[-]index|npm[j]s\.(org|com)|un[p]kg\.com|js[d]elivr|cdn[j]s"
    assert offenders(hosts, but=("Makefile",)) == []
    assert "no-emit-" + "index-url" in (ROOT / "Makefile").read_text()


def test_no_file_names_a_machine_s_own_folders() -> None:
    assert offenders(r"/(work|root|home/\w+|Users/\w+)/(main|shared|\w+)|C:\\\\Users|(?<![\w.])\.library\b") == []


def test_S15_no_file_holds_a_secret_that_could_be_somebody_s() -> None:
    secrets = (
        r"sk_live_[0-9a-zA-Z]{20,}|rk_live_[0-9a-zA-Z]{20,}|whsec_[0-9a-zA-Z]{32}\b|AKIA[0-9A-Z]{16}|ghp_\w{36}"
        r"|-----BEGIN [A-Z ]*PRIVATE KEY|xox[bp]-\d+"
    )
    assert offenders(secrets) == []


def test_no_merge_was_left_half_done() -> None:
    assert offenders(r"^(<<<<<<<|>>>>>>>)( |$)") == []


def test_no_file_is_large() -> None:
    locks = [path for path in files() if "requirements" in path.parts or path.name == "package-lock.json"]
    assert [str(path) for path in files() if path.stat().st_size > 500_000 and path not in locks] == []


def test_every_text_ends_with_one_newline_and_no_line_with_a_blank() -> None:
    wrong = [name for name, text in texts().items() if text and (not text.endswith("\n") or text.endswith("\n\n"))]
    assert wrong + offenders(r"[ \t]+$") == []


def test_the_hub_s_own_secret_and_config_are_kept_out() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {"hub.toml", "hub.secret", "var/", ".venv/"} <= set(ignored)
    assert not [path for path in files() if path.name in {"hub.secret", "hub.toml", ".env"}]


def test_spelling_is_American() -> None:
    british = r"\b(licence[sd]?|colour|behaviour|catalogue|serialis|authoris|recognis|organis|(?<![\"`/])cancell(ed|ing)\b(?!=))"
    vendors_own = ("emulator.py", "emulator_billing.py", "emulator_wire.py", "emulator_model.py", "emulator_objects.py")
    assert offenders(british, but=vendors_own) == []


# lock files


@pytest.mark.parametrize(("name", "least"), [("run.txt", 20), ("dev.txt", 20), ("browser.txt", 2)])
def test_S29_every_row_of_a_lock_is_pinned_and_has_hashes(name: str, least: int) -> None:
    text = (ROOT / "requirements" / name).read_text()
    assert "://" not in text
    rows = re.split(r"\n(?=[A-Za-z0-9])", "\n" + text.replace("\\\n", " "))
    rows = [row.strip() for row in rows if row.strip() and not row.strip().startswith("#")]
    assert len(rows) > least
    for row in rows:
        assert re.match(r"[A-Za-z0-9._-]+(\[[\w,-]+\])?==\S+", row), row[:80]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", row), row[:80]


def test_S29_a_lock_is_installed_with_its_hashes_required() -> None:
    installs = [
        line for line in (ROOT / "Makefile").read_text().splitlines() if "pip install" in line and "-r " in line
    ]
    assert installs
    assert all("--require-hashes" in line for line in installs)


def test_S29_the_lock_to_run_with_is_part_of_the_one_to_develop_with() -> None:
    def pinned(name: str) -> set[str]:
        return set(re.findall(r"^([A-Za-z0-9._-]+==\S+)", (ROOT / "requirements" / name).read_text(), re.MULTILINE))

    assert pinned("run.txt") <= pinned("dev.txt")


def test_S29_every_dependency_is_in_the_lock_and_told_in_an_ADR() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = (ROOT / "requirements" / "run.txt").read_text().lower()
    told = (ROOT / "docs" / "adr" / "0007-dependencies.md").read_text().lower()
    names = [re.split(r"[\[<>=~! ]", row)[0].lower() for row in project["dependencies"]]
    assert [name for name in names if f"\n{name}==" not in "\n" + locked and f"\n{name}[" not in "\n" + locked] == []
    assert [name for name in names if name not in told] == []


# what must be told


@cache
def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


SECTIONS: dict[str, type[BaseModel]] = {
    "[hub]": settings.HubSection,
    "[policy]": settings.Policy,
    "[timing]": settings.Timing,
    "[retention]": settings.Retention,
    "[usage]": settings.Usage,
    "[outbound]": settings.Outbound,
    **{kind: module.Settings for kind, module in KINDS.items()},
    "[[catalog]]": settings.CatalogRow,
}
KEYS = [
    (section, field.alias or key)
    for section, model in SECTIONS.items()
    for key, field in model.model_fields.items()
    if key != "keys"
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_connection_is_told_in_the_README(kind: str) -> None:
    assert f"`{kind}`" in next(line for line in readme().splitlines() if line.startswith("| `kind` |"))
    assert f'\n`kind = "{kind}"`' in readme()
    assert f"(connectors/{kind}/README.md)" in readme()


@pytest.mark.parametrize(("section", "key"), KEYS, ids=[f"{section} {key}" for section, key in KEYS])
def test_every_setting_is_told_in_the_README(section: str, key: str) -> None:
    assert f"\n| `{key}` |" in readme(), f"README.md has no row for {key} of {section}"


DEFAULTS = [
    (key, field.default)
    for name in ("[hub]", "[policy]", "[timing]", "[retention]")
    for key, field in SECTIONS[name].model_fields.items()
    if not field.is_required() and field.default != ""
]


@pytest.mark.parametrize(("key", "default"), DEFAULTS, ids=[key for key, _ in DEFAULTS])
def test_the_README_tells_the_default_that_counts(key: str, default: object) -> None:
    assert re.search(rf"\n\| `{key}` \| `{re.escape(str(default))}` \|", readme()), f"{key} is {default} by default"


def test_every_key_that_the_README_tells_can_be_set() -> None:
    told = set(re.findall(r"^\| `([a-z_]+)` \|", readme(), re.MULTILINE))
    assert told - {key for _, key in KEYS} - set(KINDS) == set()


def test_every_HUB_variable_is_told_in_the_README() -> None:
    named = {
        word
        for name, text in texts().items()
        if name.startswith(("hub/", "connectors/", "sandbox/", "Makefile"))
        for word in re.findall(r"\bHUB_[A-Z_]*[A-Z]\b", text)
    }
    assert {name for name in named if f"`{name}`" not in readme()} == set()


def verbs(command: click.Command, path: str = "hub") -> list[str]:
    """Every command that can be run, by its words."""
    if isinstance(command, click.Group):
        return [verb for name, one in command.commands.items() for verb in verbs(one, f"{path} {name}")]
    return [path]


@pytest.mark.parametrize("verb", verbs(main))
def test_every_command_is_told_in_the_README(verb: str) -> None:
    assert re.search(rf"\n\| `{verb}[ `]", readme()), f"README.md has no row for {verb}"


def test_every_command_that_the_README_tells_is_there() -> None:
    told = re.findall(r"^\| `(hub [a-z ]+?)(?: [A-Z\[-][^`]*)?` \|", readme(), re.MULTILINE)
    assert told
    assert {one.strip() for one in told} - set(verbs(main)) == set()


@pytest.mark.parametrize("verb", [verb for verb in verbs(main) if verb != "hub sandbox"])
def test_every_command_takes_json_and_says_what_it_does(verb: str) -> None:
    command: click.Command = main
    for word in verb.split()[1:]:
        assert isinstance(command, click.Group)
        command = command.commands[word]
    assert "--json" in {option for parameter in command.params for option in parameter.opts}
    assert command.help


def test_every_exit_code_is_told_in_the_README() -> None:
    for code in range(6):
        assert re.search(rf"\b{code}\b", readme()[readme().index("Exit code") :]), code


def test_every_failpoint_that_the_code_has_is_in_the_list_and_no_other() -> None:
    used = set()
    for name, text in texts().items():
        if name.startswith("hub/") and not name.endswith("failpoint.py"):
            used |= set(re.findall(r"failpoint\(\s*\"([\w.]+)\"", text))
    assert used == set(NAMES)


def test_every_connector_has_a_README_with_sources_and_its_tests() -> None:
    for folder in sorted(path.parent for path in (ROOT / "connectors").glob("*/__init__.py")):
        assert (folder / "README.md").is_file()
        assert (ROOT / "tests" / "connectors" / folder.name).is_dir()


def test_links_between_documents_lead_somewhere() -> None:
    wrong = []
    for path in files():
        if path.suffix == ".md":
            targets = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", path.read_text(encoding="utf-8"))
            wrong += [f"{path.relative_to(ROOT)} → {one}" for one in targets if not (path.parent / one).exists()]
    assert wrong == []
