"""Checks one rendered overlay of k8s/: schemas, references, who may reach whom, the sums. Called by Tests/k8s."""

import argparse
import ipaddress
import sys

import kubernetes_validate
import yaml

# Kinds that Kubernetes itself does not have; their operators check them when they are applied.
CUSTOM = {
    ("postgresql.cnpg.io/v1", "Cluster"), ("postgresql.cnpg.io/v1", "ScheduledBackup"), ("barmancloud.cnpg.io/v1", "ObjectStore"),
    ("gateway.networking.k8s.io/v1", "Gateway"), ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    ("gateway.envoyproxy.io/v1alpha1", "BackendTrafficPolicy"),
}
NAMESPACES = {"dev": "martlet-dev", "production": "martlet"}
# Secrets that neither the overlay nor make-secrets makes, with their keys.
MADE_BY_OTHERS = {
    "martlet-postgres-superuser": {"username", "password"}, "martlet-postgres-ca": {"ca.crt", "ca.key"},
    "martlet-backup": {"access-key-id", "secret-access-key"}, "martlet-tls": {"tls.crt", "tls.key"},
}
SERVICES = {"identity": 8101, "tenant": 8102, "crm": 8103, "activity": 8104, "support": 8105}
# Postgres connections of one service process at most: for requests 8 + 4 bulk, for background work 1 + 4 (Shared/Postgres), and one for each kind
# of records of other services beyond the first that it follows.
CONNECTIONS_PER_POD = {name: 8 + 4 + 1 + 4 for name in SERVICES}
CONNECTIONS_PER_POD["crm"] += 1
JOBS = 6
# Kept for superusers, and CloudNativePG's own.
OTHER_CONNECTIONS = 3 + 10


def expected(overlay):
    """Who may reach what, as (from, to, port): everything else must be closed."""
    ways = {("gateway", service, port) for service, port in SERVICES.items()}
    ways |= {(service, "activity", 8104) for service in SERVICES}
    ways |= {(service, "tenant", 8102) for service in ("identity", "crm", "support")}
    ways |= {("crm", "support", 8105)}
    ways |= {(caller, "redis", 6379) for caller in ("gateway", *SERVICES, "redis")}
    ways |= {(caller, "postgres", 5432) for caller in (*SERVICES, *(f"{name}-migrate" for name in SERVICES), "database-roles")}
    ways |= {("(entrance)", "gateway", 8080), ("(metrics)", "gateway", 8180)}
    ways |= {("(metrics)", service, port + 100) for service, port in SERVICES.items()}
    pods = ("gateway", *SERVICES, "redis", "postgres", *(f"{name}-migrate" for name in SERVICES), "database-roles")
    ways |= {(pod, to, 53) for pod in pods for to in ("(dns)", "(dns on the node)")}
    if overlay == "production":
        ways |= {("postgres", "postgres", 5432), ("postgres", "postgres", 8000), ("(metrics)", "postgres", 9187)}
        ways |= {("(cnpg operator)", "postgres", 5432), ("(cnpg operator)", "postgres", 8000)}
        ways |= {("postgres", place, port) for place in ("(internet)", "(api server)") for port in (443, 6443)}
    return ways


def pod_template(document):
    return document["spec"]["template"] if document["kind"] in ("Deployment", "StatefulSet", "Job") else None


def selects(selector, labels):
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for rule in selector.get("matchExpressions", []):
        if rule["operator"] != "In":
            sys.exit(f"check.py does not know the operator {rule['operator']}")
        if labels.get(rule["key"]) not in rule["values"]:
            return False
    return True


