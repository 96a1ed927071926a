//! How the client comes in: STARTTLS or direct TLS, bound to the channel or not.

use sasl::common::{ChannelBinding, Credentials};
use tokio::io::BufStream;
use tokio::net::TcpStream;
use tokio_xmpp::connect::tls_common::TlsStream;
use tokio_xmpp::connect::{
    DirectTlsServerConnector, DnsConfig, ServerConnector, StartTlsServerConnector,
};
use tokio_xmpp::error::{AuthError, Error};
use tokio_xmpp::jid::Jid;
use tokio_xmpp::parsers::ns;
use tokio_xmpp::parsers::stream_features::StreamFeatures;
use tokio_xmpp::xmlstream::{PendingFeaturesRecv, Timeouts};

/// The library's own ways in, on a port of loopback.
#[derive(Clone, Debug)]
pub struct Door {
    pub direct: bool,
    pub port: u64,
    /// Whether the library is told what it could bind to.
    pub plus: bool,
}

impl ServerConnector for Door {
    type Stream = BufStream<TlsStream<TcpStream>>;

    async fn connect(
        &self,
        jid: &Jid,
        ns: &'static str,
        timeouts: Timeouts,
    ) -> Result<(PendingFeaturesRecv<Self::Stream>, ChannelBinding), Error> {
        let at = DnsConfig::addr(&format!("127.0.0.1:{}", self.port));
        let (stream, binding) = match self.direct {
            true => {
                DirectTlsServerConnector(at)
                    .connect(jid, ns, timeouts)
                    .await?
            }
            false => {
                StartTlsServerConnector(at)
                    .connect(jid, ns, timeouts)
                    .await?
            }
        };
        Ok((
            stream,
            if self.plus {
                binding
            } else {
                ChannelBinding::None
            },
        ))
    }
}

impl Door {
    /// Logs in once without binding a resource: the mechanism, or what the server said.
    pub async fn knock(&self, jid: &Jid, password: &str) -> Result<String, String> {
        self.try_in(jid, password)
            .await
            .map_err(|error| match error {
                Error::Auth(AuthError::Fail(condition)) => format!("SASL: {condition:?}"),
                other => other.to_string(),
            })
    }

    async fn try_in(&self, jid: &Jid, password: &str) -> Result<String, Error> {
        let (stream, binding) = self
            .connect(jid, ns::JABBER_CLIENT, Timeouts::tight())
            .await?;
        let (features, stream): (StreamFeatures, _) = stream.recv_features().await?;
        // The library's order; it looks for its mechanisms with the suffix when it is bound.
        let suffix = if matches!(binding, ChannelBinding::TlsExporter(_)) {
            "-PLUS"
        } else {
            ""
        };
        let mechanism = ["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"]
            .map(|name| format!("{name}{suffix}"))
            .into_iter()
            .find(|name| features.sasl_mechanisms.contains(name));
        let credentials = Credentials::default()
            .with_username(jid.node().map(|node| node.to_string()).unwrap_or_default())
            .with_password(password)
            .with_channel_binding(binding);
        tokio_xmpp::client_login(stream, features.sasl_mechanisms, credentials).await?;
        mechanism.ok_or(Error::Auth(AuthError::NoMechanism))
    }
}
