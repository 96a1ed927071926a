"""slixmpp (PyPI). Python's TLS has no exporter before 3.15: it can bind to no channel of ours."""

import asyncio
import ssl

import slixmpp
from slixmpp.exceptions import IqError

from person import Event, LoginFailed, Person
from server import PATIENCE


class Slixmpp(Person):
    library = "slixmpp"
    newest_tls = None

    async def log_in(self, tls, plus):
        context = ssl.create_default_context(cafile=self.server.certificate)
        if self.newest_tls:
            context.maximum_version = self.newest_tls
        jid = f"{self.address}/{self.resource}"
        client = slixmpp.ClientXMPP(jid, self.password, ssl_context=context)
        client.enable_direct_tls = tls == "direct"
        client.enable_starttls = tls == "starttls"
        client.auto_authorize = None  # asked, and answered by the story
        client.auto_subscribe = False
        for number in (30, 77, 118, 163, 191, 198, 199, 203, 280, 313):
            client.register_plugin(f"xep_{number:04}")
        arrived = asyncio.get_running_loop().create_future()

        def settle(error):
            if not arrived.done():
                arrived.set_exception(error) if error else arrived.set_result(None)

        conditions = []
        on = client.add_event_handler
        on("session_start", lambda _: settle(None))
        on("failed_auth", lambda failure: conditions.append(failure["condition"]))
        on("failed_all_auth", lambda _: settle(LoginFailed(" ".join(conditions))))
        on("connection_failed", lambda reason: settle(ConnectionError(str(reason))))
        on("message", self._message)
        on("message_error", lambda m: self._happened("error", m, m["error"]["condition"]))
        for kind in ("subscribe", "subscribed", "unsubscribe", "unsubscribed"):
            on(f"presence_{kind}", lambda p, kind=kind: self._happened(kind, p))
        # Away, busy and the like are kinds of presence to this library.
        for kind in ("available", "away", "dnd", "chat", "xa"):
            on(f"presence_{kind}", lambda p: self._happened("available", p, p["status"]))
        on("presence_unavailable", lambda p: self._happened("unavailable", p, p["status"]))
        on("session_resumed", lambda _: self.happened(Event("resumed", self.address)))
        for way, contact in (("sent", "to"), ("received", "from")):
            on(f"carbon_{way}", lambda m, way=way, contact=contact: self._copy(m, way, contact))
        on("user_tune_publish", self._published)
        self.leaving = False
        on("disconnected", lambda _: None if self.leaving else connect())

        def connect():
            client.connect(self.server.address, self.server.port(tls))

        connect()
        try:
            await asyncio.wait_for(arrived, PATIENCE)
        except BaseException:
            self.leaving = True
            client.abort()
            raise
        self.mechanism = client["feature_mechanisms"].mech.name
        self.client = client

    def _happened(self, kind, stanza, text=""):
        delayed = bool(stanza.xml.find("{urn:xmpp:delay}delay") is not None)
        self.happened(Event(kind, stanza["from"].bare, text, delayed))

    def _message(self, message):
        if message["type"] in ("chat", "normal"):
            self._happened("message", message, message["body"])

    def _copy(self, message, way, contact):
        copied = message[f"carbon_{way}"]
        self.happened(Event(f"copy {way}", copied[contact].bare, copied["body"]))

    def _published(self, message):
        tune = message["pubsub_event"]["items"]["item"]["tune"]
        self._happened("published", message, tune["title"])

    async def available(self, status):
        await self.client.get_roster()
        # What it wants to be told of goes with the presence; the library does not wait for it.
        await self.client["xep_0115"].update_caps(broadcast=False)
        self.client.send_presence(pstatus=status)

    async def leave(self):
        self.leaving = True
        await self.client.disconnect()
        self.client.abort()

    async def break_line(self):
        self.client.transport.abort()

    async def take_copies(self):
        await self.client["xep_0280"].enable()

    async def publish(self, title):
        await self.client["xep_0118"].publish_tune(artist="Owls", title=title)

    async def contacts(self):
        # With roster versioning the answer may be empty: what the library made of it counts.
        await self.client.get_roster()
        roster = self.client.client_roster
        return {jid: roster[jid]["subscription"] for jid in roster if jid != self.address}

    async def subscribe(self, contact):
        self.client.send_presence_subscription(pto=contact)

    async def approve(self, contact):
        self.client.send_presence(pto=contact, ptype="subscribed")

    async def say(self, to, body):
        self.client.send_message(mto=to, mbody=body, mtype="chat")

    async def block(self, contact):
        await self.client["xep_0191"].block(contact)

    async def unblock(self, contact):
        await self.client["xep_0191"].unblock(contact)

    async def blocked(self):
        return {str(jid) for jid in await self.client["xep_0191"].get_blocked_jids()}

    async def history(self, contact, page, newest_first=False):
        archive = self.client["xep_0313"]
        pages = archive.iterate(with_jid=slixmpp.JID(contact), reverse=newest_first,
                                rsm={"max": page})
        return [m["mam_result"]["forwarded"]["stanza"]["body"] async for m in pages]

    async def ends_of_history(self):
        ends = (await self.client["xep_0313"].get_archive_metadata())["mam_metadata"]
        return ends["start"]["id"], ends["end"]["id"]

    async def change_password(self, password):
        await self.client["xep_0077"].change_password(password)
        self.password = password

    async def delete_account(self):
        try:
            await self.client["xep_0077"].cancel_registration()
        except IqError as error:
            raise AssertionError(f"refused: {error.condition}") from error
        finally:
            self.leaving = True
            self.client.abort()


class SlixmppTls12(Slixmpp):
    """With TLS 1.2 this library binds to tls-unique, which no server should offer any more; it
    must get in without."""

    newest_tls = ssl.TLSVersion.TLSv1_2
