"""docker-compose.yml and the Dockerfile say what the code says. Docker itself is not run here."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from cli.main import app
from runtime.embedded import DYNAMIC_CONFIG
from runtime.settings import unknown_variables
from tests.markdown import REPOSITORY

TEXT = (REPOSITORY / "docker-compose.yml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SCRIPTS = [name for name, config in COMPOSE["configs"].items() if config["content"].startswith("set ")]


def interpolations() -> list[tuple[str, str]]:
    """Returns the variables that the file takes from the environment, each with what follows its name."""
    return re.findall(r"(?<!\$)\$\{(\w+)([^}]*)\}", TEXT)


def test_what_is_secret_has_no_default() -> None:
    secret = {(name, rest[:2]) for name, rest in interpolations() if re.search("PASSWORD|SECRET|KEY", name)}

    assert secret == {("POSTGRES_PASSWORD", ":?"), ("ROTA_SECRET_KEY", ":?")}


def test_the_example_names_every_variable_that_must_be_set() -> None:
    example = (REPOSITORY / ".env.example").read_text("utf-8")
    named = dict(re.findall(r"^(\w+)=(.*)$", example, re.MULTILINE))

    assert named == {name: "" for name, rest in interpolations() if rest.startswith(":?")}


def test_every_variable_of_rota_is_a_setting() -> None:
    given = {name: "" for service in SERVICES.values() for name in service.get("environment", {})}

    assert unknown_variables(given) == []


def test_every_command_of_rota_exists() -> None:
    commands = [service["command"] for service in SERVICES.values() if service.get("command", [""])[0] == "rota"]
    root: Any = typer.main.get_command(app)

    assert sorted(command[1] for command in commands) == ["api", "migrate", "worker"]
    for _, name, *options in commands:
        known = {option for parameter in root.commands[name].params for option in parameter.opts}
        assert {option for option in options if option.startswith("-")} <= known


def test_the_server_has_the_settings_of_the_embedded_one() -> None:
    settings = yaml.safe_load(COMPOSE["configs"]["temporal-settings"]["content"])

    assert {name: [{"value": int(value)}] for name, value in DYNAMIC_CONFIG.items()} == settings


def test_services_wait_for_services_that_are_there_and_for_states_that_they_reach() -> None:
    for name, service in SERVICES.items():
        for other, wanted in service.get("depends_on", {}).items():
            match wanted["condition"]:
                case "service_healthy":
                    assert "healthcheck" in SERVICES[other], f"{name} waits for the health of {other}"
                case "service_completed_successfully":
                    assert SERVICES[other]["restart"].startswith("on-failure"), f"{name} waits for the end of {other}"
                case condition:
                    pytest.fail(f"{name}: {condition}")


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_scripts_are_shell(name: str) -> None:
    script = COMPOSE["configs"][name]["content"].replace("$$", "$")

    assert subprocess.run(["sh", "-n"], input=script, text=True, check=False).returncode == 0


def test_the_schema_script_makes_both_databases(tmp_path: Path) -> None:
    (tmp_path / "temporal-sql-tool").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "temporal-sql-tool").chmod(0o755)
    script = COMPOSE["configs"]["temporal-schema"]["content"].replace("$$", "$")
    done = subprocess.run(
        ["/bin/sh", "-s"], input=script, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=True
    )

    versioned = "/etc/temporal/schema/postgresql/v12/{}/versioned"
    assert done.stdout.splitlines() == [
        line
        for database, schema in (("temporal", "temporal"), ("temporal_visibility", "visibility"))
        for line in (
            f"--db {database} create",
            f"--db {database} setup-schema -v 0.0",
            f"--db {database} update-schema -d {versioned.format(schema)}",
        )
    ]


def test_the_image_has_the_drivers_and_no_development_packages() -> None:
    dockerfile = (REPOSITORY / "Dockerfile").read_text("utf-8")
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    [installed] = re.findall(r"'\.\[([\w,]+)\]'", dockerfile)

    assert set(installed.split(",")) == set(extras) - {"embedded"}
    assert "--group" not in dockerfile
    assert re.search(r"^USER rota$", dockerfile, re.MULTILINE)
