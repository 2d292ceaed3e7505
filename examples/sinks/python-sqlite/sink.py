"""A watcher in Python: keeps each event exactly once in SQLite.

    python sink.py --listen 127.0.0.1:9400 --database events.db

Puts that wait are stored together, in one transaction; only then are they answered. An event that comes again, because an
answer was lost, is known by its source and id."""

import argparse
import concurrent.futures
import queue
import signal
import sqlite3
import threading

import grpc

from gateway.v1 import sink_pb2, sink_pb2_grpc

SCHEMA = """
CREATE TABLE IF NOT EXISTS events(
    source TEXT NOT NULL, id TEXT NOT NULL, type TEXT NOT NULL, subject TEXT, time_ns INTEGER,
    content_type TEXT, extensions TEXT, data BLOB, PRIMARY KEY(source, id)) WITHOUT ROWID"""
INSERT = "INSERT OR IGNORE INTO events VALUES(?, ?, ?, ?, ?, ?, ?, ?)"


def row_of(event):
    extensions = ",".join(f"{extension.name}={extension.value}" for extension in event.extensions)
    return (event.source, event.id, event.type, event.subject or None, event.time_ns or None, event.data_content_type or None,
            extensions or None, event.data)


class Store(threading.Thread):
    """One thread writes: SQLite has one writer, and what waits meanwhile goes into the next transaction."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.waiting = path, queue.Queue(maxsize=1000)

    def run(self):
        database = sqlite3.connect(self.path)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute(SCHEMA)
        while True:
            puts = [self.waiting.get()]
            while not self.waiting.empty() and len(puts) < 200:
                puts.append(self.waiting.get_nowait())
            try:
                with database:
                    database.executemany(INSERT, [row_of(event) for put, _ in puts for event in put.events])
                outcome, reason = sink_pb2.PutAnswer.STORED, ""
            except sqlite3.Error as fault:  # a full disk may have room again
                outcome, reason = sink_pb2.PutAnswer.TRY_AGAIN, f"SQLite: {fault}"
            for put, answers in puts:
                answers.put(sink_pb2.PutAnswer(number=put.number, outcome=outcome, reason=reason))


class Sink(sink_pb2_grpc.SinkServicer):
    def __init__(self, store):
        self.store = store

    def Put(self, requests, context):
        answers = queue.SimpleQueue()
        context.add_callback(lambda: answers.put(None))
        threading.Thread(target=self.read, args=(requests, answers), daemon=True).start()
        yield from iter(answers.get, None)

    def read(self, requests, answers):
        try:
            for request in requests:
                if request.HasField("put"):
                    self.store.waiting.put((request.put, answers))
        except grpc.RpcError:
            pass  # the gateway-client went away; what it has not had answered comes again
        answers.put(None)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", default="127.0.0.1:9400")
    parser.add_argument("--database", default="events.db")
    flags = parser.parse_args()
    store = Store(flags.database)
    store.start()
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=8), options=[("grpc.so_reuseport", 0)])
    sink_pb2_grpc.add_SinkServicer_to_server(Sink(store), server)
    server.add_insecure_port(flags.listen)
    server.start()
    print(f"listening on {flags.listen}", flush=True)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()
    server.stop(1).wait()


if __name__ == "__main__":
    main()
