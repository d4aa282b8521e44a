"""The manifests and the chart: they fit Kubernetes, fit together, and use only what makegood has."""

from __future__ import annotations

import json
import re
import sys
from pathlib import PurePosixPath
from typing import Any

import jsonschema_rs
import kubernetes_validate
import pytest
import yaml
from artefacts import BASE, CHART, DISCOVERY, DSN, RENDERED, ROOT, SETS, Strict, documents, environment, kind, one, pods
from offered import PROBED, STOPS_S, check_served, configured, parsed, tokens_path

from makegood.services.discovery.cluster import SERVICE_ACCOUNT

VERSIONS = ("1.27", "1.30", "1.33", "1.37")
OBJECTS = [
    pytest.param(each, id=f"{name}-{each['kind']}-{each['metadata']['name']}")
    for name, objects in SETS.items()
    for each in objects
]
PODS = [
    pytest.param(objects, metadata, spec, id=f"{name}-{where}")
    for name, objects in SETS.items()
    for where, metadata, spec in pods(objects)
]
SERVERS = [pytest.param(objects, id=name) for name, objects in SETS.items()]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("described", OBJECTS)
def test_every_object_fits_the_schema_of_kubernetes(described: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(described, version, strict=True)


def test_an_object_that_does_not_fit_is_seen() -> None:
    wrong = {**kind(SETS["base"], "Service"), "spec": {"selectors": {}}}

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("objects", SERVERS)
def test_names_are_unique_within_a_kind(objects: list[dict[str, Any]]) -> None:
    names = [(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in objects]

    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("objects", "metadata", "spec"), PODS)
def test_every_pod_is_confined(objects: Any, metadata: Any, spec: dict[str, Any]) -> None:
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["runAsGroup"] == 10001
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in spec["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


@pytest.mark.parametrize(("objects", "metadata", "spec"), PODS)
def test_every_container_runs_a_command_that_exists_with_variables_that_are_read(
    objects: list[dict[str, Any]], metadata: Any, spec: dict[str, Any]
) -> None:
    (container,) = spec["containers"]

    parsed(container["args"])
    config = configured(None, environment(container))

    assert "command" not in container
    assert config.storage.type == "postgres"
    assert config.storage.connection_string == DSN


@pytest.mark.parametrize(("objects", "metadata", "spec"), PODS)
def test_no_secret_stands_in_a_manifest_and_no_image_is_a_moving_one(objects: Any, metadata: Any, spec: Any) -> None:
    (container,) = spec["containers"]
    given = {each["name"]: each for each in container["env"]}

    assert not [each for each in objects if each["kind"] == "Secret"]
    assert set(given["MAKEGOOD_STORAGE__CONNECTION_STRING"]["valueFrom"]) == {"secretKeyRef"}
    assert re.search(r":[0-9][\w.]*$|@sha256:[0-9a-f]{64}$", container["image"])


@pytest.mark.parametrize("objects", SERVERS)
def test_server_finds_its_files_listens_on_its_port_and_lets_no_stranger_in(objects: list[dict[str, Any]]) -> None:
    pod = kind(objects, "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    mounted = {each["mountPath"] for each in container["volumeMounts"]}
    words = parsed(container["args"])

    config = configured(kind(objects, "ConfigMap")["data"]["makegood.toml"], environment(container))

    check_served(config)
    assert config.server.listen == f"0.0.0.0:{container['ports'][0]['containerPort']}"
    assert words["config"] in mounted
    assert str(PurePosixPath(tokens_path(config) or "").parent) in mounted
    assert {each["name"] for each in container["volumeMounts"]} == {each["name"] for each in pod["volumes"]}
    (volume,) = [each["configMap"]["name"] for each in pod["volumes"] if "configMap" in each]
    assert volume == kind(objects, "ConfigMap")["metadata"]["name"]
    assert pod["serviceAccountName"] == kind(objects, "ServiceAccount")["metadata"]["name"]


@pytest.mark.parametrize("objects", SERVERS)
def test_probes_ask_what_answers_without_a_token(objects: list[dict[str, Any]]) -> None:
    (container,) = kind(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    asked = {name: container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}

    assert {name: get["path"] for name, get in asked.items()} == {
        "startupProbe": "/healthz",
        "livenessProbe": "/healthz",
        "readinessProbe": "/readyz",
    }
    assert {get["path"] for get in asked.values()} <= PROBED
    assert {get["port"] for get in asked.values()} == {container["ports"][0]["name"]}


@pytest.mark.parametrize("objects", SERVERS)
def test_a_pod_has_the_time_that_a_graceful_stop_takes(objects: list[dict[str, Any]]) -> None:
    pod = kind(objects, "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    sleep, before_s = container["lifecycle"]["preStop"]["exec"]["command"]

    assert sleep == "sleep"
    assert pod["terminationGracePeriodSeconds"] > int(before_s) + 2 * STOPS_S


@pytest.mark.parametrize("objects", SERVERS)
def test_selectors_choose_the_servers(objects: list[dict[str, Any]]) -> None:
    deployment = kind(objects, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selectors = [deployment["spec"]["selector"]["matchLabels"], kind(objects, "Service")["spec"]["selector"]]
    selectors += [
        each["spec"].get("selector", each["spec"].get("podSelector"))["matchLabels"]
        for each in objects
        if each["kind"] in ("PodDisruptionBudget", "NetworkPolicy")
    ]
    spread = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
    selectors += [each["labelSelector"]["matchLabels"] for each in spread]

    assert all(selector.items() <= labels.items() for selector in selectors)
    jobs = [each["spec"]["template"]["metadata"]["labels"] for each in objects if each["kind"] == "Job"]
    assert not [job for job in jobs if kind(objects, "Service")["spec"]["selector"].items() <= job.items()]


@pytest.mark.parametrize("name", ["base", "helm-defaults"])
def test_three_replicas_are_spread_and_never_all_taken_away(name: str) -> None:
    objects = SETS[name]
    deployment = kind(objects, "Deployment")["spec"]

    assert deployment["replicas"] == 3
    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert kind(objects, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    assert [each["topologyKey"] for each in deployment["template"]["spec"]["topologySpreadConstraints"]] == [
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    ]


@pytest.mark.parametrize("name", ["base", "helm-defaults"])
def test_the_schema_is_brought_up_to_date_by_a_job(name: str) -> None:
    job = kind(SETS[name], "Job")["spec"]

    assert job["template"]["spec"]["containers"][0]["args"] == ["db", "upgrade"]
    assert job["template"]["spec"]["restartPolicy"] == "OnFailure"


@pytest.mark.parametrize("name", ["base", "helm-defaults", "helm-every-value"])
def test_nothing_but_what_is_named_may_reach_a_pod_or_be_reached(name: str) -> None:
    policy = kind(SETS[name], "NetworkPolicy")["spec"]
    (container,) = kind(SETS[name], "Deployment")["spec"]["template"]["spec"]["containers"]

    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert [port["port"] for rule in policy["ingress"] for port in rule["ports"]] == [
        each["containerPort"] for each in container["ports"]
    ]
    assert all(rule for rule in policy["egress"])


def test_every_file_of_the_base_is_used() -> None:
    kustomization = one(BASE / "kustomization.yaml")
    named = {*kustomization["resources"], *(f for each in kustomization["configMapGenerator"] for f in each["files"])}

    assert {path.name for path in BASE.iterdir()} == named | {"kustomization.yaml"}


# --- discovery ---------------------------------------------------------------------------------


def _of_kind(objects: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [each for each in objects if each["kind"] == name]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_component_for_discovery_fits_the_schema_and_names_all_its_files(version: str) -> None:
    component = one(DISCOVERY / "kustomization.yaml")
    patches = [each["path"] for each in component["patches"]]

    for name in component["resources"]:
        for each in documents(DISCOVERY / name):
            kubernetes_validate.validate(each, version, strict=True)
    assert component["kind"] == "Component"
    assert {path.name for path in DISCOVERY.iterdir()} == {*component["resources"], *patches, "kustomization.yaml"}


@pytest.mark.parametrize("name", ["component", "helm-every-value"])
def test_a_server_that_discovers_may_read_endpointslices_and_nothing_else(name: str) -> None:
    objects = [*documents(DISCOVERY / "role.yaml"), kind(SETS["base"], "ServiceAccount")]
    objects = objects if name == "component" else SETS[name]
    account = kind(objects, "ServiceAccount")["metadata"]["name"]
    roles, bindings = _of_kind(objects, "Role"), _of_kind(objects, "RoleBinding")

    assert roles
    for role, binding in zip(roles, bindings, strict=True):
        assert role["rules"] == [
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]}
        ]
        assert role["metadata"].get("namespace") == binding["metadata"].get("namespace")
        assert binding["roleRef"]["name"] == role["metadata"]["name"]
        assert [each["name"] for each in binding["subjects"]] == [account]
    assert not _of_kind(objects, "ClusterRole")


@pytest.mark.parametrize("name", ["component", "helm-every-value"])
def test_a_server_that_discovers_finds_its_token_where_it_looks(name: str) -> None:
    described = one(DISCOVERY / "deployment.yaml") if name == "component" else kind(SETS[name], "Deployment")
    pod = described["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    mounted = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
    (sources,) = [each["projected"]["sources"] for each in pod["volumes"] if each["name"] == mounted[SERVICE_ACCOUNT]]

    files = {
        sources[0]["serviceAccountToken"]["path"],
        *(each["path"] for each in sources[1]["configMap"]["items"] + sources[2]["downwardAPI"]["items"]),
    }

    assert files == {"token", "ca.crt", "namespace"}
    assert configured(None, environment(container)).service_registry.type == "kubernetes"


def test_a_server_that_discovers_may_reach_the_api() -> None:
    (patch,) = one(DISCOVERY / "network-policy.yaml")
    rules = [patch["value"], *kind(SETS["helm-every-value"], "NetworkPolicy")["spec"]["egress"]]
    ports = [[port["port"] for port in rule.get("ports", ())] for rule in rules]

    assert (patch["op"], patch["path"]) == ("add", "/spec/egress/-")
    assert ports.count([443, 6443]) == 2


@pytest.mark.parametrize("name", ["base", "helm-defaults", "helm-least"])
def test_a_server_that_does_not_discover_asks_nothing_of_kubernetes(name: str) -> None:
    pod = kind(SETS[name], "Deployment")["spec"]["template"]["spec"]

    assert not _of_kind(SETS[name], "Role")
    assert not [each for each in pod["volumes"] if "projected" in each]


# --- the chart ---------------------------------------------------------------------------------


def test_what_helm_made_is_made_of_this_chart() -> None:
    sys.path.insert(0, str(ROOT))
    from tools import charts

    values = sorted(RENDERED.glob("*.values.yaml"))
    stale = [
        each.name
        for each in values
        if charts.rendered(each).read_text(encoding="utf-8").partition("\n")[0] != charts.stamp(each)
    ]

    assert not stale, "render them with `python tools/charts.py --helm PATH`"
    assert {charts.rendered(each) for each in values} == set(RENDERED.glob("*.yaml")) - set(values)


def test_chart_and_package_have_one_version() -> None:
    chart = one(CHART / "Chart.yaml")
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)

    assert version is not None
    assert chart["version"] == chart["appVersion"] == version[1]
    assert kind(SETS["base"], "Deployment")["spec"]["template"]["spec"]["containers"][0]["image"].endswith(version[1])


def test_values_fit_their_schema_which_knows_all_of_them_and_no_others() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    values = one(CHART / "values.yaml")

    fits = jsonschema_rs.Draft7Validator(schema).is_valid

    assert fits(values)
    for path in RENDERED.glob("*.values.yaml"):
        assert fits(_laid_over(values, (documents(path) or [{}])[0])), path
    assert not fits({**values, "replica": 3})
    assert not fits({**values, "image": {**values["image"], "tag": "latest"}})


def test_every_value_is_used_and_every_value_that_is_used_exists() -> None:
    values = one(CHART / "values.yaml")
    templates = "".join(path.read_text(encoding="utf-8") for path in (CHART / "templates").iterdir())
    used = set(re.findall(r"\.Values\.([\w.]+)", templates))

    assert used == set(_paths(values, used))


def _laid_over(under: Any, over: Any) -> Any:
    if isinstance(under, dict) and isinstance(over, dict):
        return {name: _laid_over(under.get(name), over.get(name, under.get(name))) for name in {*under, *over}}
    return over


def _paths(values: dict[str, Any], used: set[str], before: str = "") -> list[str]:
    found: list[str] = []
    for name, value in values.items():
        path = f"{before}{name}"
        inner = isinstance(value, dict) and value and path not in used
        found += _paths(value, used, f"{path}.") if inner else [path]
    return found


def test_yaml_is_read_strictly() -> None:
    for wrong in ("a: 1\na: 2", "a: yes", "a: 0440", "a: 22:30"):
        with pytest.raises(yaml.YAMLError):
            yaml.load(wrong, Strict)
