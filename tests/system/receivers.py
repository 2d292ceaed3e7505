"""Watchers made of the official CloudEvents SDKs, and what they understood of the requests they got.

Go (tests/peers/cloudevents-go) says whether events are valid, and reads all modes; it does not decode percent escapes in
headers. Python decodes them, but reads no batches, cuts times to microseconds, and invents missing attributes."""

import base64
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import threading
import urllib.parse

from cloudevents.core.bindings.http import HTTPMessage, from_http_event

from harness import Watcher, wait_for

PEERS = pathlib.Path(__file__).resolve().parents[1] / "peers"


@dataclasses.dataclass
class Understood:
    mode: str
    attributes: dict  # by name; `time` as text or datetime, whatever the SDK gives
    data: object  # Go: bytes; Python: bytes, text, or what the JSON says
    together: int = 1  # events in the request


class GoReceiver:
    """A process with the Go SDK. Paths tell its watchers apart."""

    def __init__(self, directory):
        built = subprocess.run([PEERS / "build-go", "cloudevents-go"], capture_output=True, text=True, timeout=500)
        assert built.returncode == 0, built.stderr
        self.log = (directory / "cloudevents-go.log").open("w+")
        self.process = subprocess.Popen([built.stdout.strip()], stdout=subprocess.PIPE, stderr=self.log)
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"
        self.lines = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def events(self, path):
        return [Understood(line["mode"], line["attributes"], base64.b64decode(line["data"] or ""), line["together"])
                for line in list(self.lines) if line["path"] == path and "refused" not in line]

    def refusals(self):
        return [(line["path"], line["refused"]) for line in list(self.lines) if "refused" in line]

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)
        wait_for(lambda: os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT | os.WNOHANG), 5, "the stop")

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def close(self):
        self.resume()
        self.process.kill()
        self.process.wait()
        self.log.close()


class PythonReceiver(Watcher):
    """The harness's watcher, whose requests the Python SDK reads."""

    def understood(self):
        found = []
        for request in self.accepted():
            event = from_http_event(HTTPMessage(dict(request.headers.items()), request.body))
            mode = "binary" if "ce-id" in request.headers else "structured"
            found.append(Understood(mode, event.get_attributes(), event.get_data()))
        return found


def percent_decoded(attributes):
    """What the headers of binary mode say, for an SDK that does not decode them."""
    return {name: value if name == "datacontenttype" else urllib.parse.unquote(value, errors="strict")
            for name, value in attributes.items()}
