"""slixmpp's own integration tests, from its source package (PyPI). None of them is in this
repository: scripts/interop gets the package and checks its hash.

What the server is not able to yet is waiting, by name and with the reason: such a test runs all
the same, and is told of when it passes. Any other that fails is a failure."""

import asyncio
import json
import os
import pathlib
import random
import sys

from server import DOMAIN, Server, secret
from with_slixmpp import Slixmpp

ROOMS, UPLOAD = "no rooms yet (XEP-0045)", "no file upload yet (XEP-0363)"
WAITING = {
    "component.ping": "no components yet (XEP-0114)",
    "httpupload.httpupload": UPLOAD,
    "moderate.moderate_msg": ROOMS,
    "muc.initial_join": ROOMS,
    "muc.join_after_config": ROOMS,
    "muc.kick": ROOMS,
    "muc.nick_change_leave": ROOMS,
    "muc.setup_muc": ROOMS,
    "selfping.presence_monitor": ROOMS,
    "sos.sos": "no service outage status (XEP-0455)",
}
PATIENCE = 120  # seconds, for all tests of one process: the suite itself waits up to 30 for events


class Suite:
    def __init__(self, program, folder):
        # The suite insists on the usual ports: so the server gets an address of its own. And the
        # suite connects nearly a hundred times within seconds.
        octets = ".".join(str(random.randint(2, 254)) for _ in range(3))
        self.server = Server(program, f"127.{octets}", (5222, 5223),
                             '[limits]\ntrusted = ["127.0.0.0/8"]\n')
        self.folder = folder
        self.pairs = 0

    async def run(self, *tests):
        """Runs these, or lists all; what the process told, line by line."""
        self.pairs += 1
        one, other = (f"ci-{self.pairs}-{n}" for n in (1, 2))
        environment = {
            **os.environ, "SSL_CERT_FILE": str(self.server.certificate), "CI": "woodpecker",
            "CI_ACCOUNT1": await self.server.account(one), "CI_ACCOUNT1_PASSWORD": secret(one),
            "CI_ACCOUNT2": await self.server.account(other),
            "CI_ACCOUNT2_PASSWORD": secret(other), "CI_MUC_SERVER": f"rooms.{DOMAIN}",
        }
        await self.acquaint(environment["CI_ACCOUNT1"], environment["CI_ACCOUNT2"])
        child = pathlib.Path(__file__).with_name("slixmpp_suite.py")
        process = await asyncio.create_subprocess_exec(
            sys.executable, child, self.folder, DOMAIN, self.server.address, *tests,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment)
        try:
            told, complaints = await asyncio.wait_for(process.communicate(), PATIENCE)
        finally:
            if process.returncode is None:
                process.kill()
        lines = [json.loads(line) for line in told.splitlines()]
        assert process.returncode == 0 and lines, complaints.decode()[-2000:]
        return lines


    async def acquaint(self, one, other):
        """The suite's clients ask each other things: a server lets only contacts do that
        (RFC 6121 §8.5.3.1)."""
        one, other = Slixmpp(self.server, one), Slixmpp(self.server, other)
        await one.arrive()
        await other.arrive()
        for asks, is_asked in ((one, other), (other, one)):
            await asks.subscribe(is_asked.address)
            await is_asked.sees("subscribe", asks.address)
            await is_asked.approve(asks.address)
            await asks.sees("subscribed", is_asked.address)
        await one.leave()
        await other.leave()


async def perform(program, folder, score):
    """Runs the suite against a server of its own."""
    suite = Suite(program, folder)
    try:
        await suite.server.start()
        [names] = await suite.run()
        unknown = WAITING.keys() - set(names)
        assert not unknown, f"no such tests: {unknown}"
        able = [name for name in names if name not in WAITING]
        # Those that wait do so for long, and each for itself.
        runs = [suite.run(*able)] + [suite.run(name) for name in WAITING]
        results = {line["test"]: line for lines in await asyncio.gather(*runs) for line in lines}
        for name in names:
            told(score, name, results.get(name))
        await score.run("slixmpp's suite: the server panicked nowhere", suite.server.calm())
    finally:
        suite.server.clear()


def told(score, name, result):
    if result is None:
        score.tell("failed", f"slixmpp's suite: {name}: it was not run")
        return
    reason = WAITING.get(name)
    outcome, why = result["outcome"], result["why"]
    took = f"{result['took']:.1f} s"
    if reason and outcome != "passed":
        score.tell("waiting", f"slixmpp's suite: {name}: {reason}")
        score.note(f"{outcome}, {why}")
    elif reason:
        score.tell("passed", f"slixmpp's suite: {name}, which need not wait any more  {took}")
    elif outcome == "passed":
        score.tell("passed", f"slixmpp's suite: {name}  {took}")
    else:
        score.tell("failed", f"slixmpp's suite: {name}: {outcome}, {why}")

