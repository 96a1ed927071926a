"""Prosody (Debian), another server: people here and people there. Both listen on free ports of
loopback; Prosody finds us by a name server of our own, we find it by `[dns.overrides]`."""

import asyncio
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile

from slixmpp.exceptions import IqError

from server import DOMAIN, PATIENCE, Server, free_ports, secret
from with_slixmpp import Slixmpp

THERE = "prosody.test"
BOB = f"bob@{THERE}"
MANY = 120  # messages, while a server goes and comes
# How the servers believe each other: by certificates of a test authority, over STARTTLS and over
# TLS from the first byte; by dialback with certificates of their own making; and not at all, since
# each wants a certificate that it can trust.
PROOFS = ("EXTERNAL", "direct TLS", "dialback", "no proof")
CHECKS = []


def check(name, proofs=("EXTERNAL", "dialback")):
    def listed(function):
        CHECKS.append((name, proofs, function))
        return function
    return listed


class Names(asyncio.DatagramProtocol):
    """A name server (RFC 1035) that knows where our domain is, and nothing else."""

    def __init__(self, service, port):
        self.service, self.port = f"{service}._tcp.{DOMAIN}", port

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, asker):
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1:at + 1 + data[at]].decode().lower())
            at += 1 + data[at]
        question, kind = data[12:at + 5], struct.unpack("!H", data[at + 1:at + 3])[0]
        name, record = ".".join(labels), None
        if (name, kind) == (self.service, 33):
            target = b"".join(bytes([len(part)]) + part.encode() for part in DOMAIN.split("."))
            record = struct.pack("!HHH", 0, 0, self.port) + target + b"\0"
        elif (name, kind) == (DOMAIN, 1):
            record = socket.inet_aton("127.0.0.1")
        known = record is not None or name == DOMAIN
        # An authoritative answer that could also have recursed; or no such name.
        flags = 0x8580 | (0 if known else 3)
        answer = data[:2] + struct.pack("!HHHHH", flags, 1, int(record is not None), 0, 0)
        answer += question
        if record is not None:
            answer += b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 1, len(record)) + record
        self.transport.sendto(answer, asker)


class Prosody:
    """The other server, made to look like ours to whoever drives it."""

    address = "127.0.0.1"

    def __init__(self, program, folder, proof, names, ports):
        self.program, self.certificate = program, folder / "ca.pem"
        self.folder = folder / "prosody"
        self.folder.mkdir()
        self.starttls, self.s2s = ports
        self.settings, self.log = self.folder / "prosody.cfg.lua", self.folder / "log"
        self.process = None
        secure = "false" if proof == "dialback" else "true"
        authority = f'cafile = "{folder}/ca.pem"' if trusts(proof) else ""
        kind, other = ("direct_tls_", "") if proof == "direct TLS" else ("", "direct_tls_")
        self.settings.write_text(f"""
run_as_root = true; prosody_user = "root"; prosody_group = "root"
data_path = "{self.folder}"; pidfile = "{self.folder}/pid"
log = {{ {{ levels = {{ min = "debug" }}, to = "file", filename = "{self.log}" }} }}
plugin_paths = {{}}
modules_enabled = {{ "roster", "saslauth", "tls", "dialback", "disco", "ping", "vcard", "offline",
    "smacks", "pep", "posix" }}
modules_disabled = {{ "s2s_bidi", "http", "bosh", "websocket" }}
interfaces = {{ "{self.address}" }}; local_interfaces = {{ "{self.address}" }}
c2s_ports = {{ {self.starttls} }}; c2s_direct_tls_ports = {{}}
s2s_{kind}ports = {{ {self.s2s} }}; s2s_{other}ports = {{}}; http_ports = {{}}; https_ports = {{}}
authentication = "internal_hashed"
s2s_require_encryption = true; s2s_secure_auth = {secure}
use_ipv6 = false
unbound = {{ resolvconf = false, hoststxt = false, forward = "127.0.0.1@{names}",
    options = {{ ["do-not-query-localhost:"] = "no" }} }}
ssl = {{ key = "{folder}/{THERE}.key"; certificate = "{folder}/{THERE}.pem";
    {authority} }}
VirtualHost "{THERE}"
""")

    def port(self, _):
        return self.starttls

    async def start(self):
        output = (self.folder / "output").open("ab")
        self.process = subprocess.Popen(
            [self.program, "--config", self.settings, "-F"], stdout=output, stderr=output,
            stdin=subprocess.DEVNULL)
        for _ in range(PATIENCE * 20):
            if self.process.poll() is not None:
                said = (self.folder / "output").read_text()
                raise RuntimeError(f"Prosody ended: {said[-2000:]}")
            try:
                for port in (self.starttls, self.s2s):
                    socket.create_connection((self.address, port), 1).close()
                return
            except OSError:
                await asyncio.sleep(0.05)
        raise RuntimeError("Prosody does not listen")

    async def kill(self):
        self.process.kill()
        await asyncio.to_thread(self.process.wait)

    async def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self.process.wait, PATIENCE)

    async def account(self, name):
        process = await asyncio.create_subprocess_exec(
            f"{self.program}ctl", "--config", self.settings, "register", name, THERE,
            secret(name), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
        told, _ = await process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"prosodyctl: {told.decode()}")
        return f"{name}@{THERE}"

    def said(self, *words):
        """Lines of its log with all these words."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [line for line in lines if all(word in line for word in words)]

    def clear(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Ours(Server):
    """Our server, with a certificate of the test's authority if there is one."""

    authority = None

    @property
    def certificate(self):
        return self.authority or super().certificate


