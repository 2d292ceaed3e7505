"""gRPC servers in Python that speak the contracts, written by nobody of ours: what authors in other languages write."""

import concurrent.futures
import contextlib
import importlib
import pathlib
import socket
import subprocess
import sys
import threading
import types

import grpc

from harness import free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROTOS = {"v1": "gateway/v1/eventing", "sink": "gateway/v1/sink", "argo": "argo/gateways/eventing", "generic": "argo/generic/generic",
          "health": "grpc/health/v1/health"}


def load_protos(folder):
    """The generated modules: .v1, .argo, .generic, .health, each with its messages and stubs."""
    for name, path in PROTOS.items():  # flat: a package named grpc would hide the real one
        text = (ROOT / "proto" / f"{path}.proto").read_text()
        (folder / f"contract_{name}.proto").write_text(text.replace('"gateway/v1/eventing.proto"', '"contract_v1.proto"'))
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", f"-I{folder}", f"--python_out={folder}",
                    f"--grpc_python_out={folder}", *folder.glob("*.proto")], check=True)
    sys.path.insert(0, str(folder))
    modules = {}
    for name in PROTOS:
        messages = importlib.import_module(f"contract_{name}_pb2")
        stubs = importlib.import_module(f"contract_{name}_pb2_grpc")
        modules[name] = types.SimpleNamespace(**{**vars(messages), **vars(stubs)})
    sys.path.remove(str(folder))
    return types.SimpleNamespace(**modules)


class Server:
    """A gateway-server in Python. Each of `adds` gets the grpc server, to add services to. `credentials`: TLS. `workers`: calls
    that run at once."""

    def __init__(self, *adds, address=None, options=(), credentials=None, workers=32):
        self.address = address or f"127.0.0.1:{free_port()}"
        self.adds, self.options, self.credentials, self.workers = adds, options, credentials, workers
        self.start()

    def start(self):
        pool = concurrent.futures.ThreadPoolExecutor(max_workers=self.workers)
        self.server = grpc.server(pool, options=[("grpc.so_reuseport", 0), *self.options])
        for add in self.adds:
            add(self.server)
        if self.credentials is None:
            assert self.server.add_insecure_port(self.address) != 0
        else:
            assert self.server.add_secure_port(self.address, self.credentials) != 0
        self.server.start()

    def stop(self):
        self.server.stop(0).wait()


class Cutter:
    """A wire to the server at `behind` that is cut each time when `after` bytes came from there; None: not at all."""

    def __init__(self, behind, after):
        self.behind, self.after = int(behind.rsplit(":", 1)[1]), after
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                a, _ = self.listener.accept()
                b = socket.create_connection(("127.0.0.1", self.behind))
                threading.Thread(target=self._pass, args=(a, b, None), daemon=True).start()
                threading.Thread(target=self._pass, args=(b, a, self.after), daemon=True).start()

    @staticmethod
    def _pass(a, b, limit):
        passed = 0
        with contextlib.suppress(OSError):
            while (data := a.recv(65536)) and (limit is None or passed < limit):
                passed += len(data)
                b.sendall(data)
        for each in (a, b):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self.listener.close()


# ---- certificates ----

def openssl(folder, *words):
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


def authority(folder, name):
    openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")


def certificate(folder, name, ca, host):
    openssl(folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}",
            "-keyout", f"{name}.key", "-out", f"{name}.csr")
    (folder / "extensions").write_text(f"subjectAltName={host}\n")
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial",
            "-days", "2", "-extfile", "extensions", "-out", f"{name}.pem")


def credentials(folder, name, client_ca=None):
    pair = ((folder / f"{name}.key").read_bytes(), (folder / f"{name}.pem").read_bytes())
    return grpc.ssl_server_credentials([pair], client_ca and (folder / f"{client_ca}.pem").read_bytes(), client_ca is not None)
