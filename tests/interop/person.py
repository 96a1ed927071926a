"""Somebody with a client: what every client is driven through, and what it is waited for.

A client's file makes this out of a library: it turns what the library tells into events, which
`sees` and `hears` wait for, each event once."""

import asyncio
from dataclasses import dataclass

from server import PATIENCE, secret


class LoginFailed(Exception):
    """The server refused; the text is the SASL condition."""


@dataclass
class Event:
    # message, error (a message that came back), available, unavailable, subscribe, subscribed,
    # unsubscribe, unsubscribed
    kind: str
    sender: str  # a bare address
    text: str = ""  # the body; the condition of an error; the status of a presence
    delayed: bool = False


class Person:
    library = "?"
    plus = None  # the channel binding this client can do, if any
    history = None  # reads the archive page by page, if this client can
    break_line = None  # loses the connection without a word, if this client then resumes
    take_copies = None  # asks for carbons, if this client can
    publish = None  # tells by PEP what it hears, or shows a picture of that name, if it can

    def __init__(self, server, address):
        self.server = server
        self.address = address
        self.resource = self.library
        self.password = secret(address.split("@")[0])
        self.events = []
        self.stirred = asyncio.Event()
        self.mechanism = None

    # What a client's file fills in.

    async def log_in(self, tls, plus):
        raise NotImplementedError

    async def available(self, status):
        raise NotImplementedError

    async def leave(self):
        raise NotImplementedError

    async def contacts(self):
        """The roster, asked for now: bare address -> subscription."""
        raise NotImplementedError

    # What is the same for all.

    async def arrive(self, tls="starttls", plus=False, status="here"):
        await self.log_in(tls, plus)
        await self.available(status)
        return self

    def happened(self, event):
        self.events.append(event)
        self.stirred.set()

    async def until(self, found, what):
        """What `found` gives once it gives something."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not (value := found()):
                    self.stirred.clear()
                    await self.stirred.wait()
                return value
        except TimeoutError:
            raise AssertionError(
                f"{self.address} does not see {what}; only {self.events}") from None

    async def sees(self, kind, sender, text=None):
        """Waits for such an event and takes it."""
        def found():
            for event in self.events:
                if (event.kind, event.sender) == (kind, sender) and text in (None, event.text):
                    self.events.remove(event)
                    return event
            return None
        return await self.until(found, f"{kind} of {sender} {text or ''}")

    async def hears(self, sender, *bodies):
        """Waits for these messages, in this order, and nothing between."""
        def found():
            heard = self.messages(sender)
            return heard if len(heard) >= len(bodies) else None
        heard = await self.until(found, f"{len(bodies)} messages of {sender}")
        assert tuple(event.text for event in heard) == bodies, heard
        self.events = [event for event in self.events if event not in heard]
        return heard

    def messages(self, sender):
        return [e for e in self.events if (e.kind, e.sender) == ("message", sender)]

    async def has(self, contact, subscription):
        """Waits until the roster says so (the server may still be at it)."""
        for _ in range(PATIENCE * 5):
            roster = await self.contacts()
            if roster.get(contact) == subscription:
                return
            await asyncio.sleep(0.2)
        raise AssertionError(f"{contact} is {roster.get(contact)}, not {subscription}")
