//! Sessions come and go.

use actix::prelude::*;
use rookery_protocol::error::{Condition, ErrorType, StanzaError, StreamCondition, StreamError};
use rookery_protocol::jid::Jid;
use rookery_protocol::negotiation::client::Bind2;
use rookery_protocol::ns;
use rookery_protocol::xml::Element;
use rookery_storage::{Frame, Tree};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Hub, Missed, State};
use crate::clients::ClientKey;
use crate::effect::{Origin, Row};
use crate::hub::devices::{Device, DeviceId, Devices};
use crate::hub::link::Link;
use crate::hub::shared::Left;
use crate::hub::shelf::{Item, Unacked};
use crate::keys::{AccountId, SessionKey};
use crate::messages::{Bind, Bound, ToSession};
use crate::session::{FIRST_LINE, Session};
use crate::site::{random, random_id};

/// How often the extensions are told of a session's end that makes them panic.
const TRIES: u8 = 2;

impl Hub {
    pub(super) fn bind(&mut self, bind: Bind, ctx: &mut Context<Hub>) {
        let mut queries = Vec::new();
        if bind.bind2.is_some() {
            self.decide(Origin::Elsewhere, ctx, |mind, devices, site, fx| {
                queries = mind.bind_queries(devices, site, fx);
            });
        }
        if queries.is_empty() {
            return self.bind_with(bind, None, ctx);
        }
        let realm = Arc::clone(&self.realm);
        let behind = self.ended < self.ticket;
        let read = async move {
            // What this Hub wrote must be there.
            if behind {
                realm.keeper.committed(Frame::new()).await;
            }
            realm.keeper.rows(queries).await
        };
        // Nothing may come between what is told and the session.
        ctx.wait(
            read.into_actor(self)
                .map(|rows, hub, ctx| hub.bind_with(bind, rows, ctx)),
        );
    }

    /// What had to be read is there.
    fn bind_with(&mut self, bind: Bind, rows: Option<Vec<Row>>, ctx: &mut Context<Hub>) {
        let answer = match &self.state {
            State::Account(mind) => {
                let account = mind.account.id;
                self.bound(&bind, account, rows, ctx)
            }
            _ => Err(StanzaError::new(Condition::NotAuthorized)),
        };
        bind.answer(answer);
    }

    fn bound(
        &mut self,
        bind: &Bind,
        account: AccountId,
        rows: Option<Vec<Row>>,
        ctx: &mut Context<Hub>,
    ) -> Result<Box<Bound>, StanzaError> {
        // RFC 6120 §7.6.2.1, §7.7.2: what the client asks for if it is a resource at all, else one
        // of ours.
        let jid = match &bind.bind2 {
            Some(bind2) => self.tagged(bind2, bind.client),
            None => {
                let wanted = bind.resource.as_ref();
                wanted.and_then(|it| self.jid.with_resource(it).ok())
            }
        };
        let jid = match jid {
            Some(jid) => jid,
            None => {
                let ours = self.jid.with_resource(&random_id()[..16]);
                ours.map_err(|_| Condition::BadRequest)?
            }
        };
        if let (Some(_), Some(client)) = (&bind.bind2, bind.client) {
            // XEP-0386 §4.2: it is here, so its earlier session is a dead connection.
            let error = StreamError::new(StreamCondition::Conflict);
            self.end_client(client, &error, ctx);
        }
        // Of before the server started again, under the same name: it leaves before this one comes.
        self.see_off(|it| it.jid == jid, ctx);
        let taken = jid
            .resource()
            .and_then(|it| self.devices.with_resource(it))
            .map(|it| it.id);
        if let Some(old) = taken {
            // RFC 6120 §7.7.2.2: the newer session is what the client has; the older one is often a
            // dead connection.
            self.end(old, StreamError::new(StreamCondition::Conflict));
            self.gone(old, ctx);
        } else if self.connected() >= self.realm.site.settings.c2s.sessions {
            let limit = Element::new(ns::XMPP_ERRORS, "resource-limit-exceeded");
            return Err(StanzaError::new(Condition::ResourceConstraint)
                .with_kind(ErrorType::Wait)
                .with_extra(limit));
        }
        let Some(stream) = bind.stream().cloned() else {
            return Err(StanzaError::new(Condition::InternalServerError));
        };
        // Never used twice on this server: what a session of a dead Hub says is said for nobody.
        let id = DeviceId(self.realm.bindings.fetch_add(1, Ordering::Relaxed));
        let (session, owner) = Session::begin(&self.realm, jid.clone(), id, stream, bind.peer);
        let key = SessionKey::new(account, u64::from_be_bytes(random()));
        let mut device = Device::new(id, jid.clone(), self.realm.site.now());
        device.client = bind.client;
        device.trusted = self.realm.gate.trusts(bind.peer);
        self.devices.add(device);
        let link = Link::new(session.clone(), Arc::clone(&owner), key);
        self.links.reserve_exact(1);
        self.links.push((id, link));
        let mut bound = Bound::new(jid, FIRST_LINE, session, owner);
        if let Some(bind2) = &bind.bind2 {
            bound.inline = self.bind_features(id, bind2, rows, ctx);
        }
        Ok(Box::new(bound))
    }