class Place:
    """A pod, or something outside: with its namespace's labels, its own and its ports by name, or with an address."""

    def __init__(self, name, namespace=None, labels=None, ports=None, address=None):
        self.name, self.namespace, self.labels, self.ports, self.address = name, namespace, labels or {}, ports or {}, address

    def matches(self, peer, home):
        if "ipBlock" in peer:
            if not self.address:
                # Policies are for addresses outside the cluster; some network plugins take pods' addresses too.
                return False
            address = ipaddress.ip_address(self.address)
            return address in ipaddress.ip_network(peer["ipBlock"]["cidr"]) and not any(
                address in ipaddress.ip_network(exception) for exception in peer["ipBlock"].get("except", []))
        if self.namespace is None:
            return False
        if "namespaceSelector" in peer:
            in_namespace = selects(peer["namespaceSelector"], self.namespace)
        else:
            in_namespace = self.namespace["kubernetes.io/metadata.name"] == home
        return in_namespace and selects(peer.get("podSelector", {}), self.labels)


def rule_allows(rule, side, other, target, port, home):
    """Whether a rule of a policy opens a port of the target; a rule may say the port by the name that the target gives it."""
    ports = rule.get("ports")
    if ports:
        opened = [(target.ports.get(entry["port"], entry["port"]), entry.get("endPort")) for entry in ports]
        if not any(first == port or (last and first <= port <= last) for first, last in opened):
            return False
    peers = rule.get(side)
    return not peers or any(other.matches(peer, home) for peer in peers)


def reachable(documents, home):
    """Every way that the policies leave open between our pods, and between them and the places an attacker may sit."""
    policies = [document["spec"] for document in documents if document["kind"] == "NetworkPolicy"]
    inside, ports = [], {22, 53, 80, 443, 6443, 9187, 8000, 5432, 6379, 8080, 8180}
    ports |= {port + more for port in SERVICES.values() for more in (0, 100)}
    namespace = {"kubernetes.io/metadata.name": home}
    for document in documents:
        if template := pod_template(document):
            names = {entry["name"]: entry["containerPort"] for entry in template["spec"]["containers"][0].get("ports", [])}
            inside.append(Place(document["metadata"]["name"].removeprefix("martlet-"), namespace, template["metadata"]["labels"], names))
        elif document["kind"] == "Cluster":
            labels = {**document["spec"]["inheritedMetadata"]["labels"], "cnpg.io/cluster": document["metadata"]["name"]}
            inside.append(Place("postgres", namespace, labels))

    def other(name, **labels):
        return {"kubernetes.io/metadata.name": name, **{key.replace("_", "/"): value for key, value in labels.items()}}

    outside = [
        Place("(entrance)", other("edge", martlet_access="entrance")),
        Place("(metrics)", other("monitoring", martlet_access="metrics")),
        Place("(cnpg operator)", other("cnpg-system"), {"app.kubernetes.io/name": "cloudnative-pg"}),
        Place("(dns)", other("kube-system"), {"k8s-app": "kube-dns"}),
        # A foreign pod that takes our labels gains nothing by it.
        Place("(a foreign pod)", other("elsewhere"), {"app.kubernetes.io/name": "martlet-gateway", "martlet/store": "postgres",
                                                      "app.kubernetes.io/component": "service"}),
        Place("(another of kube-system)", other("kube-system")),
        # A pod of our namespace with no label that a policy names.
        Place("(a stray pod of ours)", namespace),
        Place("(dns on the node)", address="169.254.20.10"),
        Place("(cloud metadata)", address="169.254.169.254"),
        Place("(internet)", address="203.0.113.7"),
        Place("(api server)", address="192.0.2.1"),
    ]
    everyone = inside + outside

    def allows(place, side, kind, peer, target, port):
        if place.namespace is not namespace:
            return True
        mine = [policy for policy in policies if selects(policy["podSelector"], place.labels) and kind in policy["policyTypes"]]
        # A pod that no policy selects is open: this is what deny-all is for.
        return not mine or any(
            rule_allows(rule, side, peer, target, port, home) for policy in mine for rule in policy.get(kind.lower(), []))

    return {
        (source.name, target.name, port) for source in everyone for target in everyone for port in ports
        if source.namespace is namespace or target.namespace is namespace
        if allows(source, "to", "Egress", target, target, port) and allows(target, "from", "Ingress", source, target, port)
        # A stray pod has DNS, as every pod has.
        if not (source.name == "(a stray pod of ours)" and port == 53)
    }


