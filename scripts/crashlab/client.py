"""A raw XMPP client over plaintext loopback: it says exactly what it is told to, counts what
XEP-0198 counts, and can stop reading. Written for the harness; it knows no library."""

import asyncio
import base64
import collections
import itertools
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

C = "{jabber:client}"
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
SM = "urn:xmpp:sm:3"
STREAMS = "http://etherx.jabber.org/streams"
DELAY = "{urn:xmpp:delay}delay"
REGISTER = "jabber:iq:register"


class Lost(Exception):
    """The connection ended before what was waited for came."""


class Refused(Exception):
    """The server said no."""


def attr(text):
    return quoteattr(str(text))


class Client(asyncio.Protocol):
    """One stream. `on_stanza(client, element)` gets each stanza once the stream is live."""

    numbers = itertools.count(1)

    def __init__(self, domain, on_stanza=None):
        self.domain = domain
        self.on_stanza = on_stanza
        self.number = next(Client.numbers)
        self.transport = None
        self.closed = asyncio.get_running_loop().create_future()
        self.error = None
        # We said farewell.
        self.left = False
        self.jid = None
        self._fresh_parser()
        self._depth = 0
        self._elements = asyncio.Queue()
        self._live = False
        self._waiting = {}
        self._ids = itertools.count(1)
        # XEP-0198: what we sent and what of it the server has taken; what we were sent.
        self.managed = False
        # By this the session can be had again; what may have to be sent again then.
        self.previd = None
        self.present = False
        self.unacked = collections.deque()
        self.sent = 0
        self.handled = 0
        self.on_ack = None
        self.on_request = None
        self.acked_inbound = 0
        # XEP-0313: query id -> the results that came
        self.queries, self.pages = 0, {}

    # -- the wire

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        # A server that drains may begin its next stream before we have begun ours.
        old, begins, new = data.partition(b"<?xml")
        self._feed(old)
        if begins:
            self._fresh_parser()
            self._feed(begins + new)

    def _feed(self, data):
        self._parser.feed(data)
        for event, element in self._parser.read_events():
            if event == "start":
                self._depth += 1
                if self._depth == 1:
                    self._root = element
                continue
            self._depth -= 1
            if self._depth == 1:
                self._root.clear()
                self._element(element)
            elif self._depth == 0 and self.transport:
                self.transport.close()

    def connection_lost(self, exc):
        lost = Lost(f"{self.jid or self.domain}: {self.error or exc or 'connection closed'}")
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(lost)
                future.exception()
        self._waiting.clear()
        self._elements.put_nowait(None)
        if not self.closed.done():
            self.closed.set_result(exc)

    def send(self, text):
        if not self.closed.done() and not self.transport.is_closing():
            self.transport.write(text.encode())

    def _fresh_parser(self):
        self._parser = ET.XMLPullParser(("start", "end"))
        self._depth = 0

    def _element(self, element):
        tag = element.tag
        if tag == f"{{{STREAMS}}}error":
            self.error = element[0].tag.split("}")[1] if len(element) else "stream error"
        elif tag.startswith(f"{{{SM}}}") and self.managed:
            self._management(tag, element)
        elif not self._live:
            # Bound: from here on stanzas may come.
            self._live = element.get("id") == "bind" and element.get("type") == "result"
            self._elements.put_nowait(element)
        elif tag.startswith(C):
            self.handled = (self.handled + 1) & 0xFFFFFFFF
            self._stanza(element)
        else:
            self._elements.put_nowait(element)

    def _management(self, tag, element):
        if tag.endswith("}enabled"):
            self.handled = 0
            self._elements.put_nowait(element)
        elif tag.endswith(("}resumed", "}failed")):
            if tag.endswith("}resumed"):
                self._resumed(int(element.get("h")))
            self._elements.put_nowait(element)
        elif tag.endswith("}r") and self.on_request:
            self.on_request(self)
        elif tag.endswith("}a"):
            self._acked(int(element.get("h")))
            if self.on_ack:
                self.on_ack(self, int(element.get("h")))

    def _acked(self, h):
        while self.unacked and self.unacked[0][0] <= h:
            self.unacked.popleft()

    def _stanza(self, element):
        if element.tag == C + "iq" and element.get("type") in ("result", "error"):
            future = self._waiting.pop(element.get("id"), None)
            if future and not future.done():
                future.set_result(element)
                return
        elif element.tag == C + "iq":
            # Pushes and pings: a client answers.
            self.stanza(f"<iq type='result' id={attr(element.get('id'))}/>")
            return
        if self.on_stanza:
            self.on_stanza(self, element)

    # -- what a client does

    async def _next(self, *tags):
        element = await asyncio.wait_for(self._elements.get(), 30)
        if element is None:
            raise Lost(f"{self.jid or self.domain}: {self.error or 'closed'}")
        name = element.tag.split("}")[1]
        if tags and name not in tags:
            raise Refused(f"{name}: {ET.tostring(element, 'unicode')}")
        return element

    async def open(self, host, port):
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: self, host, port)
        except OSError as error:
            raise Lost(str(error)) from None
        await self._header()

    async def _header(self):
        self._fresh_parser()
        self.send(
            "<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
            f"xmlns:stream='{STREAMS}' to={attr(self.domain)} version='1.0'>"
        )
        return await self._next("features")

    async def register(self, name, password):
        """XEP-0077 before login; answers the IQ."""
        self.send(
            f"<iq type='set' id='reg'><query xmlns='{REGISTER}'>"
            f"<username>{escape(name)}</username><password>{escape(password)}</password>"
            "</query></iq>"
        )
        answer = await self._next("iq")
        if answer.get("type") != "result":
            raise Refused(ET.tostring(answer, "unicode"))

    async def login(self, name, password, resource):
        await self.authenticate(name, password, resource)
        await self.bind(resource)

    async def authenticate(self, name, password, resource):
        self.jid = f"{name}@{self.domain}/{resource}"
        plain = base64.b64encode(f"\0{name}\0{password}".encode()).decode()
        self.send(f"<auth xmlns='{SASL}' mechanism='PLAIN'>{plain}</auth>")
        answer = await self._next()
        if not answer.tag.endswith("}success"):
            raise Refused(ET.tostring(answer, "unicode"))
        await self._header()

    async def bind(self, resource):
        self.send(
            "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
            f"<resource>{escape(resource)}</resource></bind></iq>"
        )
        answer = await self._next("iq")
        if answer.get("type") != "result":
            raise Refused(ET.tostring(answer, "unicode"))

    async def enable(self, resume=True):
        self.managed = True
        wish = " resume='true'" if resume else ""
        self.send(f"<enable xmlns='{SM}'{wish}/>")
        enabled = await self._next("enabled")
        self.previd = enabled.get("id")
        self.sent = 0
        self.unacked.clear()

    async def resume(self, old):
        """Goes on with the session of `old`; answers the server's count, or None if there is no
        such session. What the server has not got is sent again."""
        self.send(f"<resume xmlns='{SM}' previd={attr(old.previd)} h='{old.handled}'/>")
        self.managed, self.previd, self.handled = True, old.previd, old.handled
        self.number, self._ids, self._live = old.number, old._ids, True
        self.sent, self.unacked, self.present = old.sent, old.unacked.copy(), old.present
        self.queries = old.queries
        answer = await self._next("resumed", "failed")
        if answer.tag.endswith("}resumed"):
            return int(answer.get("h"))
        self.managed, self.previd, self.handled, self._live = False, None, 0, False
        self.present = False
        # Another session.
        self.number = next(Client.numbers)
        return None

    def _resumed(self, h):
        """At once: what comes behind may want an answer that is counted."""
        self._acked(h)
        for _, text in self.unacked:
            self.send(text)

    def stanza(self, text):
        """Sends a stanza; answers its number by XEP-0198."""
        self.send(text)
        self.sent += 1
        # Without presence nobody is there for what is sent to the account.
        self.present = self.present or (text.startswith("<presence") and " to=" not in text)
        if self.managed:
            self.unacked.append((self.sent, text))
        return self.sent

    def request(self):
        self.send(f"<r xmlns='{SM}'/>")

    def acknowledge(self):
        self.acked_inbound = self.handled
        self.send(f"<a xmlns='{SM}' h='{self.handled}'/>")

    def ask(self, kind, payload, to=None):
        """Sends an IQ; answers (its XEP-0198 number, a future of the answer)."""
        number = next(self._ids)
        future = asyncio.get_running_loop().create_future()
        self._waiting[f"q{number}"] = future
        target = f" to={attr(to)}" if to else ""
        position = self.stanza(f"<iq type='{kind}' id='q{number}'{target}>{payload}</iq>")
        if self.closed.done():
            self.connection_lost(None)
        return position, future

    async def get(self, payload, to=None):
        return await self.call("get", payload, to)

    async def call(self, kind, payload, to=None):
        """The first child of the result, `None` if there is none; an error is `Refused`."""
        _, future = self.ask(kind, payload, to)
        answer = await asyncio.wait_for(future, 30)
        if answer.get("type") == "error":
            raise Refused(condition(answer))
        return answer[0] if len(answer) else None

    async def close(self, patience=5):
        """Ends the stream in order."""
        self.left = True
        self.send("</stream:stream>")
        await asyncio.wait({self.closed}, timeout=patience)
        self.abort()

    def abort(self):
        if self.transport:
            self.transport.abort()


def condition(element):
    error = element.find(C + "error")
    if error is None or not len(error):
        return "error"
    return error[0].tag.split("}")[1]
