"""go-sendxmpp (Debian): a command that sends one message, or listens. It logs in by PLAIN."""

import asyncio
import os

from server import PATIENCE, secret


class Command:
    """One run of it."""

    program = None

    def __init__(self, server, address, tls, *more):
        port = f"127.0.0.1:{server.port(tls)}"
        self.arguments = ["-u", address, "-j", port, "-p", secret(address.split("@")[0]),
                          *(["-t"] if tls == "direct" else []), *more]
        # Go, too, takes what it trusts from this variable.
        self.environment = {**os.environ, "SSL_CERT_FILE": str(server.certificate)}

    async def start(self):
        self.process = await asyncio.create_subprocess_exec(
            self.program, *self.arguments, env=self.environment,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT)
        return self

    async def say(self, text):
        """Gives it the text; waits for its end."""
        told, _ = await asyncio.wait_for(self.process.communicate(text.encode()), PATIENCE)
        assert self.process.returncode == 0, told.decode()

    async def hears(self, text):
        async with asyncio.timeout(PATIENCE):
            while line := await self.process.stdout.readline():
                if text in line.decode():
                    return
        raise AssertionError("it ended")

    def end(self):
        if self.process.returncode is None:
            self.process.kill()


async def sends(server, listener, tls):
    """It sends; somebody with another client hears."""
    sender = await server.account(f"gopher-{tls}")
    await listener.arrive()
    await (await Command(server, sender, tls, listener.address).start()).say(f"by {tls} & <so>")
    await listener.hears(sender, f"by {tls} & <so>")
    await listener.leave()


async def listens(server, speaker):
    """Somebody with another client speaks; it hears, and what was said before, too."""
    listener = await server.account("gopher-listening")
    await speaker.arrive()
    await speaker.say(listener, "said before")
    await speaker.contacts()
    heard = await Command(server, listener, "starttls", "-l").start()
    try:
        await heard.hears("said before")
        await speaker.say(listener, "said after")
        await heard.hears("said after")
    finally:
        heard.end()
    await speaker.leave()
