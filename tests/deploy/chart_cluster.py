"""The chart with pods: installed, tested by itself, its network policies tried from pods, changed under load.

The images are those of tests/deploy/values/cluster.yaml, which the cluster must have or be able to get. STOCKALERT_CHART_VALUES names another
values file, of other images.
"""

import base64
import calendar
import contextlib
import functools
import json
import os
import pathlib
import re
import secrets
import shlex
import ssl
import subprocess
import sys
import tempfile
import threading
import time

import kubernetes
import rights
from cases import Skip, await_true, timestamp
from kubernetes import CHART, ROOT, VALUES, get, kubectl, run

sys.path.insert(0, str(ROOT / "scripts" / "lib"))
import certificates
import stack

RELEASE = "try"
NAME = "try-stockalert"
INSTALL_S_MAX = 120
IMAGES_TOLD_S = 40

# docs/architecture.md, "Who may talk to whom": of each kind of pod, what it may reach. Stores are the chart's own here.
PUBLIC = {"user": 50051, "ticker": 50052, "alert": 50053, "notifier": 50054}
INTERNAL = {"user": 12051, "ticker": 12052, "alert": 12053, "notifier": 12054, "fetcher": 12055, "evaluator": 12056}
HTTP = {"user": 11051, "ticker": 11052, "alert": 11053, "notifier": 11054, "fetcher": 11055, "evaluator": 11056}
CALLS = {
    "user": ["ticker"],
    "ticker": ["user", "alert", "fetcher"],
    "alert": ["user", "ticker", "notifier", "evaluator"],
    "notifier": ["user", "ticker"],
    "fetcher": ["ticker"],
    "evaluator": [],
}
STORES = {"kafka": [9092, 9093, 9094], "postgres": [5432]}
EDGE = [*PUBLIC.values(), 11050]


def allowed(source):
    """(component, port) that a pod of `source` may reach; None: a pod of somebody else."""
    if source is None:
        return {("edge", port) for port in PUBLIC.values()}
    if source == "edge":
        return set(PUBLIC.items())
    if source in STORES:
        return set()
    stores = {("kafka", 9092), ("kafka", 9094)} | (set() if source == "fetcher" else {("postgres", 5432)})
    return {(other, INTERNAL[other]) for other in CALLS[source]} | stores


@functools.cache
def missing_images(wanted, tag):
    """Those that no node has; not at once, since a node tells of what was just loaded only after a while."""
    deadline = time.monotonic() + IMAGES_TOLD_S
    while True:
        there = {name for node in get("nodes") for image in node["status"].get("images", []) for name in image.get("names") or []}
        missing = [image for image in wanted if not any(name.endswith(f"stockalert/{image}:{tag}") for name in there)]
        if not missing or time.monotonic() > deadline:
            return missing
        time.sleep(2)


def need_image(tag, remedy, others=("tools", "edge")):
    """Skip where no node has the services' images, and the others, with that tag."""
    missing = missing_images((*HTTP, *others), tag)
    if missing:
        raise Skip(f"no node has the images {missing} with the tag {tag}: {remedy}")


