//! Group chat.

use serde::{Deserialize, Serialize};

use crate::section::section;

section! {
    /// Group chat.
    pub struct Rooms {
        /// The service's host below each domain: `rooms` for `rooms.example.org`. Empty: none.
        pub host: String = "rooms".into(),
        /// What a new room is like until its owner configures it.
        pub template: RoomTemplate = RoomTemplate::Private,
        /// Occupants of one room, owners and admins not counted.
        pub users: u32 = 500,
        /// Messages that who enters a room is sent, unless its owner or he wants less.
        pub history: u32 = 20,
        /// Rooms that one user may make. 0: only administrators make rooms.
        pub own: usize = 20,
        /// Messages a second that one occupant may send; ten times as many at once.
        pub rate: u32 = 5,
        /// Who may enter at once, of one user and of one room; then `join_rate` a second.
        pub joins: u32 = 100,
        pub join_rate: u32 = 20,
    }
}

/// What a new room is like.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RoomTemplate {
    /// For a family or a circle of friends: only members enter, they see who they are, and invite
    /// others; nobody else knows of it.
    Private,
    /// For everybody: listed, open, and addresses are for moderators.
    Public,
}
