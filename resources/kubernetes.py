"""What a step asks of Kubernetes: a pod of its own, and one with a GPU. Plain dicts, no client."""

import os
from collections.abc import Mapping
from typing import Any

import dagster as dg

from pipelines.errors import MediadexError

EXECUTOR_VARIABLE = "MEDIADEX_EXECUTOR"
_TTL_SECONDS = 3600


def gpu_op_tags(
    gpus: int = 1, memory: str = "16Gi", nodes: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return op tags that put a step into a GPU pod; executors other than Kubernetes ignore them.

    They belong on the asset: tags of a job reach neither a backfill nor the pod of a step.
    `nodes` are labels to choose among GPU nodes, where there are several kinds.
    """
    pod: dict[str, Any] = {
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        # PyTorch's workers share tensors here, and a container's default is 64 MB.
        "volumes": [{"name": "shm", "empty_dir": {"medium": "Memory"}}],
    }
    if nodes:
        pod["node_selector"] = dict(nodes)
    return {
        "dagster-k8s/config": {
            "container_config": {
                # These may replace the launcher's as a whole, so memory has to be named too.
                "resources": {
                    "requests": {"memory": memory},
                    "limits": {"nvidia.com/gpu": str(gpus), "memory": memory},
                },
                "volume_mounts": [{"name": "shm", "mount_path": "/dev/shm"}],
            },
            "pod_spec_config": pod,
            "job_spec_config": {"ttl_seconds_after_finished": _TTL_SECONDS},
        }
    }


def executor_from_environment() -> dg.ExecutorDefinition:
    """Return the executor that `MEDIADEX_EXECUTOR` names: `in_process` (default) or `k8s`.

    In one process a model is loaded once for all steps of a run; on Kubernetes every step gets a
    pod, so that only those that need a GPU occupy one.
    """
    name = os.environ.get(EXECUTOR_VARIABLE) or "in_process"
    if name == "in_process":
        return dg.in_process_executor
    if name == "k8s":
        from dagster_k8s import k8s_job_executor

        return k8s_job_executor
    raise MediadexError(f"{EXECUTOR_VARIABLE} is {name!r}; it may be in_process or k8s.")