class Release:
    """A chart that is installed once, for all cases that need it. `settings` are values beside the file's."""

    def __init__(self, chart=CHART, values=os.environ.get("STOCKALERT_CHART_VALUES") or VALUES / "cluster.yaml", settings=()):
        self.namespace = None
        self.chart = chart
        self.values = values
        self.settings = [part for setting in settings for part in ("--set", setting)]
        self.install_s = None
        self.failure = None

    def helm(self, *arguments, **options):
        return run(["helm", *arguments, "-n", self.namespace], **options).stdout

    def need(self):
        """Installs it where it is not, or says why it cannot be there."""
        kubernetes.need_cluster()
        if self.failure:
            raise AssertionError(f"the chart was not installed: {self.failure}")
        if self.namespace:
            return self
        if not os.environ.get("STOCKALERT_CHART_VALUES"):
            need_image(re.search(r"tag: (\S+?)\}", self.values.read_text()).group(1), "load what scripts/images --with-stores built, or name a "
                       "values file of other images in STOCKALERT_CHART_VALUES")
        self.namespace = f"chart-{secrets.token_hex(3)}"
        kubernetes.make_namespace(self.namespace, {"pod-security.kubernetes.io/enforce": "restricted"})
        began = time.monotonic()
        try:
            self.helm("install", RELEASE, self.chart, "-f", self.values, *self.settings, "--wait", "--timeout", f"{INSTALL_S_MAX}s",
                      timeout_s=INSTALL_S_MAX + 60)
        except AssertionError as error:
            self.failure = str(error) + "\n" + self.describe()
            raise AssertionError(self.failure) from None
        self.install_s = time.monotonic() - began
        return self

    def describe(self):
        pods = kubectl("get", "pods", "-n", self.namespace, "-o", "wide", check=False)
        events = kubectl("get", "events", "-n", self.namespace, "--sort-by=.lastTimestamp", check=False).splitlines()[-15:]
        return pods + "\n".join(events)

    def pods(self, component=None):
        selector = f"app.kubernetes.io/instance={RELEASE}" + (f",app.kubernetes.io/component={component}" if component else "")
        return [pod for pod in get("pods", "-n", self.namespace, "-l", selector)
                if pod["status"]["phase"] == "Running" and not pod["metadata"].get("deletionTimestamp")]

    def secret(self, name, key):
        return base64.b64decode(get("secret", name, "-n", self.namespace)["data"][key])

    def client(self):
        """From outside, through NodePorts, by TLS."""
        import client as clients  # pylint: disable=import-outside-toplevel
        node = get("nodes")[0]
        host = next(a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP")
        addresses = {}
        for service in PUBLIC:
            found = get("service", f"{NAME}-{service}", "-n", self.namespace)
            addresses[service] = f"{host}:{found['spec']['ports'][0]['nodePort']}"
        return clients.Client(addresses, ca=self.secret(f"{NAME}-public-tls", "ca.crt"), name=f"{NAME}-user")

    def tools_pod(self, name, labels, command, namespace=None, kafka_secret=None):
        """A pod of the tools' image; `kafka_secret`: with that certificate for Kafka."""
        image = get("pods", "-n", self.namespace, "-l", "app.kubernetes.io/component=user")[0]["spec"]["containers"][0]["image"]
        files = [{"name": "kafka", "secret": {"secretName": kafka_secret, "defaultMode": 0o440}}] if kafka_secret else []
        pod = {
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels},
            "spec": {
                "automountServiceAccountToken": False, "restartPolicy": "Never", "enableServiceLinks": False, "volumes": files,
                "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "fsGroup": 10001, "seccompProfile": {"type": "RuntimeDefault"},
                                    "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]},
                "containers": [{
                    "name": "tools", "image": image.replace("/user:", "/tools:"), "imagePullPolicy": "IfNotPresent", "command": command,
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    "volumeMounts": [{"name": file["name"], "mountPath": "/etc/stockalert/kafka", "readOnly": True} for file in files],
                }],
            },
        }
        kubectl("apply", "-n", namespace or self.namespace, "-f", "-", text=json.dumps(pod))

    def has(self, kind, name):
        return bool(kubectl("get", kind, name, "-n", self.namespace, "--ignore-not-found", "-o", "name").strip())

    def in_operator(self, key):
        """How a command is run in a pod that reads the log, with the migrations' rights in the network: with the certificate of `key` for the
        chart's own Kafka, or without one in a release that knows none. By the environment: the version before does not know the flags."""
        secret = f"{NAME}-kafka-{key}-tls"
        secured = self.has("secret", secret)
        pod = f"operator-{key}" if secured else "operator"
        if not self.has("pod", pod):
            labels = {"app.kubernetes.io/name": "stockalert", "app.kubernetes.io/instance": RELEASE, "app.kubernetes.io/component": "migrate",
                      "operator": "true"}
            self.tools_pod(pod, labels, ["sleep", "infinity"], kafka_secret=secret if secured else None)
            kubectl("wait", "-n", self.namespace, "--for=condition=Ready", f"pod/{pod}", "--timeout=60s")
        files = {name: f"/etc/stockalert/kafka/{file}" for name, file in (("CA", "ca.crt"), ("CERT", "tls.crt"), ("KEY", "tls.key"))}
        way = {"TLS": "true", **{f"TLS_{name}_FILE": path for name, path in files.items()}} if secured else {"PLAINTEXT": "true"}
        way["BOOTSTRAP"] = f"{NAME}-kafka:{9094 if secured else 9092}"
        return ["kubectl", "exec", "-i", "-n", self.namespace, pod, "--", "env", *(f"STOCKALERT_KAFKA_{name}={value}" for name, value in way.items())]

    @contextlib.contextmanager
    def forward(self, target, to):
        """A way past the network policies to one of the release's ports; answers the port on loopback that leads there."""
        port = stack.free_port()
        with subprocess.Popen(["kubectl", "port-forward", "-n", self.namespace, target, f"{port}:{to}"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as forward:
            try:
                await_true(f"the way to {target}", lambda: stack.port_open(port), 30)
                yield port
            finally:
                forward.terminate()

    @contextlib.contextmanager
    def database(self, role=None):
        """The URL of the present pod of the database, as its owner, or as the role of `role` (a service's, maintenance, audit)."""
        secret, key = (f"{NAME}-postgres-roles", role) if role else (f"{NAME}-postgres", "password")
        with self.forward(f"pod/{NAME}-postgres-0", 5432) as port:
            yield f"postgresql://{f'stockalert_{role}' if role else 'stockalert'}:{self.secret(secret, key).decode()}@127.0.0.1:{port}/stockalert"

    def audit(self):
        """scripts/audit on the release, as docs/operations.md has it: as the role of the audit and with its certificate, where there are these."""
        execute = shlex.join(self.in_operator("audit"))
        role = "audit" if self.has("secret", f"{NAME}-postgres-roles") else None
        with tempfile.TemporaryDirectory() as folder, self.database(role) as url:
            for program in ("log", "semantics"):
                path = os.path.join(folder, program)
                with open(path, "w", encoding="ascii") as file:
                    file.write(f"#!/bin/sh\nexec {execute} stockalert-{program}\n")
                os.chmod(path, 0o755)
            env = dict(os.environ, STOCKALERT_POSTGRES_URL=url, STOCKALERT_KAFKA_BOOTSTRAP="in-the-cluster")
            done = subprocess.run([ROOT / "scripts" / "audit", f"--state={folder}", f"--log={folder}/log", f"--semantics={folder}/semantics",
                                   "--wait-s=60"], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"the audit: {done.stdout[-3000:]}{done.stderr[-2000:]}"
        triggers = int(re.search(r"(\d+) triggers due", done.stdout).group(1))
        print(f"    {done.stdout.strip().splitlines()[-1]}")
        return triggers

    def stop(self):
        if self.namespace and not os.environ.get("STOCKALERT_CHART_KEEP"):
            kubernetes.remove_namespace(self.namespace)
            self.namespace = None


RELEASE_STATE = Release()


def seconds(timestamp):
    return calendar.timegm(time.strptime(timestamp, "%Y-%m-%dT%H:%M:%SZ"))


def install():
    release = RELEASE_STATE.need()
    print(f"    installed in {release.install_s:.1f} s")
    assert release.install_s < INSTALL_S_MAX
    with release.database() as url:
        migrated = float(stack.psql(url, "SELECT extract(epoch FROM max(applied_at)) FROM mesh.migrations")[0][0])
    for pod in release.pods():
        component = pod["metadata"]["labels"]["app.kubernetes.io/component"]
        ready = next(condition["lastTransitionTime"] for condition in pod["status"]["conditions"] if condition["type"] == "Ready")
        # It stands for a service's own tables: a service is ready once it has those, and may be before the others' and the topics.
        assert component in {*STORES, "fetcher", "edge"} or seconds(ready) >= int(migrated) - 2, \
            f"{pod['metadata']['name']} was ready at {ready}, the tables were there at {time.strftime('%TZ', time.gmtime(migrated))}"
        assert "volumes" not in pod["spec"] or not any("projected" in volume for volume in pod["spec"]["volumes"]), \
            f"{pod['metadata']['name']} has a token of the cluster"


def helm_test():
    release = RELEASE_STATE.need()
    done = run(["helm", "test", RELEASE, "--timeout", "180s", "-n", release.namespace], timeout_s=240)
    assert "Phase:          Succeeded" in done.stdout, done.stdout
    assert "notified" in done.stdout + done.stderr, done.stderr
    assert "a webhook to the cloud's metadata was refused" in done.stdout + done.stderr, done.stdout + done.stderr
    received = re.search(r"received alert\.triggered  HELM\.TEST at \d+  msg_[0-9a-f]{32}", done.stdout + done.stderr)
    assert received, f"the test's pod received no webhook: {done.stdout}{done.stderr}"
    print(f"    {received[0]}")
    assert not get("pods", "-n", release.namespace, "-l", "app.kubernetes.io/component=test"), "the pod of a test that succeeded is still there"


# --- network policies

PROBE = r"""
for target in "$@"; do
  IFS=, read -r name host port <<<"$target"
  ( if timeout 5 bash -c "exec 3<>/dev/tcp/$host/$port" 2>/dev/null; then echo "open $name $port"; else echo "closed $name $port"; fi ) &
done
wait
echo done
"""


def outcome(text, source):
    assert text.rstrip().endswith("done"), f"the probe in {source} did not end: {text[-500:]}"
    return {(name, int(port)): state == "open" for state, name, port in (line.split() for line in text.splitlines() if line != "done")}


# Somebody else's program in the cluster, as a user might name it for a webhook.
LISTENER = ("listener", 3000)


def start_listener(release, namespace):
    """Answers its address."""
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    release.tools_pod("listener", {"app": "listener"}, ["env", f"STOCKALERT_WEBHOOK_SECRET={secret}", "stockalert", "receive", "--address",
                                                        f"0.0.0.0:{LISTENER[1]}"], namespace)
    kubectl("wait", "-n", namespace, "--for=condition=Ready", "pod/listener", "--timeout=60s")
    return get("pod", "listener", "-n", namespace)["status"]["podIP"]


def flows():
    release = RELEASE_STATE.need()
    foreign_namespace = f"{release.namespace}-foreign"
    kubernetes.make_namespace(foreign_namespace)
    try:
        try_flows(release, foreign_namespace)
    finally:
        kubernetes.remove_namespace(foreign_namespace)


def try_flows(release, foreign_namespace):
    listener = start_listener(release, foreign_namespace)
    pods = release.pods()
    where = {}
    for pod in pods:
        component = pod["metadata"]["labels"]["app.kubernetes.io/component"]
        if component in HTTP or component in STORES or component == "edge":
            where.setdefault(component, []).append(pod)
    assert set(where) == {*HTTP, *STORES, "edge"}, f"pods of {sorted(where)} only"
    api_server = get("service", "kubernetes", "-n", "default")["spec"]["clusterIP"]

    def targets(own=None):
        found = []
        for component, there in sorted(where.items()):
            others = [pod for pod in there if own is None or pod["metadata"]["uid"] != own["metadata"]["uid"]]
            if not others:
                continue  # What a pod says to itself crosses no network.
            ports = STORES.get(component) or (component == "edge" and EDGE) or [of[component] for of in (PUBLIC, INTERNAL, HTTP) if component in of]
            found += [f"{component},{others[0]['status']['podIP']},{port}" for port in ports]
        return found + [f"api-server,{api_server},443", f"{LISTENER[0]},{listener},{LISTENER[1]}"]

    problems = []
    tried = 0

    def judge(source, may, reached):
        nonlocal tried
        tried += len(reached)
        for target, is_open in sorted(reached.items()):
            if is_open != (target in may):
                problems.append(f"from {source}: {target[0]}:{target[1]} is {'open' if is_open else 'closed'}")
        missing = [target for target in may if target not in reached]
        assert not missing, f"{source} did not try {missing}"

    image = where["user"][0]["spec"]["containers"][0]["image"].replace("/user:", "/tools:")
    probes = []
    for component, there in sorted(where.items()):
        pod = there[0]
        name = f"probe-{secrets.token_hex(3)}"
        kubectl("debug", "-n", release.namespace, pod["metadata"]["name"], f"--image={image}", "--image-pull-policy=IfNotPresent",
                "--profile=restricted", "-c", name, "--", "bash", "-c", PROBE, "probe", *targets(pod))
        probes.append((component, pod["metadata"]["name"], name))
    for component, pod_name, container in probes:
        def ended(pod_name=pod_name, container=container):
            states = get("pod", pod_name, "-n", release.namespace)["status"].get("ephemeralContainerStatuses", [])
            return any(state["name"] == container and "terminated" in state.get("state", {}) for state in states)
        await_true(f"the probe in {pod_name}", ended, 60)
        judge(component, allowed(component), outcome(kubectl("logs", "-n", release.namespace, pod_name, "-c", container), component))

    for source, namespace in (("a pod of another namespace", foreign_namespace), ("another pod of the namespace", release.namespace)):
        # Nothing restricts what these send: the API server and the listener answer them, which no pod of the mesh reaches, the notifier neither.
        release.tools_pod("foreign", {"app": "foreign"}, ["bash", "-c", PROBE, "probe", *targets()], namespace)
        await_true(source, lambda namespace=namespace: get("pod", "foreign", "-n", namespace)["status"]["phase"] in ("Succeeded", "Failed"), 60)
        judge(source, allowed(None) | {("api-server", 443), LISTENER}, outcome(kubectl("logs", "-n", namespace, "foreign"), source))
    assert not problems, "\n".join(problems)
    print(f"    {tried} ways tried")


# --- changes under load

SYMBOLS = ["LOADA", "LOADB", "LOADC", "LOADD"]


class Load:
    """A steady stream of calls to all services and of quotes that make alerts fire, each call repeated as a client should."""

    # CANCELLED, which the client did not ask for: gRPC's C++ server says so to a call that arrives in the very moment in which it shuts down.
    RETRIED = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED", "CANCELLED")
    RETRY_S_MAX = 60
    QUOTES_PER_S = 10

    def __init__(self, release):
        self.client = release.client()
        self.admin_key = release.secret(f"{NAME}-admin-key", "admin_key").decode()
        self.stopping = threading.Event()
        self.failed = []
        self.calls = 0
        self.retried = 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.guarded, args=(work,), daemon=True) for work in (self.call_on, self.publish)]

    def __enter__(self):
        # Quotes are taken of registered tickers.
        user = self.call("user", "RegisterUser", {"user": {"email": f"load-{secrets.token_hex(6)}@example.com", "display_name": "Load"}}, None)
        for symbol in SYMBOLS:
            self.call("user", "FollowTicker", {"parent": "users/me", "symbol": symbol}, user["secret"])
        for thread in self.threads:
            thread.start()
        time.sleep(3)
        return self

    def __exit__(self, kind, _value, _trace):
        if kind is None:
            time.sleep(3)
        self.stopping.set()
        for thread in self.threads:
            thread.join(90)
        self.client.close()

    def guarded(self, work):
        try:
            work()
        except Exception as error:  # pylint: disable=broad-except
            self.failed.append(f"{work.__name__} ended: {error!r}")

    def call(self, service, method, request, key):
        import client as clients  # pylint: disable=import-outside-toplevel
        deadline = time.monotonic() + self.RETRY_S_MAX
        pause_s = 0.1
        with self.lock:
            self.calls += 1
        while True:
            try:
                # Waits for a connection: while calls that fail at once are all there is, no thread of gRPC 1.51 drives the handshake of the next
                # connection but every ten seconds, and one is there half a minute after the service is.
                return self.client.call(service, method, request, key, timeout_s=5, wait=True)
            except clients.CallError as error:
                if error.code not in self.RETRIED or time.monotonic() > deadline:
                    self.failed.append(f"{method}: {error}")
                    return None
            with self.lock:
                self.retried += 1
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, 1)

    def call_on(self):
        number = 0
        while not self.stopping.is_set():
            user = self.call("user", "RegisterUser", {"user": {"email": f"load-{secrets.token_hex(6)}@example.com", "display_name": "Load"},
                                                      "request_id": str(secrets.token_hex(16))}, None)
            if user is None or "secret" not in user:
                continue  # Repeated after its answer was lost: the key is shown but once.
            key = user["secret"]
            for symbol in SYMBOLS:
                self.call("user", "FollowTicker", {"parent": "users/me", "symbol": symbol}, key)
                number += 1
                # Fires each time that the price comes to 110 from below.
                self.call("alert", "CreateAlert", {"parent": "users/me", "request_id": str(secrets.token_hex(16)), "alert": {
                    "symbol": symbol, "trigger_policy": "TRIGGER_POLICY_REPEAT", "cooldown": "0s", "note": f"load {number}",
                    "condition": {"price_target": {"comparison": "COMPARISON_AT_OR_ABOVE", "price": "110"}}}}, key)
            for _ in range(20):
                if self.stopping.is_set():
                    return
                self.call("alert", "ListAlerts", {"parent": "users/me"}, key)
                self.call("notifier", "ListNotifications", {"parent": "users/me"}, key)
                self.call("ticker", "GetTicker", {"name": f"tickers/{SYMBOLS[0]}"}, key)
                time.sleep(0.2)

    def publish(self):
        step = 0
        while not self.stopping.is_set():
            for symbol in SYMBOLS:
                price = 100 + step % 20
                self.call("ticker", "PublishQuotes", {"quotes": [{"symbol": symbol, "price": str(price), "event_time": timestamp(),
                                                                  "session": "SESSION_REGULAR"}]}, self.admin_key)
            step += 1
            time.sleep(len(SYMBOLS) / self.QUOTES_PER_S)


