//! The values that some fields of a node's configuration are chosen from.

use rookery_protocol::forms::{Field, FieldType};
use rookery_protocol::stanza::MessageType;
use serde::{Deserialize, Serialize};

/// What a [`field`] offers.
pub trait Choice: Copy {
    /// As it stands in the form.
    fn text(self) -> &'static str;
}

/// A field that offers these, of which one is chosen.
pub fn field<T: Choice>(var: &'static str, chosen: T, all: &[T]) -> Field {
    let field = Field::new(FieldType::ListSingle, var).with_value(chosen.text());
    all.iter()
        .fold(field, |field, it| field.with_option(it.text(), it.text()))
}

/// Declares an enum whose variants have a name in forms.
macro_rules! choices {
    ($(#[$doc:meta])* $enum:ident { $($(#[$item:meta])* $name:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
        pub enum $enum {
            $($(#[$item])* $name,)*
        }

        impl Choice for $enum {
            fn text(self) -> &'static str {
                self.as_str()
            }
        }

        impl $enum {
            /// All of them.
            pub const ALL: &[$enum] = &[$($enum::$name,)*];

            /// As forms and other elements write it.
            pub fn as_str(self) -> &'static str {
                match self { $($enum::$name => $text,)* }
            }

            /// Reads what `as_str` wrote.
            pub fn parse(text: &str) -> Option<$enum> {
                Self::ALL.iter().copied().find(|it| it.as_str() == text)
            }
        }
    };
}

choices! {
    /// Who may subscribe and see the items (§4.5). The order is written to disk.
    Access {
        /// Everybody.
        Open = "open",
        /// Who may see the owner's presence.
        Presence = "presence",
        /// Contacts in some groups of the owner's roster.
        Roster = "roster",
        /// Whom the owner lets in, one by one, as he asks.
        Authorize = "authorize",
        /// Members.
        Whitelist = "whitelist",
    }
}

choices! {
    /// Who may publish. The order is written to disk.
    Publishers {
        /// The owner and whom he made a publisher.
        Named = "publishers",
        /// Who is subscribed, too.
        Subscribers = "subscribers",
        /// Everybody.
        Open = "open",
    }
}

choices! {
    /// When the last item is sent. The order is written to disk.
    SendLast {
        /// Never.
        Never = "never",
        /// To a new subscriber.
        OnSub = "on_sub",
        /// And to each device that comes.
        OnSubAndPresence = "on_sub_and_presence",
    }
}

choices! {
    /// The type of the messages with events. The order is written to disk.
    Style {
        /// A headline: nobody keeps it.
        Headline = "headline",
        /// A normal message.
        Normal = "normal",
        /// A chat message.
        Chat = "chat",
    }
}

choices! {
    /// What a node that holds all it may does with a new item (§7.1.2.5). The order is written to
    /// disk.
    #[derive(Default)]
    Full {
        /// Drops its oldest, of which subscribers may be told.
        #[default]
        Retract = "retract-oldest",
        /// Drops its oldest without a word.
        Discard = "discard-oldest",
        /// Refuses it.
        Reject = "reject",
    }
}

choices! {
    /// To whom an answer to an item goes, as its `publisher` says (§12.17). The order is written to
    /// disk.
    #[derive(Default)]
    Reply {
        /// The node's owner.
        Owner = "owner",
        /// Who published it.
        Publisher = "publisher",
        /// Nobody: it is not said.
        #[default]
        Nobody = "none",
    }
}

impl Style {
    /// The type of the message.
    pub fn message(self) -> MessageType {
        match self {
            Style::Headline => MessageType::Headline,
            Style::Normal => MessageType::Normal,
            Style::Chat => MessageType::Chat,
        }
    }
}
