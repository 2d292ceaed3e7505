"""A gateway-server in Python that keeps every rule of gateway.v1.Eventing, and many that break exactly one each.

Reference is the good one: it counts. A bad one overrides one of its methods; FAULTS names them by the rule they break."""

import contextlib
import json
import threading
import time

import grpc
import yaml

from harness import PATIENCE

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "count", "type": "object",
    "properties": {"step": {"type": "integer"}, "unit": {"type": "string", "enum": ["piece", "pair"]}},
    "required": ["step"], "additionalProperties": False,
}
CONFIG = "step: 1\nunit: piece\n"


class End(Exception):
    """Ends a stream: (code, words); code None is OK."""


class Session:
    """One stream. What its reader thread learns, its generator finds here."""

    def __init__(self, name, context):
        self.name, self.context, self.changed = name, context, threading.Condition()
        self.sent = self.acknowledged = 0
        self.end = None
        self.lost = False  # ended by a cancel

    def finish(self, code, words=""):
        with self.changed:
            self.end = self.end or (code, words)
            self.changed.notify_all()


class Reference:
    """The good one."""

    type, version, schema = "count", "1.0", json.dumps(SCHEMA)
    window, batch, pace = 200, 20, 0.01
    workers = 150
    also = set()  # rules that are warned about beside the one that is broken

    def __init__(self, pb):
        self.pb, self.v1 = pb, pb.v1
        self.sessions, self.lock, self.closed = {}, threading.Lock(), threading.Event()

    # ---- what it says ----

    def describe(self):
        return self.v1.Description(type=self.type, version=self.version, config_schema=self.schema, summary="It counts.")

    def problem(self, path, message):
        return self.v1.Problem(path=path, message=message)

    def problems(self, text):
        try:
            config = yaml.safe_load(text)
        except yaml.YAMLError as fault:
            return [self.problem("", f"not YAML: {fault}")]
        if not isinstance(config, dict):
            return [self.problem("", "expected a mapping")]
        found = []
        if not isinstance(config.get("step"), int):
            found.append(self.problem("step", "expected a whole number"))
        if config.get("unit", "piece") not in ("piece", "pair"):
            found.append(self.problem("unit", "expected piece or pair"))
        return found + self.unknown(config)

    def unknown(self, config):
        return [self.problem(name, f'unknown field "{name}"') for name in config if name not in ("step", "unit")]

    def validate(self, request):
        return self.v1.Validation(problems=self.problems(request.config))

    # ---- a stream ----

    def identity(self, start):
        return start.gateway, start.namespace, start.name

    def first(self, requests):
        try:
            request = next(requests)
        except StopIteration:
            raise End(None, "") from None
        if not request.HasField("start"):
            raise End(grpc.StatusCode.INVALID_ARGUMENT, "the first request of a stream is start")
        return request.start

    def refuse(self, problems):
        raise End(grpc.StatusCode.INVALID_ARGUMENT, "; ".join(problem.message for problem in problems))

    def replace(self, start, session):
        with self.lock:
            older = self.sessions.get(self.identity(start))
            self.sessions[self.identity(start)] = session
        if older:
            older.finish(grpc.StatusCode.ABORTED, "replaced by a newer stream")

    def read(self, requests, session):
        """In a thread of its own, until the client half-closes."""
        with contextlib.suppress(grpc.RpcError):
            for request in requests:
                self.take(request, session)
            self.withdrawn(session)

    def take(self, request, session):
        kind = request.WhichOneof("request")
        if kind == "start":
            session.finish(grpc.StatusCode.INVALID_ARGUMENT, "a stream is started once")
        elif kind == "acknowledged":
            self.acknowledge(session, request.acknowledged.sequence)

    def acknowledge(self, session, sequence):
        with session.changed:
            beyond = sequence > session.sent
            session.acknowledged = max(session.acknowledged, sequence)
            session.changed.notify_all()
        if beyond:
            session.finish(grpc.StatusCode.INVALID_ARGUMENT, "acknowledged an event that was never sent")

    def withdrawn(self, session):
        session.finish(None)

    def cancelled(self, session):
        session.finish(grpc.StatusCode.CANCELLED, "cancelled")

    def resume(self, position):
        """(number to begin behind, words of a notice)"""
        try:
            return int(position or b"0"), None
        except ValueError:
            return 0, "the position is not a number: counting begins anew"

    def beginning(self):
        yield self.v1.StreamResponse(started=self.v1.Started())

    def notice(self, words):
        return self.v1.StreamResponse(notice=self.v1.Notice(severity=self.v1.Notice.WARNING, message=words))

    def sequence(self, session):
        return session.sent

    def event(self, session, number):
        return self.v1.Event(
            sequence=self.sequence(session), id=f"n{number}", time_ns=time.time_ns(), type="count", subject=session.name,
            data_content_type="application/json", data=json.dumps({"n": number}).encode(), position=str(number).encode(),
            extensions=[self.v1.Extension(name="odd", value="true" if number % 2 else "false", kind=self.v1.Extension.BOOLEAN)])

    def room(self, session):
        return session.sent - session.acknowledged < self.window

    def produce(self, session, number):
        while True:
            with session.changed:
                session.changed.wait_for(lambda: session.end or self.room(session))
                if session.end:
                    raise End(*session.end)
            batch = []
            while len(batch) < self.batch and self.room(session):
                number += 1
                session.sent += 1
                batch.append(self.event(session, number))
            yield self.v1.StreamResponse(events=self.v1.Events(events=batch))
            # a hundred streams beside each other need no more than to run: Python is slow, and the machine busy
            time.sleep(self.pace if session.name == "check-server" else 0.3)

    def run(self, requests, context):
        start = self.first(requests)
        problems = self.problems(start.config)
        if problems:
            self.refuse(problems)
        session = Session(start.name, context)
        self.replace(start, session)
        context.add_callback(lambda: self.cancelled(session))
        number, words = self.resume(start.position)
        threading.Thread(target=self.read, args=(requests, session), daemon=True).start()
        if words is not None:
            yield self.notice(words)
        yield from self.beginning()
        yield from self.produce(session, number)

    def stream(self, requests, context):
        try:
            yield from self.run(requests, context)
        except End as end:
            code, words = end.args
            if code is not None and context.is_active():
                context.abort(code, words)

    # ---- health ----

    def check(self, service, context):
        if service not in ("", "gateway.v1.Eventing"):
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return self.serving()

    def watch(self, context):
        yield self.serving()
        hold(context)

    def serving(self):
        return self.pb.health.HealthCheckResponse(status=self.pb.health.HealthCheckResponse.SERVING)

    def add_health(self, server):
        reference, health = self, self.pb.health

        class Health(health.HealthServicer):
            def Check(self, request, context):
                return reference.check(request.service, context)

            def Watch(self, request, context):
                yield from reference.watch(context)

        health.add_HealthServicer_to_server(Health(), server)

    # ---- gRPC ----

    def add(self, server):
        reference, v1 = self, self.v1

        class Eventing(v1.EventingServicer):
            def Describe(self, request, context):
                return reference.describe()

            def Validate(self, request, context):
                return reference.validate(request)

            def Stream(self, requests, context):
                yield from reference.stream(requests, context)

        v1.add_EventingServicer_to_server(Eventing(), server)
        self.add_health(server)


