//! What is held for devices whose users do not look (see [`Device::patient`]): what need not be
//! seen at once waits for what must, so that a phone is not woken for each.
//!
//! It is held before it gets a number, so to stream management it was not sent yet. Nothing that
//! must last is ever held, nor anything that belongs to a change of the account: whatever an
//! archive row or a row of the session keeps goes out at once. A session that is resumed gets what
//! was held, behind what it had not acknowledged; a server that stops gives it to the sessions
//! first, who write it down.

use std::collections::VecDeque;

use actix::prelude::*;
use bytes::Bytes;
use rookery_protocol::stanza::Stanza;
use rookery_protocol::xml::Element;
use smol_str::SmolStr;

use super::Hub;
use super::mind::Mind;
use super::perform::Waits;
use super::plan::Plan;
use crate::effect::{Effect, Effects, Keep, Origin};
use crate::extension::{Fellows, Urgency, View};
use crate::hub::devices::{Device, DeviceId, Devices};
use crate::site::Site;

/// Stanzas that are held for one device, oldest first.
#[derive(Default)]
pub struct Aside {
    queue: VecDeque<(Option<SmolStr>, Bytes)>,
    bytes: usize,
}

impl Aside {
    /// Holds one more; what was held with the same subject goes, so that each subject stands where
    /// its last news came. `false`: there is no more room than for this, so all should go out.
    pub fn push(
        &mut self,
        subject: Option<SmolStr>,
        bytes: Bytes,
        stanzas: usize,
        size: usize,
    ) -> bool {
        let same = |(held, _): &(Option<SmolStr>, Bytes)| subject.is_some() && *held == subject;
        if let Some(place) = self.queue.iter().position(same)
            && let Some((_, old)) = self.queue.remove(place)
        {
            self.bytes -= old.len();
        }
        self.bytes += bytes.len();
        self.queue.push_back((subject, bytes));
        self.queue.len() < stanzas && self.bytes < size
    }

    /// All of them.
    pub fn into_stanzas(self) -> impl Iterator<Item = Bytes> {
        self.queue.into_iter().map(|(_, bytes)| bytes)
    }
}

impl Mind {
    /// A device said something beside its stanzas.
    pub fn said(
        &mut self,
        device: DeviceId,
        element: &Element,
        devices: &mut Devices,
        site: &Site,
        fx: &mut Effects,
    ) {
        for (index, extension) in site.extensions.iter().enumerate() {
            if extension.nonzas.contains(&element.ns()) {
                let turn = &mut super::mind::Turn { devices, site, fx };
                self.one(index, turn, |role, view, fx| {
                    role.said(device, element, view, fx);
                });
            }
        }
    }

    /// Takes out of what is to be delivered what patient devices need not see at once.
    pub fn hold_back(&self, devices: &Devices, site: &Site, fx: &mut Effects) {
        if !devices.iter().any(|device| device.patient) {
            return;
        }
        let view = View {
            account: &self.account,
            devices,
            site,
            fellows: Fellows::default(),
        };
        let mut list = Vec::new();
        for effect in fx.take() {
            match effect {
                Effect::Deliver {
                    devices: to,
                    bytes,
                    keep: Keep::No,
                } => {
                    for device in to {
                        let device = devices.get(device).ok_or(device);
                        list.push(self.judged(device, bytes.clone(), view));
                    }
                }
                other => list.push(other),
            }
        }
        fx.put_back(list);
    }

    /// One delivery that need not last, or what becomes of it.
    fn judged(&self, device: Result<&Device, DeviceId>, bytes: Bytes, view: View) -> Effect {
        let urgency = match device {
            Ok(device) if device.patient => self.urgency(device, &bytes, view),
            _ => Urgency::Now,
        };
        let device = device.map_or_else(|id| id, |device| device.id);
        let subject = match urgency {
            Urgency::Now => {
                return Effect::Deliver {
                    devices: [device].into_iter().collect(),
                    bytes,
                    keep: Keep::No,
                };
            }
            Urgency::Later => None,
            Urgency::Replaces(subject) => Some(subject),
        };
        Effect::SetAside {
            device,
            bytes,
            subject,
        }
    }

    /// What nobody knows to be able to wait does not.
    fn urgency(&self, device: &Device, bytes: &Bytes, view: View) -> Urgency {
        let Ok(stanza) = Stanza::parse_stored(bytes.clone()) else {
            return Urgency::Now;
        };
        let mut roles = self.roles();
        let urgency = roles.find_map(|role| role.urgency(&stanza, device, view));
        urgency.unwrap_or(Urgency::Now)
    }
}

impl Hub {
    /// A client said something beside its stanzas.
    pub(super) fn said(&mut self, device: DeviceId, element: &Element, ctx: &mut Context<Hub>) {
        self.decide(Origin::Device(device), ctx, |mind, devices, site, fx| {
            mind.said(device, element, devices, site, fx)
        });
    }

    /// Plans to hold a stanza; where that is over the bound, or its device is patient no more, to
    /// deliver it. What belongs to a change of the account is never held.
    pub(super) fn plan_aside(
        &mut self,
        device: DeviceId,
        bytes: Bytes,
        subject: Option<SmolStr>,
        plan: &mut Plan,
    ) {
        let bounds = &self.realm.site.settings.client_state;
        let (stanzas, size) = (bounds.stanzas, bounds.size.get());
        let patient = self.devices.get(device).is_some_and(|it| it.patient);
        if !patient || plan.hold_all || stanzas == 0 {
            return self.plan(device, bytes, Keep::No, plan);
        }
        let mut links = self.links.iter_mut();
        let Some((_, link)) = links.find(|(id, _)| *id == device) else {
            return;
        };
        let aside = link.aside.get_or_insert_default();
        if !aside.push(subject, bytes, stanzas, size) {
            self.plan_release(device, plan);
        }
    }