def trusts(proof):
    """Whether both servers trust the test's authority."""
    return proof in ("EXTERNAL", "direct TLS")


def certify(folder):
    """A test authority, and a certificate of it for both domains: what people trust."""
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, cwd=folder, capture_output=True)

    made = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *made, "-keyout", "ca.key", "-out", "ca.pem", "-days", "30",
            "-subj", "/CN=Test authority", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    for domain in (DOMAIN, THERE):
        openssl("req", *made, "-keyout", f"{domain}.key", "-out", f"{domain}.csr",
                "-subj", f"/CN={domain}")
        (folder / f"{domain}.ext").write_text(
            f"subjectAltName=DNS:{domain}\nbasicConstraints=CA:FALSE\n"
            "extendedKeyUsage=serverAuth,clientAuth\n")
        openssl("x509", "-req", "-in", f"{domain}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                "-CAcreateserial", "-days", "30", "-extfile", f"{domain}.ext",
                "-out", f"{domain}.pem")


class Cast:
    """Alice lives here and Bob there. `proof` is how the servers believe each other."""

    def __init__(self, proof):
        self.proof = proof
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rookery-federation-"))
        self.here = self.there = self.names = self.alice = self.bob = None

    async def assemble(self, program, prosody):
        certify(self.folder)
        starttls, direct, s2s, names, *theirs = free_ports(6)
        tls, service, listener = "", "_xmpp-server", "s2s"
        if self.proof == "direct TLS":
            tls, service, listener = "tls://", "_xmpps-server", "s2s_tls"
        loop = asyncio.get_running_loop()
        self.names, _ = await loop.create_datagram_endpoint(
            lambda: Names(service, s2s), local_addr=("127.0.0.1", names))
        settings = f'{listener} = ["127.0.0.1:{s2s}"]\n'
        if trusts(self.proof):
            settings += (f'[tls]\ncertificate = "{self.folder}/{DOMAIN}.pem"\n'
                         f'key = "{self.folder}/{DOMAIN}.key"\n'
                         f'[s2s]\nca = ["{self.folder}/ca.pem"]\n')
        elif self.proof == "dialback":
            settings += '[s2s]\npolicy = "dialback"\n'
        settings += (f'[dns.overrides]\n"{THERE}" = ["{tls}127.0.0.1:{theirs[1]}"]\n'
                     '[outbox]\nretry = "1s"\nretry_longest = "3s"\n')
        self.here = Ours(program, ports=(starttls, direct), more=settings)
        if trusts(self.proof):
            self.here.authority = self.folder / "ca.pem"
        self.there = Prosody(prosody, self.folder, self.proof, names, theirs)
        await asyncio.gather(self.here.start(), self.there.start())
        self.alice = Slixmpp(self.here, await self.here.account("alice"))
        self.bob = Slixmpp(self.there, await self.there.account("bob"))
        return self

    async def arrive(self):
        for person in (self.alice, self.bob):
            await person.arrive()
            person.client.register_plugin("xep_0054")

    def ways(self):
        return ((self.alice, self.bob), (self.bob, self.alice))

    async def clear(self):
        for person in (self.alice, self.bob):
            if person and getattr(person, "client", None) and not person.leaving:
                await person.leave()
        for one in (self.here, self.there):
            if one:
                one.clear()
        if self.names:
            self.names.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@check("chats, in order, both ways", proofs=PROOFS[:3])
async def _(cast):
    await cast.arrive()
    for one, other in cast.ways():
        # The servers connect. Meanwhile Prosody lets the newest overtake those that it holds.
        await one.say(other.address, "hello")
        await other.hears(one.address, "hello")
        said = [f"{n}: <Grüße> & 🦉 \"'" for n in range(20)]
        for body in said:
            await one.say(other.address, body)
        await other.hears(one.address, *said)