def hold(context):
    ended = threading.Event()
    if context.add_callback(ended.set):
        ended.wait()


# ---- the bad ones ----

FAULTS = {}    # name -> (rule, class): failures
WARNINGS = {}  # the same, for what SHOULD be otherwise


def breaks(rule, table=FAULTS):
    def enter(cls):
        table[cls.__name__] = (rule, cls)
        return cls
    return enter


@breaks("R1")
class UnknownMethodsHang(Reference):
    def add(self, server):
        super().add(server)

        class Anything(grpc.GenericRpcHandler):
            def service(self, details):
                return grpc.unary_unary_rpc_method_handler(lambda request, context: hold(context) or b"")

        server.add_generic_rpc_handlers((Anything(),))


@breaks("R2")
class DescribeHangs(Reference):
    def describe(self):
        self.closed.wait(60)
        return super().describe()


@breaks("R3")
class WatchIsSilent(Reference):
    def watch(self, context):
        hold(context)
        yield from ()


@breaks("R3")
class EveryServiceIsHealthy(Reference):
    def check(self, service, context):
        return self.serving()


@breaks("R3", WARNINGS)
class NoHealth(Reference):
    def add_health(self, server):
        pass


@breaks("R4")
class TypeHasADot(Reference):
    type = "count.by.one"


@breaks("R4", WARNINGS)
class NoVersion(Reference):
    version = ""


@breaks("R5")
class SchemaIsNoJson(Reference):
    schema = "type: object"


@breaks("R5")
class SchemaIsOfAList(Reference):
    schema = '{"type": "array"}'


@breaks("R5", WARNINGS)
class NoSchema(Reference):
    schema = ""


@breaks("R6")
class WhatRunsIsInUse(Reference):
    def validate(self, request):
        with self.lock:
            running = any(session.end is None for session in self.sessions.values())
        taken = [self.problem("", "somebody counts already")] if running else []
        return self.v1.Validation(problems=self.problems(request.config) + taken)


@breaks("R7")
class BadConfigsAreErrors(Reference):
    def validate(self, request):
        yaml.safe_load(request.config)  # which raises
        return super().validate(request)


