"""What two people do with their clients, check by check, in this order."""

import asyncio

from person import LoginFailed
from server import secret

CHECKS = []


def check(name, when=lambda kind: True):
    def listed(function):
        CHECKS.append((name, when, function))
        return function
    return listed


class Cast:
    """Two people with the same library, and what the checks before left standing."""

    def __init__(self, server, kind):
        self.server, self.kind = server, kind

    async def assemble(self):
        names = [f"{who}-{self.kind.__name__.lower()}" for who in ("alice", "bob", "carol")]
        addresses = [await self.server.account(name) for name in names]
        self.alice, self.bob, self.carol = (self.kind(self.server, a) for a in addresses)
        return self


async def refused(person, **how):
    try:
        await person.log_in(how.get("tls", "starttls"), False)
    except LoginFailed as failure:
        assert "not-authorized" in str(failure), failure
    else:
        raise AssertionError("the server let in who should stay out")


async def logged_in(person, tls, plus=False):
    await person.arrive(tls=tls, plus=plus)
    mechanism = person.mechanism
    assert mechanism.startswith("SCRAM-SHA-"), mechanism
    assert mechanism.endswith("-PLUS") == plus, mechanism
    assert await person.contacts() == {}
    await person.leave()
    return mechanism


@check("logs in by SCRAM over STARTTLS")
async def _(cast):
    return await logged_in(cast.carol, "starttls")


@check("logs in by SCRAM over direct TLS")
async def _(cast):
    return await logged_in(cast.carol, "direct")


@check("logs in by SCRAM-PLUS over STARTTLS", when=lambda kind: kind.plus)
async def _(cast):
    return f'{await logged_in(cast.carol, "starttls", plus=True)}, {cast.kind.plus}'


@check("logs in by SCRAM-PLUS over direct TLS", when=lambda kind: kind.plus)
async def _(cast):
    return f'{await logged_in(cast.carol, "direct", plus=True)}, {cast.kind.plus}'


@check("is refused with a wrong password")
async def _(cast):
    cast.carol.password = "guessed"
    await refused(cast.carol)
    cast.carol.password = secret(cast.carol.address.split("@")[0])


@check("subscribes both ways")
async def _(cast):
    alice, bob = cast.alice, cast.bob
    await alice.arrive()
    await bob.arrive(tls="direct")
    for one, other in ((alice, bob), (bob, alice)):
        await one.subscribe(other.address)
        await other.sees("subscribe", one.address)
        await other.approve(one.address)
        await one.sees("subscribed", other.address)
    await alice.has(bob.address, "both")
    await bob.has(alice.address, "both")
    await alice.sees("available", bob.address, "here")
    await bob.sees("available", alice.address, "here")


@check("sees a contact's status change")
async def _(cast):
    await cast.alice.available("at lunch <&> 🍜")
    await cast.bob.sees("available", cast.alice.address, "at lunch <&> 🍜")


@check("chats, in order, both ways")
async def _(cast):
    alice, bob = cast.alice, cast.bob
    said = [f"{n}: <Grüße> & 🦉 \"'" for n in range(20)]
    for body in said:
        await alice.say(bob.address, body)
    heard = await bob.hears(alice.address, *said)
    assert not any(event.delayed for event in heard)
    await bob.say(alice.address, "and back")
    await alice.hears(bob.address, "and back")


@check("blocks, and is blocked")
async def _(cast):
    alice, bob = cast.alice, cast.bob
    await bob.block(alice.address)
    # XEP-0191 §3.3: the blocked contact sees the user go.
    await alice.sees("unavailable", bob.address)
    assert await bob.blocked() == {alice.address}
    await alice.say(bob.address, "do you hear me?")
    error = await alice.sees("error", bob.address)
    assert error.text == "service-unavailable", error
    await bob.contacts()
    assert not bob.messages(alice.address)


@check("unblocks")
async def _(cast):
    alice, bob = cast.alice, cast.bob
    await bob.unblock(alice.address)
    await alice.sees("available", bob.address, "here")
    await alice.say(bob.address, "and now?")
    await bob.hears(alice.address, "and now?")


@check("resumes when its connection breaks, and nobody sees it", when=lambda kind: kind.break_line)
async def _(cast):
    alice, bob = cast.alice, cast.bob
    await nothing_yet(alice, bob)
    await bob.break_line()
    said = [f"into the dark {n}" for n in range(5)]
    for body in said:
        await alice.say(bob.address, body)
    await bob.sees("resumed", bob.address)
    await bob.hears(alice.address, *said)
    await as_if_nothing_had_been(alice, bob)


@check("resumes after a kill -9 of the server", when=lambda kind: kind.break_line)
async def _(cast):
    alice, bob = cast.alice, cast.bob
    await bob.break_line()
    await alice.say(bob.address, "nobody is there")
    await alice.contacts()  # answered after the message before it was taken care of
    await cast.server.kill()
    await cast.server.start()
    await alice.sees("resumed", alice.address)
    await bob.sees("resumed", bob.address)
    await bob.hears(alice.address, "nobody is there")
    await as_if_nothing_had_been(alice, bob)


async def nothing_yet(*people):
    """What came so far is forgotten."""
    for person in people:
        await person.contacts()
        person.events.clear()