@check("servers believe each other in this way and no other", proofs=PROOFS[:3])
async def _(cast):
    external = "false" if cast.proof == "dialback" else "true"
    ours = cast.here.log.read_text().splitlines()
    reached = [line for line in ours if "a server was reached" in line]
    assert reached and all(f"external={external}" in line for line in reached), reached
    for way in ("Sending[s2sout_unauthed]: <", "Received[s2sin_unauthed]: <"):
        keys, logins = (cast.there.said(way, what) for what in ("result", "mechanism='EXTERNAL'"))
        assert (bool(keys), bool(logins)) == (external == "false", external == "true"), way


@check("subscribes both ways, and sees who comes and what they do", proofs=PROOFS[:3])
async def _(cast):
    for one, other in cast.ways():
        await one.subscribe(other.address)
        await other.sees("subscribe", one.address)
        await other.approve(one.address)
        await one.sees("subscribed", other.address)
        await one.sees("available", other.address, "here")
    for one, other in cast.ways():
        await one.has(other.address, "both")
        await one.available("at lunch <&> 🍜")
        await other.sees("available", one.address, "at lunch <&> 🍜")


@check("pings a server and a client, both ways", proofs=PROOFS[:3])
async def _(cast):
    for one, other in cast.ways():
        for whom in (other.address.split("@")[1], f"{other.address}/{other.resource}"):
            await one.client["xep_0199"].send_ping(whom, timeout=PATIENCE)


# Prosody offers it to servers that have logged in, so not where dialback is the proof.
@check("servers acknowledge what they get (XEP-0198), both ways", proofs=PROOFS[:2])
async def _(cast):
    for way in ("Sending[s2sin]: <a ", "Received[s2sout]: <a "):
        for _ in range(PATIENCE * 10):
            if cast.there.said(way, "urn:xmpp:sm:3"):
                break
            await asyncio.sleep(0.1)
        else:
            raise AssertionError(f"not seen: {way}")


@check("reads a vCard, both ways")
async def _(cast):
    for one, other in cast.ways():
        card = other.client["xep_0054"].make_vcard()
        card["FN"] = f"{other.address} & <friends>"
        await other.client["xep_0054"].publish_vcard(card)
        read = await one.client["xep_0054"].get_vcard(other.address, timeout=PATIENCE)
        assert read["vcard_temp"]["FN"] == f"{other.address} & <friends>", read


@check("sees what a contact publishes, both ways")
async def _(cast):
    for one, other in cast.ways():
        await one.publish("Night Flight")
        await other.sees("published", one.address, "Night Flight")


@check("blocks a contact of the other server, and unblocks", proofs=("EXTERNAL",))
async def _(cast):
    alice, bob = cast.alice, cast.bob
    await alice.block(bob.address)
    await bob.sees("unavailable", alice.address)
    await bob.say(alice.address, "do you hear me?")
    error = await bob.sees("error", alice.address)
    assert error.text == "service-unavailable", error
    await alice.unblock(bob.address)
    await bob.sees("available", alice.address)
    await bob.say(alice.address, "and now?")
    await alice.hears(bob.address, "and now?")