@breaks("R7")
class WrongTypesPass(Reference):
    def validate(self, request):
        return self.v1.Validation(problems=[row for row in self.problems(request.config) if row.path != "step"])


@breaks("R8")
class UnknownFieldsPass(Reference):
    def unknown(self, config):
        return []


@breaks("R8", WARNINGS)
class UnknownFieldsPassInAnOpenSchema(Reference):
    schema = json.dumps({**SCHEMA, "additionalProperties": True})

    def unknown(self, config):
        return []


@breaks("R9")
class ProblemsWithoutWords(Reference):
    def validate(self, request):
        return self.v1.Validation(problems=[self.v1.Problem(path=row.path) for row in self.problems(request.config)])


@breaks("R9", WARNINGS)
class ProblemsWithoutPlaces(Reference):
    def validate(self, request):
        return self.v1.Validation(problems=[self.v1.Problem(message="it is wrong")] * bool(self.problems(request.config)))


@breaks("R10")
class NeverStarted(Reference):
    def beginning(self):
        yield from ()


@breaks("R10")
class StartedTwice(Reference):
    def beginning(self):
        yield from super().beginning()
        yield from super().beginning()


@breaks("R11")
class BadConfigsAreUnavailable(Reference):
    def refuse(self, problems):
        raise End(grpc.StatusCode.UNAVAILABLE, problems[0].message)


@breaks("R11")
class BadConfigsRun(Reference):
    def refuse(self, problems):
        pass


@breaks("R12")
class AnythingStarts(Reference):
    def first(self, requests):
        request = next(requests, None)
        if request is None:
            raise End(None, "")
        return request.start if request.HasField("start") else self.v1.EventSource(name="x", config=CONFIG.encode())


@breaks("R12")
class StartsAgain(Reference):
    def take(self, request, session):
        if request.HasField("acknowledged"):
            self.acknowledge(session, request.acknowledged.sequence)


@breaks("R12", WARNINGS)
class OddStartsAreUnknown(Reference):
    def first(self, requests):
        try:
            return super().first(requests)
        except End as end:
            raise End(end.args[0] and grpc.StatusCode.UNKNOWN, "what?") from None


@breaks("R13")
class UnknownRequestsEndIt(Reference):
    def take(self, request, session):
        if request.WhichOneof("request") is None:
            session.finish(grpc.StatusCode.INVALID_ARGUMENT, "what?")
        else:
            super().take(request, session)


@breaks("R14")
class LeavesAGap(Reference):
    def sequence(self, session):
        return session.sent + (session.sent > 30)

    def acknowledge(self, session, sequence):
        super().acknowledge(session, sequence - (sequence > 30))


@breaks("R14")
class CountsFromZero(Reference):
    def sequence(self, session):
        return session.sent - 1


@breaks("R15")
class SendsFiveMegabytes(Reference):
    def event(self, session, number):
        event = super().event(session, number)
        if session.sent == 1 and session.name == "check-server":
            event.data = json.dumps("x" * (5 << 20)).encode()
        return event


@breaks("R15", WARNINGS)
class SendsLargeBatches(Reference):
    def event(self, session, number):
        event = super().event(session, number)
        if session.sent <= self.batch and session.name == "check-server":
            event.data = json.dumps("x" * 150_000).encode()
        return event


@breaks("R16")
class ExtensionsWithCapitals(Reference):
    def event(self, session, number):
        event = super().event(session, number)
        event.extensions.add(name="X-Odd", value="1")
        return event


@breaks("R16")
class IdsWithLineBreaks(Reference):
    def event(self, session, number):
        event = super().event(session, number)
        event.id += "\n"
        return event


@breaks("R16")
class ContentTypesThatAreNone(Reference):
    def event(self, session, number):
        event = super().event(session, number)
        event.data_content_type = "JSON"
        return event


@breaks("R16")
class BooleansThatAreNone(Reference):
    def event(self, session, number):
        event = super().event(session, number)
        event.extensions[0].value = "yes"
        return event


@breaks("R17")
class TimesInMilliseconds(Reference):
    def event(self, session, number):
        event = super().event(session, number)
        event.time_ns //= 1_000_000
        return event


@breaks("R18")
class JsonThatIsNone(Reference):
    def event(self, session, number):
        event = super().event(session, number)
        event.data = b"{'n': 1}"
        return event


@breaks("R19")
class OneIdForAll(Reference):
    def event(self, session, number):
        event = super().event(session, number)
        event.id = "n"
        event.position = b""
        return event


@breaks("R20", WARNINGS)
class NoIds(Reference):
    def event(self, session, number):
        event = super().event(session, number)
        event.id = ""
        return event


