"""A gateway whose configuration lies in a cluster: the Gateway resource, and a ConfigMap with the event sources."""

import json

import yaml

from harness import Gateway, program, wait_for

VERSION = "argoproj.io/v1alpha1"

# What a gateway-client needs to read its configuration, and no more.
READS_SOURCES = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["events"], "verbs": ["get", "list", "watch"]}
READS_GATEWAYS = {"apiGroups": ["argoproj.io"], "resources": ["gateways"], "resourceNames": ["shop"],
                  "verbs": ["get", "list", "watch"]}
RULES = [READS_SOURCES, READS_GATEWAYS]


class ClusterGateway(Gateway):
    """`sources` and `spec` as in Gateway; they are written to the ConfigMap `events` and the Gateway `shop` of `namespace`,
    and read through `account`."""

    def __init__(self, directory, namespace, account):
        super().__init__(directory)
        self.namespace, self.account = namespace, account
        self.label = f"configmap {namespace.name}/events"

    def write_sources(self, sources=None, text=None, name="events"):
        if sources is not None:
            self.sources = sources
        data = {key: value if isinstance(value, str) else yaml.safe_dump(value) for key, value in self.sources.items()}
        document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
        if self.namespace.get("ConfigMap", name) is None:
            return self.namespace.create(document)
        return self.namespace.cluster.request("PUT", self.namespace.cluster.path(document, self.namespace.name), document)

    def delete_sources(self, name="events"):
        return self.namespace.delete("ConfigMap", name)

    def write_spec(self, text=None):
        """Its spec as a whole: what is not given goes."""
        document = {"apiVersion": VERSION, "kind": "Gateway", "metadata": {"name": "shop"}, "spec": self.spec["spec"]}
        there = self.namespace.get("Gateway", "shop", VERSION)
        if there is None:
            return self.namespace.create(document)
        document["metadata"]["resourceVersion"] = there["metadata"]["resourceVersion"]
        return self.namespace.cluster.request("PUT", self.namespace.cluster.path(document, self.namespace.name), document)

    def delete_spec(self):
        return self.namespace.delete("Gateway", "shop", VERSION)

    def client(self, *flags, wait=True, gateway="gateway:shop", sources="configmap:events", environment=None):
        words = [*(["--gateway", gateway] if gateway else []), *(["--event-sources", sources] if sources else [])]
        if self.account is not None:
            words += ["--kubeconfig", self.account.kubeconfig]
        process = self.start("client", program("gateway-client"), "run", *words, "--state", self.state, "--admin", self.admin,
                             *flags, environment=environment)
        if wait:
            wait_for(lambda: self.get("/healthz")[0] == 200 or not process.running(), 10, "the client's admin address")
        return process

    # ---- looking ----

    def origin(self, role="eventSources"):
        status = self.status()
        return next((origin for origin in status["origins"] if origin["role"] == role), None) if status else None

    def wait_origin(self, state, *words, role="eventSources", seconds=30):
        """Until the origin is in this state, with these words in its message."""
        def found():
            origin = self.origin(role)
            return origin and origin["state"] == state and all(word in origin["message"] for word in words) and origin
        return wait_for(found, seconds, lambda: f"{role} to be {state} {words}: {json.dumps(self.origin(role))}")

    def wait_ready(self, *words, seconds=30):
        return wait_for(lambda: (answer := self.get("/readyz"))[0] == 200 and all(word in answer[1] for word in words) and answer,
                        seconds, lambda: f"readiness with {words}: {self.get('/readyz')}")

    def wait_unready(self, *words, seconds=30):
        return wait_for(lambda: (answer := self.get("/readyz"))[0] == 503 and all(word in answer[1] for word in words) and answer,
                        seconds, lambda: f"no readiness, because {words}: {self.get('/readyz')}")

    def reads(self):
        """How often the configuration was read so far."""
        return sum(self.metric("gateway_configuration_reads_total", result=result) or 0 for result in ("good", "bad"))
