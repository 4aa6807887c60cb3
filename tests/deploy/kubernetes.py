"""What the chart's cases share: helm, kubectl, and a namespace of their own on the cluster that KUBECONFIG names."""

import json
import os
import pathlib
import shutil
import subprocess

from cases import Skip

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "stockalert"
VALUES = pathlib.Path(__file__).resolve().parent / "values"


def need_helm():
    if shutil.which("helm") is None:
        raise Skip("there is no helm")


def need_cluster():
    need_helm()
    if shutil.which("kubectl") is None:
        raise Skip("there is no kubectl")
    if not os.environ.get("KUBECONFIG"):
        raise Skip("KUBECONFIG names no cluster")
    if run(["kubectl", "version", "--request-timeout=10s"], check=False).returncode != 0:
        raise Skip("the cluster that KUBECONFIG names does not answer")


def run(command, check=True, text=None, timeout_s=600):
    done = subprocess.run([str(part) for part in command], input=text, capture_output=True, text=True, check=False, timeout=timeout_s)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))[:300]}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done


def kubectl(*arguments, **options):
    return run(["kubectl", *arguments], **options).stdout


def get(*arguments):
    """Objects as dictionaries: a list's items, or the one object."""
    found = json.loads(kubectl("get", *arguments, "-o", "json"))
    return found["items"] if found.get("kind") == "List" else found


def make_namespace(name, labels=None):
    kubectl("create", "namespace", name)
    for label, value in (labels or {}).items():
        kubectl("label", "namespace", name, f"{label}={value}")


def remove_namespace(name):
    kubectl("delete", "namespace", name, "--ignore-not-found", "--wait=true", "--timeout=180s", check=False)
