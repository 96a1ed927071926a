"""The server under test: a process, its configuration, its end by kill or by signal."""

import asyncio
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

DOMAINS = ("a.example", "b.example")
ROOT = Path(__file__).resolve().parents[2]

# It speaks with no other server.
ALONE = "s2s = []\ns2s_tls = []"

CONFIG = """domains = {domains}
[listen]
c2s = ["{address}:{port}"]
c2s_tls = []
{listen}
[c2s]
plaintext = "loopback"
[register]
open = true
per_hour = 0
[limits]
trusted = ["127.0.0.0/8"]
[accounts]
iterations = 4096
# So that segments end and checkpoints come while somebody looks.
[storage]
segment = "1 MiB"
checkpoint = "300 ms"
{more}
"""
# A server among others: it believes what the settings say of where they are, calls again soon
# after one broke off, and lets them speak as fast as they like.
PEERS = """[s2s]
policy = "dialback"
rate = "64 MiB"
burst = "64 MiB"
[outbox]
retry = "200 ms"
retry_longest = "400 ms"
[dns.overrides]
"""


def free_port(address="127.0.0.1"):
    with socket.socket() as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


def build(features=(), target=None, example=False):
    """Builds the server (and the reader of stores) and answers their folder."""
    command = ["cargo", "build", "--quiet", "--bin", "rookery"]
    if example:
        command += ["--example", "store_dump"]
    if features:
        command += ["--features", ",".join(features)]
    environment = dict(os.environ)
    if target:
        environment["CARGO_TARGET_DIR"] = str(target)
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    folder = environment.get("CARGO_TARGET_DIR", str(ROOT / "target"))
    return Path(folder) / "debug"


class Failed(Exception):
    """The server did not start, or did not stop as it must."""


class Process:
    """One data folder and the processes that serve it one after the other."""

    # It has a publish-subscribe service at pubsub.DOMAIN.
    has_boards = False
    address = "127.0.0.1"

    def __init__(self, work, environment=None, wrapper=()):
        self.work = Path(work)
        self.data = self.work / "data"
        self.log_path = self.work / "server.log"
        self.environment = {**os.environ, **(environment or {})}
        self.wrapper = list(wrapper)
        self.process = None
        self.port = free_port(self.address)
        self.work.mkdir(parents=True, exist_ok=True)
        self.configure()

    def configure(self):
        """Writes the configuration."""
        raise NotImplementedError

    def command(self):
        """What runs the server in the foreground."""
        raise NotImplementedError

    def launch(self):
        log = open(self.log_path, "ab")
        self.began = time.monotonic()
        self.process = subprocess.Popen(self.wrapper + self.command(), stdout=log, stderr=log,
                                        stdin=subprocess.DEVNULL, cwd=self.work,
                                        env=self.environment)
        log.close()

    async def ready(self, patience=30.0):
        """Waits until it accepts connections; answers the seconds since its launch."""
        while True:
            if self.process.poll() is not None:
                raise Failed(f"the server ended by itself ({self.process.returncode}): "
                             f"{self.last_words()}")
            try:
                _, writer = await asyncio.open_connection(self.address, self.port)
                writer.transport.abort()
                return time.monotonic() - self.began
            except OSError:
                await asyncio.sleep(0.004)
            if time.monotonic() - self.began > patience:
                self.kill()
                raise Failed(f"not ready within {patience} s: {self.last_words()}")

    def kill(self):
        """kill -9, and waits for it."""
        if self.process and self.process.poll() is None:
            os.kill(self.pid(), signal.SIGKILL)
        if self.process:
            self.process.wait()

    def pid(self):
        """Of the server itself, inside its wrapper."""
        own = self.process.pid
        if not self.wrapper:
            return own
        try:
            children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
        except OSError:
            children = []
        return int(children[0]) if children else own

    def is_up(self):
        return self.process.poll() is None

    def wait_briefly(self):
        """Where it is dying, until it is dead."""
        try:
            self.process.wait(1)
        except subprocess.TimeoutExpired:
            pass

    async def terminate(self, patience=15.0):
        """SIGTERM; answers (seconds, exit code)."""
        began = time.monotonic()
        os.kill(self.pid(), signal.SIGTERM)
        while self.process.poll() is None:
            if time.monotonic() - began > patience:
                self.kill()
                raise Failed(f"still there {patience} s after SIGTERM")
            await asyncio.sleep(0.01)
        return time.monotonic() - began, self.process.returncode

    def last_words(self, lines=4):
        try:
            return " | ".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""


class Server(Process):
    """The server of this repository."""

    has_boards = True

    def __init__(self, binary, work, environment=None, wrapper=()):
        self.binary = Path(binary)
        super().__init__(work, environment, wrapper)

    def configure(self):
        self.write(DOMAINS)

    def write(self, domains, listen=ALONE, more=""):
        """The settings."""
        config = CONFIG.format(domains=list(domains), address=self.address, port=self.port,
                               listen=listen, more=more)
        (self.work / "rookery.toml").write_text(config.replace("'", '"'))

    def command(self):
        return [str(self.binary), "--config", str(self.work / "rookery.toml"),
                "--data", str(self.data)]


class Peer(Server):
    """One of the servers of a federation: it serves one domain at an address of its own."""

    has_boards = False

    def __init__(self, binary, work, domain, environment=None):
        self.domain, self.address = domain, f"127.0.0.{2 + DOMAINS.index(domain)}"
        self.s2s = free_port(self.address)
        super().__init__(binary, work, environment)

    def configure(self):
        """Until it knows where the others are."""

    def knows(self, places):
        """Where each domain is, as `address:port`."""
        others = "".join(f"'{domain}' = ['{place}']\n" for domain, place in places.items())
        self.write([self.domain], f"s2s = ['{self.address}:{self.s2s}']\ns2s_tls = []",
                   PEERS + others)
