"""What each service of an installed release may do, tried: with its role in the database, its certificate for Kafka, its certificate among the others."""

import re
import subprocess

import grpc
import stack
from cases import await_true
from kubernetes import ROOT, get, kubectl

ROLES = ("user", "ticker", "alert", "evaluator", "notifier")
# Of a call that does not come as far as the handler.
REFUSALS = ("CALLER_NOT_ALLOWED", "CERTIFICATE_NAMELESS", "CERTIFICATE_SHARED", "MESH_TOKEN_INVALID")
CALLERS = ("user", "ticker", "alert", "notifier", "fetcher")


def expect_roles(release):
    """Every service is connected as its own role, nobody as the owner of all, and no role gets into another's schema."""
    wanted = {f"stockalert_{service}" for service in ROLES}
    with release.database() as url:
        def connected():
            return {row[0] for row in stack.psql(url, "SELECT DISTINCT usename FROM pg_stat_activity WHERE datname = current_database() "
                                                      "AND backend_type = 'client backend' AND pid <> pg_backend_pid()")}
        # Pods of before may still be ending.
        await_true(f"connections of {sorted(wanted)} alone", lambda: connected() == wanted, 60, 1)
        pairs = [(role, schema) for role in sorted(wanted) for schema in sorted(wanted)]
        may = stack.psql(url, "SELECT " + ", ".join(f"has_schema_privilege('{role}', '{schema}', 'USAGE')" for role, schema in pairs))[0]
        above = stack.psql(url, "SELECT rolname FROM pg_roles WHERE rolname LIKE 'stockalert\\_%' AND (rolsuper OR rolcreaterole OR rolcreatedb)")
    wrong = [pair for pair, answer in zip(pairs, may) if (answer == "t") != (pair[0] == pair[1])]
    assert not wrong, f"rights on schemas are wrong: {wrong}"
    assert not above, f"roles with more than rights on a schema: {above}"


def expect_kafka(release, name):
    """Services come with a certificate; that of the user service, which writes its events and no more, does not read prices, and the audit's does."""
    plain = [service for service in (*CALLERS, "evaluator")
             if not get("configmap", f"{name}-{service}", "-n", release.namespace)["data"]["STOCKALERT_KAFKA_BOOTSTRAP"].endswith(":9094")]
    assert not plain, f"{plain} come to Kafka without a certificate"
    for key, may in (("user", False), ("audit", True)):
        done = subprocess.run([*release.in_operator(key), "stockalert-log"], capture_output=True, text=True, check=False, timeout=120)
        assert (done.returncode == 0) == may, f"the log, read with the certificate of {key}: exit {done.returncode}: {done.stderr[-500:]}"
        # Kafka shows a topic to nobody who may do nothing with it.
        assert may or "no topic prices" in done.stderr, f"refused for another reason: {done.stderr[-500:]}"


def expect_callers(release, name):
    """The user service's internal port: each service's certificate opens what the flow table says; without a certificate there is no connection."""
    text = (ROOT / "services" / "common" / "grpc" / "flow_table.cc").read_text(encoding="utf-8")
    table = {method: set(re.findall(r'"([a-z]+)"', names)) for method, names in
             re.findall(r'\{"stockalert\.internal\.v1\.(UserInternalService/[A-Za-z]+)", \{([^}]*)\}', text)}
    assert len(table) >= 3, f"the flow table has {len(table)} rows only"
    authority = release.secret(f"{name}-user-internal-tls", "ca.crt")
    metadata = (("x-stockalert-mesh-token", release.secret(f"{name}-mesh-token", "mesh_token").decode()),)

    def answer(port, credentials, method):
        options = [("grpc.ssl_target_name_override", f"{name}-user-internal"), ("grpc.use_local_subchannel_pool", 1)]
        with grpc.secure_channel(f"127.0.0.1:{port}", credentials, options) as channel:
            try:
                channel.unary_unary(f"/stockalert.internal.v1.{method}")(b"", timeout=20, metadata=metadata)
                return "OK"
            except grpc.RpcError as error:
                details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
                return next((reason for reason in REFUSALS if reason.encode() in details), error.code().name)
    problems = []
    with release.forward(f"service/{name}-user-internal", 52051) as port:
        got = answer(port, grpc.ssl_channel_credentials(authority), next(iter(table)))
        assert got == "UNAVAILABLE", f"a call without a certificate: {got}"
        for caller in CALLERS:
            certificate, key = (release.secret(f"{name}-{caller}-internal-tls", part) for part in ("tls.crt", "tls.key"))
            for method, permitted in table.items():
                got = answer(port, grpc.ssl_channel_credentials(authority, key, certificate), method)
                # An empty request is an error, but one of the handler's.
                if got in (*REFUSALS, "UNAVAILABLE", "UNIMPLEMENTED") if caller in permitted else got != "CALLER_NOT_ALLOWED":
                    problems.append(f"{caller} calls {method}: {got}")
    assert not problems, "\n".join(problems)


def expect_edge(release, name, public):
    """The Services of the public ports lead to the edge, whose pods are ready."""
    for service in public:
        selector = get("service", f"{name}-{service}", "-n", release.namespace)["spec"]["selector"]
        assert selector["app.kubernetes.io/component"] == "edge", f"the Service of {service} leads to {selector}"
    kubectl("rollout", "status", f"deployment/{name}-edge", "-n", release.namespace, "--timeout=60s")


def expect_all(release, name, public):
    expect_edge(release, name, public)
    expect_roles(release)
    expect_kafka(release, name)
    expect_callers(release, name)
