//! The names that this server goes by: its domains, and the hosts of services below them.

use crate::settings::Settings;

impl Settings {
    /// The hosts of this server's services under `domain`, not the domain itself.
    pub fn service_hosts(&self, domain: &str) -> Vec<String> {
        let prefixes = [&self.rooms.host, &self.pubsub.service.host].into_iter();
        let there = prefixes.filter(|prefix| !prefix.is_empty());
        there.map(|prefix| format!("{prefix}.{domain}")).collect()
    }

    /// Every name a certificate must carry: each domain, followed by its service hosts.
    pub fn hosts(&self) -> Vec<String> {
        let with_services =
            |domain: &String| std::iter::once(domain.clone()).chain(self.service_hosts(domain));
        self.domains.iter().flat_map(with_services).collect()
    }

    /// Whether this server speaks with others: it does where it listens for them, as most want to
    /// call back before they believe anything.
    pub fn federates(&self) -> bool {
        !self.listen.s2s.is_empty() || !self.listen.s2s_tls.is_empty()
    }
}