def references(node):
    """(kind, name, keys) of each ConfigMap and Secret that a pod or a custom resource names."""
    if isinstance(node, list):
        for item in node:
            yield from references(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            kind = {"configMap": "ConfigMap", "configMapRef": "ConfigMap", "configMapKeyRef": "ConfigMap", "secret": "Secret",
                    "secretRef": "Secret", "secretKeyRef": "Secret", "accessKeyId": "Secret", "secretAccessKey": "Secret"}.get(key)
            if kind and isinstance(value, dict):
                name = value.get("name") or value.get("secretName")
                keys = [item["key"] for item in value.get("items", [])] + ([value["key"]] if "key" in value else [])
                yield kind, name, keys, value.get("optional", False)
            elif key == "certificateRefs":
                for reference in value:
                    yield "Secret", reference["name"], [], False
            else:
                yield from references(value)


def check_schemas(documents, versions, faults):
    skipped = sorted({f"{document['apiVersion']} {document['kind']}" for document in documents
                      if (document["apiVersion"], document["kind"]) in CUSTOM})
    own = [document for document in documents if (document["apiVersion"], document["kind"]) not in CUSTOM]
    for version in versions:
        for document in own:
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except Exception as error:  # Whatever it is, the manifest was not accepted.
                message = getattr(error, "message", None) or str(error)
                faults.append(f"Kubernetes {version}: {document['kind']} {document['metadata']['name']}: {message[:300]}")
    print(f"  {len(own)} manifests against Kubernetes {', '.join(versions)}")
    if skipped:
        print(f"  no schema in Kubernetes, so not checked: {', '.join(skipped)}")


def check_references(documents, secrets, faults):
    there = {("Secret", name): keys for name, keys in MADE_BY_OTHERS.items()}
    for document in documents + secrets:
        if document["kind"] in ("Secret", "ConfigMap"):
            there[(document["kind"], document["metadata"]["name"])] = {*document.get("data", {}), *document.get("stringData", {})}
    named = 0
    for document in documents:
        for kind, name, keys, _ in references(document):
            named += 1
            if (kind, name) not in there:
                faults.append(f"{document['kind']} {document['metadata']['name']} names the {kind} {name}, which nobody makes")
            elif missing := set(keys) - there[(kind, name)]:
                faults.append(f"{document['kind']} {document['metadata']['name']}: {kind} {name} has no key {', '.join(sorted(missing))}")
    print(f"  {named} references to ConfigMaps and Secrets")


def check_who_knows_what(documents, faults):
    """The password that may change the schema is for the Jobs, the superuser's for the one that makes the roles, context keys for the process whose they are."""
    for document in documents:
        if not pod_template(document):
            continue
        name = document["metadata"]["name"]
        keys = {(secret, key) for kind, secret, keys, _ in references(document) if kind == "Secret" for key in keys}
        if document["kind"] != "Job" and any(key == "owner-password" for _, key in keys):
            faults.append(f"{name} knows the password of a schema's owner")
        may_know_superuser = ("martlet-database-roles", "martlet-postgres")
        if name not in may_know_superuser and any(secret == "martlet-postgres-superuser" for secret, _ in keys):
            faults.append(f"{name} knows the superuser's password")
        service = name.removeprefix("martlet-").removesuffix("-migrate")
        if service in SERVICES:
            for secret, _ in keys:
                if secret.endswith("-postgres") and secret != f"martlet-{service}-postgres":
                    faults.append(f"{name} knows {secret}")
        process = name.removeprefix("martlet-") if document["kind"] != "Job" else None
        for secret, _ in keys:
            if secret.startswith("martlet-context-") and secret != f"martlet-context-{process}":
                faults.append(f"{name} knows {secret}")
        if ("martlet-postgres-ca", "ca.key") in keys:
            faults.append(f"{name} knows the key of the certificate authority")


def check_sums(documents, faults):
    """The arithmetic of the comments: connections, time to stop, and the gateways' shares."""
    by = {(document["kind"], document["metadata"]["name"]): document for document in documents}
    greatest = {name: by["HorizontalPodAutoscaler", f"martlet-{name}"]["spec"]["maxReplicas"] for name in ("gateway", *SERVICES)}
    pods = {name: greatest[name] + by["Deployment", f"martlet-{name}"]["spec"]["strategy"]["rollingUpdate"]["maxSurge"] for name in SERVICES}
    needed = sum(pods[name] * CONNECTIONS_PER_POD[name] for name in SERVICES) + JOBS + OTHER_CONNECTIONS
    if cluster := by.get(("Cluster", "martlet-postgres")):
        given = int(cluster["spec"]["postgresql"]["parameters"]["max_connections"])
    else:
        arguments = by["StatefulSet", "martlet-postgres"]["spec"]["template"]["spec"]["containers"][0]["args"]
        given = int(next(argument for argument in arguments if argument.startswith("max_connections=")).split("=")[1])
    if needed > given:
        faults.append(f"{sum(pods.values())} pods may need {needed} connections to Postgres, and it has {given}")
    settings = next(document["data"] for document in documents
                    if document["kind"] == "ConfigMap" and document["metadata"]["name"].startswith("martlet-settings"))
    stop = int(settings["MARTLET_DRAIN_SECONDS"]) + int(settings["MARTLET_GRACE_SECONDS"])
    for name in ("gateway", *SERVICES):
        spec = by["Deployment", f"martlet-{name}"]["spec"]["template"]["spec"]
        if spec["terminationGracePeriodSeconds"] <= stop:
            faults.append(f"{name} needs {stop} s to stop and is given {spec['terminationGracePeriodSeconds']}")
    environment = {entry["name"]: entry.get("value") for entry in
                   by["Deployment", "martlet-gateway"]["spec"]["template"]["spec"]["containers"][0]["env"]}
    if int(environment["MARTLET_LOCAL_SHARE_PERCENT"]) * greatest["gateway"] > 100:
        faults.append("while Redis is away, all gateways together admit more than the limit")
    print(f"  connections to Postgres: {needed} at most, of {given}; {stop} s to stop")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--show-network", action="store_true")
    parser.add_argument("--secrets", required=True)
    parser.add_argument("overlay")
    parser.add_argument("rendered")
    parser.add_argument("versions", nargs="+")
    options = parser.parse_args()
    with open(options.rendered) as file:
        documents = [document for document in yaml.safe_load_all(file) if document]
    secrets = []
    # The dev overlay brings its own; what make-secrets makes must not hide one that it lacks.
    if options.overlay != "dev":
        with open(options.secrets) as file:
            secrets = [document for document in yaml.safe_load_all(file) if document]
    faults = []
    print(f"{options.overlay}:")
    home = NAMESPACES[options.overlay]
    for document in documents:
        found = document["metadata"]["name"] if document["kind"] == "Namespace" else document["metadata"].get("namespace")
        if found != home:
            faults.append(f"{document['kind']} {document['metadata']['name']} is in the namespace {found}")
    check_schemas(documents, options.versions, faults)
    check_references(documents, secrets, faults)
    check_who_knows_what(documents, faults)
    check_sums(documents, faults)
    open_ways, wanted = reachable(documents, home), expected(options.overlay)
    faults += [f"open and must not be: {source} to {target}, port {port}" for source, target, port in sorted(open_ways - wanted)]
    faults += [f"closed and needed: {source} to {target}, port {port}" for source, target, port in sorted(wanted - open_ways)]
    print(f"  {len(open_ways)} ways are open, {len(wanted)} are wanted")
    if options.show_network:
        for source, target, port in sorted(open_ways):
            print(f"    {source:20} -> {target:20} {port}")
    for fault in faults:
        print(f"  FAULT {fault}", file=sys.stderr)
    sys.exit(1 if faults else 0)


main()
