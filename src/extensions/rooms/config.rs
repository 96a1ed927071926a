//! How a room is configured (XEP-0045 §10.2): as a form, and as a row.

use rookery_config::{RoomTemplate, Settings};
use rookery_protocol::forms::{Field, FieldType, Form, Submission};
use rookery_protocol::ns;
use serde::{Deserialize, Serialize};

use super::standing::{Affiliation, Role};

/// The longest name of a room, its longest description and password, in bytes.
const NAME: usize = 256;
const TEXT: usize = 4 * 1024;
const SECRET: usize = 256;

/// Who may write to single occupants (§7.5). The order is written to disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Whisper {
    Anyone,
    Participants,
    Moderators,
    Nobody,
}

impl Whisper {
    const ALL: &[(&'static str, &'static str)] = &[
        ("anyone", "Everybody"),
        ("participants", "Who may speak"),
        ("moderators", "Moderators"),
        ("none", "Nobody"),
    ];

    fn as_str(self) -> &'static str {
        Whisper::ALL[self as usize].0
    }

    fn parse(text: &str) -> Option<Whisper> {
        use Whisper::*;
        let all = [Anyone, Participants, Moderators, Nobody];
        all.into_iter().find(|it| it.as_str() == text)
    }

    /// Whether one of this role may write to one of that.
    pub fn allows(self, from: Role, to: Role) -> bool {
        match self {
            // Help from a moderator can always be had, and given.
            _ if from == Role::Moderator => self != Whisper::Nobody,
            Whisper::Anyone => true,
            Whisper::Participants => from >= Role::Participant || to == Role::Moderator,
            Whisper::Moderators | Whisper::Nobody => false,
        }
    }
}

/// The configuration of a room.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// For people; empty: it goes by its address.
    pub name: String,
    pub description: String,
    /// A language tag, or nothing.
    pub language: String,
    /// It stays when the last occupant leaves.
    pub persistent: bool,
    /// The service lists it.
    pub public: bool,
    pub members_only: bool,
    /// Who comes without an affiliation may not speak until he is given voice.
    pub moderated: bool,
    /// Without it anybody may enter, if nothing else forbids.
    pub password: Option<String>,
    /// All occupants see each other's real addresses, not moderators alone.
    pub non_anonymous: bool,
    /// Participants may change the subject, not moderators alone.
    pub open_subject: bool,
    /// Members may invite others, not admins alone.
    pub open_invitations: bool,
    /// Who may ask for the list of members: everybody who is affiliated, not moderators alone.
    pub open_list: bool,
    pub whisper: Whisper,
    /// Roles whose presence is shown to everybody.
    pub shown: Vec<Role>,
    /// Occupants; 0: as many as the server allows.
    pub users: u32,
    /// Messages that who enters is sent.
    pub history: u32,
    /// What is said is kept (XEP-0313).
    pub archived: bool,
    /// Seconds between two messages of one who is no moderator (XEP-0500); 0: none.
    pub pause: u32,
    /// Only users of this server may enter.
    pub local_only: bool,
}

impl Config {
    /// What a new room is like, as the administrator chose.
    pub fn fresh(settings: &Settings) -> Config {
        let private = settings.rooms.template == RoomTemplate::Private;
        Config {
            name: String::new(),
            description: String::new(),
            language: String::new(),
            persistent: true,
            public: !private,
            members_only: private,
            moderated: false,
            password: None,
            non_anonymous: private,
            open_subject: private,
            open_invitations: private,
            open_list: private,
            whisper: Whisper::Anyone,
            shown: vec![Role::Visitor, Role::Participant, Role::Moderator],
            users: 0,
            history: settings.rooms.history,
            archived: true,
            pause: 0,
            local_only: false,
        }
    }

    /// The most occupants, where the server allows `limit`.
    pub fn users(&self, limit: u32) -> u32 {
        match self.users {
            0 => limit,
            wanted => wanted.min(limit),
        }
    }

    /// Whether one of this role sees the real addresses of all.
    pub fn shows_jids_to(&self, role: Role) -> bool {
        self.non_anonymous || role == Role::Moderator
    }

