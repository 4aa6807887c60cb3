"""The chart's deliveries: what the network lets the notifier's pods reach, its own guard behind that, mail, new keys, and no delivery at all.

The Internet stands for itself: STOCKALERT_TEST_OUTSIDE (default: the archive of Debian, port 80) has to be reachable from a pod, at a public address.
A receiver of webhooks on the Internet is played by this machine, at the address by which it goes out: not one of the cluster's, so the network policy
treats it like any other. What cannot be reached by a pod without policies is not tried, loudly.
"""

import ipaddress
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import time

import chart_cluster
import images
import kubernetes
from cases import Skip, await_true
from chart_cluster import CHART, LISTENER, NAME, PROBE, RELEASE, RELEASE_STATE, outcome
from kubernetes import ROOT, get, kubectl, run

sys.path.insert(0, str(ROOT / "tests" / "e2e"))
import certificates
import client as clients
import mails
import webhooks
from harness import expect, expect_equal

OUTSIDE = os.environ.get("STOCKALERT_TEST_OUTSIDE") or "deb.debian.org:80"
# What the chart's policy excepts of all addresses.
INTERNAL = [ipaddress.ip_network(text) for text in
            ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16")]
METADATA = "169.254.169.254"
# Takes a policy's place beside the chart's: what one allows is allowed.
OPEN = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "test-open"},
        "spec": {"podSelector": {"matchLabels": {"app.kubernetes.io/instance": RELEASE, "app.kubernetes.io/component": "notifier"}},
                 "policyTypes": ["Egress"], "egress": [{}]}}
MAIL_IMAGE = "stockalert/test-mail"
NAMESPACES = {}


def outside_address():
    host, port = OUTSIDE.rsplit(":", 1)
    return socket.gethostbyname(host), int(port)


def own_address():
    """This machine's, as those outside see it; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(outside_address())
        return probe.getsockname()[0]


def is_internal(address):
    return any(ipaddress.ip_address(address) in network for network in INTERNAL)


def foreign():
    """A namespace of somebody else's, with a listener; kept for all cases."""
    release = RELEASE_STATE.need()
    if not NAMESPACES:
        namespace = f"{release.namespace}-others"
        kubernetes.make_namespace(namespace)
        NAMESPACES[namespace] = chart_cluster.start_listener(release, namespace)
    return next(iter(NAMESPACES.items()))


def start_impostor(release, namespace, name, labels, port):
    """A pod that listens and has a trusted one's labels; answers its address."""
    secret = "whsec_" + "A" * 43 + "="
    release.tools_pod(name, labels, ["env", f"STOCKALERT_WEBHOOK_SECRET={secret}", "stockalert", "receive", "--address", f"0.0.0.0:{port}"], namespace)
    kubectl("wait", "-n", namespace, "--for=condition=Ready", f"pod/{name}", "--timeout=60s")
    return get("pod", name, "-n", namespace)["status"]["podIP"]


def mesh_labels(component, instance=RELEASE):
    return {"app.kubernetes.io/name": "stockalert", "app.kubernetes.io/instance": instance, "app.kubernetes.io/component": component}


def targets(release):
    """(name, host, port) → whether the notifier's pod may reach it. Not by a node's port: what Kubernetes rewrites there, policies need not see."""
    namespace, listener = foreign()
    node = chart_cluster.client_address(release, "user")
    api = get("endpoints", "kubernetes", "-n", "default")["subsets"][0]
    dns = get("service", "kube-dns", "-n", "kube-system")["spec"]["clusterIP"]
    postgres = [start_impostor(release, namespace, "postgres", mesh_labels("postgres"), 5432),
                start_impostor(release, release.namespace, "other-postgres", mesh_labels("postgres", "another"), 5432)]
    resolver = start_impostor(release, namespace, "dns", {"k8s-app": "kube-dns"}, 53)
    return {
        ("api-server", get("service", "kubernetes", "-n", "default")["spec"]["clusterIP"], 443): False,
        ("api-server-itself", api["addresses"][0]["ip"], api["ports"][0]["port"]): False,
        ("kubelet", node[0], 10250): False,
        ("listener", listener, LISTENER[1]): False,
        ("postgres-of-another-namespace", postgres[0], 5432): False,
        ("postgres-of-another-release", postgres[1], 5432): False,
        ("dns-of-another-namespace", resolver, 53): False,
        ("metadata", METADATA, 80): False,
        ("dns", dns, 53): True,
        ("outside", *outside_address()): True,
    }