    /// The full JID of a device that binds by XEP-0386: its tag, and behind it what is the same
    /// each time for one client and tells nothing of it (§4.2.1).
    fn tagged(&self, bind2: &Bind2, client: Option<ClientKey>) -> Option<Jid> {
        let account = self.realm.accounts.id(self.jid.as_str())?;
        let ours = match client {
            Some(client) => client.resource(&*self.realm.secret, account),
            None => random_id()[..16].to_owned(),
        };
        let tagged = bind2.tag.as_ref().map(|tag| format!("{tag}/{ours}"));
        let tagged = tagged.and_then(|it| self.jid.with_resource(&it).ok());
        tagged.or_else(|| self.jid.with_resource(&ours).ok())
    }

    /// Has the extensions do what a device asks for while it binds.
    fn bind_features(
        &mut self,
        device: DeviceId,
        bind2: &Bind2,
        rows: Option<Vec<Row>>,
        ctx: &mut Context<Hub>,
    ) -> Vec<Element> {
        // XEP-0198 §8.1: the engine's own, and first, so that what the others deliver counts.
        let enable = |wish: &&Element| wish.is(ns::STREAM_MANAGEMENT, "enable");
        let enable = bind2.inline.iter().find(enable);
        let enabled = enable.and_then(|wish| self.count_inline(device, wish));
        let mut features = vec![Element::new(ns::BIND2, "bind")];
        features.extend(bind2.inline.iter().cloned());
        let mut answers = Vec::new();
        self.decide(Origin::Device(device), ctx, |mind, devices, site, fx| {
            let wishes = (&features[..], rows.as_deref());
            answers = mind.bind(device, wishes, devices, site, fx);
        });
        answers.extend(enabled);
        answers
    }

    /// Ends the sessions of a client.
    pub(super) fn end_client(
        &mut self,
        client: ClientKey,
        error: &StreamError,
        ctx: &mut Context<Hub>,
    ) {
        let devices = self.devices.iter();
        let ids: Vec<DeviceId> = devices
            .filter(|device| device.client_key() == client)
            .map(|device| device.id)
            .collect();
        for id in ids {
            self.end(id, error.clone());
            self.gone(id, ctx);
        }
    }

    /// Sessions that have a stream.
    fn connected(&self) -> usize {
        self.devices.iter().filter(|device| !device.away).count()
    }

    pub(super) fn end(&mut self, device: DeviceId, error: StreamError) {
        if let Some((_, link)) = self.links.iter().find(|(id, _)| *id == device) {
            link.send(ToSession::End(error));
        }
    }

    /// Ends the sessions of one resource, or of all, but for one.
    pub(super) fn end_all(
        &mut self,
        resource: Option<&str>,
        except: Option<&str>,
        error: StreamError,
        ctx: &mut Context<Hub>,
    ) {
        let ids: Vec<DeviceId> = self
            .devices
            .iter()
            .filter(|device| resource.is_none() || device.jid.resource() == resource)
            .filter(|device| except.is_none() || device.jid.resource() != except)
            .map(|device| device.id)
            .collect();
        for id in ids {
            self.end(id, error.clone());
            self.gone(id, ctx);
        }
    }

    /// A session ended: its contacts hear of it, and what it never acknowledged goes elsewhere.
    pub(super) fn gone(&mut self, device: DeviceId, ctx: &mut Context<Hub>) {
        let link = self.links.iter().position(|(id, _)| *id == device);
        let link = link.map(|index| self.links.remove(index).1);
        let (Some(link), Some(device)) = (link, self.devices.remove(device)) else {
            return;
        };
        let (traces, departed) = (link.traces(), link.departed());
        let mut items = link.close();
        // What still waits for the disk comes behind it, before anything that comes from now on.
        items.extend(self.withdraw(device.id));
        let mut unacked = Vec::new();
        for item in items {
            match item {
                Item::Row(row) | Item::Ready(row, _) | Item::Travelling(row, _) => {
                    unacked.push(row);
                }
                Item::Volatile(bytes, _) => self.realm.bounce(bytes),
            }
        }
        let (rows, left) = forget(unacked);
        if matches!(self.state, State::Loading) {
            // The rows are found on disk, with nobody's name on them.
            let device = Box::new(device);
            self.missed.push_back(Missed::Gone { device, panics: 0 });
        } else {
            self.leave_to_others(&left.fewer);
            let again = Box::new(device.clone());
            let decided = self.decide(Origin::Elsewhere, ctx, |mind, devices, site, fx| {
                mind.gone(device, devices, site, fx);
                traces.erase(&mut fx.rows);
                if let Some((token, handled)) = departed {
                    mind.departed(token, handled, fx);
                }
                for row in rows {
                    fx.rows.delete(Tree::Sessions, row);
                }
                if !left.kept.is_empty() {
                    mind.returned(left.kept, devices, site, fx);
                }
            });
            if !decided && matches!(self.state, State::Loading) {
                self.missed.push_back(Missed::Gone {
                    device: again,
                    panics: 1,
                });
            }
        }
        if self.devices.is_empty() {
            self.flush();
            self.devices = Devices::default();
            self.links.shrink_to_fit();
            self.rest(ctx);
        }
        self.doze_later(ctx);
    }

