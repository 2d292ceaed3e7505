"""A gateway-server in Python: new entries of an RSS or Atom feed become events.

    python feed.py --listen 127.0.0.1:9350

It implements gateway.v1.Eventing, with acknowledgements and positions: an entry is told once, also when this process, the
gateway-client or both were down meanwhile, as long as the feed still lists it."""

import argparse
import asyncio
import hashlib
import json
import signal
import urllib.error
import urllib.request
import xml.etree.ElementTree
from email.utils import parsedate_to_datetime
from datetime import datetime

import grpc
import yaml
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from gateway.v1 import eventing_pb2 as pb
from gateway.v1 import eventing_pb2_grpc as rpc

ATOM = "{http://www.w3.org/2005/Atom}"
WINDOW = 256  # events that may wait for their acknowledgement
FEED_MAX = 8 << 20
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "url": {"type": "string", "description": "http:// or https:// address of the feed"},
        "every": {"type": "number", "minimum": 0.05, "default": 300, "description": "seconds between two looks"},
    },
    "required": ["url"],
    "additionalProperties": False,
}


# ---- the configuration ----

def problems_of(text):
    """(configuration, problems): every problem at once, each with its path, as the client shows them to people."""
    try:
        config = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as fault:
        mark = getattr(fault, "problem_mark", None)
        return None, [pb.Problem(line=mark.line + 1 if mark else 0, message=f"not YAML: {getattr(fault, 'problem', fault)}")]
    if not isinstance(config, dict):
        return None, [pb.Problem(message="expected a mapping with url")]
    problems = []
    for name in config:
        if name not in SCHEMA["properties"]:
            problems.append(pb.Problem(path=str(name), message="unknown: expected url or every"))
    url = config.get("url")
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        problems.append(pb.Problem(path="url", message="expected the http:// or https:// address of a feed"))
    every = config.get("every", 300)
    if isinstance(every, bool) or not isinstance(every, (int, float)) or every < 0.05:
        problems.append(pb.Problem(path="every", message="expected seconds, at least 0.05"))
    return config, problems


class Refused(Exception):
    """Ends a stream: its status, and words for people."""


# ---- the feed ----

def fetch(url, etag):
    """(document, its ETag), or (None, etag) when it has not changed."""
    request = urllib.request.Request(url, headers={"User-Agent": "gateway-server-feed", **({"If-None-Match": etag} if etag else {})})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            body = answer.read(FEED_MAX + 1)
            if len(body) > FEED_MAX:
                raise ValueError(f"the feed has more than {FEED_MAX} bytes")
            return body, answer.headers.get("ETag", "")
    except urllib.error.HTTPError as fault:
        if fault.code == 304:
            return None, etag
        raise


def entries_of(document):
    """The entries, oldest first: dictionaries of id, title, link, published (RFC 3339 or "")."""
    root = xml.etree.ElementTree.fromstring(document)
    entries = []
    for item in root.iter("item"):  # RSS 2.0
        link, published = item.findtext("link", ""), item.findtext("pubDate", "")
        entries.append({"id": item.findtext("guid") or link, "title": item.findtext("title", ""), "link": link,
                        "published": parsedate_to_datetime(published).isoformat() if published else ""})
    for entry in root.iter(f"{ATOM}entry"):  # RFC 4287
        link = entry.find(f"{ATOM}link")
        entries.append({"id": entry.findtext(f"{ATOM}id", ""), "title": entry.findtext(f"{ATOM}title", ""),
                        "link": link.get("href", "") if link is not None else "",
                        "published": entry.findtext(f"{ATOM}published") or entry.findtext(f"{ATOM}updated", "")})
    return entries[::-1]


def short(identity):
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def time_ns(text):
    try:
        return int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1_000_000_000)
    except ValueError:
        return 0


class Feed:
    """What a position must hold: which entries of the feed, as it was last read, have been told."""

    def __init__(self, config, position):
        self.url, self.every = config["url"], config.get("every", 300)
        try:
            self.told = set(json.loads(position)) if position else set()
        except (ValueError, TypeError) as fault:  # of another version, or of no version of ours
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, f"the position is not one of ours: {fault}") from None
        self.etag = ""

    def news(self, document):
        """Entries that were not told yet, each with the position behind it."""
        entries = entries_of(document)
        listed = {short(entry["id"]) for entry in entries}
        self.told &= listed  # what the feed dropped need not be remembered
        for entry in entries:
            if short(entry["id"]) not in self.told:
                self.told.add(short(entry["id"]))
                yield entry, json.dumps(sorted(self.told)).encode()