    /// Whether somebody of this affiliation and role may have the list of members (§9.5). It names
    /// real addresses: where these are hidden it is for moderators.
    pub fn lists_to(&self, affiliation: Affiliation, role: Role) -> bool {
        role == Role::Moderator
            || affiliation >= Affiliation::Admin
            || (self.open_list && self.non_anonymous && affiliation >= Affiliation::Member)
    }

    /// The form of the configuration (§10.2).
    pub fn form(&self, limits: &Limits) -> Form {
        let users = self.users(limits.users).to_string();
        let seats: Vec<String> = SEATS
            .iter()
            .filter(|it| **it < limits.users)
            .chain([&limits.users])
            .map(u32::to_string)
            .collect();
        let seats = seats.iter().fold(
            Field::new(FieldType::ListSingle, USERS).with_value(users),
            |field, seats| field.with_option(seats, seats),
        );
        let shown = self.shown.iter().map(|role| role.as_str());
        let roles = Field::new(FieldType::ListMulti, SHOWN).with_values(shown);
        let roles = [Role::Moderator, Role::Participant, Role::Visitor]
            .iter()
            .fold(roles, |field, role| {
                field.with_option(role.as_str(), role.as_str())
            });
        let text = |var, value: &str, label| Field::text(var, value).with_label(label);
        let secret = Field::new(FieldType::TextPrivate, SECRET_FIELD)
            .with_value(self.password.as_deref().unwrap_or_default())
            .with_label("Password");
        let (list, yes) = (self.list(), "Whether a password is needed");
        let history = i64::from(limits.history);
        let form = Form::offer(ns::MUC_CONFIG)
            .with_title("How the room is configured")
            .with_field(text(NAME_FIELD, &self.name, "Name"))
            .with_field(text(DESCRIPTION, &self.description, "Description"))
            .with_field(text(LANGUAGE, &self.language, "Language"))
            .with_field(Field::boolean(PROTECTED, self.password.is_some()).with_label(yes))
            .with_field(secret)
            .with_field(choice(WHOIS, self.whois(), WHO_SEES, "Who sees addresses"))
            .with_field(choice(
                WHISPER,
                self.whisper.as_str(),
                Whisper::ALL,
                PRIVATE,
            ))
            .with_field(list.with_label("Who may ask for the list of members"))
            .with_field(roles.with_label("Whose presence is shown"))
            .with_field(seats.with_label("Occupants at most"))
            .with_field(
                Field::number(HISTORY, i64::from(self.history), 0..=history)
                    .with_label("Messages shown to who enters"),
            )
            .with_field(
                Field::number(PAUSE, i64::from(self.pause), 0..=LONGEST_PAUSE)
                    .with_label("Seconds between two messages of a participant"),
            );
        SWITCHES.iter().fold(form, |form, (var, label, get)| {
            let mut copy = self.clone();
            form.with_field(Field::boolean(*var, *get(&mut copy)).with_label(*label))
        })
    }

