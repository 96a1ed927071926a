//! What a room tells of itself (XEP-0045 §6.4 to §6.6), and what somebody's name is there (§7.12).

use rookery_actors::effect::Effects;
use rookery_actors::service::Seat;
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::forms::{Field, FieldType, Form};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{IqType, Kind, Stanza};
use rookery_protocol::xml::Element;

use super::room::{Founding, Room};
use super::standing::Affiliation;
use crate::extensions::disco::{feature, identity};
use crate::extensions::request::unavailable;

/// Features that every room has.
const FEATURES: &[&str] = &[
    ns::MUC,
    ns::MUC_STABLE_ID,
    ns::MUC_SELF_PING,
    ns::OCCUPANT_ID,
    ns::STANZA_ID,
    ns::REGISTER,
];
/// The node of which somebody hears his own name (§7.12).
const OWN_NAME: &str = "x-roomuser-item";

impl Room {
    /// disco of the room itself.
    pub fn disco(
        &self,
        request: &Stanza,
        query: &Element,
        seat: Seat,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let founding = self.there()?;
        if request.kind != Kind::Iq(IqType::Get) || query.name() != "query" {
            return Err(unavailable());
        }
        let is_info = query.ns() == ns::DISCO_INFO;
        let answer = match (is_info, query.attr("node")) {
            (true, None) => self.info(&founding, seat),
            (true, Some(OWN_NAME)) => self.own_name(request.from.as_ref()),
            // §6.5: who is there is for those who are.
            (false, None) => Element::new(ns::DISCO_ITEMS, "query"),
            _ => return Err(StanzaError::new(Condition::ItemNotFound)),
        };
        fx.result(request, Some(answer));
        Ok(())
    }

    fn info(&self, founding: &Founding, seat: Seat) -> Element {
        let config = &founding.config;
        let name = match config.name.is_empty() {
            true => seat.jid.local().unwrap_or_default(),
            false => &config.name,
        };
        let either = |is: bool, yes, no| if is { yes } else { no };
        let kind = [
            either(config.public, "muc_public", "muc_hidden"),
            either(config.members_only, "muc_membersonly", "muc_open"),
            either(config.moderated, "muc_moderated", "muc_unmoderated"),
            either(
                config.non_anonymous,
                "muc_nonanonymous",
                "muc_semianonymous",
            ),
            either(config.persistent, "muc_persistent", "muc_temporary"),
            either(
                config.password.is_some(),
                "muc_passwordprotected",
                "muc_unsecured",
            ),
        ];
        let archive: &[&str] = match config.archived {
            true => &[
                ns::MAM,
                ns::MAM_EXTENDED,
                ns::MODERATION,
                ns::RETRACT,
                ns::RETRACT_TOMBSTONE,
            ],
            false => &[],
        };
        let features = FEATURES.iter().chain(archive).copied().chain(kind);
        Element::new(ns::DISCO_INFO, "query")
            .with_child(identity("conference", "text", name))
            .with_children(features.map(feature))
            .with_child(self.details(founding).to_element())
    }

    fn details(&self, founding: &Founding) -> Form {
        let config = &founding.config;
        let owners = self.people.all_who_are(Affiliation::Owner);
        let contacts = Field::new(FieldType::JidMulti, "muc#roominfo_contactjid");
        // Where addresses are hidden these are.
        let contacts = match config.non_anonymous {
            true => contacts.with_values(owners.map(|(jid, _)| jid)),
            false => contacts,
        };
        let text = |var: &'static str, value: &str| Field::text(var, value);
        let form = Form::result(ns::MUC_INFO)
            .with_field(text("muc#roomconfig_roomname", &config.name))
            .with_field(text("muc#roominfo_description", &config.description))
            .with_field(text("muc#roominfo_lang", &config.language))
            .with_field(text(
                "muc#roominfo_occupants",
                &self.occupants.len().to_string(),
            ))
            .with_field(text("muc#maxhistoryfetch", &config.history.to_string()))
            .with_field(Field::boolean(
                "muc#roominfo_subjectmod",
                config.open_subject,
            ))
            .with_field(Field::boolean(
                "muc#roomconfig_changesubject",
                config.open_subject,
            ))
            .with_field(Field::boolean(
                "muc#roomconfig_allowinvites",
                config.open_invitations,
            ))
            .with_field(contacts);
        // Who may not come in does not hear what is talked about.
        let form = match config.members_only || config.password.is_some() {
            true => form,
            false => form.with_field(text("muc#roominfo_subject", &self.subject.text)),
        };
        match config.pause {
            0 => form,
            // XEP-0500 §4.
            pause => form.with_field(text("muc#roominfo_slow_mode_duration", &pause.to_string())),
        }
    }

    /// §7.12.
    fn own_name(&self, asker: Option<&Jid>) -> Element {
        let name = asker.and_then(|it| self.people.nick(it.bare_str()));
        let query = Element::new(ns::DISCO_INFO, "query").with_attr("node", OWN_NAME);
        match name {
            Some(name) => query.with_child(identity("conference", "text", name)),
            None => query,
        }
    }
}
