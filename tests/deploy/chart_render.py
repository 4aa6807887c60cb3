"""The chart without pods: every rendering is accepted by the API server, every wrong value is refused with its name."""

import base64
import json
import os
import pathlib
import re
import secrets
import shutil
import tempfile

import kubernetes
from kubernetes import CHART, ROOT, VALUES, kubectl, run

# The kinds that other projects bring, here in the fields that the chart uses: so that what is only rendered where they are is rendered.
CRDS = ROOT / "tests" / "deploy" / "crds"
OLDEST_KUBERNETES = "1.29.0"


def good_files():
    return sorted((VALUES / "good").glob("*.yaml"))


def lint():
    kubernetes.need_helm()
    for file in good_files():
        run(["helm", "lint", CHART, "-f", file])


def readme_is_current():
    run([ROOT / "scripts" / "lib" / "chart_readme.py", "--check"])


def version_is_the_programs():
    chart = re.search(r"^appVersion: (\S+)$", (CHART / "Chart.yaml").read_text(encoding="utf-8"), re.MULTILINE).group(1)
    programs = re.search(r"^project\(stockalert VERSION (\S+) ", (ROOT / "CMakeLists.txt").read_text(encoding="utf-8"), re.MULTILINE).group(1)
    assert chart == programs, f"the chart is of version {chart}, the programs of {programs}"