def under_load(change, release=None):
    """Runs `change` under load, and then: no call failed, and what triggered is what the log says."""
    release = (release or RELEASE_STATE).need()
    with Load(release) as load:
        began = time.monotonic()
        change(release)
        took_s = time.monotonic() - began
    print(f"    {took_s:.0f} s, {load.calls} calls, {load.retried} repeated, {len(load.failed)} failed")
    assert not load.failed, "\n".join(load.failed[:10])
    assert load.calls > 50, "hardly any load"
    assert release.audit() > 0, "no alert fired"


def reconfigure():
    """Every pod is replaced by one of the same images."""
    under_load(lambda release: release.helm("upgrade", RELEASE, CHART, "-f", release.values, "--set", "shutdownGraceSeconds=19", "--wait", "--timeout",
                                            "300s", timeout_s=360))


def roll_back(release):
    release.helm("rollback", RELEASE, "--wait", "--timeout", "300s", timeout_s=360)


def settled(release):
    """Every workload has its pods, and they are ready."""
    def ready():
        for kind in ("deployments", "statefulsets"):
            for item in get(kind, "-n", release.namespace):
                status = item["status"]
                if status.get("observedGeneration") != item["metadata"]["generation"] or status.get("readyReplicas", 0) != item["spec"]["replicas"]:
                    return False
        return all(pod["metadata"].get("deletionTimestamp") is None for pod in get("pods", "-n", release.namespace))
    await_true("pods that are ready again", ready, 180, 1)