    /// A session of before the server started again ends, if it has not yet.
    pub(super) fn see_off(&mut self, which: impl Fn(&Device) -> bool, ctx: &mut Context<Hub>) {
        if let Some(place) = self.departing.iter().position(which) {
            let device = self.departing.remove(place);
            self.depart(Box::new(device), 0, ctx);
        }
    }

    /// A session ended while the account was loading. Where the extensions panic at it again and
    /// again the contacts hear of it all the same.
    pub(super) fn depart(&mut self, device: Box<Device>, panics: u8, ctx: &mut Context<Hub>) {
        let copy = device.clone();
        let decided = self.decide(Origin::Elsewhere, ctx, |mind, devices, site, fx| {
            match panics < TRIES {
                true => mind.gone(*device, devices, site, fx),
                false => mind.parted(*device, devices, site, fx),
            }
        });
        if !decided && panics <= TRIES && matches!(self.state, State::Loading) {
            self.missed.push_back(Missed::Gone {
                device: copy,
                panics: panics + 1,
            });
        }
    }
}

/// Of deliveries that will not be acknowledged any more: their rows, and the messages they stood
/// for.
fn forget(unacked: Vec<Unacked>) -> (Vec<Vec<u8>>, Left) {
    let mut left = Left::default();
    let mut rows = Vec::new();
    for unacked in unacked {
        rows.push(unacked.row.clone());
        let others = unacked.others;
        // What was no message is of no use to another session.
        if let Some(kept) = unacked.message() {
            left.take(kept, others);
        }
    }
    (rows, left)
}

#[cfg(test)]
mod tests {
    use rookery_config::Settings;

    use super::*;
    use crate::effect::Effects;
    use crate::extension::{AccountRole, Extension, View};
    use crate::hub::mind::Mind;
    use crate::keys::AccountId;
    use crate::site::Site;

    struct Binder;

    impl AccountRole for Binder {
        fn bind(
            &mut self,
            device: DeviceId,
            feature: &Element,
            view: View,
            fx: &mut Effects,
        ) -> Option<Element> {
            assert!(view.devices.get(device).is_some());
            match feature.ns() {
                ns::BIND2 => Some(Element::new(ns::MAM, "metadata")),
                ns::CARBONS => {
                    match feature.name() {
                        "enable" => fx.note(device),
                        _ => fx.forget(device),
                    }
                    None
                }
                _ => None,
            }
        }
    }

    const BINDER: Extension = Extension {
        account: Some(|_| Box::new(Binder)),
        bind_features: &[ns::CARBONS],
        ..Extension::NONE
    };

    #[test]
    fn extensions_are_asked_for_the_session_and_for_each_feature() {
        let site = Site::new(Settings::default(), &[&BINDER]);
        let account = Jid::parse("ann@test").unwrap();
        let mut mind = Mind::load(AccountId(1), account.clone(), Vec::new(), &site);
        let (mut devices, id) = (Devices::default(), DeviceId(7));
        devices.add(Device::new(id, account.with_resource("x").unwrap(), 0));
        let mut fx = Effects::new(0, Origin::Device(id));
        let wanted = [(ns::BIND2, "bind"), (ns::CARBONS, "enable"), ("urn:x", "y")];
        let wanted = wanted.map(|(ns, name)| Element::new(ns, name));
        let told = mind.bind(id, (&wanted, None), &mut devices, &site, &mut fx);
        assert_eq!(told, [Element::new(ns::MAM, "metadata")]);
        assert_eq!(
            devices.get(id).unwrap().noted,
            [0],
            "and may note the device"
        );
        let unwanted = [Element::new(ns::CARBONS, "disable")];
        mind.bind(id, (&unwanted, None), &mut devices, &site, &mut fx);
        assert!(devices.get(id).unwrap().noted.is_empty());
    }
}