def probe(release, pod, wanted):
    """What a container beside the notifier's reaches."""
    image = pod["spec"]["containers"][0]["image"].replace("/notifier:", "/tools:")
    name = f"probe-{secrets.token_hex(3)}"
    kubectl("debug", "-n", release.namespace, pod["metadata"]["name"], f"--image={image}", "--image-pull-policy=IfNotPresent", "--profile=restricted",
            "-c", name, "--", "bash", "-c", PROBE, "probe", *(",".join(map(str, target)) for target in wanted))

    def ended():
        states = get("pod", pod["metadata"]["name"], "-n", release.namespace)["status"].get("ephemeralContainerStatuses", [])
        return any(state["name"] == name and "terminated" in state.get("state", {}) for state in states)
    await_true("the probe in the notifier's pod", ended, 60, 0.5)
    return outcome(kubectl("logs", "-n", release.namespace, pod["metadata"]["name"], "-c", name), "the notifier's pod")


def policy():
    """By the network alone: the notifier's pod reaches the Internet, DNS and nothing else in the cluster; a pod without policies reaches it all."""
    release = RELEASE_STATE.need()
    wanted = targets(release)
    namespace, _ = foreign()
    release.tools_pod("control", {"app": "control"}, ["bash", "-c", PROBE, "probe", *(",".join(map(str, target)) for target in wanted)], namespace)
    await_true("the pod without policies", lambda: get("pod", "control", "-n", namespace)["status"]["phase"] in ("Succeeded", "Failed"), 60, 0.5)
    control = outcome(kubectl("logs", "-n", namespace, "control"), "a pod without policies")
    reached = probe(release, release.pods("notifier")[0], wanted)
    problems = []
    for target, may in wanted.items():
        key = (target[0], target[2])
        if not control[key]:
            print(f"    {target[0]} ({target[1]}:{target[2]}) is not reached without policies either")
            expect(target[0] in ("metadata", "outside"), f"{target} cannot be reached by anybody: this shows nothing")
        elif reached[key] != may:
            problems.append(f"{target} is {'open' if reached[key] else 'closed'}")
        if not may:
            expect(not reached[key], f"{target} is open")
    assert not problems, "\n".join(problems)
    if not control[("outside", outside_address()[1])]:
        raise Skip(f"pods do not reach {OUTSIDE}: that the Internet is open was not tried")
    print(f"    {len(wanted)} targets; outside is {OUTSIDE}, {outside_address()[0]}")


# --- the notifier itself

class User:
    def __init__(self, release):
        self.client = release.client()
        self.key = self.call("user", "RegisterUser", {"user": {"email": f"d-{secrets.token_hex(6)}@example.com", "display_name": "D"}}, None)["secret"]

    def call(self, service, method, request, key=""):
        return self.client.call(service, method, request, self.key if key == "" else key, timeout_s=20, wait=True)

    def webhook(self, url):
        made = self.call("destination", "CreateDestination", {"parent": "users/me", "destination": {"webhook": {"url": url}}})
        return made["destination"]["name"], made["secret"]

    def first_attempt(self, destination):
        """Of its verification, when it has ended."""
        def ended():
            found = self.client.list_all("destination", "ListDeliveries", "deliveries", {"parent": "users/me", "destination": destination}, self.key)
            attempts = [self.call("destination", "GetDelivery", {"name": delivery["name"]}).get("attempts", []) for delivery in found]
            return next((one[-1] for one in attempts if one), None)
        return await_true(f"the first attempt of {destination}", ended, 45, 0.5)

    def active(self, destination):
        return self.call("destination", "GetDestination", {"name": destination})["state"] == "STATE_ACTIVE"


class Open:
    """The chart's policy of the notifier, lifted."""

    def __init__(self, namespace):
        self.namespace = namespace

    def __enter__(self):
        kubectl("apply", "-n", self.namespace, "-f", "-", text=json.dumps(OPEN))
        time.sleep(3)

    def __exit__(self, *_):
        kubectl("delete", "networkpolicy", OPEN["metadata"]["name"], "-n", self.namespace)
        time.sleep(3)


def heard(namespace):
    """Requests that the listener got: it can verify none, and says so."""
    return kubectl("logs", "-n", namespace, LISTENER[0])


def policy_holds_where_the_guard_lets():
    """The installed release's guard allows private networks: that nothing arrives is the policy's doing."""
    release = RELEASE_STATE.need()
    namespace, address = foreign()
    url = f"http://{address}:{LISTENER[1]}/hook"
    user = User(release)
    before = heard(namespace)
    attempt = user.first_attempt(user.webhook(url)[0])
    expect(not attempt.get("http_status"), f"the listener answered: {attempt}")
    expect_equal(heard(namespace), before, "what the listener was sent")
    print(f"    {attempt['error']}")
    with Open(release.namespace):
        attempt = user.first_attempt(user.webhook(url)[0])
        expect(attempt.get("http_status"), f"without the policy the listener did not answer either: {attempt}")