    /// Plans to deliver what is held for a device.
    pub(super) fn plan_release(&mut self, device: DeviceId, plan: &mut Plan) {
        let mut links = self.links.iter_mut();
        let link = links.find(|(id, _)| *id == device);
        let aside = link.and_then(|(_, link)| link.aside.take());
        for bytes in aside.into_iter().flat_map(|it| it.into_stanzas()) {
            self.plan_one(device, bytes, Keep::No, plan);
        }
    }

    /// A device is patient from here on, or no more.
    pub(super) fn plan_patience(&mut self, device: DeviceId, patient: bool, plan: &mut Plan) {
        // Nothing that a server which starts again must know: a stream begins without it.
        let found = self.devices.iter_mut().find(|it| it.id == device);
        if let Some(device) = found {
            device.patient = patient;
        }
        if !patient {
            self.plan_release(device, plan);
        }
    }

    /// A device is patient no more: its stream is a new one, or the server stops.
    pub(super) fn rouse(&mut self, device: DeviceId, ctx: &mut Context<Hub>) {
        if self.devices.get(device).is_some_and(|it| it.patient) {
            let mut fx = self.effects(Origin::Device(device));
            fx.be_patient(device, false);
            self.perform(fx, Waits::Acknowledged, ctx);
        }
    }

    /// The same of all.
    pub(super) fn rouse_all(&mut self, ctx: &mut Context<Hub>) {
        let ids: Vec<DeviceId> = self.devices.iter().map(|device| device.id).collect();
        ids.into_iter().for_each(|id| self.rouse(id, ctx));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extension::{AccountRole, Extension};
    use crate::hub::fixture::Scene;

    struct Judge;

    impl AccountRole for Judge {
        fn said(&mut self, device: DeviceId, element: &Element, _: View, fx: &mut Effects) {
            fx.be_patient(device, element.name() == "sleep");
        }

        fn urgency(&self, stanza: &Stanza, _: &Device, _: View) -> Option<Urgency> {
            match stanza.id.as_deref()? {
                "later" => Some(Urgency::Later),
                id => Some(Urgency::Replaces(id.into())),
            }
        }
    }

    const NS: &str = "urn:judge";
    const LIST: crate::extension::List = &[&Extension {
        nonzas: &[NS],
        account: Some(|_| Box::new(Judge)),
        ..Extension::NONE
    }];

    fn texts(aside: Aside) -> Vec<Bytes> {
        aside.into_stanzas().collect()
    }

    #[test]
    fn the_last_of_each_subject_stays_where_it_came() {
        let mut aside = Aside::default();
        for (subject, text) in [
            (Some("a"), "a1"),
            (None, "x1"),
            (Some("b"), "b1"),
            (None, "x2"),
            (Some("a"), "a2"),
        ] {
            assert!(aside.push(subject.map(SmolStr::new), text.into(), 9, 99));
        }
        assert_eq!(aside.bytes, 8);
        assert_eq!(texts(aside), ["x1", "b1", "x2", "a2"]);
    }

    #[test]
    fn both_bounds_at_the_limit_and_before() {
        let mut aside = Aside::default();
        assert!(aside.push(None, "abc".into(), 3, 7));
        assert!(aside.push(None, "abc".into(), 3, 7));
        assert!(!aside.push(None, "a".into(), 3, 99), "the third of three");
        let mut aside = Aside::default();
        assert!(aside.push(None, "abcdef".into(), 3, 7));
        assert!(!aside.push(None, "a".into(), 3, 7), "the seventh byte");
        let mut aside = Aside::default();
        for _ in 0..99 {
            assert!(aside.push(Some("a".into()), "abc".into(), 3, 7));
        }
    }

    #[test]
    fn extensions_judge_for_patient_devices_and_nobody_judges_for_others() {
        let mut scene = Scene::with(LIST);
        let (phone, desk) = (scene.bind("phone"), scene.bind("desk"));
        let slept = scene.decides(|mind, devices, site, fx| {
            mind.said(phone, &Element::new(NS, "sleep"), devices, site, fx);
            mind.said(desk, &Element::new("urn:other", "sleep"), devices, site, fx);
        });
        assert!(matches!(slept.effects[..], [Effect::Patience(id, true)] if id == phone));
        for device in scene.devices.iter_mut() {
            device.patient = device.id == phone;
        }
        let heard = scene.decides(|mind, devices, site, fx| {
            let to = |fx: &mut Effects, id: &str, kept| {
                let stanza =
                    Stanza::message(rookery_protocol::stanza::MessageType::Chat).with_id(id);
                fx.deliver([phone, desk], &stanza, kept);
            };
            to(fx, "later", None);
            to(fx, "subject", None);
            to(fx, "later", Some(vec![1]));
            fx.deliver(
                [phone],
                &Stanza::message(rookery_protocol::stanza::MessageType::Chat),
                None,
            );
            mind.hold_back(devices, site, fx);
        });
        let kinds = heard.effects.iter().map(|effect| match effect {
            Effect::Deliver { devices, keep, .. } => {
                (devices.to_vec(), matches!(keep, Keep::Archived(_)), None)
            }
            Effect::SetAside {
                device, subject, ..
            } => (vec![*device], false, Some(subject.as_deref())),
            other => panic!("{other:?}"),
        });
        let aside = |subject| (vec![phone], false, Some(subject));
        let wanted = [
            aside(None),
            (vec![desk], false, None),
            aside(Some("subject")),
            (vec![desk], false, None),
            (vec![phone, desk], true, None),
            (vec![phone], false, None),
        ];
        assert_eq!(kinds.collect::<Vec<_>>(), wanted);
    }
}
