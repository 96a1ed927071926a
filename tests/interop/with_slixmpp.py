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
        client = slixmpp.ClientXMPP(f"{self.address}/slixmpp", self.password, ssl_context=context)
        client.enable_direct_tls = tls == "direct"
        client.enable_starttls = tls == "starttls"
        client.auto_authorize = None  # asked, and answered by the story
        client.auto_subscribe = False
        for plugin in ("xep_0030", "xep_0077", "xep_0191", "xep_0199", "xep_0203", "xep_0313"):
            client.register_plugin(plugin)
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
        client.connect("127.0.0.1", self.server.port(tls))
        try:
            await asyncio.wait_for(arrived, PATIENCE)
        except BaseException:
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

    async def available(self, status):
        await self.client.get_roster()
        self.client.send_presence(pstatus=status)

    async def leave(self):
        await self.client.disconnect()

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
            self.client.abort()


class SlixmppTls12(Slixmpp):
    """With TLS 1.2 this library binds to tls-unique, which no server should offer any more; it
    must get in without."""

    newest_tls = ssl.TLSVersion.TLSv1_2