@breaks("R21")
class NoWindow(Reference):
    batch = 400

    def room(self, session):
        return session.name == "check-server" or super().room(session)  # a hundred floods at once would be another fault


@breaks("R22")
class StaysPaused(Reference):
    pace = 0.02

    def acknowledge(self, session, sequence):
        if self.room(session):
            super().acknowledge(session, sequence)


@breaks("R23")
class RepeatedAcknowledgementsEndIt(Reference):
    def acknowledge(self, session, sequence):
        if sequence <= session.acknowledged:
            session.finish(grpc.StatusCode.INVALID_ARGUMENT, "acknowledged before")
        super().acknowledge(session, sequence)


@breaks("R23", WARNINGS)
class AcknowledgementsFromTheFuture(Reference):
    def acknowledge(self, session, sequence):
        super().acknowledge(session, min(sequence, session.sent))


@breaks("R24", WARNINGS)
class RepeatsThePosition(Reference):
    def resume(self, position):
        number, words = super().resume(position)
        return max(number - 1, 0), words


@breaks("R24", WARNINGS)
class BeginsAnew(Reference):
    def resume(self, position):
        return 0, super().resume(position)[1]


@breaks("R24")
class BeginsAnewWithoutIds(BeginsAnew):
    also = {"R20"}

    def event(self, session, number):
        event = super().event(session, number)
        event.id = ""
        return event


@breaks("R24")
class SkipsOne(Reference):
    def resume(self, position):
        number, words = super().resume(position)
        return number + bool(position), words


@breaks("R25")
class ForeignPositionsAreIgnored(Reference):
    def resume(self, position):
        return super().resume(position)[0], None


@breaks("R25")
class ForeignPositionsHang(Reference):
    def resume(self, position):
        number, words = super().resume(position)
        if words:
            self.closed.wait(60)
        return number, None


@breaks("R26")
class GoesOnAfterHalfClose(Reference):
    def withdrawn(self, session):
        pass


@breaks("R26")
class HalfCloseIsAnError(Reference):
    def withdrawn(self, session):
        session.finish(grpc.StatusCode.CANCELLED, "the client went away")


@breaks("R26")
class SlowToWithdraw(Reference):
    def withdrawn(self, session):
        self.closed.wait(2.5)
        super().withdrawn(session)


@breaks("R27")
class BusyAfterACancel(Reference):
    """It takes the lost connection for a holiday."""

    def withdrawn(self, session):
        # of a cancel, too, grpcio may tell that the requests end before it tells that the call is over
        until = time.monotonic() + 0.7
        while session.context.is_active():
            if time.monotonic() > until:
                super().withdrawn(session)
                return
            time.sleep(0.02)

    def cancelled(self, session):
        session.lost = session.end is None
        super().cancelled(session)

    def replace(self, start, session):
        with self.lock:
            older = self.sessions.get(self.identity(start))
        if older:
            with older.changed:  # grpcio tells of a cancel in a thread of its own, which may come after this one
                older.changed.wait_for(lambda: older.end, PATIENCE)
            if older.lost:
                older.lost = False  # the next one finds it cleaned up
                raise End(grpc.StatusCode.UNAVAILABLE, "it has not been cleaned up yet")
        super().replace(start, session)


@breaks("R28")
class NewerOnesAreRefused(Reference):
    def replace(self, start, session):
        with self.lock:
            older = self.sessions.get(self.identity(start))
            if older and older.end is None:
                raise End(grpc.StatusCode.ALREADY_EXISTS, "it runs already")
        super().replace(start, session)


@breaks("R28")
class BothGoOn(Reference):
    def replace(self, start, session):
        pass


@breaks("R28")
class OneForAllGateways(Reference):
    def identity(self, start):
        return start.name


@breaks("R29")
class TenThreads(Reference):
    workers = 10


@breaks("R30")
class GarbageIsEverybodysEnd(Reference):
    """What grpcio cannot read ends the iterator of requests, as a half-close does."""

    def first(self, requests):
        try:
            return super().first(requests)
        except End as end:
            if end.args[0] is None:
                self.everybody()
            raise

    def everybody(self):
        with self.lock:
            for session in self.sessions.values():
                session.finish(grpc.StatusCode.INTERNAL, "garbage came")


@breaks("R31")
class ErrorsWithoutWords(Reference):
    def refuse(self, problems):
        raise End(grpc.StatusCode.INVALID_ARGUMENT, "")


@breaks("R32")
class NoticesWithoutWords(Reference):
    def notice(self, words):
        return super().notice("")


class DiesOfGarbage(GarbageIsEverybodysEnd):
    """Not of the tables: this one is gone afterwards."""

    server = None

    def everybody(self):
        self.server.stop()
