"""What `deploy/` holds is valid by its own rules, and starts commands that exist with settings that exist."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate  # type: ignore[import-untyped]  # it has no types
import pytest
import yaml

from comfygate.app.main import SERVICES
from comfygate.cli.command import execute
from comfygate.cli.services import Services
from comfygate.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
CUSTOM = frozenset({"ScaledObject", "Kustomization"})
SECRETS = {
    "COMFYGATE_DATABASE_URL": "postgresql://comfygate:a-password-of-a-test@postgres/comfygate",
    "COMFYGATE_SIGNING_SECRET": "s" * 40,
    "COMFYGATE_ADMIN_KEY": "k" * 40,
    "COMFYGATE_BOT__TOKEN": "123456:abcdefghij",
}
GIVEN = {
    "POSTGRES_PASSWORD": "a-password",
    "SIGNING_SECRET": "s" * 40,
    "COMFYUI_URL": "http://192.0.2.1:8188",
}


def manifests() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every document under deploy/kubernetes."""
    for path in sorted(KUBERNETES.rglob("*.yaml")):
        for number, document in enumerate(yaml.safe_load_all(path.read_text(encoding="utf-8"))):
            yield f"{path.relative_to(KUBERNETES)} {number} {document['kind']}", document


MANIFESTS = dict(manifests())
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yml").read_text(encoding="utf-8"))


def filled(text: str) -> str:
    """A value of the compose file with the variables that it asks for."""
    return re.sub(
        r"\$\{(\w+)(?::([-?])([^}]*))?\}",
        lambda found: GIVEN.get(found[1], found[3] if found[2] == "-" else ""),
        text,
    )


@dataclass(frozen=True, slots=True)
class Started:
    """A process that something under deploy/ starts."""

    arguments: tuple[str, ...]
    variables: Mapping[str, str]


