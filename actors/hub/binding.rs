//! Sessions come and go.

use actix::prelude::*;
use rookery_protocol::error::{Condition, ErrorType, StanzaError, StreamCondition, StreamError};
use rookery_protocol::ns;
use rookery_protocol::xml::Element;
use rookery_storage::{Frame, Tree};
use std::sync::atomic::Ordering;

use super::{Hub, Missed, State};
use crate::effect::Origin;
use crate::hub::devices::{Device, DeviceId, Devices};
use crate::hub::link::{Link, Unacked};
use crate::hub::shelf::Item;
use crate::keys::{AccountId, SessionKey};
use crate::messages::{Bind, Bound, ToSession};
use crate::session::{FIRST_LINE, Session};
use crate::site::{random, random_id};

impl Hub {
    pub(super) fn bind(&mut self, bind: Bind, ctx: &mut Context<Hub>) {
        let answer = match &self.state {
            State::Account(mind) => {
                let account = mind.account.id;
                self.bound(&bind, account, ctx)
            }
            _ => Err(StanzaError::new(Condition::NotAuthorized)),
        };
        bind.answer(answer);
    }

    fn bound(
        &mut self,
        bind: &Bind,
        account: AccountId,
        ctx: &mut Context<Hub>,
    ) -> Result<Box<Bound>, StanzaError> {
        // RFC 6120 §7.6.2.1, §7.7.2: what the client asks for if it is a resource at all, else one
        // of ours.
        let wanted = bind.resource.as_ref();
        let jid = match wanted.and_then(|it| self.jid.with_resource(it).ok()) {
            Some(jid) => jid,
            None => {
                let ours = self.jid.with_resource(&random_id()[..16]);
                ours.map_err(|_| Condition::BadRequest)?
            }
        };
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
        device.trusted = self.realm.gate.trusts(bind.peer);
        self.devices.add(device);
        self.links.push((id, Link::new(session.clone(), key)));
        Ok(Box::new(Bound::new(jid, FIRST_LINE, session, owner)))
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
        let traces = link.traces();
        let mut items = link.close();
        // What still waits for the disk comes behind it, before anything that comes from now on.
        items.extend(self.withdraw(device.id));
        let mut unacked = Vec::new();
        for item in items {
            match item {
                Item::Row(row) => unacked.push(row),
                Item::Volatile(bytes) => self.realm.bounce(bytes),
            }
        }
        if matches!(self.state, State::Loading) {
            // The rows are found on disk, with nobody's name on them.
            let device = Box::new(device);
            self.missed.push_back(Missed::Gone {
                device,
                again: false,
            });
        } else {
            let again = Box::new(device.clone());
            let decided = self.decide(Origin::Elsewhere, ctx, |mind, devices, site, fx| {
                mind.gone(device, devices, site, fx);
                traces.erase(&mut fx.rows);
                let kept = forget(unacked, &mut fx.rows);
                if !kept.is_empty() {
                    mind.returned(kept, devices, site, fx);
                }
            });
            if !decided && matches!(self.state, State::Loading) {
                self.missed.push_back(Missed::Gone {
                    device: again,
                    again: true,
                });
            }
        }
        if self.devices.is_empty() {
            self.flush();
            self.devices = Devices::default();
            self.links.shrink_to_fit();
            self.rest(ctx);
        }
    }

    /// A session ended while the account was loading.
    pub(super) fn depart(&mut self, device: Box<Device>, again: bool, ctx: &mut Context<Hub>) {
        let copy = device.clone();
        let decided = self.decide(Origin::Elsewhere, ctx, |mind, devices, site, fx| {
            mind.gone(*device, devices, site, fx);
        });
        if !decided && !again && matches!(self.state, State::Loading) {
            self.missed.push_back(Missed::Gone {
                device: copy,
                again: true,
            });
        }
    }
}

/// Takes the rows of deliveries away that will not be acknowledged any more; the archive rows they
/// stood for.
pub(super) fn forget(unacked: Vec<Unacked>, frame: &mut Frame) -> Vec<Vec<u8>> {
    // What was no message is of no use to another session.
    let forget = |unacked: Unacked| {
        frame.delete(Tree::Sessions, unacked.row);
        unacked.kept
    };
    unacked.into_iter().filter_map(forget).collect()
}