def images_have_the_tag_that_the_chart_asks_for():
    """By an engine that takes everything and builds nothing."""
    wanted = re.search(r"^appVersion: (\S+)$", (CHART / "Chart.yaml").read_text(encoding="utf-8"), re.MULTILINE).group(1)
    with tempfile.TemporaryDirectory() as folder:
        docker = pathlib.Path(folder) / "docker"
        docker.write_text('#!/bin/sh\n[ "$1" = image ] && echo 1\nexit 0\n', encoding="ascii")
        docker.chmod(0o755)
        done = run(["env", f"PATH={folder}:{os.environ['PATH']}", ROOT / "scripts" / "images"])
    tags = re.findall(r"^stockalert/(\w+):(\S+)", done.stdout, re.MULTILINE)
    compose = set(re.findall(r"\$\{STOCKALERT_TAG:-([^}]*)\}", (ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8")))
    assert compose == {wanted}, f"the chart asks for {wanted}, compose for {compose}"
    assert ("user", wanted) in tags and {tag for _, tag in tags} == {wanted}, f"the chart asks for {wanted}, built were {tags}"


def notes_of(values, *arguments):
    """helm renders the notes of an installation alone: a copy of the chart has them in a manifest."""
    with tempfile.TemporaryDirectory() as folder:
        chart = shutil.copytree(CHART, pathlib.Path(folder) / "stockalert")
        notes = chart / "templates" / "NOTES.txt"
        text = notes.read_text(encoding="utf-8")
        (chart / "templates" / "_notes.tpl").write_text('{{- define "notes" }}' + text + "{{ end }}", encoding="utf-8")
        (chart / "templates" / "notes.yaml").write_text('notes: {{ include "notes" . | toJson }}\n', encoding="utf-8")
        notes.unlink()
        done = run(["helm", "template", "x", chart, "-f", values, "--kube-version", OLDEST_KUBERNETES, "-s", "templates/notes.yaml", *arguments])
        return json.loads(done.stdout.split("notes: ", 1)[1])


def notes_show_every_port():
    kubernetes.need_helm()
    for name in ("defaults.yaml", "no-edge.yaml"):
        values = VALUES / "good" / name
        manifest = run(["helm", "template", "x", CHART, "-f", values, "--kube-version", OLDEST_KUBERNETES]).stdout
        ports = {}
        for part in re.split(r"^---$", manifest, flags=re.MULTILINE):
            service = re.search(r"^kind: Service\nmetadata:\n  name: (\S+)$", part, re.MULTILINE)
            if service and not re.search(r"-(backend|kafka|postgres)$", service[1]):
                ports[service[1]] = re.findall(r"\bport: (\d+)", part)
        assert len(ports) >= 10, ports
        notes = notes_of(values)
        for service, numbers in ports.items():
            lines = [line for line in notes.splitlines() if re.search(rf"\b{service}\b(?!-)", line)]
            missing = [number for number in numbers if not any(number in line for line in lines)]
            assert not missing, f"{name}: the notes do not say that {service} has {missing}:\n{notes}"


def runbooks_are_where_one_says():
    kubernetes.need_helm()
    for values, begin in (("defaults.yaml", "docs/operations.md"), ("monitoring.yaml", "https://wiki.example/stockalert/operations")):
        rules = run(["helm", "template", "x", CHART, "-f", VALUES / "good" / values, "--kube-version", OLDEST_KUBERNETES,
                     "--api-versions", "monitoring.coreos.com/v1/PrometheusRule"]).stdout
        links = re.findall(r"runbook_url: (\S+)$", rules, re.MULTILINE)
        assert len(links) > 30, f"{values}: {len(links)} runbooks"
        wrong = [link for link in links if not link.startswith(f"{begin}#stockalert")]
        assert not wrong, f"{values}: not below {begin}: {wrong}"


def pages_are_open_only_where_asked_for():
    """The link in mails leads through the edge to the notifier, and nothing of that is there without a public URL; likewise the Apprise server."""
    kubernetes.need_helm()
    with_pages, without = (run(["helm", "template", "stockalert", CHART, "-f", VALUES / "good" / f"{name}.yaml", "--kube-version", OLDEST_KUBERNETES]).stdout
                           for name in ("mail-pages", "mail"))
    assert not re.search("name: unsubscribe|port: unsubscribe|UNSUBSCRIBE_(BACKEND|ADDRESS)|PUBLIC_URL|-unsubscribe$", without, re.MULTILINE)
    edge = part_of(with_pages, "NetworkPolicy", "stockalert-edge")
    assert '"port":"unsubscribe"' in edge and edge.count("ports: [{port: unsubscribe, protocol: TCP}]") == 1, edge
    notifier = part_of(with_pages, "NetworkPolicy", "stockalert-notifier")
    way = re.search(r"- from: (.*)\n +ports: \[{port: unsubscribe, protocol: TCP}\]", notifier)
    assert way and '"app.kubernetes.io/component":"edge"' in way[1] and notifier.count("unsubscribe") == 1, notifier
    for service in ("user", "ticker", "alert", "evaluator", "fetcher"):
        assert "unsubscribe" not in part_of(with_pages, "NetworkPolicy", f"stockalert-{service}"), service
    assert "EDGE_UNSUBSCRIBE_BACKEND: stockalert-notifier-backend." in part_of(with_pages, "ConfigMap", "stockalert-edge")
    assert "{name: unsubscribe, containerPort: 13055}" in part_of(with_pages, "Deployment", "stockalert-edge")
    ingress = part_of(with_pages, "Ingress", "stockalert-unsubscribe")
    assert "path: /unsubscribe/\n" in ingress and "backend-protocol\":\"HTTPS\"" in ingress, ingress
    apprise = re.search(r"# The Apprise server\.\n(.*\n.*\n.*\n.*\n.*)", notifier)
    assert apprise and "{port: 8000, protocol: TCP}" in apprise[1] and "kubernetes.io/metadata.name: tools" in apprise[1], notifier
    assert "Apprise" not in without


def wrong_values_are_refused():
    kubernetes.need_helm()
    files = sorted((VALUES / "bad").glob("*.yaml"))
    assert len(files) >= 20, f"only {len(files)} files"
    problems = []
    for file in files:
        wanted = re.match(r"# expects: (.+)\n", file.read_text(encoding="utf-8")).group(1)
        done = run(["helm", "template", "x", CHART, "-f", file], check=False)
        if done.returncode == 0:
            problems.append(f"{file.name}: accepted")
        elif wanted not in done.stderr:
            problems.append(f"{file.name}: wanted «{wanted}», got: {done.stderr}")
    assert not problems, "\n".join(problems)
    print(f"    {len(files)} files, each refused by name")


# Where the flags are declared that several services have.
SHARED_FLAGS = {"rpc::DeclareCalls": "grpc/call_settings.cc", "rpc::DeclareWaitingCalls": "grpc/call_settings.cc",
                "rpc::DeclareLimits": "grpc/server_limits.cc", "rpc::DeclareMesh": "grpc/mesh_callers.cc",
                **{f"boot::Declare{what}": "boot/flags.cc" for what in ("Addresses", "Work", "Connections", "Start", "Group")}}


def flags_in(text):
    return set(re.findall(r"parser\.\w+\(\s*\"(\w+)\"", text))


def flags_of(folder):
    """Those that a service declares itself, or by a function that it shares with others."""
    source = (ROOT / "services" / folder / "config.cc").read_text(encoding="utf-8")
    flags = flags_in(source)
    for function, file in SHARED_FLAGS.items():
        if f"{function}(" in source:
            shared = (ROOT / "services" / "common" / file).read_text(encoding="utf-8")
            body = shared.split(f"void {function.split('::')[1]}(", 1)[1].split("\n}\n", 1)[0]
            flags |= flags_in(body)
    for old, name in re.findall(r'parser\.AddOldName\("(\w+)", "(\w+)"\)', source):
        assert name in flags, f"{folder}: {old} is the old name of a flag that is not there"
        flags.add(old)
    return flags


def settings_are_the_programs_own():
    """What the schema takes as settings are flags that the services have, but for those that the chart gives them itself."""
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    own = re.compile(r".*_address|mesh_.*|admin_key|postgres_url|kafka_(bootstrap|tls|sasl).*|kafka_group_instance|instance_id|source|file|"
                     r"finnhub_api_key|schema_dir|postgres_(roles|role_names|role_passwords_dir|own_cluster)|replay_start_file|plaintext|"
                     r"(public|internal)_tls_.*|delivery_keys_file|egress_ca_file|smtp_(address|tls|user|password|ca_file)|mail_.*|public_url|"
                     r"unsubscribe_address")
    for part in ("user", "ticker", "alert", "notifier", "evaluator", "fetcher", "migrations"):
        folder = "tools/migrate" if part == "migrations" else part
        flags = flags_of(folder)
        known = set(schema["properties"][part]["properties"]["settings"]["properties"])
        wanted = {flag for flag in flags if not own.fullmatch(flag)}
        assert known == wanted, f"{part}: only in the schema {sorted(known - wanted)}, only in the program {sorted(wanted - known)}"


def part_of(manifest, kind, name):
    """One object of a rendering, as text."""
    found = [part for part in re.split(r"^---$", manifest, flags=re.MULTILINE)
             if re.search(rf"^kind: {kind}\nmetadata:\n  name: {name}$", part, re.MULTILINE)]
    assert len(found) <= 1, f"{len(found)} objects {kind} {name}"
    return found[0] if found else ""


def webhooks_go_out_and_not_in():
    """The notifier alone may reach public addresses and none inside, has the keys by a file, and has neither where nothing is delivered."""
    kubernetes.need_helm()
    manifests = {name: run(["helm", "template", "stockalert", CHART, "-f", VALUES / "good" / f"{name}.yaml", "--kube-version", OLDEST_KUBERNETES]).stdout
                 for name in ("defaults", "no-delivery", "deliveries-to", "test-webhook")}
    policies = {name: part_of(manifest, "NetworkPolicy", "stockalert-notifier") for name, manifest in manifests.items()}
    for network in ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "2001::/32", "2002::/16"):
        assert re.search(rf"^ +- {network}$", policies["defaults"], re.MULTILINE), f"{network} is let through:\n{policies['defaults']}"
    assert "cidr: 0.0.0.0/0" in policies["defaults"] and "cidr: 2000::/3" in policies["defaults"], policies["defaults"]
    assert "ipBlock" not in policies["no-delivery"], policies["no-delivery"]
    assert re.findall(r"cidr: (\S+)", policies["deliveries-to"]) == ["192.0.2.0/24"], policies["deliveries-to"]
    # The way to the pod of `helm test` is there where it is to receive one alone, and for the notifier alone.
    assert "port: 3000" not in manifests["defaults"] and manifests["test-webhook"].count("port: 3000") == 2, manifests["test-webhook"]
    assert "port: 3000" in policies["test-webhook"], policies["test-webhook"]
    assert "port: 3000" in part_of(manifests["test-webhook"], "NetworkPolicy", "stockalert-test"), "helm test's pod is shut"
    for service in ("user", "ticker", "alert", "evaluator", "fetcher"):
        policy = part_of(manifests["defaults"], "NetworkPolicy", f"stockalert-{service}")
        assert policy and "ipBlock" not in policy, f"{service} may leave:\n{policy}"
    keys = re.search(r"^  delivery_keys: (\S+)$", part_of(manifests["defaults"], "Secret", "stockalert-delivery-keys"), re.MULTILINE)[1]
    line = re.fullmatch(r"k1 (\S+)\n", base64.b64decode(keys).decode())
    assert line and len(base64.b64decode(line[1], validate=True)) == 32, "the generated key is none of 32 bytes"
    for name, secret, key in (("defaults", "stockalert-delivery-keys", "delivery_keys"), ("deliveries-to", "keys", "webhooks")):
        pod = part_of(manifests[name], "Deployment", "stockalert-notifier")
        assert "--delivery_keys_file=/etc/stockalert/delivery-keys/delivery_keys" in pod, pod
        assert f"secretName: {secret}\n" in pod and f'{{"key":"{key}","path":"delivery_keys"}}' in pod, pod
    pod = part_of(manifests["deliveries-to"], "Deployment", "stockalert-notifier")
    assert "--egress_ca_file=/etc/stockalert/egress-ca/ca.crt\n" in pod and "mountPath: /etc/stockalert/egress-ca" in pod, pod
    assert "secretName: receivers\n" in pod and '{"key":"authority.pem","path":"ca.crt"}' in pod, pod
    assert manifests["deliveries-to"].count("secretName: receivers\n") == 1 and "egress-ca" not in manifests["defaults"]
    assert "delivery" not in manifests["no-delivery"] and "stockalert-delivery-keys" not in manifests["deliveries-to"]


def leaves(value, path=""):
    """Paths of what is no map, or an empty one, or Kubernetes' own and taken as it is."""
    if isinstance(value, dict) and value and path.split(".")[-1] not in ("resources", "instanceSelector", "dns"):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else key)
    else:
        yield path, value


def ports_let_two_versions_stand_side_by_side():
    """What others dial stays; where containers listen is found by the ports' names, so that the next version may listen elsewhere again."""
    kubernetes.need_helm()
    text = run(["helm", "template", "x", CHART, "-f", VALUES / "cluster.yaml", "--set", "networkPolicy.enabled=true", "--set-json",
                'networkPolicy.metricsFrom=[{"podSelector":{}}]']).stdout
    documents = re.split(r"^---$", text, flags=re.MULTILINE)

    def of(kind):
        return "".join(document for document in documents if re.search(rf"^kind: {kind}$", document, re.MULTILINE))

    listens = sorted({int(port) for port in re.findall(r"containerPort: (\d+)", of("Deployment") + of("StatefulSet"))})
    lent = [port for port in listens if 32768 <= port < 61000]
    assert lent == [50051, 50052, 50053, 50054], f"containers listen on {lent}, which Linux lends to outgoing connections"
    services = re.findall(r"name: (http|internal|certificates), port: (\d+), targetPort: (\w+)", of("Service"))
    dialled = {(name, int(port)) for name, port, _ in services if int(port) > 20000}
    assert dialled == {("http", port) for port in range(51050, 51057)} | {("certificates", 51150)} | {
        ("internal", port) for port in (52051, 52052, 52053, 52054, 52055)}, f"the Services have {sorted(dialled)}"
    assert {target for _, _, target in services} <= {"http", "internal", "certificates"}, f"Services lead to {services}"
    numbers = {int(port) for port in re.findall(r"port: (\d+), protocol: TCP", of("NetworkPolicy"))}
    assert not {port for port in numbers if port in listens and port > 10000} - {50051, 50052, 50053, 50054}, f"policies name {sorted(numbers)}"


def install_custom_kinds():
    """Answers those that were not there."""
    there = kubectl("get", "crd", "-o", "name").split()
    made = []
    for file in sorted(CRDS.glob("*.yaml")):
        if f"customresourcedefinition.apiextensions.k8s.io/{file.stem}" not in there:
            kubectl("create", "-f", file)
            made.append(file.stem)
    for name in made:
        kubectl("wait", "--for=condition=Established", f"crd/{name}", "--timeout=30s")
    return made


def accepted(namespace, manifests, what):
    done = run(["kubectl", "apply", "--dry-run=server", "--validate=strict", "-n", namespace, "-f", "-"], text="\n---\n".join(manifests), check=False)
    assert done.returncode == 0, f"{what}: {done.stderr}"
    assert "would violate PodSecurity" not in done.stderr, f"{what}: {done.stderr}"
    return done.stdout.count("(server dry run)")


def hook_stands_alone(namespace, upgrade, what):
    """Before an upgrade all other objects are still the old release's: the migrations bring their account, policy and settings along."""
    items = json.loads(run(["kubectl", "apply", "--dry-run=server", "-n", namespace, "-o", "json", "-f", "-"], text=upgrade).stdout)["items"]
    hooks = [item for item in items if item["metadata"].get("annotations", {}).get("helm.sh/hook") == "pre-upgrade"]
    # The edge's is looked at first, and reads nothing of the release.
    checks = [hook for hook in hooks if hook["metadata"]["name"].endswith("-edge-check")]
    assert len(checks) == any(item["kind"] == "Deployment" and item["metadata"]["name"].endswith("-edge") for item in items), f"{what}: {checks}"
    for check in checks:
        pod = json.dumps(check["spec"]["template"]["spec"])
        assert "configMap" not in pod and "secret" not in pod and "serviceAccountName" not in pod, f"{what}: the edge's check reads what may not be there"
    hooks = {hook["kind"]: hook for hook in hooks if hook not in checks}
    if not hooks:
        assert not any(item["kind"] == "Job" for item in items if item not in checks), f"{what}: migrations that are no hook in an upgrade"
        return
    pod = hooks["Job"]["spec"]["template"]
    assert pod["spec"]["serviceAccountName"] == hooks["ServiceAccount"]["metadata"]["name"], f"{what}: the hook's account"
    assert "configMap" not in json.dumps(pod), f"{what}: the hook reads a ConfigMap, which is the old release's"
    weights = {kind: int(hook["metadata"]["annotations"]["helm.sh/hook-weight"]) for kind, hook in hooks.items()}
    assert all(weight < weights["Job"] for kind, weight in weights.items() if kind != "Job"), f"{what}: {weights}"
    policies = [item for item in items if item["kind"] == "NetworkPolicy"]
    assert ("NetworkPolicy" in hooks) == bool(policies), f"{what}: network policies, and none of the hook's"
    for policy in policies:
        selector = policy["spec"]["podSelector"].get("matchLabels", {})
        if policy["metadata"]["name"].endswith("-migrate") and selector.items() <= pod["metadata"]["labels"].items():
            assert policy["spec"]["egress"] == hooks["NetworkPolicy"]["spec"]["egress"], f"{what}: the hook may reach other places than migrations"


def renderings_are_accepted():
    kubernetes.need_cluster()
    namespace = f"chart-render-{secrets.token_hex(3)}"
    files = good_files()
    assert len(files) >= 12, f"only {len(files)} files"
    made = []
    given = {}  # Of each leaf, the values that the files give it.
    objects = 0
    try:
        made = install_custom_kinds()
        kubernetes.make_namespace(namespace, {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"})
        defaults = None
        for file in files:
            release = json.loads(run(["helm", "install", "try", CHART, "-n", namespace, "-f", file, "--dry-run=server", "-o", "json"]).stdout)
            defaults = release["chart"]["values"]
            for path, value in leaves(release.get("config") or {}):
                given.setdefault(path, []).append(value)
            objects += accepted(namespace, [release["manifest"]] + [hook["manifest"] for hook in release.get("hooks", [])], file.name)
            # As an upgrade, for the oldest Kubernetes: the hook, and nothing that it does not know.
            upgrade = run(["helm", "template", "try", CHART, "-n", namespace, "-f", file, "--is-upgrade", "--kube-version", OLDEST_KUBERNETES]).stdout
            assert "preStop" not in upgrade, f"{file.name}: Kubernetes {OLDEST_KUBERNETES} has no sleep before a stop"
            objects += accepted(namespace, [upgrade], f"{file.name}, as an upgrade")
            hook_stands_alone(namespace, upgrade, file.name)
        untried = [path for path, default in leaves(defaults)
                   if not any(inner != default for inner in given_at(given, path)) and path not in ("test.symbol",)]
        assert not untried, f"no file changes these values: {untried}"
    finally:
        kubernetes.remove_namespace(namespace)
        for name in made:
            kubectl("delete", "crd", name, check=False)
    print(f"    {len(files)} files, {objects} objects accepted")


def given_at(given, path):
    """What the files give a value, itself or inside of it."""
    return [value for other, values in given.items() if other == path or other.startswith(path + ".") for value in values]


CASES = [
    ("chart lint", lint),
    ("chart readme", readme_is_current),
    ("chart version", version_is_the_programs),
    ("chart images", images_have_the_tag_that_the_chart_asks_for),
    ("chart notes", notes_show_every_port),
    ("chart runbooks", runbooks_are_where_one_says),
    ("chart settings", settings_are_the_programs_own),
    ("chart wrong values", wrong_values_are_refused),
    ("chart webhooks", webhooks_go_out_and_not_in),
    ("chart pages", pages_are_open_only_where_asked_for),
    ("chart ports", ports_let_two_versions_stand_side_by_side),
    ("chart renderings", renderings_are_accepted),
]