@check("carries a stanza of 100 KiB, both ways")
async def _(cast):
    for one, other in cast.ways():
        large = "".join(f"{n:07},\n" for n in range(100 * 1024 // 9))
        await one.say(other.address, large)
        await other.hears(one.address, large)


@check("tells who asks somebody who does not exist")
async def _(cast):
    await cast.alice.say(f"nobody@{THERE}", "is anybody there?")
    error = await cast.alice.sees("error", f"nobody@{THERE}")
    assert error.text == "service-unavailable", error
    # Our server says nothing of who has an account: messages vanish, questions do not.
    for one, other in cast.ways():
        nobody = f"nobody@{other.address.split('@')[1]}"
        try:
            await one.client["xep_0054"].get_vcard(nobody, timeout=PATIENCE)
        except IqError as error:
            assert error.condition in ("service-unavailable", "item-not-found"), error.condition
        else:
            raise AssertionError(f"{nobody} answered")


async def away(cast):
    """Bob leaves, so that what his server took is on its disk."""
    await cast.bob.leave()
    await cast.alice.sees("unavailable", cast.bob.address)


async def hears_all(person, sender, said):
    """What a server took and did not acknowledge comes again, as it must; all come in order, each
    for the first time. Answers how many came twice."""
    def heard():
        bodies = [event.text for event in person.messages(sender)]
        return bodies if said[-1] in bodies else None

    bodies = [body for body in await person.until(heard, said[-1]) if body in said]
    firsts = list(dict.fromkeys(bodies))
    lost = [body for body in said if body not in firsts]
    assert not lost, f"lost: {lost}"
    assert firsts == said, firsts
    person.events.clear()
    return f"{len(bodies) - len(firsts)} twice"


async def while_it_is_away(cast, end):
    await away(cast)
    said = [f"{end} {n}" for n in range(MANY)]
    for number, body in enumerate(said):
        if number == MANY // 3:
            await getattr(cast.there, end)()
        if number == 2 * MANY // 3:
            await cast.there.start()
        await cast.alice.say(BOB, body)
        await asyncio.sleep(0.02)
    return await delivered(cast, said)


async def delivered(cast, said):
    """Waits until the other server has the last of it, and then for Bob to get it."""
    stored = cast.there.folder / THERE.replace(".", "%2e") / "offline/bob.list"
    for _ in range(PATIENCE * 10):
        if stored.exists() and said[-1] in stored.read_text():
            break
        await asyncio.sleep(0.1)
    else:
        raise AssertionError(f"{said[-1]} never came")
    await cast.bob.arrive()
    return await hears_all(cast.bob, cast.alice.address, said)


@check("loses nothing and keeps the order when the other server is killed and comes back")
async def _(cast):
    return await while_it_is_away(cast, "kill")


@check("loses nothing and keeps the order when the other server is restarted")
async def _(cast):
    return await while_it_is_away(cast, "stop")


@check("loses nothing when it is killed itself while the other server is away")
async def _(cast):
    await away(cast)
    await cast.there.kill()
    said = [f"both {n}" for n in range(20)]
    for body in said:
        await cast.alice.say(BOB, body)
    await cast.alice.contacts()  # answered after the messages before it were taken care of
    await cast.here.kill()
    await asyncio.gather(cast.here.start(), cast.there.start())
    return await delivered(cast, said)


@check("hears of each message what became of it when our server is killed and comes back",
       proofs=("EXTERNAL",))
async def _(cast):
    alice, bob = cast.alice, cast.bob
    returned = []
    bob.client.add_event_handler("message_error", lambda message: returned.append(message["id"]))
    said = [f"ours {n}" for n in range(MANY)]
    for number, body in enumerate(said):
        if number == MANY // 3:
            await cast.here.kill()
        if number == 2 * MANY // 3:
            await cast.here.start()
        message = bob.client.make_message(mto=alice.address, mbody=body, mtype="chat")
        message["id"] = body
        message.send()
        await asyncio.sleep(0.02)

    def accounted():
        heard = [event.text for event in alice.messages(bob.address)]
        return heard if {*heard, *returned} >= {*said} else None

    for _ in range(PATIENCE * 10):
        if heard := accounted():
            break
        await asyncio.sleep(0.1)
    else:
        heard = {event.text for event in alice.messages(bob.address)}
        raise AssertionError(f"lost: {[b for b in said if b not in heard | {*returned}]}")
    firsts = [body for body in dict.fromkeys(heard) if body in said]
    # While it connects Prosody lets the newest overtake those that it holds: what counts is the
    # order in which it wrote them.
    wrote = re.findall(r"Sending\[s2sout\]: <message[^>]* id='(ours \d+)'",
                       cast.there.log.read_text(errors="replace"))
    assert firsts == [body for body in dict.fromkeys(wrote) if body in firsts], (firsts, wrote)
    for person in (alice, bob):
        person.events.clear()
    return f"{len(firsts)} came, {len(returned)} returned"


@check("is told that nobody believes the other", proofs=("no proof",))
async def _(cast):
    await cast.arrive()
    told = []
    for one, other in cast.ways():
        await one.say(other.address, "do you believe me?")
        told.append((await one.sees("error", other.address)).text)
        assert not other.messages(one.address)
    return ", ".join(told)


@check("sees a contact leave")
async def _(cast):
    await away(cast)


async def perform(program, prosody, score):
    for proof in PROOFS:
        cast = Cast(proof)
        failed = score.counts["failed"]
        try:
            await cast.assemble(program, prosody)
            for name, proofs, function in CHECKS:
                if proof in proofs:
                    await score.run(f"Prosody, {proof}: {name}", function(cast))
            await score.run(f"Prosody, {proof}: the server panicked nowhere", cast.here.calm())
            if score.counts["failed"] > failed:
                print(f"-- the server's log:\n{cast.here.log.read_text()[-6000:]}")
                print(f"-- Prosody's log:\n{cast.there.log.read_text()[-6000:]}")
        finally:
            await cast.clear()
