//! RFC 6121, its examples played over sockets: rosters (§2), subscriptions (§3), presence (§4) and
//! the delivery of stanzas (§8). Juliet and Romeo live on the two domains of one server.

mod delivery;
mod delivery_table;
mod presence;
mod probes;
mod roster;
mod subscription_ends;
mod subscriptions;

use crate::device::Device;
use crate::world::World;

const JULIET: &str = "juliet@a.test";
const ROMEO: &str = "romeo@b.test";

/// A roster push with this item.
fn push(item: &str) -> String {
    format!("<iq type='set' id='*'><query xmlns='jabber:iq:roster'>{item}</query></iq>")
}

/// A device with presence that has fetched its roster: an available and interested resource.
fn arrives(world: &World, full: &str) -> Device {
    let mut device = world.device(full);
    device.fetches_roster();
    device.comes_online();
    device.drains();
    device
}

/// `from` sees `to` from now on; both have a device there, and what it says is heard.
fn subscribes(from: &mut Device, to: &mut Device) {
    let (asker, asked) = (from.bare(), to.bare());
    from.says(&format!("<presence type='subscribe' to='{asked}'/>"));
    to.waits_for(&format!("<presence type='subscribe' from='{asker}'/>"));
    to.says(&format!("<presence type='subscribed' to='{asker}'/>"));
    from.waits_for(&format!("<presence type='subscribed' from='{asked}'/>"));
    from.waits_for(&format!("<presence from='{}'/>", to.jid()));
    from.drains();
    to.drains();
}

/// Each sees the other.
fn befriends(one: &mut Device, other: &mut Device) {
    subscribes(one, other);
    subscribes(other, one);
    one.drains();
}
