#!/usr/bin/env python3
"""archive.py LAYERS OUT.tar: packs the folders in LAYERS (base and programs, which image/build made) into an image, one layer
each.

The archive is an OCI image layout with Docker's manifest.json beside it, as `docker save` writes it: `ctr images import`,
`podman load`, `docker load` and `skopeo copy oci-archive:` all read it. The same files give the same bytes, whoever packs
them and when: names are sorted, owners and times are fixed. A layer whose files are as they were is not pulled again.
Only the configuration tells when and from what the image was made (SOURCE_DATE_EPOCH, else the time of the commit)."""

import argparse
import gzip
import hashlib
import io
import json
import os
import pathlib
import platform
import subprocess
import tarfile
import time

from base import OWNED_DIRECTORIES, USER

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le", "s390x": "s390x"}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def commit(form):
    """Something of the commit that is checked out; "" outside of git."""
    result = subprocess.run(["git", "log", "-1", f"--format={form}"], capture_output=True, text=True,
                            cwd=pathlib.Path(__file__).parent)
    return result.stdout.strip() if result.returncode == 0 else ""


def entry(name, size=0, kind=tarfile.REGTYPE, mode=0o644):
    info = tarfile.TarInfo(name)
    info.size, info.type, info.mode = size, kind, mode
    return info


def pack_layer(folder):
    """A folder as an uncompressed tar."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(folder.rglob("*")):
            info = tar.gettarinfo(path, str(path.relative_to(folder)))
            info.uid = info.gid = USER if info.name in OWNED_DIRECTORIES else 0
            info.uname = info.gname = ""
            info.mtime = 0
            if info.isreg():
                # Not what the umask of whoever built it made of it.
                info.type, info.linkname, info.size = tarfile.REGTYPE, "", path.stat().st_size
                info.mode = 0o755 if info.mode & 0o100 else 0o644
                with path.open("rb") as file:
                    tar.addfile(info, file)
                continue
            if info.isdir() and not info.mode & 0o1000:
                info.mode = 0o755
            tar.addfile(info)
    return raw.getvalue()


class Archive:
    """An OCI image layout in the making: blobs by their digests."""

    def __init__(self):
        self.blobs = {}

    def add(self, media_type, content, **more):
        """A descriptor of the blob that was added."""
        digest = hashlib.sha256(content).hexdigest()
        self.blobs[f"blobs/sha256/{digest}"] = content
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content), **more}

    def write(self, path, files):
        with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
            for name in ("blobs", "blobs/sha256"):
                tar.addfile(entry(name, kind=tarfile.DIRTYPE, mode=0o755))
            for name, content in sorted({**self.blobs, **files}.items()):
                tar.addfile(entry(name, len(content)), io.BytesIO(content))


def dumps(value):
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def configuration(options, created, folders, diffs):
    labels = {
        "org.opencontainers.image.title": "sluice",
        "org.opencontainers.image.description": "event gateways: gateway-client and its gateway-servers",
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.version": options.version,
        "org.opencontainers.image.revision": commit("%H") or "unknown",
        "org.opencontainers.image.created": created,
    }
    return {
        "created": created,
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"User": f"{USER}:{USER}", "Env": [f"PATH={PATH}"], "Cmd": [options.command], "WorkingDir": "/",
                   "Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": diffs},
        "history": [{"created": created, "created_by": "image/archive.py", "comment": folder.name} for folder in folders],
    }


def main():
    arguments = argparse.ArgumentParser(description="packs the folders in LAYERS into an OCI archive, one layer each")
    arguments.add_argument("layers", type=pathlib.Path, metavar="LAYERS")
    arguments.add_argument("out", type=pathlib.Path, metavar="OUT.tar")
    arguments.add_argument("--name", required=True, help="the image's name, as in localhost/sluice:0.1.0")
    arguments.add_argument("--version", required=True)
    arguments.add_argument("--command", default="gateway-client", help="what runs when nothing else is said")
    options = arguments.parse_args()

    when = int(os.environ.get("SOURCE_DATE_EPOCH") or commit("%ct") or 0)
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when))
    archive, diffs, layers = Archive(), [], []
    folders = sorted(folder for folder in options.layers.iterdir() if folder.is_dir())
    for folder in folders:
        raw = pack_layer(folder)
        diffs.append("sha256:" + hashlib.sha256(raw).hexdigest())
        layers.append(archive.add("application/vnd.oci.image.layer.v1.tar+gzip", gzip.compress(raw, 6, mtime=0)))
    config = archive.add("application/vnd.oci.image.config.v1+json",
                         dumps(configuration(options, created, folders, diffs)))
    manifest = archive.add("application/vnd.oci.image.manifest.v1+json",
                           dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                                  "config": config, "layers": layers}),
                           annotations={"io.containerd.image.name": options.name,
                                        "org.opencontainers.image.ref.name": options.name.rpartition(":")[2]})

    def blob(descriptor):
        return "blobs/sha256/" + descriptor["digest"].removeprefix("sha256:")

    archive.write(options.out, {
        "oci-layout": dumps({"imageLayoutVersion": "1.0.0"}),
        "index.json": dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [manifest]}),
        "manifest.json": dumps([{"Config": blob(config), "RepoTags": [options.name], "Layers": [blob(layer) for layer in layers]}]),
    })
    sizes = ", ".join(f"{folder.name} {layer['size'] / 1e6:.1f} MB" for folder, layer in zip(folders, layers))
    print(f"{options.out}: {options.name}, {options.out.stat().st_size / 1e6:.1f} MB compressed ({sizes})")


if __name__ == "__main__":
    main()
