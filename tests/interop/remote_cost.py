"""What a message between two servers of one kind costs each: processor time of the one whose user
sends it, and of the one whose user gets it. Pairs of people, one message of 100 bytes in flight
each; certificates of a test authority."""

import asyncio
import os
import pathlib
import shutil
import tempfile
import time

from peer import ADDRESS, EXTERNAL, Names, certify
from server import Server, free_ports
from with_prosody import Prosody
from with_slixmpp import Slixmpp

# Not below .test, of which libunbound knows that there is nothing.
DOMAINS = ("here.example.org", "there.example.org")
PAIRS = 20
BODY = "x" * 100
FREE = '[limits]\ntrusted = ["127.0.0.0/8"]\n'
STORED = {"stored": "", "not stored": "<no-store xmlns='urn:xmpp:hints'/>"}


class Rookery(Server):
    name, target = "Rookery", None

    def __init__(self, program, folder, domain, ports, places):
        self.authority = folder / "ca.pem"
        overrides = "".join(f'"{name}" = ["{ADDRESS}:{port}"]\n'
                            for name, port in places.items() if name != domain)
        super().__init__(
            program, ADDRESS, ports[:2], domain=domain,
            s2s=f's2s = ["{ADDRESS}:{places[domain]}"]\ns2s_tls = []\n',
            more=f'[tls]\ncertificate = "{folder}/{domain}.pem"\nkey = "{folder}/{domain}.key"\n'
                 f'[s2s]\nca = ["{folder}/ca.pem"]\n{FREE}[dns.overrides]\n{overrides}')

    @property
    def certificate(self):
        return self.authority


def instance(kind, program, folder, domain, ports, places, names):
    """Another server, as its package sets it up, with what ours does for each message."""
    if kind is Rookery:
        return Rookery(program, folder, domain, ports, places)
    chosen = type(kind.name, (kind,), {
        "domain": domain, "level": "info",
        "modules": ("carbons", "mam", "blocklist", "csi_simple", "vcard4", "bookmarks"),
    })
    return chosen(program, folder, EXTERNAL, names, (ports[0], places[domain], ports[2]))


def spent(server):
    """Seconds of processor time of a server so far."""
    fields = pathlib.Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(kind, program, messages):
    """Lines with what a message costs, stored and not."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="rookery-cost-"))
    certify(folder, DOMAINS)
    ports = free_ports(9)
    places = dict(zip(DOMAINS, ports[6:8]))
    service = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Names("_xmpp-server", kind.target, places), local_addr=(ADDRESS, ports[8]))
    servers, people = [], []
    try:
        for domain, own in zip(DOMAINS, (ports[:3], ports[3:6])):
            server = instance(kind, program, folder, domain, own, places, ports[8])
            servers.append(server)
            await server.start()
        for number in range(PAIRS):
            pair = []
            for server, name in zip(servers, ("ann", "ben")):
                person = Slixmpp(server, await server.account(f"{name}{number}"))
                people.append(await person.arrive())
                pair.append(person)
            await pair[0].say(pair[1].address, "warm")
            await pair[1].hears(pair[0].address, "warm")
        for name, hint in STORED.items():
            before, began = [spent(server) for server in servers], time.monotonic()
            await talk(people, messages, hint)
            took = time.monotonic() - began
            out, into = (1e6 * (spent(server) - earlier) / messages
                         for server, earlier in zip(servers, before))
            print(f"{kind.name:9} {name:11} out {out:7.0f} µs   in {into:7.0f} µs"
                  f"   {messages / took:6.0f} messages/s", flush=True)
    finally:
        for person in people:
            if not person.leaving:
                await person.leave()
        for server in servers:
            server.clear()
        service[0].close()
        shutil.rmtree(folder, ignore_errors=True)


async def talk(people, messages, hint):
    """Each pair's first says so many as its share, the next when the last was heard."""
    left, done = messages, asyncio.Event()
    on_way = 0

    def next_of(ann, ben):
        nonlocal left, on_way
        if left == 0:
            if on_way == 0:
                done.set()
            return
        left, on_way = left - 1, on_way + 1
        ann.client.send_raw(f"<message type='chat' to='{ben.address}/{ben.resource}' id='m{left}'>"
                            f"<body>{BODY}</body>{hint}</message>")

    def heard(pair):
        def arrived(_):
            nonlocal on_way
            on_way -= 1
            next_of(*pair)
        return arrived

    pairs = list(zip(people[::2], people[1::2]))
    listeners = [(ben, heard((ann, ben))) for ann, ben in pairs]
    for ben, listener in listeners:
        ben.client.add_event_handler("message", listener)
    for pair in pairs:
        next_of(*pair)
    await asyncio.wait_for(done.wait(), 300)
    for ben, listener in listeners:
        ben.client.del_event_handler("message", listener)


async def perform(programs, messages):
    """For each kind that is there."""
    for kind in (Rookery, Prosody):
        if programs.get(kind.name):
            await measure(kind, programs[kind.name], messages)
