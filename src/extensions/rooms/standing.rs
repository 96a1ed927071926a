//! What somebody is to a room (XEP-0045 §5): by his affiliation, which lasts, and by his role,
//! which ends with his visit. Of both the order is that of power.

use serde::{Deserialize, Serialize};

/// What a bare JID is to a room for good (§5.2). The order is written to disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Affiliation {
    Outcast,
    None,
    Member,
    Admin,
    Owner,
}

impl Affiliation {
    /// As it stands in `affiliation` attributes.
    pub fn as_str(self) -> &'static str {
        match self {
            Affiliation::Outcast => "outcast",
            Affiliation::None => "none",
            Affiliation::Member => "member",
            Affiliation::Admin => "admin",
            Affiliation::Owner => "owner",
        }
    }

    /// Reads what `as_str` wrote.
    pub fn parse(text: &str) -> Option<Affiliation> {
        use Affiliation::*;
        let all = [Outcast, None, Member, Admin, Owner];
        all.into_iter().find(|it| it.as_str() == text)
    }

    /// The role with which he enters (§5.1.2).
    pub fn role(self, moderated: bool) -> Role {
        match self {
            Affiliation::Outcast => Role::None,
            Affiliation::None if moderated => Role::Visitor,
            Affiliation::None | Affiliation::Member => Role::Participant,
            Affiliation::Admin | Affiliation::Owner => Role::Moderator,
        }
    }
}

/// What an occupant may do while he is there (§5.1). The order is written to disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Role {
    None,
    Visitor,
    Participant,
    Moderator,
}

impl Role {
    /// As it stands in `role` attributes.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::None => "none",
            Role::Visitor => "visitor",
            Role::Participant => "participant",
            Role::Moderator => "moderator",
        }
    }

    /// Reads what `as_str` wrote.
    pub fn parse(text: &str) -> Option<Role> {
        use Role::*;
        let all = [None, Visitor, Participant, Moderator];
        all.into_iter().find(|it| it.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// §5.1.2, the table.
    #[test]
    fn an_affiliation_gives_a_role_at_the_door() {
        use Affiliation::*;
        let roles = |moderated| [None, Member, Admin, Owner].map(|it| it.role(moderated).as_str());
        let open = ["participant", "participant", "moderator", "moderator"];
        let moderated = ["visitor", "participant", "moderator", "moderator"];
        assert_eq!(roles(false), open);
        assert_eq!(roles(true), moderated);
        assert_eq!(Outcast.role(false), Role::None);
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in ["outcast", "none", "member", "admin", "owner"] {
            assert_eq!(
                Affiliation::parse(name).map(Affiliation::as_str),
                Some(name)
            );
        }
        for name in ["none", "visitor", "participant", "moderator"] {
            assert_eq!(Role::parse(name).map(Role::as_str), Some(name));
        }
        assert_eq!((Affiliation::parse("Owner"), Role::parse("")), (None, None));
    }
}
