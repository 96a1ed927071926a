//! Who asks to be let in at a node of the account whose owner wants to be asked (XEP-0060 §8.6):
//! his devices are shown it, those that come later as well, and one of them answers by a message
//! to the account.

use rookery_actors::effect::Effects;
use rookery_actors::extension::{Direction, Pass, View};
use rookery_actors::hub::devices::Device;
use rookery_protocol::error::StanzaError;
use rookery_protocol::forms::Submission;
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::Kind;

use super::Pep;
use crate::extensions::pubsub::people::{AUTHORIZATION, request};

/// The most requests that a device is shown when it comes; the others are in the lists of the
/// nodes.
const SHOWN: usize = 20;

impl Pep {
    /// A device that has come is shown who waits.
    pub(super) fn announce_guests(&self, device: &Device, fx: &mut Effects, view: View) {
        let waiting = self.nodes.iter().flat_map(|node| {
            let all = node.people().subscriptions();
            let waiting = all.filter(|(_, it)| it.is_pending && !it.is_over(fx.now));
            waiting.filter_map(move |(jid, _)| Some((node, Jid::parse(jid).ok()?)))
        });
        let waiting = waiting.filter(|(_, jid)| !view.hides_from(jid));
        let shown: Vec<_> = waiting.take(SHOWN).collect();
        for (node, jid) in shown {
            let message = request(node, &jid, &view.account.jid);
            fx.deliver_each([device], |it| message.clone().with_to(it.jid.clone()));
        }
    }

    /// An own device says whether somebody is let in. The other devices get the message too, and
    /// know that it is settled.
    pub(super) fn decide_on_guest(
        &mut self,
        pass: &Pass,
        view: View,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let is_own = pass.direction == Direction::In
            && matches!(pass.stanza.kind, Kind::Message(_))
            && pass.peer().is_some_and(|from| view.account.is_self(from));
        let form = Some(&*pass.stanza).filter(|it| is_own && !it.is_error());
        let form = form.and_then(|it| Submission::read(&it.child(ns::DATA_FORMS, "x")?).ok());
        match form.is_some_and(|it| it.form_type() == Some(AUTHORIZATION)) {
            true => self.answer_of_owner(pass.stanza, view, fx),
            false => Ok(()),
        }
    }
}