def upgrade(release, *settings):
    release.helm("upgrade", RELEASE, CHART, "-f", release.values, *(part for setting in settings for part in ("--set", setting)), "--wait",
                 "--timeout", "300s", timeout_s=360)
    # Pods of before serve for a while.
    chart_cluster.settled(release)


def guard_behind_the_policy():
    """Delivered is what goes out; with the policy lifted, the notifier's own check refuses what leads into the cluster."""
    release = RELEASE_STATE.need()
    namespace, listener = foreign()
    own = own_address()
    if is_internal(own):
        raise Skip(f"this machine's address, {own}, is a private one: it cannot play a receiver on the Internet")
    # Where documents' addresses are those of real machines, the guard has to be told; private ones stay refused.
    upgrade(release, f"notifier.settings.egress_allow={own}/32")
    user = User(release)
    with webhooks.Receiver(host=own) as receiver:
        destination, receiver.secret = user.webhook(receiver.url)
        await_true("the webhook's verification", lambda: user.active(destination), 60, 0.5)
        user.call("destination", "SendTestNotification", {"name": destination})
        message = receiver.received.get(timeout=30)
        print(f"    out, to {own}: {message.type}")
    names = {"a pod's address": f"http://{listener}:{LISTENER[1]}/", "the API server": "https://kubernetes.default.svc.cluster.local/",
             "a name in the cluster": f"http://{NAME}-alert-internal.{release.namespace}.svc.cluster.local:51053/"}
    with Open(release.namespace):
        reached = probe(release, release.pods("notifier")[0], [("listener", listener, LISTENER[1])])
        expect(reached[("listener", LISTENER[1])], "the policy is not lifted")
        before = heard(namespace)
        for what, url in names.items():
            try:
                destination, _ = user.webhook(url)
            except clients.CallError as error:
                expect_equal(error.reason, "EGRESS_REFUSED", f"{what}, refused at once")
                print(f"    {what}: {error.reason}")
                continue
            attempt = user.first_attempt(destination)
            expect("not allowed" in attempt["error"] and not attempt.get("http_status"), f"{what}: {attempt}")
            print(f"    {what}: {attempt['error']}")
        expect_equal(heard(namespace), before, "what the listener was sent")


# --- keys and no keys

def documented(heading, number):
    """A block of commands of the chart's README, on this release."""
    text = (ROOT / "deploy" / "helm" / "stockalert" / "README.md").read_text(encoding="utf-8")
    section = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    block = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)[number]
    return block.replace("--namespace stockalert", f"--namespace {RELEASE_STATE.namespace}").replace("stockalert-", f"{NAME}-")


def new_keys():
    """The commands of the chart's README; a webhook of before is signed by its secret afterwards."""
    release = RELEASE_STATE.need()
    own = own_address()
    if is_internal(own):
        raise Skip(f"this machine's address, {own}, is a private one: it cannot play a receiver on the Internet")
    upgrade(release, f"notifier.settings.egress_allow={own}/32")
    user = User(release)
    with webhooks.Receiver(host=own) as receiver:
        destination, receiver.secret = user.webhook(receiver.url)
        await_true("the webhook's verification", lambda: user.active(destination), 60, 0.5)
        old = release.secret(f"{NAME}-delivery-keys", "delivery_keys").decode()
        done = run(["bash", "-euc", documented("Changing the keys of deliveries", 0) + documented("Changing the keys of deliveries", 1)], timeout_s=300)
        said = re.search(r"(\d+) rows with secrets, (\d+) encrypted anew with the key (\S+), \d+ lost before, 0 unreadable", done.stdout)
        expect(said and int(said[2]) >= 1, f"the Job said: {done.stdout}{done.stderr}")
        print(f"    {said[0]}")
        now = release.secret(f"{NAME}-delivery-keys", "delivery_keys").decode()
        expect_equal(len(now.splitlines()), 1, "keys in the Secret")
        expect(now.startswith(said[3] + " ") and now.splitlines()[0] not in old, "the key in the Secret is not the new one")
        user.call("destination", "SendTestNotification", {"name": destination})
        receiver.received.get(timeout=30)
        expect_equal(receiver.refused, 0, "messages that were signed wrongly")
        # An upgrade keeps what is in the Secret.
        upgrade(release)
        expect_equal(release.secret(f"{NAME}-delivery-keys", "delivery_keys").decode(), now, "the keys after an upgrade")


def delivery_off():
    """Without keys no destination can be created, everything else works, and `helm test` says so."""
    release = RELEASE_STATE.need()
    upgrade(release, "delivery.enabled=false")
    pod = release.pods("notifier")[0]
    expect(not any(volume["name"] == "delivery-keys" for volume in pod["spec"]["volumes"]), "the notifier has keys")
    user = User(release)
    try:
        user.webhook("https://example.com/hook")
        raise AssertionError("a destination was created")
    except clients.CallError as error:
        expect_equal((error.code, error.reason), ("FAILED_PRECONDITION", "DELIVERY_OFF"), "the error")
    done = run(["helm", "test", RELEASE, "--timeout", "180s", "-n", release.namespace], timeout_s=240)
    expect("notified" in done.stdout + done.stderr, done.stdout + done.stderr)
    upgrade(release)
    expect(release.has("secret", f"{NAME}-delivery-keys"), "the keys are gone")