    /// Takes what was submitted for [`Config::form`]; `Err` names the field that cannot be so.
    pub fn take(&mut self, form: &Submission) -> Result<(), &'static str> {
        for (var, bound, field) in TEXTS {
            if let Some(value) = form.lines(var) {
                if value.len() > *bound {
                    return Err(var);
                }
                *field(self) = value;
            }
        }
        for (var, _, field) in SWITCHES {
            if let Some(value) = form.boolean(var) {
                *field(self) = value;
            }
        }
        if let Some(whois) = form.text(WHOIS) {
            self.non_anonymous = whois == "anyone";
        }
        if let Some(whisper) = form.text(WHISPER).and_then(Whisper::parse) {
            self.whisper = whisper;
        }
        if let Some(roles) = form.values(SHOWN) {
            self.shown = roles.iter().filter_map(|it| Role::parse(it)).collect();
            self.shown.sort_unstable();
            self.shown.dedup();
        }
        if let Some(list) = form.values(LIST) {
            self.open_list = list.iter().any(|it| it == "participant");
        }
        for (var, field) in NUMBERS {
            if let Some(value) = form.number(var).and_then(|it| u32::try_from(it).ok()) {
                *field(self) = value;
            }
        }
        self.take_password(form)
    }

    /// §10.2: a room that asks for a password must have one.
    fn take_password(&mut self, form: &Submission) -> Result<(), &'static str> {
        let secret = form.text(SECRET_FIELD).map(str::to_owned);
        let secret = secret.or_else(|| self.password.clone());
        let secret = secret.filter(|it| !it.is_empty());
        let wanted = form.boolean(PROTECTED);
        match (wanted.unwrap_or(self.password.is_some()), secret) {
            (true, None) => return Err(SECRET_FIELD),
            (true, Some(secret)) if secret.len() > SECRET => return Err(SECRET_FIELD),
            (true, secret) => self.password = secret,
            (false, _) => self.password = None,
        }
        Ok(())
    }

    fn whois(&self) -> &'static str {
        match self.non_anonymous {
            true => "anyone",
            false => "moderators",
        }
    }

    fn list(&self) -> Field {
        let to: &[&str] = match self.open_list {
            true => &["moderator", "participant"],
            false => &["moderator"],
        };
        Field::new(FieldType::ListMulti, LIST)
            .with_values(to.iter().copied())
            .with_option("moderator", "Moderators")
            .with_option("participant", "Members")
            .with_option("visitor", "Visitors")
    }
}

/// What the server allows a room.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Occupants.
    pub users: u32,
    /// Messages that who enters is sent.
    pub history: u32,
}

fn choice(
    var: &'static str,
    value: &'static str,
    options: &[(&str, &str)],
    label: &'static str,
) -> Field {
    Field::choice(var, value, options).with_label(label)
}

const NAME_FIELD: &str = "muc#roomconfig_roomname";
const DESCRIPTION: &str = "muc#roomconfig_roomdesc";
const LANGUAGE: &str = "muc#roomconfig_lang";
const PROTECTED: &str = "muc#roomconfig_passwordprotectedroom";
const SECRET_FIELD: &str = "muc#roomconfig_roomsecret";
const WHOIS: &str = "muc#roomconfig_whois";
const WHISPER: &str = "muc#roomconfig_allowpm";
const LIST: &str = "muc#roomconfig_getmemberlist";
const SHOWN: &str = "muc#roomconfig_presencebroadcast";
const USERS: &str = "muc#roomconfig_maxusers";
const HISTORY: &str = "muc#maxhistoryfetch";
/// XEP-0500 §3.
const PAUSE: &str = "muc#roomconfig_slow_mode_duration";
const PRIVATE: &str = "Who may write to single occupants";
const WHO_SEES: &[(&str, &str)] = &[("moderators", "Moderators"), ("anyone", "Everybody")];
/// An hour.
const LONGEST_PAUSE: i64 = 3_600;
/// Numbers of occupants that may be chosen, besides all that the server allows.
const SEATS: &[u32] = &[10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000];

