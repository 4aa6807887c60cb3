"""The chart of the version before, as its commit has it, upgraded under load to this one and rolled back: meanwhile both run side by side.

Its images (previous.py) are to be on the cluster as stockalert/SERVICE:VERSION.
"""

import functools
import os
import pathlib
import re
import tempfile

import chart_cluster
import kubernetes
import previous
import rights
from cases import Skip
from chart_cluster import NAME, PUBLIC, RELEASE, RELEASE_STATE, Release, need_image, under_load
from kubernetes import CHART, ROOT, get, run

# Two of each, so that while one version's go and the other's come, evaluators too are in one group.
SETTINGS = ["evaluator.replicas=2"]
FOLDER = tempfile.TemporaryDirectory(prefix="stockalert-previous-")
KEPT = []


@functools.cache
def need_previous():
    """The release of the version before."""
    kubernetes.need_cluster()
    if os.environ.get("STOCKALERT_CHART_VALUES"):
        raise Skip("STOCKALERT_CHART_VALUES: the version before has its own values file, and no values for other images")
    previous.need_commit()
    need_image(previous.version(), previous.remedy(), ("tools",))
    # Both would be more than a small node bears.
    RELEASE_STATE.stop()
    previous.extract(FOLDER.name, "deploy/helm/stockalert", "deploy/observability", "tests/deploy/values")
    folder = pathlib.Path(FOLDER.name)
    KEPT.append(Release(folder / "deploy" / "helm" / "stockalert", folder / "tests" / "deploy" / "values" / "cluster.yaml",
                        [*SETTINGS, f"image.tag={previous.version()}"]))
    return KEPT[0]


def versions(release):
    """Of each of the services, the image's tag."""
    found = {}
    for kind in ("deployments", "statefulsets"):
        for item in get(kind, "-n", release.namespace):
            name = item["metadata"]["name"].removeprefix(f"{NAME}-")
            if name in chart_cluster.HTTP:
                found[name] = item["spec"]["template"]["spec"]["containers"][0]["image"].rsplit(":", 1)[1]
    return found


def expect_versions(release, *, before):
    """All are of the version before, or none."""
    found = versions(release)
    assert set(chart_cluster.HTTP) <= set(found), f"only {sorted(found)}"
    wrong = {name: tag for name, tag in found.items() if (tag == previous.version()) != before}
    assert not wrong, f"not of the wanted version: {wrong}"


def edge_that_cannot_be_had():
    """An upgrade to an edge whose image is nowhere fails before it changes anything."""
    release = need_previous().need()
    version = previous.version()
    before = get("services", "-n", release.namespace)
    settings = [part for setting in (*SETTINGS, f"image.tag={version}", "migrations.deadlineSeconds=30") for part in ("--set", setting)]
    try:
        release.helm("upgrade", RELEASE, CHART, "-f", RELEASE_STATE.values, *settings, "--timeout", "90s", timeout_s=180)
    except AssertionError as error:
        assert "pre-upgrade" in str(error), f"failed for another reason: {error}"
    else:
        raise AssertionError("the upgrade went through")
    after = get("services", "-n", release.namespace)
    assert [item["spec"]["selector"] for item in after] == [item["spec"]["selector"] for item in before], "the Services lead elsewhere"
    expect_versions(release, before=True)


def named():
    """The file is well formed, and what it names is a release of the chart, under a name that this one's images do not have."""
    version, commit = previous.read()
    assert f"tag: {version}}}" not in pathlib.Path(RELEASE_STATE.values).read_text(encoding="utf-8"), f"{version} is the tag of this version's images, too"
    previous.need_commit()
    chart = run(["git", "-C", ROOT, "show", f"{commit}:deploy/helm/stockalert/Chart.yaml"]).stdout
    wanted = re.search(r"^version: (\S+)$", chart, re.MULTILINE).group(1)
    assert version.split("-")[0] == wanted, f"the chart of {commit} is of version {wanted}, not of {version}"
    print(f"    {version}, commit {commit[:7]}")


def change_to_this(release, *settings):
    arguments = [part for setting in (*SETTINGS, *settings) for part in ("--set", setting)]
    release.helm("upgrade", RELEASE, CHART, "-f", RELEASE_STATE.values, *arguments, "--wait", "--timeout", "300s", timeout_s=360)


def upgrade():
    """The edge, a role a service, certificates and ACLs of Kafka are all new."""
    release = need_previous().need()
    expect_versions(release, before=True)
    under_load(change_to_this, release)
    expect_versions(release, before=False)
    rights.expect_all(release, NAME, PUBLIC)


def close_plaintext():
    """What is left to do after the upgrade: Kafka's listener of before goes, and nobody misses it."""
    release = need_previous()
    assert release.namespace, "there is no upgraded release"
    under_load(lambda release: change_to_this(release, "kafka.internal.plaintext=false"), release)
    ports = [port["port"] for port in get("service", f"{NAME}-kafka", "-n", release.namespace)["spec"]["ports"]]
    assert ports == [9094], f"Kafka's ports are {ports}"
    rights.expect_all(release, NAME, PUBLIC)


def rollback():
    release = need_previous()
    assert release.namespace, "there is nothing to roll back"
    under_load(lambda release: release.helm("rollback", RELEASE, "1", "--wait", "--timeout", "300s", timeout_s=360), release)
    expect_versions(release, before=True)


def stop():
    for release in KEPT:
        release.stop()
    FOLDER.cleanup()


CASES = [
    ("chart version before is named", named),
    ("chart upgrade from the version before under load", upgrade),
    ("chart upgrade's last step under load", close_plaintext),
    ("chart rollback to the version before under load", rollback),
    # Last: what it leaves in Helm's history is no revision to go back to.
    ("chart upgrade to an edge that cannot be had", edge_that_cannot_be_had),
]
STOP = stop
