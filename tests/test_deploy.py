"""The manifests that reach a cluster, built and checked without one."""

import re
import tomllib
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from pipelines.errors import MediadexError
from resources.kubernetes import EXECUTOR_VARIABLE, executor_from_environment, gpu_op_tags

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"


def test_a_gpu_step_gets_its_gpu_toleration_and_shared_memory() -> None:
    job = _step_job(gpu_op_tags(gpus=2, memory="24Gi"))
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]

    assert container["resources"] == {
        "limits": {"nvidia.com/gpu": "2", "memory": "24Gi"},
        "requests": {"memory": "24Gi"},
    }
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in pod[
        "tolerations"
    ]
    (shared,) = [volume for volume in pod["volumes"] if volume.get("emptyDir")]
    assert shared["emptyDir"] == {"medium": "Memory"}
    assert {"name": shared["name"], "mountPath": "/dev/shm"} in container["volumeMounts"]
    assert job["spec"]["ttlSecondsAfterFinished"] == 3600
    assert "nodeSelector" not in pod


def test_a_gpu_step_can_choose_its_nodes() -> None:
    labels = {"nvidia.com/gpu.product": "L4"}
    job = _step_job(gpu_op_tags(nodes=labels))
    assert job["spec"]["template"]["spec"]["nodeSelector"] == labels


def test_every_tagged_asset_makes_a_valid_job() -> None:
    from definitions import definitions

    for asset in definitions().get_repository_def().assets_defs_by_key.values():
        if asset.is_executable and "dagster-k8s/config" in asset.op.tags:
            assert _manifest(asset.op.tags)["kind"] == "Job"


def test_the_environment_chooses_the_executor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(EXECUTOR_VARIABLE, raising=False)
    assert executor_from_environment() is dg.in_process_executor
    monkeypatch.setenv(EXECUTOR_VARIABLE, "k8s")
    assert executor_from_environment().name == "k8s"
    monkeypatch.setenv(EXECUTOR_VARIABLE, "k9s")
    with pytest.raises(MediadexError, match="k9s"):
        executor_from_environment()


def test_the_instance_of_a_cluster_is_valid() -> None:
    from dagster._config import process_config, validate_config
    from dagster._core.instance.config import dagster_instance_config_schema
    from dagster_k8s import K8sRunLauncher

    instance = _yaml("dagster.yaml")
    launcher = instance["run_launcher"]

    config = validate_config(dagster_instance_config_schema(), instance)
    assert config.success, config.errors
    launching = process_config(K8sRunLauncher.config_type(), launcher["config"])
    assert launching.success, launching.errors
    assert (launcher["module"], launcher["class"]) == ("dagster_k8s", "K8sRunLauncher")
    assert set(instance["storage"]) == {"postgres"}


def test_the_values_serve_the_definitions() -> None:
    values = _yaml("values.yaml")
    (location,) = values["dagster-user-deployments"]["deployments"]
    instance = _yaml("dagster.yaml")

    assert location["dagsterApiGrpcArgs"] == ["-m", "definitions"]
    assert location["port"] == 3030
    assert location["includeConfigInLaunchedRuns"] == {"enabled": True}
    assert location["image"]["tag"] != "latest"
    assert {"name": EXECUTOR_VARIABLE, "value": "k8s"} in location["env"]
    assert values["runLauncher"]["type"] == instance["run_launcher"]["class"]
    coordinator = values["dagsterDaemon"]["runCoordinator"]["config"]["queuedRunCoordinator"]
    runs = instance["concurrency"]["runs"]
    assert coordinator["maxConcurrentRuns"] == runs["max_concurrent_runs"]


def test_the_lock_pins_everything_and_names_no_place() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    pins = [line for line in lock.splitlines() if not line.startswith("#")]
    locked = {pin.split("==")[0] for pin in pins}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *(name for extra in extras.values() for name in extra)]

    assert all(re.match(r"[a-z0-9-]+==[^\s*]+(\s|$)", pin) for pin in pins)
    assert {re.split("[<>=]", name)[0] for name in asked} <= locked
    assert not re.search(r"://|^-|\s/", lock, re.M)


def test_the_chart_has_the_version_of_the_lock() -> None:
    (locked,) = re.findall(r"^dagster==(\S+)", (ROOT / "requirements.lock").read_text(), re.M)
    assert f"--version {locked} " in (DEPLOY / "values.yaml").read_text()


def test_the_image_is_made_from_the_lock_and_serves_without_root() -> None:
    text = re.sub(r"\\\n\s*", "", (DEPLOY / "Dockerfile").read_text())
    steps = [line.split(maxsplit=1) for line in text.splitlines() if line and line[0] != "#"]
    names = [name for name, _ in steps]
    said = dict(steps)
    installs = [what for name, what in steps if "pip install" in what]
    copied = [source for name, what in steps if name == "COPY" for source in what.split()[:-1]]

    assert said["FROM"] == "python:3.11-slim"
    assert "-r requirements.lock" in installs[0]
    assert all("--no-deps" in what for what in installs[1:])
    assert said["USER"] not in ("root", "0")
    assert names.index("USER") < names.index("CMD")
    assert yaml.safe_load(said["CMD"]) == (
        ["dagster", "api", "grpc", "-m", "definitions", "-h", "0.0.0.0", "-p", "3030"]
    )
    assert [source for source in copied if not (ROOT / source).exists()] == []


def _step_job(op_tags: dict[str, Any]) -> dict[str, Any]:
    @dg.asset(op_tags=op_tags)
    def embeddings() -> None: ...

    return _manifest(embeddings.op.tags)


def _manifest(tags: Any) -> dict[str, Any]:
    from dagster_k8s.job import (
        DagsterK8sJobConfig,
        construct_dagster_k8s_job,
        get_user_defined_k8s_config,
    )
    from kubernetes.client import ApiClient

    job = construct_dagster_k8s_job(
        DagsterK8sJobConfig(job_image="mediadex:test"),
        args=["dagster", "api", "execute_step"],
        job_name="dagster-step",
        user_defined_k8s_config=get_user_defined_k8s_config(tags),
        component="step_worker",
    )
    manifest: dict[str, Any] = ApiClient().sanitize_for_serialization(job)
    return manifest


def _yaml(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text())
    return document