async def as_if_nothing_had_been(alice, bob):
    await bob.say(alice.address, "so there you are")
    await alice.hears(bob.address, "so there you are")
    await alice.contacts()
    await bob.contacts()
    for person in (alice, bob):
        noticed = [event for event in person.events if event.kind != "resumed"]
        assert not noticed, noticed
        person.events.clear()


@check("sees on a second device what is said on the first", when=lambda kind: kind.take_copies)
async def _(cast):
    alice, bob = cast.alice, cast.bob
    second = cast.kind(cast.server, bob.address)
    second.resource = "second"
    await second.arrive()
    await second.take_copies()
    await bob.say(alice.address, "from the first")
    await alice.hears(bob.address, "from the first")
    await second.sees("copy sent", alice.address, "from the first")
    # An answer to the first device only, as clients send it in a conversation.
    await alice.say(f"{bob.address}/{bob.resource}", "to the first")
    await bob.hears(alice.address, "to the first")
    await second.sees("copy received", alice.address, "to the first")
    await second.leave()


@check("tells contacts what it publishes, also those who come later",
       when=lambda kind: kind.publish)
async def _(cast):
    alice, bob = cast.alice, cast.bob
    await alice.publish("Night Flight")
    await bob.sees("published", alice.address, "Night Flight")
    second = cast.kind(cast.server, bob.address)
    second.resource = "second"
    await second.arrive()
    await second.sees("published", alice.address, "Night Flight")
    await second.leave()
    for person in (alice, bob):
        person.events.clear()


@check("sees a contact leave")
async def _(cast):
    await cast.bob.leave()
    await cast.alice.sees("unavailable", cast.bob.address)


@check("gets what was said while away, in order and stamped")
async def _(cast):
    alice, bob = cast.alice, cast.bob
    said = [f"missed {n}" for n in range(5)]
    for body in said:
        await alice.say(bob.address, body)
    await alice.contacts()  # answered after the messages before it were taken care of
    await bob.arrive()
    heard = await bob.hears(alice.address, *said)
    assert all(event.delayed for event in heard), heard
    # With XEP-0198 what was not acknowledged comes again: a way there and back for that.
    await bob.contacts()
    await bob.leave()
    await bob.arrive()
    await bob.contacts()
    assert not bob.messages(alice.address), "once is enough"


@check("reads the archive page by page, from both ends", when=lambda kind: kind.history)
async def _(cast):
    alice, bob = cast.alice, cast.bob
    missed = [f"missed {n}" for n in range(5)]
    hers = await alice.history(bob.address, page=7)
    assert hers[0].startswith("0: ") and hers[20] == "and back", hers
    assert hers[-5:] == missed, hers
    newest = await alice.history(bob.address, page=3, newest_first=True)
    assert sorted(newest) == sorted(hers) and newest[0] in missed, newest
    # What was blocked never came to him.
    his = await bob.history(alice.address, page=50)
    assert his == [body for body in hers if body != "do you hear me?"], his
    start, end = await alice.ends_of_history()
    assert start and end and start < end, (start, end)


@check("changes the password")
async def _(cast):
    bob = cast.bob
    before = bob.password
    await bob.change_password("neu & <besser> = 'ß'")
    await bob.leave()
    after, bob.password = bob.password, before
    await refused(bob)
    bob.password = after
    await bob.arrive()


@check("finds contacts and waiting messages again after a kill -9")
async def _(cast):
    alice, bob = cast.alice, cast.bob
    await bob.leave()
    await alice.sees("unavailable", bob.address)
    await alice.say(bob.address, "before the crash")
    # A change of the roster is durable once answered, and so is what was sent before it.
    await alice.block(cast.carol.address)
    await cast.server.kill()
    await cast.server.start()
    await alice.leave()
    await bob.arrive()
    await bob.hears(alice.address, "before the crash")
    await alice.arrive()
    assert cast.carol.address in await alice.blocked()
    await alice.has(bob.address, "both")
    await alice.sees("available", bob.address)


@check("deletes the account, and contacts learn of it")
async def _(cast):
    alice, bob = cast.alice, cast.bob
    await bob.delete_account()
    await alice.sees("unsubscribed", bob.address)
    await alice.sees("unavailable", bob.address)
    await alice.has(bob.address, "none")
    await refused(bob)
    await alice.leave()


async def strangers(server, one_kind, other_kind):
    """Clients of two makes: contacts, chat, offline."""
    pair = f"{one_kind.__name__}-{other_kind.__name__}".lower()
    one = one_kind(server, await server.account(f"one-{pair}"))
    other = other_kind(server, await server.account(f"other-{pair}"))
    await one.arrive()
    await other.arrive(tls="direct")
    await one.subscribe(other.address)
    await other.sees("subscribe", one.address)
    await other.approve(one.address)
    await one.sees("available", other.address, "here")
    await one.say(other.address, "hello & <goodbye>")
    await other.hears(one.address, "hello & <goodbye>")
    await other.leave()
    await one.sees("unavailable", other.address)
    await one.say(other.address, "later")
    await one.contacts()
    await other.arrive()
    await other.hears(one.address, "later")
    await asyncio.gather(one.leave(), other.leave())
