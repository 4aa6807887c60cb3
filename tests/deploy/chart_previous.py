"""The chart of the version before, as its tag has it, upgraded under load to this one and rolled back: meanwhile both run side by side.

The version before is the newest tag vX.Y.Z that HEAD descends from. Its images are to be on the cluster as stockalert/SERVICE:X.Y.Z.
"""

import functools
import io
import os
import pathlib
import subprocess
import tarfile
import tempfile

import chart_cluster
import kubernetes
from chart_cluster import NAME, RELEASE, RELEASE_STATE, Release, need_image, under_load
from kubernetes import CHART, ROOT, get, run
from cases import Skip

# Two of each, so that while one version's go and the other's come, evaluators too are in one group.
SETTINGS = ["evaluator.replicas=2"]
FOLDER = tempfile.TemporaryDirectory(prefix="stockalert-previous-")
KEPT = []


def previous_tag():
    done = run(["git", "-C", ROOT, "describe", "--tags", "--abbrev=0", "--match", "v[0-9]*.[0-9]*.[0-9]*", "HEAD~1"], check=False)
    if done.returncode != 0:
        raise Skip("no tag vX.Y.Z is before HEAD: there is no version before this one")
    return done.stdout.strip()


@functools.cache
def previous():
    """The release of the version before."""
    kubernetes.need_cluster()
    if os.environ.get("STOCKALERT_CHART_VALUES"):
        raise Skip("STOCKALERT_CHART_VALUES: the version before has its own values file, and no values for other images")
    tag = previous_tag()
    version = tag.removeprefix("v")
    need_image(version, f"load what scripts/images {version} builds in a checkout of {tag}", ("tools",))
    # Both would be more than a small node bears.
    RELEASE_STATE.stop()
    archive = subprocess.run(["git", "-C", ROOT, "archive", tag, "deploy/helm/stockalert", "deploy/observability",
                              "tests/deploy/values"], capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(FOLDER.name)
    folder = pathlib.Path(FOLDER.name)
    KEPT.append(Release(folder / "deploy" / "helm" / "stockalert", folder / "tests" / "deploy" / "values" / "cluster.yaml",
                        [*SETTINGS, f"image.tag={version}"]))
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
    wrong = {name: tag for name, tag in found.items() if (tag == previous_tag().removeprefix("v")) != before}
    assert not wrong, f"not of the wanted version: {wrong}"


def edge_that_cannot_be_had():
    """An upgrade to an edge whose image is nowhere fails before it changes anything."""
    release = previous().need()
    version = previous_tag().removeprefix("v")
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


def upgrade():
    release = previous().need()
    expect_versions(release, before=True)

    def change(release):
        settings = [part for setting in SETTINGS for part in ("--set", setting)]
        release.helm("upgrade", RELEASE, CHART, "-f", RELEASE_STATE.values, *settings, "--wait", "--timeout", "300s", timeout_s=360)

    under_load(change, release)
    expect_versions(release, before=False)


def rollback():
    release = previous()
    assert release.namespace, "there is nothing to roll back"
    under_load(chart_cluster.roll_back, release)
    expect_versions(release, before=True)


def stop():
    for release in KEPT:
        release.stop()
    FOLDER.cleanup()


CASES = [
    ("chart upgrade from the version before under load", upgrade),
    ("chart rollback to the version before under load", rollback),
    # Last: what it leaves in Helm's history is no revision to go back to.
    ("chart upgrade to an edge that cannot be had", edge_that_cannot_be_had),
]
STOP = stop
