//! Who may change what somebody is (XEP-0045 §5.1.3, §5.2.2): pure rules.

use rookery_protocol::error::{Condition, StanzaError};

use super::standing::{Affiliation, Role};

/// What somebody is at the moment.
#[derive(Clone, Copy, Debug)]
pub struct Rank {
    pub affiliation: Affiliation,
    pub role: Role,
}

/// Whether one may give another this role. Neither of them is the other.
pub fn may_give_role(actor: Rank, target: Rank, role: Role) -> Result<(), StanzaError> {
    let may = match role {
        // §8.2: whoever is more is not to be put out.
        Role::None => actor.role == Role::Moderator && target.affiliation <= actor.affiliation,
        // §8.4: nobody who is somebody here loses his voice.
        Role::Visitor => {
            actor.role == Role::Moderator
                && target.affiliation < Affiliation::Admin
                && target.affiliation <= actor.affiliation
                && (target.role < Role::Moderator || actor.affiliation >= Affiliation::Admin)
        }
        // §8.3; §9.7: of moderators only those who owe it to nothing else.
        Role::Participant if target.role == Role::Moderator => {
            actor.affiliation >= Affiliation::Admin && target.affiliation < Affiliation::Admin
        }
        Role::Participant => actor.role == Role::Moderator,
        // §9.6.
        Role::Moderator => actor.affiliation >= Affiliation::Admin,
    };
    match (
        may,
        actor.role == Role::Moderator || actor.affiliation >= Affiliation::Admin,
    ) {
        (true, _) => Ok(()),
        (false, true) => Err(StanzaError::new(Condition::NotAllowed)),
        (false, false) => Err(StanzaError::new(Condition::Forbidden)),
    }
}

/// Whether one may give another this affiliation. Of oneself `is_self` says so; `is_last`: nobody
/// else owns the room.
pub fn may_give_affiliation(
    actor: Affiliation,
    target: Affiliation,
    to: Affiliation,
    (is_self, is_last): (bool, bool),
) -> Result<(), StanzaError> {
    use Affiliation::{Admin, Member, Outcast, Owner};
    if actor < Admin {
        return Err(StanzaError::new(Condition::Forbidden));
    }
    // §9.1, §10.5.
    if is_self && (to == Outcast || (is_last && to != Owner)) {
        return Err(StanzaError::new(Condition::Conflict));
    }
    let may = match actor {
        Owner => true,
        // §9.1, §9.3: about those who are less, up to members; whoever likes may become less.
        _ => (target < Admin && to <= Member) || (is_self && to < Admin),
    };
    match may {
        true => Ok(()),
        // Only owners make owners and admins (§10.6, §10.7).
        false if to >= Admin && target < Admin => Err(StanzaError::new(Condition::Forbidden)),
        false => Err(StanzaError::new(Condition::NotAllowed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(result: Result<(), StanzaError>) -> &'static str {
        result.map_or_else(|error| error.condition.as_str(), |()| "ok")
    }

    /// Every change that one rank may or may not make of another (§5.1.3, §8, §9.6, §9.7).
    #[test]
    fn roles() {
        use Affiliation::{Admin, Member, None as Nobody, Owner};
        use Role::{Moderator, None as Out, Participant, Visitor};
        let rank = |affiliation, role| Rank { affiliation, role };
        let rows = [
            ((Nobody, Moderator), (Nobody, Participant), Out, "ok"),
            (
                (Nobody, Moderator),
                (Member, Participant),
                Out,
                "not-allowed",
            ),
            ((Member, Moderator), (Admin, Moderator), Out, "not-allowed"),
            ((Admin, Moderator), (Owner, Moderator), Out, "not-allowed"),
            ((Owner, Moderator), (Owner, Moderator), Out, "ok"),
            ((Member, Participant), (Nobody, Visitor), Out, "forbidden"),
            (
                (Member, Participant),
                (Nobody, Visitor),
                Participant,
                "forbidden",
            ),
            ((Nobody, Moderator), (Nobody, Visitor), Participant, "ok"),
            ((Nobody, Moderator), (Nobody, Participant), Visitor, "ok"),
            (
                (Admin, Moderator),
                (Admin, Moderator),
                Visitor,
                "not-allowed",
            ),
            (
                (Owner, Moderator),
                (Admin, Moderator),
                Visitor,
                "not-allowed",
            ),
            (
                (Nobody, Moderator),
                (Nobody, Moderator),
                Visitor,
                "not-allowed",
            ),
            ((Admin, Moderator), (Member, Moderator), Participant, "ok"),
            (
                (Admin, Moderator),
                (Owner, Moderator),
                Participant,
                "not-allowed",
            ),
            (
                (Nobody, Moderator),
                (Nobody, Participant),
                Moderator,
                "not-allowed",
            ),
            ((Admin, Moderator), (Nobody, Visitor), Moderator, "ok"),
        ];
        for ((by, by_role), (of, of_role), role, expected) in rows {
            let result = may_give_role(rank(by, by_role), rank(of, of_role), role);
            assert_eq!(
                verdict(result),
                expected,
                "{by:?} makes {of:?}/{of_role:?} {role:?}"
            );
        }
    }

    /// The chart of §5.2.2, and attack M04.
    #[test]
    fn affiliations() {
        use Affiliation::{Admin, Member, None as Nobody, Outcast, Owner};
        let of_others = [
            (Member, Nobody, Member, "forbidden"),
            (Nobody, Nobody, Outcast, "forbidden"),
            (Admin, Nobody, Outcast, "ok"),
            (Admin, Nobody, Member, "ok"),
            (Admin, Outcast, Nobody, "ok"),
            (Admin, Member, Nobody, "ok"),
            (Admin, Member, Admin, "forbidden"),
            (Admin, Nobody, Owner, "forbidden"),
            (Admin, Admin, Member, "not-allowed"),
            (Admin, Owner, Outcast, "not-allowed"),
            (Admin, Owner, Admin, "not-allowed"),
            (Owner, Admin, Outcast, "ok"),
            (Owner, Owner, Nobody, "ok"),
            (Owner, Nobody, Owner, "ok"),
        ];
        for (by, of, to, expected) in of_others {
            let result = may_give_affiliation(by, of, to, (false, false));
            assert_eq!(verdict(result), expected, "{by:?} makes {of:?} {to:?}");
        }
        let of_oneself = [
            (Member, Owner, false, "forbidden"),
            (Admin, Outcast, false, "conflict"),
            (Admin, Owner, false, "not-allowed"),
            (Admin, Nobody, false, "ok"),
            (Owner, Outcast, false, "conflict"),
            (Owner, Member, false, "ok"),
            (Owner, Member, true, "conflict"),
            (Owner, Owner, true, "ok"),
        ];
        for (own, to, is_last, expected) in of_oneself {
            let result = may_give_affiliation(own, own, to, (true, is_last));
            assert_eq!(verdict(result), expected, "{own:?} makes himself {to:?}");
        }
    }
}
