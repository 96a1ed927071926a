//! The namespaces this server speaks or must recognise: one name each, in alphabetical order.

use smol_str::SmolStr;

/// Declares the constants, and [`shared`] over the same list.
macro_rules! namespaces {
    ($($name:ident = $value:literal;)*) => {
        $(#[doc = concat!("`", $value, "`")] pub const $name: &str = $value;)*

        /// The namespace as a string that shares the constant's storage where there is one, so
        /// that reading a stanza allocates nothing for the namespaces everybody uses.
        pub fn shared(name: &str) -> SmolStr {
            // Up to 23 bytes lie inside the SmolStr itself.
            if name.len() <= 23 {
                return SmolStr::new_inline(name);
            }
            match name {
                $($value => SmolStr::new_static($value),)*
                _ => SmolStr::new(name),
            }
        }
    };
}

namespaces! {
    ADHOC = "http://jabber.org/protocol/commands";
    AMP = "http://jabber.org/protocol/amp";
    ATTENTION = "urn:xmpp:attention:0";
    AUTH_FEATURE = "http://jabber.org/features/iq-auth";
    AVATAR_DATA = "urn:xmpp:avatar:data";
    AVATAR_METADATA = "urn:xmpp:avatar:metadata";
    BIDI = "urn:xmpp:bidi";
    BIDI_FEATURE = "urn:xmpp:features:bidi";
    BIND = "urn:ietf:params:xml:ns:xmpp-bind";
    BIND2 = "urn:xmpp:bind:0";
    BLOCKING = "urn:xmpp:blocking";
    BLOCKING_ERRORS = "urn:xmpp:blocking:errors";
    BOOKMARKS = "storage:bookmarks";
    BOOKMARKS2 = "urn:xmpp:bookmarks:1";
    BOSH = "http://jabber.org/protocol/httpbind";
    BYTESTREAMS = "http://jabber.org/protocol/bytestreams";
    CAPS = "http://jabber.org/protocol/caps";
    CARBONS = "urn:xmpp:carbons:2";
    CARBONS_RULES = "urn:xmpp:carbons:rules:0";
    CHANNEL_BINDING = "urn:xmpp:sasl-cb:0";
    CHAT_STATES = "http://jabber.org/protocol/chatstates";
    CLIENT = "jabber:client";
    CLIENT_ACCESS = "urn:xmpp:cam:0";
    CLIENT_STATE = "urn:xmpp:csi:0";
    COMPONENT_ACCEPT = "jabber:component:accept";
    COMPRESS = "http://jabber.org/protocol/compress";
    COMPRESS_FEATURE = "http://jabber.org/features/compress";
    CORRECTION = "urn:xmpp:message-correct:0";
    DATA_FORM_LAYOUT = "http://jabber.org/protocol/xdata-layout";
    DATA_FORM_VALIDATE = "http://jabber.org/protocol/xdata-validate";
    DATA_FORMS = "jabber:x:data";
    DELAY = "urn:xmpp:delay";
    DELAY_LEGACY = "jabber:x:delay";
    DIALBACK = "jabber:server:dialback";
    DIALBACK_FEATURE = "urn:xmpp:features:dialback";
    DISCO_INFO = "http://jabber.org/protocol/disco#info";
    DISCO_ITEMS = "http://jabber.org/protocol/disco#items";
    ENCRYPTION = "urn:xmpp:eme:0";
    EXTDISCO = "urn:xmpp:extdisco:2";
    FALLBACK = "urn:xmpp:fallback:0";
    FAST = "urn:xmpp:fast:0";
    FORWARD = "urn:xmpp:forward:0";
    FRAMING = "urn:ietf:params:xml:ns:xmpp-framing";
    FULLTEXT = "urn:xmpp:fulltext:0";
    HASHES = "urn:xmpp:hashes:2";
    HINTS = "urn:xmpp:hints";
    IBB = "http://jabber.org/protocol/ibb";
    INVITE_DIRECT = "jabber:x:conference";
    JINGLE = "urn:xmpp:jingle:1";
    JINGLE_MESSAGE = "urn:xmpp:jingle-message:0";
    LAST = "jabber:iq:last";
    MAM = "urn:xmpp:mam:2";
    MAM_EXTENDED = "urn:xmpp:mam:2#extended";
    MAM_GROUPCHAT = "urn:xmpp:mam:2#groupchat-field";
    MAM_TRIM = "urn:xmpp:mamtrim:0";
    MARKERS = "urn:xmpp:chat-markers:0";
    MODERATION = "urn:xmpp:message-moderate:1";
    MUC = "http://jabber.org/protocol/muc";
    MUC_ADMIN = "http://jabber.org/protocol/muc#admin";
    MUC_CONFIG = "http://jabber.org/protocol/muc#roomconfig";
    MUC_INFO = "http://jabber.org/protocol/muc#roominfo";
    MUC_OWNER = "http://jabber.org/protocol/muc#owner";
    MUC_REGISTER = "http://jabber.org/protocol/muc#register";
    MUC_REQUEST = "http://jabber.org/protocol/muc#request";
    MUC_SELF_PING = "http://jabber.org/protocol/muc#self-ping-optimization";
    MUC_STABLE_ID = "http://jabber.org/protocol/muc#stable_id";
    MUC_UNIQUE = "http://jabber.org/protocol/muc#unique";
    MUC_USER = "http://jabber.org/protocol/muc#user";
    NICK = "http://jabber.org/protocol/nick";
    NOTIFICATIONS = "urn:xmpp:notification-settings:1";
    OCCUPANT_ID = "urn:xmpp:occupant-id:0";
    OFFLINE = "http://jabber.org/protocol/offline";
    OOB = "jabber:x:oob";
    PING = "urn:xmpp:ping";
    PIPELINING = "urn:xmpp:iap:0";
    PRE_APPROVAL = "urn:xmpp:features:pre-approval";
    PRIVACY = "jabber:iq:privacy";
    PRIVATE = "jabber:iq:private";
    PUBSUB = "http://jabber.org/protocol/pubsub";
    PUBSUB_ERRORS = "http://jabber.org/protocol/pubsub#errors";
    PUBSUB_EVENT = "http://jabber.org/protocol/pubsub#event";
    PUBSUB_NODE_CONFIG = "http://jabber.org/protocol/pubsub#node_config";
    PUBSUB_OWNER = "http://jabber.org/protocol/pubsub#owner";
    PUBSUB_PUBLISH_OPTIONS = "http://jabber.org/protocol/pubsub#publish-options";
    PUSH = "urn:xmpp:push:0";
    REACTIONS = "urn:xmpp:reactions:0";
    RECEIPTS = "urn:xmpp:receipts";
    REFERENCE = "urn:xmpp:reference:0";
    REGISTER = "jabber:iq:register";
    REGISTER_FEATURE = "http://jabber.org/features/iq-register";
    REGISTER_IBR_TOKEN = "urn:xmpp:ibr-token:0";
    REPLY = "urn:xmpp:reply:0";
    REPORTING = "urn:xmpp:reporting:1";
    RETRACT = "urn:xmpp:message-retract:1";
    RETRACT_TOMBSTONE = "urn:xmpp:message-retract:1#tombstone";
    ROSTER = "jabber:iq:roster";
    ROSTER_VERSIONING = "urn:xmpp:features:rosterver";
    RSM = "http://jabber.org/protocol/rsm";
    SASL = "urn:ietf:params:xml:ns:xmpp-sasl";
    SASL2 = "urn:xmpp:sasl:2";
    SASL_UPGRADE = "urn:xmpp:sasl:upgrade:0";
    SCRAM_UPGRADE = "urn:xmpp:scram-upgrade:0";
    SEARCH = "jabber:iq:search";
    SERVER = "jabber:server";
    SERVER_INFO = "http://jabber.org/network/serverinfo";
    SESSION = "urn:ietf:params:xml:ns:xmpp-session";
    SPAM = "urn:xmpp:reporting:reason:spam:0";
    STANZA_ID = "urn:xmpp:sid:0";
    STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas";
    STREAM = "http://etherx.jabber.org/streams";
    STREAM_LIMITS = "urn:xmpp:stream-limits:0";
    STREAM_MANAGEMENT = "urn:xmpp:sm:3";
    STREAMS = "urn:ietf:params:xml:ns:xmpp-streams";
    TIME = "urn:xmpp:time";
    TLS = "urn:ietf:params:xml:ns:xmpp-tls";
    UPLOAD = "urn:xmpp:http:upload:0";
    VCARD = "vcard-temp";
    VCARD_UPDATE = "vcard-temp:x:update";
    VCARD4 = "urn:ietf:params:xml:ns:vcard-4.0";
    VERSION = "jabber:iq:version";
    XML = "http://www.w3.org/XML/1998/namespace";
    XMLNS = "http://www.w3.org/2000/xmlns/";
    XMPP_ERRORS = "urn:xmpp:errors";
}
