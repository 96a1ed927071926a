//! Whom to write to about this server.

use crate::reading::list;
use crate::section::section;

section! {
    /// Whom to write to about this server (XEP-0157 §4): `mailto:` and `xmpp:` addresses, web
    /// pages.
    pub struct Contact {
        /// Abuse.
        #[serde(deserialize_with = "list")]
        pub abuse: Vec<String> = vec![],
        /// The people who run it.
        #[serde(deserialize_with = "list")]
        pub admin: Vec<String> = vec![],
        /// Feedback.
        #[serde(deserialize_with = "list")]
        pub feedback: Vec<String> = vec![],
        /// Sales.
        #[serde(deserialize_with = "list")]
        pub sales: Vec<String> = vec![],
        /// Security.
        #[serde(deserialize_with = "list")]
        pub security: Vec<String> = vec![],
        /// Whether the server is up.
        #[serde(deserialize_with = "list")]
        pub status: Vec<String> = vec![],
        /// Help.
        #[serde(deserialize_with = "list")]
        pub support: Vec<String> = vec![],
    }
}

impl Contact {
    /// The lists under the names of their form fields (XEP-0157 §4), empty ones left out.
    pub fn fields(&self) -> Vec<(&'static str, &[String])> {
        let all = [
            ("abuse-addresses", self.abuse.as_slice()),
            ("admin-addresses", &self.admin),
            ("feedback-addresses", &self.feedback),
            ("sales-addresses", &self.sales),
            ("security-addresses", &self.security),
            ("status-addresses", &self.status),
            ("support-addresses", &self.support),
        ];
        all.into_iter()
            .filter(|(_, addresses)| !addresses.is_empty())
            .collect()
    }
}