# --- mail

MAIL_VALUES = {"address": "mail.{namespace}.svc:587", "user": "stockalert", "passwordSecret": {"name": "smtp"}, "caSecret": {"name": "smtp-ca"},
               "from": mails.FROM, "fromName": mails.FROM_NAME, "unsubscribe": mails.UNSUBSCRIBE}


def start_postfix(namespace, password):
    """Answers its authority."""
    authority = certificates.Authority("mail authority")
    certificate, key = authority.sign([f"DNS:mail.{namespace}.svc"])
    image = f"{MAIL_IMAGE}:{images.TAG}"
    kubectl("apply", "-n", namespace, "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "mail-tls"}, "stringData": {"tls.crt": certificate, "tls.key": key}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "mail"}, "spec": {"selector": {"app": "mail"}, "ports": [{"port": 587}]}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "mail", "labels": {"app": "mail"}}, "spec": {
            "enableServiceLinks": False, "volumes": [{"name": "tls", "secret": {"secretName": "mail-tls"}}],
            "containers": [{"name": "mail", "image": image, "imagePullPolicy": "IfNotPresent", "readinessProbe": {"tcpSocket": {"port": 587}},
                            "env": [{"name": "MAIL_USER", "value": "stockalert"}, {"name": "MAIL_PASSWORD", "value": password}],
                            "volumeMounts": [{"name": "tls", "mountPath": "/etc/mail-tls"}]}]}}]}))
    kubectl("wait", "-n", namespace, "--for=condition=Ready", "pod/mail", "--timeout=60s")
    return authority.certificate


def mail():
    """notifier.smtp with its Secrets, through a Postfix of another namespace, which networkPolicy.smtpTo alone opens."""
    release = RELEASE_STATE.need()
    chart_cluster.need_image(images.TAG, f"docker build -t {MAIL_IMAGE}:{images.TAG} tests/deploy/postfix, and load it", ("test-mail",))
    namespace, _ = foreign()
    password = secrets.token_urlsafe(24)
    authority = start_postfix(namespace, password)
    for name, key, value in (("smtp", "password", password), ("smtp-ca", "ca.crt", authority)):
        kubectl("create", "secret", "generic", name, f"--from-literal={key}={value}", "-n", release.namespace)
    smtp = {**MAIL_VALUES, "address": MAIL_VALUES["address"].format(namespace=namespace)}
    values = {"notifier": {"smtp": smtp},
              "networkPolicy": {"smtpTo": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                                            "podSelector": {"matchLabels": {"app": "mail"}}}]}}
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(values, file, ensure_ascii=False)
        file.flush()
        release.helm("upgrade", RELEASE, CHART, "-f", release.values, "-f", file.name, "--wait", "--timeout", "300s", timeout_s=360)
    chart_cluster.settled(release)
    host, port = smtp["address"].split(":")
    other = foreign()[1]
    reached = probe(release, release.pods("notifier")[0], [("mail", host, int(port)), ("listener", other, LISTENER[1])])
    expect_equal(reached, {("mail", int(port)): True, LISTENER: False}, "what the notifier's pod reaches of that namespace")

    def mails_of(local):
        done = subprocess.run(["kubectl", "exec", "-n", namespace, "mail", "--", "tar", "-C", "/var/mail/boxes", "-cf", "-", local], capture_output=True,
                              check=False)
        return mails.read(done.stdout) if done.returncode == 0 else []
    ada = mails.Reader(release.client(), release.secret(f"{NAME}-admin-key", "admin_key").decode(), mails_of)
    ada.create_destination()
    ada.verify_destination()
    ada.set_alert()
    subject = ada.trigger()
    mails.expect_alert(ada.await_mail(subject), ada.address, ada.destination, ada.SYMBOL, str(ada.price))
    expect_equal(mails_of("eve"), [], "mails to whom the note names")
    upgrade(release)


def stop():
    for namespace in NAMESPACES:
        kubernetes.remove_namespace(namespace)


CASES = [
    ("chart delivery: what the network lets the notifier reach", policy),
    ("chart delivery: the network holds where the guard lets", policy_holds_where_the_guard_lets),
    ("chart delivery: the guard holds where the network lets", guard_behind_the_policy),
    ("chart delivery: new keys as documented", new_keys),
    ("chart delivery: mail", mail),
    ("chart delivery: off", delivery_off),
]
STOP = stop
