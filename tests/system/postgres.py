"""A throw-away PostgreSQL on loopback, for tests."""

import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile
import time

from harness import free_port


def binaries():
    """The folder of PostgreSQL's programs; None: not installed."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    return found[-1].parent if found else None


class Postgres:
    """It does not run as root: as root it becomes the user that Debian's package made."""

    def __init__(self):
        # not below pytest's folders, which it closes to others at any time
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="sluice-postgres-"))
        self.port, self.process = free_port(), None
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self.environment = {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": "shop", "PGDATABASE": "postgres"}
        if os.geteuid() == 0:
            shutil.chown(self.directory, self.user)
        subprocess.run([binaries() / "initdb", "-D", self.directory / "data", "-U", "shop", "--auth=trust", "--no-sync"], check=True,
                       stdout=subprocess.DEVNULL, **self.as_user())
        self.start()

    def as_user(self):
        return {"user": self.user, "group": self.user} if os.geteuid() == 0 else {}

    def start(self):
        log = open(self.directory / "log", "ab")
        self.process = subprocess.Popen(
            [binaries() / "postgres", "-D", self.directory / "data", "-p", str(self.port), "-c", "listen_addresses=127.0.0.1", "-c",
             f"unix_socket_directories={self.directory}", "-c", "fsync=off",
             "-c", "max_connections=300"], stdout=log, stderr=log, **self.as_user())
        deadline = time.monotonic() + 60
        while subprocess.run([binaries() / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]).returncode != 0:
            assert time.monotonic() < deadline and self.process.poll() is None, (self.directory / "log").read_text()[-2000:]
            time.sleep(0.05)

    def kill(self):
        self.process.send_signal(3)  # SIGQUIT: at once, clients are cut off
        self.process.wait(30)

    def sql(self, *statements):
        done = subprocess.run([binaries() / "psql", "-X", "-q", "-t", "-A", *(word for each in statements for word in ("-c", each))],
                              env={**os.environ, **self.environment}, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def close(self):
        if self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.directory)
