//! Connections with other servers.

use ipnet::IpNet;

use crate::reading::list;
use crate::section::section;

section! {
    /// Connections with other servers.
    pub struct S2s {
        /// Networks to which connections are made although they are no part of the Internet, or
        /// are this machine itself. Places in `dns.overrides` need not be here.
        #[serde(deserialize_with = "list")]
        pub private: Vec<IpNet> = vec![],
    }
}