def delete_pods():
    def change(release):
        for component in (*HTTP, *STORES, "edge"):
            pod = release.pods(component)[0]["metadata"]["name"]
            kubectl("delete", "pod", pod, "-n", release.namespace, "--wait=false")
            time.sleep(2)
            settled(release)
    under_load(change)


def scale_evaluators():
    def change(release):
        for replicas in (3, 1):
            kubectl("scale", "statefulset", f"{NAME}-evaluator", f"--replicas={replicas}", "-n", release.namespace)
            time.sleep(2)
            settled(release)
            # Long enough for the group to find out who is there.
            time.sleep(15)
    under_load(change)


def exchange_certificate():
    """A new certificate of the public ports reaches the edge by its Secret, and a stream goes on meanwhile."""
    release = RELEASE_STATE.need()
    with tempfile.TemporaryDirectory() as folder:
        files = {name: os.path.join(folder, name) for name in ("ca.crt", "ca.key")}
        for name, key in (("ca.crt", "tls.crt"), ("ca.key", "tls.key")):
            with open(files[name], "wb") as file:
                file.write(release.secret(f"{NAME}-tls-ca", key))
        authority = certificates.Authority.__new__(certificates.Authority)
        authority.certificate, authority.key = (pathlib.Path(files[name]).read_text(encoding="ascii") for name in ("ca.crt", "ca.key"))
        names = [f"DNS:{NAME}-{service}" for service in PUBLIC]
        fresh, key = authority.sign(names, days=99)
    client = release.client()
    node, port = client_address(release, "notifier")
    user = client.call("user", "RegisterUser", {"user": {"email": f"exchange-{secrets.token_hex(6)}@example.com", "display_name": "E"}})
    stream = client.stream("notifier", "WatchNotifications", {"parent": "users/me"}, user["secret"])
    ended = []

    def read():
        try:
            for _ in stream:
                pass
            ended.append("ended")
        except Exception as error:  # pylint: disable=broad-except
            ended.append(error)
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    patch = {"data": {"tls.crt": base64.b64encode(fresh.encode()).decode(), "tls.key": base64.b64encode(key.encode()).decode()}}
    kubectl("patch", "secret", f"{NAME}-public-tls", "-n", release.namespace, "--type=merge", "-p", json.dumps(patch))
    began = time.monotonic()
    wanted = ssl.PEM_cert_to_DER_cert(fresh)

    def shown():
        context = ssl.create_default_context(cadata=authority.certificate)
        context.set_alpn_protocols(["h2"])
        with stack.socket.create_connection((node, port), timeout=5) as raw, context.wrap_socket(raw, server_hostname=f"{NAME}-user") as secured:
            return secured.getpeercert(binary_form=True)
    # Kubernetes brings a changed Secret within a minute and a half or so.
    await_true("the new certificate, in each of the edge's pods", lambda: all(shown() == wanted for _ in range(12)), 180, 1)
    time.sleep(3)
    assert not ended, f"the stream did not go on: {ended}"
    print(f"    shown after {time.monotonic() - began:.0f} s, the stream goes on")
    stream.cancel()
    client.close()


def client_address(release, service):
    """Host and port of a service from outside."""
    node = get("nodes")[0]
    host = next(a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP")
    return host, get("service", f"{NAME}-{service}", "-n", release.namespace)["spec"]["ports"][0]["nodePort"]


CASES = [
    ("chart install", install),
    ("chart helm test", helm_test),
    ("chart flows", flows),
    ("chart rights of each service", lambda: rights.expect_all(RELEASE_STATE.need(), NAME, PUBLIC)),
    ("chart new public certificate", exchange_certificate),
    ("chart new configuration under load", reconfigure),
    ("chart old configuration under load", lambda: under_load(roll_back)),
    ("chart deleted pods under load", delete_pods),
    ("chart evaluators scaled under load", scale_evaluators),
]
STOP = RELEASE_STATE.stop
