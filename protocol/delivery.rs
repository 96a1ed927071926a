//! What a server does with a stanza for one of its accounts: RFC 6121 §8.5, as one table.
//!
//! Three things decide: the stanza's kind, the address it was sent to ([`Address`]), and who is
//! there to take it ([`Audience`]). `to` is never rewritten (§8.5.2.1.1, §8.5.2.1.2).
//!
//! Choices where the RFC leaves one:
//! * Messages of type normal and chat to the bare JID go to *all* devices with a priority of zero
//!   or more; we take all of these as equally "most available" (M of §8.5.4), which is what people
//!   with two devices expect.
//! * An account that does not exist is answered exactly like one without devices, except that what
//!   would be stored is dropped in silence. So no answer tells who exists (§8.1).
//! * A headline for a device that is gone is dropped, since nobody waits for a reply (§5.2.2); a
//!   groupchat or normal message is returned, so that a room notices a lost occupant.
//! * Where there is nobody online to take a normal or chat message it is stored, not returned.

use crate::stanza::{IqType, Kind, MessageType, PresenceType};

/// How the recipient was addressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Address {
    /// `local@domain`.
    Bare,
    /// `local@domain/resource`, and a device is connected under this resource, available or not.
    Device,
    /// `local@domain/resource`, and there is no such device.
    NoDevice,
}

/// Which devices of the account are *available*, i.e. have sent initial presence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Audience {
    /// There is no such account.
    NoAccount,
    /// None is available (though some may be connected).
    Nobody,
    /// Available devices, all with negative priority.
    Negative,
    /// At least one available device has a priority of zero or more.
    Willing,
}

impl Audience {
    /// The audience of an existing account, from the priorities of its available devices.
    pub fn of(priorities: impl IntoIterator<Item = i8>) -> Audience {
        let best = priorities.into_iter().max();
        match best {
            None => Audience::Nobody,
            Some(priority) if priority < 0 => Audience::Negative,
            Some(_) => Audience::Willing,
        }
    }
}

/// What to do with the stanza.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Delivery {
    /// Give it to the device addressed.
    Device,
    /// Give it to the device addressed if the account shares presence with the sender (roster
    /// `from` or `both`, directed presence, its own devices, its own server); else as [`Refuse`].
    ///
    /// [`Refuse`]: Delivery::Refuse
    DeviceIfTrusted,
    /// Give it to every available device with a priority of zero or more.
    Willing,
    /// Give it to every available device, whatever its priority.
    Available,
    /// The server acts for the account: it answers a get or set (with `service-unavailable` if
    /// nobody knows the payload) and takes a result or error as the answer to its own question.
    Account,
    /// The state machine of [`crate::subscription`] decides, as if sent to the bare JID (§3.1.3).
    Subscription,
    /// Answer the probe (§4.3.2); for an account that does not exist, with `unsubscribed`.
    Probe,
    /// Keep it until a device comes.
    Store,
    /// Return `service-unavailable`.
    Refuse,
    /// Drop it in silence.
    Drop,
}

/// The table of §8.5. A device cannot be connected where there is no account: such a query is
/// answered as for [`Address::NoDevice`].
pub fn delivery(kind: Kind, address: Address, audience: Audience) -> Delivery {
    let address = match (audience, address) {
        (Audience::NoAccount, Address::Device) => Address::NoDevice,
        _ => address,
    };
    let row = &TABLE[audience as usize][address as usize];
    match kind {
        Kind::Message(MessageType::Normal) => row.messages[0],
        Kind::Message(MessageType::Chat) => row.messages[1],
        Kind::Message(MessageType::Groupchat) => row.messages[2],
        Kind::Message(MessageType::Headline) => row.messages[3],
        Kind::Message(MessageType::Error) => row.messages[4],
        Kind::Presence(PresenceType::Available | PresenceType::Unavailable) => row.presence[0],
        Kind::Presence(PresenceType::Error) => row.presence[1],
        Kind::Presence(PresenceType::Subscribe) => row.presence[2],
        Kind::Presence(
            PresenceType::Subscribed | PresenceType::Unsubscribe | PresenceType::Unsubscribed,
        ) => row.presence[3],
        Kind::Presence(PresenceType::Probe) => Delivery::Probe,
        Kind::Iq(IqType::Get | IqType::Set) => row.iqs[0],
        Kind::Iq(IqType::Result | IqType::Error) => row.iqs[1],
    }
}

/// One line of the table: an audience and an address.
struct Row {
    /// normal, chat, groupchat, headline, error
    messages: [Delivery; 5],
    /// available and unavailable; error; subscribe; the other three subscription types
    presence: [Delivery; 4],
    /// get and set; result and error
    iqs: [Delivery; 2],
}

const fn r(messages: [Delivery; 5], presence: [Delivery; 4], iqs: [Delivery; 2]) -> Row {
    Row {
        messages,
        presence,
        iqs,
    }
}

use Delivery::{
    Account as SELF, Available as ALL, Device as DEV, DeviceIfTrusted as TRUST, Drop as DROP,
    Refuse as ERR, Store as KEEP, Subscription as SUBS, Willing as MOST,
};

/// Audiences in their order; in each the addresses bare, device, no device.
///
/// §8.5 says nothing of presence errors. They answer what the account or a device sent, so they go
/// where presence goes: a failed `subscribe` must be reported to the user (§3.1.2).
#[rustfmt::skip]
const TABLE: [[Row; 3]; 4] = [
    // §8.5.1 no such account (there is no matching device)
    [r([DROP, DROP, ERR, DROP, DROP], [DROP, DROP, DROP, DROP], [ERR, DROP]),
     r([ERR, DROP, ERR, DROP, DROP], [DROP, DROP, DROP, DROP], [ERR, DROP]),
     r([ERR, DROP, ERR, DROP, DROP], [DROP, DROP, DROP, DROP], [ERR, DROP])],
    // §8.5.2.2, §8.5.3 nobody available
    [r([KEEP, KEEP, ERR, DROP, DROP], [DROP, DROP, SUBS, SUBS], [SELF, SELF]),
     r([DEV, DEV, DEV, DEV, DEV], [DEV, DEV, SUBS, SUBS], [TRUST, DEV]),
     r([ERR, KEEP, ERR, DROP, DROP], [DROP, DROP, SUBS, DROP], [ERR, DROP])],
    // §8.5.2.1 available, but all with negative priority
    [r([KEEP, KEEP, ERR, DROP, DROP], [ALL, ALL, SUBS, SUBS], [SELF, SELF]),
     r([DEV, DEV, DEV, DEV, DEV], [DEV, DEV, SUBS, SUBS], [TRUST, DEV]),
     r([ERR, KEEP, ERR, DROP, DROP], [DROP, DROP, SUBS, DROP], [ERR, DROP])],
    // §8.5.2.1 some with a priority of zero or more
    [r([MOST, MOST, ERR, MOST, DROP], [ALL, ALL, SUBS, SUBS], [SELF, SELF]),
     r([DEV, DEV, DEV, DEV, DEV], [DEV, DEV, SUBS, SUBS], [TRUST, DEV]),
     r([ERR, MOST, ERR, DROP, DROP], [DROP, DROP, SUBS, DROP], [ERR, DROP])],
];

#[cfg(test)]
mod tests;
