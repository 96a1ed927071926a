"""tokio-xmpp (crates.io), in a process of its own: tests/foreign-client. It binds to the channel
by tls-exporter."""

import asyncio
import json
import os

from person import Event, LoginFailed, Person
from server import PATIENCE


class Tokio(Person):
    library = "tokio-xmpp"
    plus = "tls-exporter"
    program = None

    async def log_in(self, tls, plus):
        # The library trusts what the system trusts, and this variable says what that is.
        environment = {**os.environ, "SSL_CERT_FILE": str(self.server.certificate)}
        self.process = await asyncio.create_subprocess_exec(
            self.program, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, env=environment)
        self.told = asyncio.Queue()  # what is not an event: answers and the state
        self.reader = asyncio.create_task(self._read())
        self._order(do="log in", jid=f"{self.address}/tokio", password=self.password, tls=tls,
                    port=self.server.port(tls), plus=plus)
        told = await self._next()
        if told["event"] == "refused":
            if told["why"].startswith("SASL"):
                # The library's names of conditions are those of the RFC in camel case.
                raise LoginFailed(told["why"].replace("NotAuthorized", "not-authorized"))
            raise AssertionError(told["why"])
        self.mechanism = told["mechanism"]
        told = await self._next()
        assert told["event"] == "online", told

    def _order(self, **order):
        self.process.stdin.write(json.dumps(order).encode() + b"\n")

    async def _read(self):
        while line := await self.process.stdout.readline():
            told = json.loads(line)
            if "from" in told:
                self.happened(Event(told["event"], told["from"], told["text"] or "",
                                    told.get("delayed", False)))
            else:
                self.told.put_nowait(told)
        error = (await self.process.stderr.read()).decode()
        self.told.put_nowait({"event": "gone", "why": error})

    async def _next(self):
        return await asyncio.wait_for(self.told.get(), PATIENCE)

    async def _ask(self, **order):
        self._order(**order)
        while (told := await self._next())["event"] != "answer":
            assert told["event"] != "gone", told
        assert "error" not in told, told
        return told["value"]

    async def leave(self):
        self._order(do="leave")
        try:
            # Not one that has lost the server and looks for it.
            await asyncio.wait_for(self.process.wait(), 5)
        except TimeoutError:
            self.process.kill()
        await self.reader

    async def available(self, status):
        # RFC 6121 §2.2: who has not asked for the roster is told of no approvals either.
        await self.contacts()
        self._order(do="available", status=status)

    async def contacts(self):
        return await self._ask(do="contacts")

    async def subscribe(self, contact):
        self._order(do="subscribe", to=contact)

    async def approve(self, contact):
        self._order(do="approve", to=contact)

    async def say(self, to, body):
        self._order(do="say", to=to, body=body)

    async def block(self, contact):
        await self._ask(do="block", to=contact)

    async def unblock(self, contact):
        await self._ask(do="unblock", to=contact)

    async def blocked(self):
        return set(await self._ask(do="blocked"))

    async def change_password(self, password):
        await self._ask(do="change password", password=password)
        self.password = password

    async def delete_account(self):
        await self._ask(do="delete account")
        self.process.kill()
        await self.reader
