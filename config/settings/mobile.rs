//! Clients that come and go, and sleep between.

use std::time::Duration;

use super::{DAY, MINUTE, SECOND};
use crate::quantity::{Size, span};
use crate::section::section;

section! {
    /// Stream management (XEP-0198).
    pub struct Acks {
        /// Stanzas not yet acknowledged that one session may have in memory. What comes then waits
        /// in the store if it must last.
        pub stanzas: usize = 1_000,
        /// Their bytes.
        pub size: Size = Size::mib(1),
        /// Bytes of what waits in the store, 1 KiB more of each for its rows; a session over it is
        /// ended.
        pub spill: Size = Size::mib(64),
        /// How long a client may have something without being asked whether it has. It is asked
        /// at once after such a pause, and for every fifth stanza. 0: at once, whenever it has
        /// answered; who leaves without having been asked is sent the last again.
        #[serde(with = "span")]
        pub pause: Duration = Duration::ZERO,
        /// How long an acknowledgement may take before the connection counts as lost.
        #[serde(with = "span")]
        pub timeout: Duration = 60 * SECOND,
        /// How long an `<r/>` waits for the disk before it is answered with what is there.
        #[serde(with = "span")]
        pub delay: Duration = Duration::from_millis(100),
        /// How long a session waits for its client when the connection is lost, or the server has
        /// started again; zero: not at all.
        #[serde(with = "span")]
        pub resume: Duration = 600 * SECOND,
        /// How long all sessions of an account must have waited before nothing of it is kept in
        /// memory.
        #[serde(with = "span")]
        pub sleep: Duration = 60 * SECOND,
    }
}

section! {
    /// The clients of an account that say which they are (XEP-0388), and their tokens (XEP-0484).
    pub struct Clients {
        /// How many of one account are remembered: beyond that the one not seen for longest is
        /// forgotten, and its token with it. 0: none, and no tokens are given.
        pub remembered: usize = 20,
        /// For how long one is remembered that does not come back.
        #[serde(with = "span")]
        pub forget: Duration = 90 * DAY,
        /// How long a token is good.
        #[serde(with = "span")]
        pub token_lifetime: Duration = 30 * DAY,
        /// After which time a token in use is replaced.
        #[serde(with = "span")]
        pub token_rotation: Duration = DAY,
    }
}

section! {
    /// Clients whose users do not look at them (XEP-0352).
    pub struct ClientState {
        /// Stanzas held for one of them; over it all go out. 0: nothing is held.
        pub stanzas: usize = 256,
        /// Their bytes.
        pub size: Size = Size::kib(256),
    }
}

section! {
    /// Push notifications (XEP-0357).
    pub struct Push {
        /// Push services of one account; over it the oldest goes. 0: there is no push.
        pub devices: usize = 5,
        /// Errors in a row after which a service is told nothing any more; at least one.
        pub errors: u32 = 16,
        /// How long a service may take to answer; then it counts as an error.
        #[serde(with = "span")]
        pub timeout: Duration = MINUTE,
        /// How long a connected client may take to acknowledge a message before its service is
        /// told of it.
        #[serde(with = "span")]
        pub patience: Duration = 10 * SECOND,
    }
}