# ---- the contract ----

class Eventing(rpc.EventingServicer):
    async def Describe(self, request, context):
        return pb.Description(type="feed", version="1.0.0", summary="new entries of RSS and Atom feeds",
                              config_schema=json.dumps(SCHEMA))

    async def Validate(self, source, context):
        return pb.Validation(problems=problems_of(source.config)[1])

    def __init__(self):
        self.streams = {}  # by (gateway, namespace, name): a newer one replaces the older one

    async def Stream(self, requests, context):
        try:
            first = await anext(aiter(requests), None)
            if first is None or not first.HasField("start"):
                raise Refused(grpc.StatusCode.INVALID_ARGUMENT, "the first request must be start")
            source = first.start
            config, problems = problems_of(source.config)
            if problems:
                words = "; ".join(f"{problem.path}: {problem.message}" if problem.path else problem.message for problem in problems)
                raise Refused(grpc.StatusCode.INVALID_ARGUMENT, words)
            stream = Stream(context, Feed(config, source.position))
            await self.run(stream, (source.gateway, source.namespace, source.name), requests)
        except Refused as refusal:
            await context.abort(*refusal.args)

    async def run(self, stream, identity, requests):
        if identity in self.streams:
            self.streams[identity].set_exception(Refused(grpc.StatusCode.ABORTED, "replaced by a newer stream of the same event source"))
        replaced = self.streams[identity] = asyncio.get_running_loop().create_future()
        reader, teller = asyncio.create_task(stream.read(requests)), asyncio.create_task(stream.tell())
        try:  # the client's half-close, or its going away, ends the reader, and so the stream
            done, _ = await asyncio.wait([reader, teller, replaced], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            reader.cancel()
            teller.cancel()
            if self.streams.get(identity) is replaced:
                del self.streams[identity]


class Stream:
    """One event source."""

    def __init__(self, context, feed):
        self.context, self.feed = context, feed
        self.sequence = self.acknowledged = 0
        self.moved = asyncio.Condition()

    async def read(self, requests):
        async for request in requests:
            if request.HasField("start"):
                raise Refused(grpc.StatusCode.INVALID_ARGUMENT, "start was sent already")
            if request.acknowledged.sequence > self.sequence:
                raise Refused(grpc.StatusCode.INVALID_ARGUMENT, "an event is acknowledged that was not sent")
            async with self.moved:
                self.acknowledged = max(self.acknowledged, request.acknowledged.sequence)
                self.moved.notify_all()

    async def tell(self):
        started, warned = False, False
        while True:
            try:
                document, self.feed.etag = await asyncio.to_thread(fetch, self.feed.url, self.feed.etag)
                if not started:
                    await self.put(started=pb.Started())
                if warned:
                    await self.put(notice=pb.Notice(severity=pb.Notice.INFO, message=f"reading {self.feed.url}"))
                started, warned = True, False
                for entry, position in self.feed.news(document) if document else ():
                    await self.event(entry, position)
            except (OSError, ValueError, xml.etree.ElementTree.ParseError) as fault:
                self.feed.etag, warned = "", True
                words = f"{self.feed.url}: {fault}; next attempt in {self.feed.every} s"
                await self.put(notice=pb.Notice(severity=pb.Notice.WARNING, message=words))
            await asyncio.sleep(self.feed.every)

    async def event(self, entry, position):
        async with self.moved:  # the window is full: the feed waits
            await self.moved.wait_for(lambda: self.sequence - self.acknowledged < WINDOW)
        self.sequence += 1
        event = pb.Event(sequence=self.sequence, id=short(entry["id"]), time_ns=time_ns(entry["published"]), position=position,
                         type="example.feed.entry", data_content_type="application/json", data=json.dumps(entry).encode())
        await self.put(events=pb.Events(events=[event]))

    async def put(self, **response):
        await self.context.write(pb.StreamResponse(**response))


async def serve(address):
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    rpc.add_EventingServicer_to_server(Eventing(), server)
    checks = health.aio.HealthServicer()
    await checks.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    server.add_insecure_port(address)
    await server.start()
    print(f"listening on {address}", flush=True)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await ended.wait()
    await server.stop(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", default="127.0.0.1:9350")
    asyncio.run(serve(parser.parse_args().listen))
