"""./dev bench: webhook to watcher on this machine, beside nginx as a bare reverse proxy and straight to the watcher.

Every row is measured in this run, with the same sender and the same watcher, so that ratios can be read although the machine is noisy.
CPU is user plus system time of each process over the events delivered; memory is resident size."""

import argparse
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))

from harness import Gateway, Process, free_port, program, wait_for, webhook  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(*pids):
    total = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def memory_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0


class Sink:
    def __init__(self, directory):
        self.port = free_port()
        self.out = directory / "sink.json"
        with self.out.open("wb") as out:
            self.process = subprocess.Popen([program("bench-sink"), "--port", str(self.port)], stdout=out, stderr=subprocess.PIPE)
        self.process.stderr.readline()

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        return json.loads(self.out.read_text())


def send(url, options, seconds=None):
    out = subprocess.run([program("bench-load"), "--url", url, "--connections", str(options.connections), "--size", str(options.size),
                          "--for", f"{seconds or options.seconds}s"], capture_output=True, text=True, check=True)
    return json.loads(out.stdout)


def row(name, load, sink, cpu, note=""):
    """`cpu`: process name -> seconds."""
    events = max(sink["distinct"], 1)
    return {"name": name, "events": sink["distinct"], "accepted": load["accepted"],
            "rate": sink["distinct"] / max(load["seconds"], sink["seconds"], 0.001),
            "p50_ms": sink["p50_us"] / 1000, "p99_ms": sink["p99_us"] / 1000, "accept_p50_ms": load["p50_us"] / 1000,
            "cpu_us": {part: spent * 1e6 / events for part, spent in cpu.items()}, "note": note}


def straight(directory, options):
    sink = Sink(directory)
    load = send(f"http://127.0.0.1:{sink.port}/", options)
    return row("straight to the watcher", load, sink.end(), {})


NGINX = """
worker_processes 1; daemon off; pid {directory}/nginx.pid; error_log {directory}/nginx-error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/f;
  uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s; keepalive_requests 1000000000;
  upstream watcher {{ server 127.0.0.1:{sink}; keepalive 128; keepalive_requests 1000000000; }}
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://watcher; proxy_http_version 1.1; proxy_set_header Connection ""; }} }}
}}
"""


def nginx(directory, options):
    binary = shutil.which("nginx") or "/usr/sbin/nginx"
    sink, port = Sink(directory), free_port()
    (directory / "nginx.conf").write_text(NGINX.format(directory=directory, sink=sink.port, port=port))
    process = Process(directory, "nginx", [binary, "-p", directory, "-c", directory / "nginx.conf"])
    wait_for(lambda: send(f"http://127.0.0.1:{port}/", argparse.Namespace(connections=1, size=64, seconds=0.05))["accepted"], 5, "nginx")
    workers = [int(pid) for pid in subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()]
    before = cpu_seconds(process.pid, *workers)
    load = send(f"http://127.0.0.1:{port}/", options)
    spent = cpu_seconds(process.pid, *workers) - before
    process.stop()
    return row("nginx, bare reverse proxy", load, sink.end(), {"nginx": spent}, "nothing is made durable")


def sluice(directory, options, mode="structured", fsync=True):
    directory = pathlib.Path(tempfile.mkdtemp(dir=directory))
    sink, port = Sink(directory), free_port()
    gateway = Gateway(directory).watch("sink", f"http://127.0.0.1:{sink.port}/", mode=mode, concurrency=options.connections)
    gateway.spec["spec"]["outbox"]["fsync"] = fsync
    gateway.write_sources({"webhook.orders": webhook(port)})
    gateway.write_spec()
    gateway.server("webhook")
    began = time.monotonic()
    gateway.client()
    gateway.wait_running("webhook.orders")
    ready = time.monotonic() - began
    pids = {"client": gateway.processes["client"].pid, "server": gateway.processes["webhook"].pid}
    idle = {part: memory_mib(pid) for part, pid in pids.items()}
    send(f"http://127.0.0.1:{port}/orders", options, 1)  # warm
    wait_for(lambda: gateway.watcher("sink")["pending"] == 0, 60, "the warm-up to be delivered")
    sink.end()
    sink_port = sink.port
    sink = None
    out = directory / "sink2.json"
    with out.open("wb") as file:
        process = subprocess.Popen([program("bench-sink"), "--port", str(sink_port)], stdout=file, stderr=subprocess.PIPE)
    process.stderr.readline()
    before = {part: cpu_seconds(pid) for part, pid in pids.items()}
    load = send(f"http://127.0.0.1:{port}/orders", options)
    wait_for(lambda: gateway.watcher("sink")["pending"] == 0, 120, "the backlog to be delivered")
    cpu = {part: cpu_seconds(pid) - before[part] for part, pid in pids.items()}
    loaded = {part: memory_mib(pid) for part, pid in pids.items()}
    process.send_signal(signal.SIGTERM)
    process.wait(20)
    result = row(f"Sluice, {mode}, fsync {'on' if fsync else 'off'}", load, json.loads(out.read_text()), cpu)
    result["memory"] = {part: (idle[part], loaded[part]) for part in pids}
    result["ready_ms"] = ready * 1000
    gateway.down()
    lost = load["accepted"] - result["events"]
    result["note"] = f"{lost} accepted but not delivered" if lost > 0 else "none lost"
    return result


def show(rows):
    base = next((sum(row["cpu_us"].values()) for row in rows if "nginx" in row["cpu_us"]), None)
    print(f"{'':34} {'events/s':>9} {'p50 ms':>8} {'p99 ms':>8} {'accept':>7}  {'CPU us/event':30} {'x nginx':>7}  note")
    for entry in rows:
        total = sum(entry["cpu_us"].values())
        parts = " + ".join(f"{part} {spent:.1f}" for part, spent in entry["cpu_us"].items()) or "-"
        if len(entry["cpu_us"]) > 1:
            parts += f" = {total:.1f}"
        ratio = f"{total / base:.1f}" if base and total else ""
        print(f"{entry['name']:34} {entry['rate']:9.0f} {entry['p50_ms']:8.2f} {entry['p99_ms']:8.2f} {entry['accept_p50_ms']:7.2f}  "
              f"{parts:30} {ratio:>7}  {entry['note']}")
    for entry in rows:
        for part, (idle, loaded) in entry.get("memory", {}).items():
            print(f"memory of the {part:8} {entry['name']:34} idle {idle:6.1f} MiB, loaded {loaded:6.1f} MiB")
        if "ready_ms" in entry:
            print(f"client start to source running:    {entry['name']:34} {entry['ready_ms']:.0f} ms")


def main():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--size", type=int, default=256, help="bytes of a body")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--json", action="store_true", help="the rows as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sluice-bench.") as name:
        directory = pathlib.Path(name)
        rows = [straight(directory, options), nginx(directory, options)]
        for mode, fsync in (("structured", True), ("binary", True), ("batch", True), ("structured", False)):
            rows.append(sluice(directory, options, mode, fsync))
        rows.append(nginx(directory, options))
    if options.json:
        print(json.dumps(rows))
    else:
        show(rows)


if __name__ == "__main__":
    main()
