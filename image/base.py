#!/usr/bin/env python3
"""base.py PROGRAMS BASE: lays out in BASE all that the programs in PROGRAMS/usr/bin need around them, and no more.

The shared libraries that they name, the dynamic loader, time zones, certificate authorities, and a user to run as. Every file
comes from an installed Debian package; which ones is written into the image as Debian would, so that scanners know what to
warn of, and with each package its copyright file. No shell, no package manager: nothing there that the programs do not use."""

import functools
import os
import pathlib
import re
import shutil
import subprocess
import sys

USER = 65532  # what "nonroot" is in other images without a distribution
OWNED_DIRECTORIES = ("var/lib/gateway", "run/gateway")  # the user's: state, and the sockets of gateway-servers

PASSWD = f"root:x:0:0:root:/root:/usr/sbin/nologin\ngateway:x:{USER}:{USER}:gateway:/var/lib/gateway:/usr/sbin/nologin\n"
GROUP = f"root:x:0:\ngateway:x:{USER}:\n"
NSSWITCH = "passwd: files\ngroup: files\nhosts: files dns\n"


def fail(words):
    sys.exit(f"image: {words}")


def output(*words):
    result = subprocess.run(words, capture_output=True, text=True)
    if result.returncode != 0:
        fail(f"{' '.join(words)}: {result.stderr.strip() or result.stdout.strip()}")
    return result.stdout


class Base:
    """The tree that is laid out, and the packages that its files came from."""

    def __init__(self, root):
        self.root = root
        self.packages = set()

    def write(self, path, text):
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def link(self, path, target):
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.is_symlink():
            place.symlink_to(target)

    def copy(self, path, package=None):
        """One file of this machine, with the links that lead to it."""
        path = merged(path)
        self.packages.add(package or owner(path))
        if path.is_symlink():
            target = os.readlink(path)
            self.link(path.relative_to("/"), target)
            self.copy(path.parent / target, package)
            return
        place = self.root / path.relative_to("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
        place.chmod(path.stat().st_mode & 0o755)

    def copy_package(self, package, wanted):
        """The files of a package whose paths match."""
        for line in output("dpkg-query", "--listfiles", package).splitlines():
            if re.match(wanted, line) and (os.path.islink(line) or os.path.isfile(line)):
                self.copy(line, package)


def merged(path):
    """/lib/… is /usr/lib/… (Debian's merged /usr): the path without links among its folders."""
    path = pathlib.Path(path)
    return pathlib.Path(os.path.realpath(path.parent)) / path.name


@functools.cache
def owners():
    """Path -> package, of all that a program's libraries can be."""
    lines = output("dpkg-query", "--search", "*.so*", "/etc/ssl/*").splitlines()
    return {path: packages.split(",")[0] for packages, _, path in (line.partition(": ") for line in lines)}


def owner(path):
    """The package that a file belongs to. dpkg remembers the path from before /usr was merged."""
    package = owners().get(str(path)) or owners().get(str(path).removeprefix("/usr"))
    if package is None:
        fail(f"{path} belongs to no Debian package: the programs were linked to something that this machine alone has")
    return package


def libraries(programs):
    """The shared libraries of all programs, the loader among them."""
    found = set()
    for program in programs:
        for line in output("ldd", str(program)).splitlines():
            name, _, where = line.strip().partition(" => ")
            if where.startswith("not found"):
                fail(f"{program.name} needs {name}, which is not installed")
            path = (where or name).split(" (")[0]
            if path.startswith("/"):
                found.add(path)
    return sorted(found)


def lay_out_folders(base):
    for folder in ("usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "etc", "proc", "sys", "dev", "run", "root", "var/tmp", "tmp"):
        (base.root / folder).mkdir(parents=True)
    for folder in ("bin", "sbin", "lib", "lib64"):
        base.link(folder, f"usr/{folder}")
    base.link("var/run", "/run")
    for folder in ("tmp", "var/tmp"):
        (base.root / folder).chmod(0o1777)
    for folder in OWNED_DIRECTORIES:
        (base.root / folder).mkdir(parents=True)
        if os.geteuid() == 0:
            os.chown(base.root / folder, USER, USER)


def lay_out_certificates(base):
    """Mozilla's authorities, as the package brings them: not those that were added on this machine."""
    base.packages.add("ca-certificates")
    names = [line for line in output("dpkg-query", "--listfiles", "ca-certificates").splitlines() if line.endswith(".crt")]
    base.write("etc/ssl/certs/ca-certificates.crt", "".join(pathlib.Path(name).read_text() for name in sorted(names)))
    base.copy("/etc/ssl/openssl.cnf")
    base.link("usr/lib/ssl/certs", "/etc/ssl/certs")
    base.link("usr/lib/ssl/cert.pem", "/etc/ssl/certs/ca-certificates.crt")
    base.link("usr/lib/ssl/openssl.cnf", "/etc/ssl/openssl.cnf")


def lay_out_packages(base):
    for package in sorted(base.packages):
        name = package.split(":")[0]
        base.write(f"var/lib/dpkg/status.d/{name}", output("dpkg-query", "--status", package))
        rights = pathlib.Path(f"/usr/share/doc/{name}/copyright")
        if rights.exists():
            base.write(f"usr/share/doc/{name}/copyright", rights.read_text(errors="replace"))


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: base.py PROGRAMS BASE")
    if shutil.which("dpkg-query") is None:
        fail("this is no Debian: there are no packages to take the libraries from")
    programs = sorted(pathlib.Path(sys.argv[1], "usr/bin").iterdir())
    base = Base(pathlib.Path(sys.argv[2]).resolve())
    lay_out_folders(base)
    for library in libraries(programs):
        base.copy(library)
    base.copy_package("tzdata", r"/usr/share/zoneinfo/(?!posix/|right/|localtime$)")
    base.copy_package("base-files", r"(/usr/lib/os-release|/etc/os-release|/etc/debian_version)$")
    lay_out_certificates(base)
    base.write("etc/passwd", PASSWD)
    base.write("etc/group", GROUP)
    base.write("etc/nsswitch.conf", NSSWITCH)
    lay_out_packages(base)


if __name__ == "__main__":
    main()
