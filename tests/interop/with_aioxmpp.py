"""aioxmpp (PyPI), with aiosasl's SCRAM-PLUS bound to the server's certificate: the one binding
that works with every version of TLS."""

import asyncio
import hashlib

import aiosasl
import aioxmpp
import aioxmpp.connector
import aioxmpp.dispatcher
import aioxmpp.ibr
import aioxmpp.sasl
import aioxmpp.security_layer
import OpenSSL
from aiosasl.channel_binding import ChannelBindingProvider

from person import Event, LoginFailed, Person
from server import PATIENCE


class EndPoint(ChannelBindingProvider):
    """tls-server-end-point (RFC 5929 §4). The library's own knows RSA certificates only."""

    cb_name = b"tls-server-end-point"

    def __init__(self, connection):
        self.connection = connection

    def extract_cb_data(self):
        certificate = self.connection.get_peer_certificate()
        der = OpenSSL.crypto.dump_certificate(OpenSSL.crypto.FILETYPE_ASN1, certificate)
        return hashlib.sha256(der).digest()


class Scram(aioxmpp.security_layer.SASLProvider):
    """The library's own offer, less PLAIN; or its SCRAM-PLUS, which it does not use by itself."""

    def __init__(self, person, plus):
        self.person, self.plus = person, plus

    async def execute(self, jid, features, xmlstream, transport):
        async def credentials():
            return jid.localpart, self.person.password

        mechanism = aiosasl.SCRAM(credentials)
        if self.plus:
            binding = EndPoint(transport.get_extra_info("ssl_object"))
            mechanism = aiosasl.SCRAMPLUS(credentials, binding)
        offered, token = self._find_supported(features, [mechanism])
        if offered is None:
            return False
        self.person.mechanism = token[0] if isinstance(token, tuple) else str(token)
        interface = aioxmpp.sasl.SASLXMPPInterface(xmlstream)
        return await self._execute(interface, mechanism, token)


class Aioxmpp(Person):
    library = "aioxmpp"
    plus = "tls-server-end-point"

    async def log_in(self, tls, plus):
        def context():
            made = aioxmpp.security_layer.default_ssl_context()
            made.load_verify_locations(str(self.server.certificate))
            return made

        layer = aioxmpp.security_layer.SecurityLayer(
            context, aioxmpp.security_layer.PKIXCertificateVerifier, True, [Scram(self, plus)])
        connector = {
            "starttls": aioxmpp.connector.STARTTLSConnector,
            "direct": aioxmpp.connector.XMPPOverTLSConnector,
        }[tls]()
        jid = aioxmpp.JID.fromstr(f"{self.address}/aioxmpp")
        client = aioxmpp.Client(
            jid, layer, override_peer=[("127.0.0.1", self.server.port(tls), connector)])
        self.roster = client.summon(aioxmpp.RosterClient)
        self.blocking = client.summon(aioxmpp.BlockingClient)
        messages = client.summon(aioxmpp.dispatcher.SimpleMessageDispatcher)
        presence = client.summon(aioxmpp.dispatcher.SimplePresenceDispatcher)
        arrived = asyncio.get_running_loop().create_future()

        def failed(error):
            if not arrived.done():
                refused = isinstance(error, (aiosasl.AuthenticationFailure, aiosasl.SASLFailure))
                arrived.set_exception(LoginFailed(str(error)) if refused else error)

        client.on_failure.connect(failed)
        client.on_stream_established.connect(
            lambda: None if arrived.done() else arrived.set_result(None))
        for kind in (aioxmpp.MessageType.CHAT, aioxmpp.MessageType.NORMAL):
            messages.register_callback(kind, None, self._message)
        messages.register_callback(aioxmpp.MessageType.ERROR, None, self._error)
        for kind in (aioxmpp.PresenceType.AVAILABLE, aioxmpp.PresenceType.UNAVAILABLE):
            presence.register_callback(kind, None, self._presence)
        for told in ("subscribe", "subscribed", "unsubscribe", "unsubscribed"):
            getattr(self.roster, f"on_{told}").connect(self._presence)
        client.start()
        try:
            await asyncio.wait_for(arrived, PATIENCE)
        except BaseException:
            client.stop()
            raise
        self.client = client

    def _message(self, message):
        body = message.body.any() if message.body else ""
        delayed = getattr(message, "xep0203_delay", None)
        self.happened(Event("message", str(message.from_.bare()), body, bool(delayed)))

    def _error(self, message):
        condition = message.error.condition.value[1]
        self.happened(Event("error", str(message.from_.bare()), condition))

    def _presence(self, stanza):
        kind = stanza.type_.value or "available"
        status = stanza.status.any() if stanza.status else ""
        self.happened(Event(kind, str(stanza.from_.bare()), status))

    async def available(self, status):
        stanza = aioxmpp.Presence(type_=aioxmpp.PresenceType.AVAILABLE)
        stanza.status[None] = status
        await self.client.send(stanza)

    async def leave(self):
        gone = asyncio.get_running_loop().create_future()
        self.client.on_stopped.connect(lambda: gone.done() or gone.set_result(None))
        self.client.stop()
        await asyncio.wait_for(gone, PATIENCE)

    async def contacts(self):
        query = aioxmpp.IQ(type_=aioxmpp.IQType.GET, payload=aioxmpp.roster.xso.Query())
        roster = await self.client.send(query)
        return {str(item.jid): item.subscription for item in roster.items}

    async def subscribe(self, contact):
        self.roster.subscribe(aioxmpp.JID.fromstr(contact))

    async def approve(self, contact):
        self.roster.approve(aioxmpp.JID.fromstr(contact))

    async def say(self, to, body):
        message = aioxmpp.Message(
            type_=aioxmpp.MessageType.CHAT, to=aioxmpp.JID.fromstr(to))
        message.body[None] = body
        await self.client.send(message)

    async def block(self, contact):
        jid = aioxmpp.JID.fromstr(contact)
        await self.blocking.block_jids([jid])
        # The library changes its list only with the server's push.
        async with asyncio.timeout(PATIENCE):
            while jid not in self.blocking.blocklist:
                await asyncio.sleep(0.05)

    async def unblock(self, contact):
        await self.blocking.unblock_jids([aioxmpp.JID.fromstr(contact)])

    async def blocked(self):
        return {str(jid) for jid in self.blocking.blocklist}

    async def change_password(self, password):
        await aioxmpp.ibr.RegistrationService(self.client.stream).change_pass(password)
        self.password = password

    async def delete_account(self):
        try:
            await aioxmpp.ibr.RegistrationService(self.client.stream).cancel_registration()
        except aioxmpp.errors.StreamError as error:
            # This library may look at the end of the stream before the answer that came first.
            assert "not-authorized" in str(error), error
        finally:
            self.client.stop()
