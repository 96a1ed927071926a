"""xmpp.js (npm): logs in by SASL2 (XEP-0388), Bind 2 (XEP-0386) and FAST (XEP-0484) by itself."""

import asyncio
import json
import os
import uuid

from server import DOMAIN, PATIENCE, secret


class Installation:
    """A client that remembers its token from run to run."""

    script = None

    def __init__(self, server, address):
        self.server = server
        self.address = address
        self.user = address.split("@")[0]
        self.agent = str(uuid.uuid4())
        self.token = None

    async def run(self, password=None):
        """One run; what it saw."""
        settings = {
            "service": f"xmpp://127.0.0.1:{self.server.port('starttls')}", "domain": DOMAIN,
            "username": self.user, "password": password or secret(self.user),
            "token": self.token, "agent": self.agent, "resource": "Awesome",
        }
        process = await asyncio.create_subprocess_exec(
            "node", self.script, json.dumps(settings),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "NODE_EXTRA_CA_CERTS": str(self.server.certificate)})
        try:
            told, complaints = await asyncio.wait_for(process.communicate(), PATIENCE)
        finally:
            if process.returncode is None:
                process.kill()
        assert process.returncode == 0, complaints.decode()[-2000:]
        seen = json.loads(told)
        self.token = seen["token"]
        assert seen["heard"] == ["to myself"], seen
        # Two connections, each with a stream before STARTTLS and one after it.
        assert seen["restarts"] <= 3, f"no stream is opened again after login: {seen}"
        assert seen["resumed"] == seen["jid"], f"the session went on: {seen}"
        assert seen["jid"].startswith(f"{self.address}/Awesome/"), seen
        return seen


async def by_password(installation):
    seen = await installation.run()
    assert seen["mechanisms"] == ["SCRAM-SHA-1", "HT-SHA-256-NONE"], "the token is for later"
    assert seen["token"]["mechanism"] == "HT-SHA-256-NONE", seen
    installation.jid = seen["jid"]
    return seen["jid"]


async def by_token(installation):
    # It does not even have the right password.
    seen = await installation.run(password="forgotten")
    assert set(seen["mechanisms"]) == {"HT-SHA-256-NONE"} and not seen["failures"], seen
    assert seen["jid"] == installation.jid, "the address is its own"


async def after_a_crash(installation):
    await installation.server.kill()
    await installation.server.start()
    await by_token(installation)


async def revoked(installation):
    """Sent away, it asks for the password and goes on with a new token."""
    listed = await installation.run()
    [client] = listed["clients"]
    told = await installation.server.command(
        "user", "clients", installation.address, "--revoke", client)
    assert "set a new one" in told, told
    seen = await installation.run()
    assert seen["mechanisms"][:2] == ["HT-SHA-256-NONE", "SCRAM-SHA-1"], seen
    # It tries the token it began with at each connection.
    assert set(seen["failures"]) == {"credentials-expired"}, seen
    await by_token(installation)
