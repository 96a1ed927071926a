"""Our server and another one: people here and people there. Both listen on free ports of loopback;
the other finds us by a name server of our own, we find it by `[dns.overrides]`."""

import asyncio
import pathlib
import shutil
import tempfile

from slixmpp.exceptions import IqError

from peer import ADDRESS, BIDI, DIALBACK, DIRECT_TLS, EXTERNAL, NO_PROOF, Names, certify, trusts
from score import Waiting
from server import ALONE, DOMAIN, PATIENCE, Server, free_ports
from with_slixmpp import Slixmpp

MANY = 120  # messages, while a server goes and comes
BELIEVED = (EXTERNAL, DIRECT_TLS, BIDI, DIALBACK)
CHECKS = []


def check(name, proofs=(EXTERNAL, DIALBACK), when=lambda peer: True):
    """A step of the story, for servers that believe each other in one of these ways."""
    def listed(function):
        CHECKS.append((name, proofs, when, function))
        return function
    return listed


class Ours(Server):
    """Our server, with a certificate of the test's authority if there is one."""

    authority = None

    @property
    def certificate(self):
        return self.authority or super().certificate


class Cast:
    """Alice lives here and Bob there. `proof` is how the servers believe each other."""

    def __init__(self, kind, proof):
        self.kind, self.proof = kind, proof
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rookery-federation-"))
        self.here = self.there = self.names = self.alice = self.bob = None

    async def assemble(self, program, peer):
        certify(self.folder, (DOMAIN, self.kind.domain))
        starttls, direct, s2s, names, *theirs = free_ports(7)
        tls, service, listener = "", "_xmpp-server", "s2s"
        if self.proof == DIRECT_TLS:
            tls, service, listener = "tls://", "_xmpps-server", "s2s_tls"
        loop = asyncio.get_running_loop()
        self.names, _ = await loop.create_datagram_endpoint(
            lambda: Names(service, self.kind.target, s2s), local_addr=(ADDRESS, names))
        settings = ""
        if trusts(self.proof):
            settings += (f'[tls]\ncertificate = "{self.folder}/{DOMAIN}.pem"\n'
                         f'key = "{self.folder}/{DOMAIN}.key"\n'
                         f'[s2s]\nca = ["{self.folder}/ca.pem"]\n')
        elif self.proof == DIALBACK:
            settings += '[s2s]\npolicy = "dialback"\n'
        settings += (f'[dns.overrides]\n"{self.kind.domain}" = ["{tls}{ADDRESS}:{theirs[1]}"]\n'
                     '[outbox]\nretry = "1s"\nretry_longest = "3s"\n')
        listening = ALONE.replace(f"{listener} = []", f'{listener} = ["{ADDRESS}:{s2s}"]')
        self.here = Ours(program, ADDRESS, (starttls, direct), settings, listening)
        if trusts(self.proof):
            self.here.authority = self.folder / "ca.pem"
        self.there = self.kind(peer, self.folder, self.proof, names, theirs)
        await asyncio.gather(self.here.start(), self.there.start())
        self.alice = Slixmpp(self.here, await self.here.account("alice"))
        self.bob = Slixmpp(self.there, await self.there.account("bob"))
        return self

    async def arrive(self):
        for person in (self.alice, self.bob):
            await person.arrive()
            person.client.register_plugin("xep_0054")
            # What comes sooner ejabberd may leave where it keeps messages for who is away.
            await person.sees("available", person.address)

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


@check("chats, in order, both ways", proofs=BELIEVED)
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


@check("servers believe each other in this way and no other", proofs=BELIEVED)
async def _(cast):
    wanted = DIALBACK if cast.proof == DIALBACK else EXTERNAL
    external = str(wanted == EXTERNAL).lower()
    ours = cast.here.log.read_text().splitlines()
    reached = [line for line in ours if "a server was reached" in line]
    assert reached and all(f"external={external}" in line for line in reached), reached
    for _ in range(PATIENCE * 10):
        if believed := cast.there.believed():
            break
        await asyncio.sleep(0.1)  # it may be late with its log
    assert {proof for _, proof in believed} == {wanted}, believed


