"""External components: slixmpp's, and biboumi (Debian) with a server of IRC beside it (ngircd), if
they are there. Made by `rookery component add`, which prints what each needs."""

import asyncio
import pathlib
import re
import subprocess
import tempfile

from slixmpp import ComponentXMPP, Message
from slixmpp.exceptions import IqError, IqTimeout

from server import DOMAIN, PATIENCE, Server, free_ports
from with_slixmpp import Slixmpp

CHECKS = []


def check(name):
    def listed(function):
        CHECKS.append((name, function))
        return function
    return listed


async def made(server, name, privileges=""):
    """The port and the secret of a new component."""
    told = await server.command("component", "add", name, "--privileges", privileges)
    port = re.search(r"^  port    (\d+)$", told, re.M)
    secret = re.search(r"^  secret  (\S+)$", told, re.M)
    return int(port[1]), secret[1]


async def person(server, name):
    one = Slixmpp(server, await server.account(name))
    await one.log_in("direct", False)
    await one.available("here")
    return one


class Bridge(ComponentXMPP):
    def __init__(self, name, secret, port):
        super().__init__(name, secret, "127.0.0.1", port)
        for plugin in ("xep_0030", "xep_0199", "xep_0356"):
            self.register_plugin(plugin)
        self["xep_0030"].add_identity(category="gateway", itype="test", name="A bridge")
        self.heard = asyncio.Queue()
        self.here = asyncio.Event()
        self.add_event_handler("session_start", lambda _: self.here.set())
        self.add_event_handler("message", self.heard.put_nowait)
        self.granted = asyncio.Event()
        self.add_event_handler("privileges_advertised", lambda _: self.granted.set())

    async def comes(self):
        self.connect()
        await asyncio.wait_for(self.here.wait(), PATIENCE)
        return self

    async def hears(self, body):
        while True:
            message = await asyncio.wait_for(self.heard.get(), PATIENCE)
            if message["body"] == body:
                return message


@check("slixmpp: is found, asked, and answers for itself")
async def found(server):
    port, secret = await made(server, f"one.{DOMAIN}")
    bridge = await Bridge(f"one.{DOMAIN}", secret, port).comes()
    alice = await person(server, "asks")
    items = await alice.client["xep_0030"].get_items(jid=DOMAIN)
    assert bridge.boundjid.bare in {str(item[0]) for item in items["disco_items"]["items"]}
    info = await alice.client["xep_0030"].get_info(jid=bridge.boundjid.bare)
    assert ("gateway", "test", None, "A bridge") in info["disco_info"]["identities"]
    bridge.abort()
    await alice.leave()


@check("slixmpp: talks, is away, and gets what waited, in order")
async def returns(server):
    name = f"two.{DOMAIN}"
    port, secret = await made(server, name)
    bridge = await Bridge(name, secret, port).comes()
    alice = await person(server, "talks")
    alice.client.send_message(mto=f"x@{name}", mbody="1")
    await bridge.hears("1")
    bridge.abort()
    await asyncio.sleep(0.5)
    for number in range(2, 22):
        alice.client.send_message(mto=f"x@{name}", mbody=str(number))
    bridge = await Bridge(name, secret, port).comes()
    for number in range(2, 22):
        assert (await bridge.hears(str(number)))["from"].bare == alice.client.boundjid.bare
    bridge.abort()
    await alice.leave()


@check("slixmpp: acts for its users as far as it may (XEP-0356)")
async def privileged(server):
    name = f"three.{DOMAIN}"
    port, secret = await made(server, name, "bridge")
    bridge = await Bridge(name, secret, port).comes()
    await asyncio.wait_for(bridge.granted.wait(), PATIENCE)
    alice = await person(server, "lets")
    own = alice.client.boundjid.bare
    plugin = bridge["xep_0356"]
    await plugin.set_roster(own, {f"bob@{name}": {"name": "Bob", "subscription": "none"}})
    roster = await plugin.get_roster(own)
    assert f"bob@{name}" in {str(jid) for jid in roster["roster"]["items"]}
    message = Message()  # of jabber:client
    message["from"], message["to"], message["body"] = own, f"bob@{name}", "from there"
    message["type"] = "chat"
    plugin.send_privileged_message(message)
    assert (await bridge.hears("from there"))["from"].bare == own
    bridge.abort()
    await alice.leave()


@check("slixmpp: a wrong secret is refused")
async def refused(server):
    name = f"four.{DOMAIN}"
    port, secret = await made(server, name)
    bridge = Bridge(name, secret[1:], port)
    ended = asyncio.Event()
    bridge.add_event_handler("stream_error", lambda _: ended.set())
    bridge.add_event_handler("disconnected", lambda _: ended.set())
    bridge.connect()
    await asyncio.wait_for(ended.wait(), PATIENCE)
    assert not bridge.here.is_set()
    bridge.abort()


async def biboumi_with_irc(server, programs):
    """A channel of IRC, through biboumi."""
    biboumi, ngircd = programs
    name = f"irc.{DOMAIN}"
    port, secret = await made(server, name, "bridge")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="rookery-biboumi-"))
    (irc,) = free_ports(1)
    (folder / "ngircd.conf").write_text(
        f"[Global]\nName = irc.test.net\nInfo = test\nPorts = {irc}\nListen = 127.0.0.1\n"
        "[Options]\nPAM = no\nIdent = no\nDNS = no\n")
    (folder / "biboumi.cfg").write_text(
        f"hostname={name}\npassword={secret}\nport={port}\nxmpp_server_ip=127.0.0.1\n"
        f"db_name={folder}/db.sqlite\nfixed_irc_server=127.0.0.1\nlog_level=0\n"
        f"log_file={folder}/log\nrealname_customization=false\n"
        f"admin=admin@{DOMAIN}\n")
    processes = [
        subprocess.Popen([ngircd, "-n", "-f", folder / "ngircd.conf"],
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL),
        subprocess.Popen([biboumi, folder / "biboumi.cfg"],
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL),
    ]
    try:
        alice = await person(server, "chats")
        info = None
        for _ in range(PATIENCE):
            try:
                info = await alice.client["xep_0030"].get_info(jid=name, timeout=5)
                break
            except (IqError, IqTimeout):
                await asyncio.sleep(1)
        kinds = {identity[:2] for identity in info["disco_info"]["identities"]}
        assert any(kind[0] == "conference" for kind in kinds), kinds
        commands = await alice.client["xep_0030"].get_items(
            jid=name, node="http://jabber.org/protocol/commands")
        assert len(commands["disco_items"]["items"]) > 0
        answer = await alice.client["xep_0199"].send_ping(name, timeout=PATIENCE)
        assert answer is not None
        return f"{len(commands['disco_items']['items'])} commands"
    finally:
        for process in processes:
            process.terminate()
            process.wait()


async def run(program, score, programs):
    (port,) = free_ports(1)
    listed = f'component = ["127.0.0.1:{port}"]\n'
    server = Server(program, more=listed)
    await server.start()
    try:
        for name, function in CHECKS:
            await score.run(name, function(server))
        if all(programs):
            await score.run("biboumi: is found, pinged, and shows its commands",
                            biboumi_with_irc(server, programs))
        await server.calm()
    finally:
        await server.stop()
