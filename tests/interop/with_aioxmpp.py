"""aioxmpp (PyPI), with aiosasl's SCRAM-PLUS bound to the server's certificate: the one binding
that works with every version of TLS."""

import asyncio
import hashlib
import socket

import aiosasl
import aioxmpp
import aioxmpp.avatar
import aioxmpp.connector
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
        jid = aioxmpp.JID.fromstr(f"{self.address}/{self.resource}")
        client = aioxmpp.Client(
            jid, layer, override_peer=[(self.server.address, self.server.port(tls), connector)])
        self.roster = client.summon(aioxmpp.RosterClient)
        self.blocking = client.summon(aioxmpp.BlockingClient)
        self.carbons = client.summon(aioxmpp.CarbonsClient)
        self.avatars = client.summon(aioxmpp.avatar.AvatarService)
        self.avatars.on_metadata_changed.connect(self._published)
        arrived = asyncio.get_running_loop().create_future()

        def failed(error):
            if not arrived.done():
                refused = isinstance(error, (aiosasl.AuthenticationFailure, aiosasl.SASLFailure))
                arrived.set_exception(LoginFailed(str(error)) if refused else error)

        client.on_failure.connect(failed)
        client.on_stream_established.connect(
            lambda: None if arrived.done() else arrived.set_result(None))
        client.on_stream_resumed.connect(lambda: self.happened(Event("resumed", self.address)))
        # Before the library's own services, some of which take all there is of a kind.
        client.stream.app_inbound_message_filter.register(self._message, 0)
        client.stream.app_inbound_presence_filter.register(self._presence, 0)
        client.start()
        try:
            await asyncio.wait_for(arrived, PATIENCE)
        except BaseException:
            client.stop()
            raise
        self.client = client

    def _message(self, message):
        for way, contact in (("sent", "to"), ("received", "from_")):
            copy = getattr(message, f"xep0280_{way}")
            if copy is not None:
                peer = str(getattr(copy.stanza, contact).bare())
                self.happened(Event(f"copy {way}", peer, copy.stanza.body.any()))
                return None
        sender = str(message.from_.bare())
        if message.type_ is aioxmpp.MessageType.ERROR:
            self.happened(Event("error", sender, message.error.condition.value[1]))
        elif message.body:
            delayed = bool(getattr(message, "xep0203_delay", None))
            self.happened(Event("message", sender, message.body.any(), delayed))
        return message

    def _published(self, jid, metadata):
        # The picture is its title.
        [picture] = metadata
        asyncio.ensure_future(self._looked_at(jid, picture))

    async def _looked_at(self, jid, picture):
        title = (await picture.get_image_bytes()).decode()
        self.happened(Event("published", str(jid.bare()), title))

    def _presence(self, stanza):
        kind = stanza.type_.value or "available"
        status = stanza.status.any() if stanza.status else ""
        self.happened(Event(kind, str(stanza.from_.bare()), status))
        return stanza

    async def available(self, status):
        stanza = aioxmpp.Presence(type_=aioxmpp.PresenceType.AVAILABLE)
        stanza.status[None] = status
        await self.client.send(stanza)

    async def leave(self):
        gone = asyncio.get_running_loop().create_future()
        self.client.on_stopped.connect(lambda: gone.done() or gone.set_result(None))
        self.client.stop()
        await asyncio.wait_for(gone, PATIENCE)

    async def break_line(self):
        transport = self.client.stream._xmlstream.transport
        transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    async def take_copies(self):
        await self.carbons.enable()

    async def publish(self, title):
        pictures = aioxmpp.avatar.AvatarSet()
        pictures.add_avatar_image("image/png", image_bytes=title.encode())
        await self.avatars.publish_avatar_set(pictures)

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