/// A text: its field, the most bytes of it, and where it is.
type Text = (&'static str, usize, fn(&mut Config) -> &mut String);

const TEXTS: &[Text] = &[
    (NAME_FIELD, NAME, |it| &mut it.name),
    (DESCRIPTION, TEXT, |it| &mut it.description),
    (LANGUAGE, 64, |it| &mut it.language),
];

/// A number: its field, and where it is.
type Number = (&'static str, fn(&mut Config) -> &mut u32);

const NUMBERS: &[Number] = &[
    (USERS, |it| &mut it.users),
    (HISTORY, |it| &mut it.history),
    (PAUSE, |it| &mut it.pause),
];

/// A yes or no: its field, what people see, and where it is.
type Switch = (&'static str, &'static str, fn(&mut Config) -> &mut bool);

const SWITCHES: &[Switch] = &[
    (
        "muc#roomconfig_persistentroom",
        "It stays when all leave",
        |it| &mut it.persistent,
    ),
    ("muc#roomconfig_publicroom", "It is listed", |it| {
        &mut it.public
    }),
    (
        "muc#roomconfig_membersonly",
        "Only members may enter",
        |it| &mut it.members_only,
    ),
    (
        "muc#roomconfig_moderatedroom",
        "Newcomers may only listen",
        |it| &mut it.moderated,
    ),
    (
        "muc#roomconfig_changesubject",
        "Participants may change the subject",
        |it| &mut it.open_subject,
    ),
    (
        "muc#roomconfig_allowinvites",
        "Members may invite others",
        |it| &mut it.open_invitations,
    ),
    // As Prosody names it; the registry has no field for it.
    (
        "muc#roomconfig_enablearchiving",
        "What is said is kept",
        |it| &mut it.archived,
    ),
    (
        "x-rookery#local_only",
        "Only users of this server may enter",
        |it| &mut it.local_only,
    ),
];

#[cfg(test)]
mod tests {
    use rookery_protocol::forms::Answer;
    use rookery_protocol::xml::Element;

    use super::*;

    const LIMITS: Limits = Limits {
        users: 500,
        history: 100,
    };

    fn submitted(config: &Config, fields: &[(&str, &str)]) -> Option<Submission> {
        let field = |(var, value): &(&str, &str)| {
            let value = Element::new(ns::DATA_FORMS, "value").with_text(value);
            let field = Element::new(ns::DATA_FORMS, "field").with_attr("var", var);
            field.with_child(value)
        };
        let kind = [("FORM_TYPE", ns::MUC_CONFIG)];
        let form = Element::new(ns::DATA_FORMS, "x")
            .with_attr("type", "submit")
            .with_children(kind.iter().chain(fields).map(field));
        match config.form(&LIMITS).answer(&form) {
            Ok(Answer::Submit(submission)) => Some(submission),
            _ => None,
        }
    }

    fn fresh() -> Config {
        Config::fresh(&Settings::default())
    }

    #[test]
    fn what_is_not_submitted_stays() {
        let (mut config, before) = (fresh(), fresh());
        let form = submitted(&config, &[]).expect("a form");
        assert_eq!(config.take(&form), Ok(()));
        assert_eq!(config, before);
    }

    #[test]
    fn what_is_submitted_is_taken() {
        let mut config = fresh();
        let fields = [
            (NAME_FIELD, "The heath"),
            (WHOIS, "moderators"),
            (WHISPER, "none"),
            (USERS, "20"),
            (PAUSE, "30"),
            ("muc#roomconfig_membersonly", "false"),
            (PROTECTED, "1"),
            (SECRET_FIELD, "cauldron"),
        ];
        let form = submitted(&config, &fields).expect("a form");
        assert_eq!(config.take(&form), Ok(()));
        assert_eq!(config.name, "The heath");
        assert_eq!(config.password.as_deref(), Some("cauldron"));
        assert!(!config.non_anonymous && !config.members_only);
        assert_eq!((config.users(500), config.pause), (20, 30));
        assert_eq!(config.whisper, Whisper::Nobody);
        let form = submitted(&config, &[(PROTECTED, "0")]).expect("a form");
        assert_eq!(config.take(&form), Ok(()));
        assert_eq!(config.password, None);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let mut config = fresh();
        for fields in [
            [(USERS, "-1")],
            [(USERS, "501")],
            [(WHISPER, "witches")],
            [(HISTORY, "101")],
            [("muc#roomconfig_publicroom", "perhaps")],
        ] {
            assert_eq!(submitted(&config, &fields), None, "{fields:?}");
        }
        let form = submitted(&config, &[(PROTECTED, "1")]).expect("a form");
        assert_eq!(config.take(&form), Err(SECRET_FIELD));
        let long = "x".repeat(NAME + 1);
        let form = submitted(&config, &[(NAME_FIELD, &long)]).expect("a form");
        assert_eq!(config.take(&form), Err(NAME_FIELD));
    }

    #[test]
    fn who_may_whisper() {
        use Role::*;
        assert!(Whisper::Anyone.allows(Visitor, Visitor));
        assert!(!Whisper::Participants.allows(Visitor, Participant));
        assert!(Whisper::Participants.allows(Visitor, Moderator));
        assert!(!Whisper::Moderators.allows(Participant, Moderator));
        assert!(Whisper::Moderators.allows(Moderator, Visitor));
        assert!(!Whisper::Nobody.allows(Moderator, Visitor));
    }
}