def image_variables() -> dict[str, str]:
    """What the image itself sets."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    return dict(re.findall(r"(COMFYGATE_\w+)=(\S+)", text))


def started() -> dict[str, Started]:
    """Every process of ours, by what starts it."""
    found = {"image": Started(("serve",), image_variables())}
    for name, service in COMPOSE["services"].items():
        if service["image"] == "comfygate":
            given = {key: filled(value) for key, value in service["environment"].items()}
            arguments = tuple(filled(word) for word in service["command"])
            found[f"compose {name}"] = Started(arguments, image_variables() | given)
    maps = {m["metadata"]["name"]: m["data"] for m in MANIFESTS.values() if m["kind"] == "ConfigMap"}
    for manifest in MANIFESTS.values():
        if manifest["kind"] == "Deployment":
            (container,) = manifest["spec"]["template"]["spec"]["containers"]
            variables = {**image_variables()}
            for source in container["envFrom"]:
                variables |= maps[source["configMapRef"]["name"]] if "configMapRef" in source else SECRETS
            name = f"kubernetes {manifest['metadata']['name']}"
            found[name] = Started(tuple(container["args"]), variables)
    unit = unit_of(DEPLOY / "systemd/comfygate.service")
    program, *words = shlex.split(unit["ExecStart"][0])
    assert program.endswith("/bin/comfygate")
    pairs = [setting.split("=", 1) for setting in unit["Environment"]]
    found["systemd"] = Started(tuple(words), dict(pairs))
    return found


def unit_of(path: Path) -> dict[str, list[str]]:
    unit: dict[str, list[str]] = {}
    for key, value in re.findall(r"^(\w+)=(.*)$", path.read_text(encoding="utf-8"), re.MULTILINE):
        unit.setdefault(key, []).append(value)
    return unit


STARTED = started()


@dataclass(slots=True)
class Asked:
    """What the command line asked of its services."""

    served: list[Settings] = field(default_factory=list)
    performed: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def services(self) -> Services:
        async def serve(settings: Settings, _announce: Callable[[str], None]) -> None:
            self.served.append(settings)

        async def perform(_settings: Settings, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
            self.performed.append((name, dict(arguments)))
            return {"name": "gpu1", "url": "", "slots": 1, "lanes": [], "state": "unknown"}

        def run(work: Callable[[], Any]) -> Any:
            return asyncio.run(work())

        return Services(**{
            **{name: getattr(SERVICES, name) for name in Services.__slots__},
            "serve": serve, "perform": perform, "run": run, "configure_logs": lambda _level, _form: None,
        })  # fmt: skip


@pytest.mark.parametrize("name", STARTED)
def test_its_command_and_settings_exist(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    process, asked = STARTED[name], Asked()
    for key, value in process.variables.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("COMFYGATE_BASE_DIR", str(tmp_path))
    assert execute(asked.services(), process.arguments) == 0, capsys.readouterr().err
    if process.arguments[0] != "serve":
        assert [operation for operation, _ in asked.performed] == ["servers.add"]
        return
    (settings,) = asked.served
    assert settings.metrics.enabled
    assert settings.metrics.port == 9190
    wanted = name.rpartition("-")[2] if name.startswith("kubernetes") else "all"
    assert settings.role == wanted


def test_every_variable_named_anywhere_is_a_setting() -> None:
    known = {name for process in STARTED.values() for name in process.variables} | SECRETS.keys()
    named = set[str]()
    for path in DEPLOY.rglob("*"):
        if path.is_file():
            named |= set(re.findall(r"\bCOMFYGATE_[A-Z_]+\b", path.read_text(encoding="utf-8")))
    assert {name.rstrip("_") for name in named} - known - {"COMFYGATE", "COMFYGATE_ROLE"} == set()


@pytest.mark.parametrize("name", [name for name, body in MANIFESTS.items() if body["kind"] not in CUSTOM])
def test_a_manifest_keeps_the_schema_of_kubernetes(name: str) -> None:
    kubernetes_validate.validate(MANIFESTS[name], "1.31", strict=True)


def test_every_file_of_kubernetes_is_in_its_kustomization() -> None:
    for folder in (KUBERNETES, KUBERNETES / "keda"):
        listed = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
        assert set(listed) == {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kustomize_builds_it() -> None:
    for folder in (KUBERNETES, KUBERNETES / "keda"):
        built = subprocess.run(
            ["kubectl", "kustomize", str(folder)], capture_output=True, text=True, timeout=60, check=False
        )
        assert built.returncode == 0, built.stderr
        assert all(body["metadata"]["namespace"] == "comfygate" for body in yaml.safe_load_all(built.stdout))


def test_probes_ports_and_selectors_fit_together() -> None:
    pods = {}
    for body in MANIFESTS.values():
        if body["kind"] == "Deployment":
            template = body["spec"]["template"]
            wanted = body["spec"]["selector"]["matchLabels"].items()
            assert wanted <= template["metadata"]["labels"].items()
            (container,) = template["spec"]["containers"]
            ports = {port["name"]: port["containerPort"] for port in container["ports"]}
            paths = {kind: container[kind]["httpGet"] for kind in ("livenessProbe", "readinessProbe")}
            assert paths["livenessProbe"] == {"path": "/healthz", "port": "operators"}
            assert paths["readinessProbe"] == {"path": "/readyz", "port": "operators"}
            assert ports["operators"] == 9190
            assert template["spec"]["terminationGracePeriodSeconds"] > Settings().dispatch.stop_seconds
            pods[body["metadata"]["name"]] = (template["metadata"]["labels"], ports)
    assert set(pods) == {"comfygate-http", "comfygate-dispatch", "comfygate-bot"}
    for body in MANIFESTS.values():
        if body["kind"] == "PodDisruptionBudget":
            labels, _ = pods[body["metadata"]["name"]]
            assert body["spec"]["selector"]["matchLabels"].items() <= labels.items()
        if body["kind"] == "Service" and body["metadata"]["name"] == "comfygate":
            labels, ports = pods["comfygate-http"]
            assert body["spec"]["selector"].items() <= labels.items()
            assert ports[body["spec"]["ports"][0]["targetPort"]] == Settings().port
    scaled = next(body for body in MANIFESTS.values() if body["kind"] == "ScaledObject")
    target = scaled["spec"]["scaleTargetRef"]
    kinds = {(body["kind"], body["metadata"]["name"]) for body in MANIFESTS.values() if "metadata" in body}
    assert (target["kind"], target["name"]) in kinds


def test_the_compose_file_keeps_its_schema() -> None:
    schema = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema.validate(COMPOSE, json.loads(schema.read_text(encoding="utf-8")))
    for service in COMPOSE["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (DEPLOY / source).exists(), volume
        assert set(service.get("depends_on", ())) <= COMPOSE["services"].keys()
    asked = re.findall(r"\$\{(\w+):\?", (DEPLOY / "compose.yml").read_text(encoding="utf-8"))
    assert set(asked) == GIVEN.keys()
    published = [port for service in COMPOSE["services"].values() for port in service.get("ports", ())]
    assert not [port for port in published if port.endswith(":9190")]


def test_the_image_copies_what_is_there() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    wanted = [
        word for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE) for word in line.split()
    ]
    assert wanted
    assert [name for name in wanted if not (ROOT / name).exists()] == []
    kept = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8")
    assert [name for name in wanted if f"!{name}" not in kept] == []
    assert "\nUSER 10001\n" in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "comfygate.service"
    text = (DEPLOY / "systemd/comfygate.service").read_text(encoding="utf-8")
    # It must be told of a program that is here.
    unit.write_text(
        text.replace("/opt/comfygate/bin/comfygate", shutil.which("true") or ""), encoding="utf-8"
    )
    told = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (told.returncode, told.stderr) == (0, "")
