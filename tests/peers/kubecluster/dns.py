#!/usr/bin/env python3
"""dns.py ADDRESS URL CA TOKEN_FILE: answers A queries for <service>.<namespace>.svc.cluster.local on ADDRESS:53 with the
Service's cluster IP, or its Pods' addresses when it has none, as the API server knows them now. It stands in for CoreDNS."""

import json
import pathlib
import socket
import ssl
import struct
import sys
import urllib.error
import urllib.request

ZONE = ("svc", "cluster", "local")
A, IN, NO_ERROR, NO_NAME = 1, 1, 0, 3
TTL_S = 5


class Services:
    def __init__(self, url, authority, token):
        self.url, self.token = url, token
        tls = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=authority))
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), tls)

    def get(self, path):
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {self.token}"})
        with self.opener.open(request, timeout=5) as answer:
            return json.load(answer)

    def addresses(self, labels):
        """Of a name; None when there is no such name."""
        if len(labels) != 5 or tuple(labels[2:]) != ZONE:
            return None
        name, namespace = labels[:2]
        try:
            cluster_ip = self.get(f"/api/v1/namespaces/{namespace}/services/{name}")["spec"].get("clusterIP")
            if cluster_ip not in (None, "", "None"):
                return [cluster_ip]
            subsets = self.get(f"/api/v1/namespaces/{namespace}/endpoints/{name}").get("subsets") or []
            return [address["ip"] for subset in subsets for address in subset.get("addresses") or []]
        except urllib.error.HTTPError:
            return None


def question_of(query):
    """(labels, type, the question's bytes)."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode("ascii", "replace").lower())
        at += 1 + query[at]
    kind, _ = struct.unpack_from("!HH", query, at + 1)
    return labels, kind, query[12:at + 5]


def reply_to(query, services):
    labels, kind, question = question_of(query)
    found = services.addresses(labels)
    addresses = found if found and kind == A else []
    head = struct.pack("!HHHHHH", struct.unpack_from("!H", query)[0], 0x8580 | (NO_NAME if found is None else NO_ERROR), 1,
                       len(addresses), 0, 0)
    answers = (struct.pack("!HHHIH", 0xC00C, A, IN, TTL_S, 4) + socket.inet_aton(address) for address in addresses)
    return head + question + b"".join(answers)


def main():
    address, url, authority, token_file = sys.argv[1:]
    services = Services(url, authority, pathlib.Path(token_file).read_text())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind((address, 53))
        while True:
            query, client = listener.recvfrom(4096)
            try:
                listener.sendto(reply_to(query, services), client)
            except (OSError, IndexError, struct.error) as fault:
                print(f"{client}: {fault}", flush=True)


if __name__ == "__main__":
    main()
