"""The server under test: its own data folder and free ports on loopback; started, killed, stopped."""

import asyncio
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile

DOMAIN = "example.org"
ALONE = "s2s = []\ns2s_tls = []\n"  # in [listen]: it speaks to no other server
PATIENCE = 30  # seconds, for whatever should happen soon


def free_ports(count):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


class Server:
    def __init__(self, program, address="127.0.0.1", ports=None, more="", s2s=ALONE):
        self.program = program
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rookery-interop-"))
        self.address = address
        self.starttls, self.direct = ports or free_ports(2)
        self.settings = self.folder / "rookery.toml"
        # The defaults, on other ports: what a client meets on a fresh machine.
        self.settings.write_text(
            f'domains = ["{DOMAIN}"]\n'
            f'data = "{self.folder}/data"\n'
            f'[listen]\nc2s = ["{address}:{self.starttls}"]\n'
            f'c2s_tls = ["{address}:{self.direct}"]\n'
            f"{s2s}{more}"
        )
        self.log = self.folder / "log"
        self.process = None

    @property
    def certificate(self):
        """What the server made for itself; clients trust this one and no other."""
        return self.folder / "data/tls/self-signed.pem"

    def port(self, tls):
        return {"starttls": self.starttls, "direct": self.direct}[tls]

    async def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [self.program, "--config", self.settings], stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, env={**os.environ, "RUST_LOG": "info"})
        for _ in range(PATIENCE * 20):
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended: {self.log.read_text()[-2000:]}")
            try:
                for port in (self.starttls, self.direct):
                    socket.create_connection((self.address, port), 1).close()
                return
            except OSError:
                await asyncio.sleep(0.05)
        raise RuntimeError("the server does not listen")

    async def kill(self):
        """A crash: kill -9."""
        self.process.kill()
        await asyncio.to_thread(self.process.wait)

    async def stop(self):
        """SIGTERM; how it ended, and after how long it would be called stuck."""
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self.process.wait, PATIENCE)

    async def calm(self):
        log = self.log.read_text()
        assert "panicked" not in log, [line for line in log.splitlines() if "panicked" in line]

    async def command(self, *arguments, stdin=""):
        process = await asyncio.create_subprocess_exec(
            self.program, "--config", self.settings, *arguments,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT)
        told, _ = await process.communicate(stdin.encode())
        if process.returncode != 0:
            raise RuntimeError(f"{' '.join(arguments)}: {told.decode()}")
        return told.decode()

    async def account(self, name):
        address = f"{name}@{DOMAIN}"
        await self.command("user", "add", address, "--password-stdin", stdin=secret(name))
        return address

    def clear(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def secret(name):
    """An account's password, with what SASLprep and SCRAM must carry whole."""
    return f"sesame, {name} = öffne dich"