@check("subscribes both ways, and sees who comes and what they do", proofs=BELIEVED)
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


@check("pings a server and a client, both ways", proofs=BELIEVED)
async def _(cast):
    for one, other in cast.ways():
        for whom in (other.address.split("@")[1], f"{other.address}/{other.resource}"):
            await one.client["xep_0199"].send_ping(whom, timeout=PATIENCE)


@check("servers acknowledge what they get (XEP-0198), both ways", proofs=BELIEVED,
       when=lambda peer: peer.proof in peer.acknowledges)
async def _(cast):
    for way in ("Sending[s2sin]: <a ", "Received[s2sout]: <a "):
        for _ in range(PATIENCE * 10):
            if cast.there.said(way, "urn:xmpp:sm:3"):
                break
            await asyncio.sleep(0.1)
        else:
            raise AssertionError(f"not seen: {way}")


@check("servers use one connection for both ways (XEP-0288)", proofs=(BIDI,))
async def _(cast):
    if not cast.there.said("Received[s2sin", "urn:xmpp:bidi"):
        raise Waiting("our server does not ask for it")
    streams = cast.there.said("Sending[s2sout", "<stream:stream")
    assert not streams, streams


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


@check("blocks a contact of the other server, and unblocks", proofs=(EXTERNAL,))
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
    await cast.alice.say(f"nobody@{cast.there.domain}", "is anybody there?")
    error = await cast.alice.sees("error", f"nobody@{cast.there.domain}")
    assert error.text == "service-unavailable", error
    # Our server says nothing of who has an account: messages vanish, questions do not.
    for one, other in cast.ways():
        if other is cast.bob and cast.there.answers_for_nobody:
            continue
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
    await asyncio.sleep(cast.there.settling)


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
        await cast.alice.say(cast.bob.address, body)
        await asyncio.sleep(0.02)
    return await delivered(cast, said)


async def delivered(cast, said):
    """Waits until the other server has taken the last of it, and then for Bob to get it."""
    for _ in range(PATIENCE * 4):
        try:
            # In the stream it comes after all that waits.
            await cast.alice.client["xep_0199"].send_ping(cast.there.domain, timeout=PATIENCE)
            break
        except IqError:
            await asyncio.sleep(0.25)  # the server is still away
    else:
        raise AssertionError("the other server does not come back")
    cast.alice.events.clear()
    await cast.bob.arrive()
    await cast.alice.sees("available", cast.bob.address)
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
        await cast.alice.say(cast.bob.address, body)
    await cast.alice.contacts()  # answered after the messages before it were taken care of
    await cast.here.kill()
    await asyncio.gather(cast.here.start(), cast.there.start())
    return await delivered(cast, said)


@check("hears of each message what became of it when our server is killed and comes back",
       proofs=(EXTERNAL,))
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
    wrote = cast.there.wrote(r"ours \d+") or said
    assert firsts == [body for body in dict.fromkeys(wrote) if body in firsts], (firsts, wrote)
    for person in (alice, bob):
        person.events.clear()
    return f"{len(firsts)} came, {len(returned)} returned"


@check("is told that nobody believes the other", proofs=(NO_PROOF,))
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


async def perform(program, kind, peer, score):
    """The story with a server of this kind, `peer` being its program."""
    for proof in kind.proofs:
        cast = Cast(kind, proof)
        failed = score.counts["failed"]
        story = f"{kind.name}, {proof}"
        try:
            await cast.assemble(program, peer)
            for name, proofs, when, function in CHECKS:
                if proof in proofs and when(cast.there):
                    await score.run(f"{story}: {name}", function(cast))
            await score.run(f"{story}: the server panicked nowhere", cast.here.calm())
            if score.counts["failed"] > failed:
                print(f"-- the server's log:\n{cast.here.log.read_text()[-6000:]}")
                print(f"-- the log of {kind.name}:\n{cast.there.log.read_text()[-6000:]}")
        finally:
            await cast.clear()
