//! What carries a stream's bytes: TCP, TLS over it, or anything that reads and writes (a test's
//! memory, HTTP).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::peer_tls::PeerTls;
use rookery_protocol::sasl::ChannelBindings;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsStream};

/// RFC 9266 §2: the label of the exported key.
const EXPORTER: &[u8] = b"EXPORTER-Channel-Binding";

/// The certificate that is served now, with what SASL binds to.
pub struct Tls {
    /// For STARTTLS.
    pub starttls: Arc<ServerConfig>,
    /// For direct TLS, with ALPN `xmpp-client` (XEP-0368).
    pub direct: Arc<ServerConfig>,
    /// The hash of the certificate (`tls-server-end-point`, RFC 5929 §4.1).
    pub end_point: Option<Vec<u8>>,
    /// With other servers.
    pub peers: Arc<PeerTls>,
}

/// Any other carrier of bytes.
pub trait Other: AsyncRead + AsyncWrite + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Unpin + 'static> Other for T {}

/// A connection.
pub enum Transport {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Other(Box<dyn Other>),
    /// It is being turned into TLS, or gone.
    None,
}

impl Transport {
    /// Whether there is nothing to read from or write to now.
    pub fn is_none(&self) -> bool {
        matches!(self, Transport::None)
    }

    fn inner(&mut self) -> Option<Pin<&mut dyn Other>> {
        match self {
            Transport::Tcp(tcp) => Some(Pin::new(tcp)),
            Transport::Tls(tls) => Some(Pin::new(tls.as_mut())),
            Transport::Other(other) => Some(Pin::new(other.as_mut())),
            Transport::None => None,
        }
    }

    /// Reads what is there.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.inner() {
            Some(inner) => inner.poll_read(cx, buffer),
            None => Poll::Pending,
        }
    }

    /// Writes as much as fits.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.inner() {
            Some(inner) => inner.poll_write(cx, bytes),
            None => Poll::Pending,
        }
    }

    /// Passes on what TLS still holds.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.inner() {
            Some(inner) => inner.poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Says that nothing more will be written.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.inner() {
            Some(inner) => inner.poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

/// Does the TLS handshake, as the server, and tells what SASL may bind to (RFC 9266, RFC 5929).
pub async fn secure(
    tcp: TcpStream,
    tls: &Tls,
    direct: bool,
) -> io::Result<(Transport, ChannelBindings)> {
    let config = if direct { &tls.direct } else { &tls.starttls };
    let mut stream = TlsAcceptor::from(Arc::clone(config)).accept(tcp).await?;
    let (_, connection) = stream.get_mut();
    // 16 KiB is a record: a slow reader costs no more inside TLS, the rest waits in our own bounded
    // buffer.
    connection.set_buffer_limit(Some(16 * 1024));
    // RFC 9266 §3: with TLS 1.2 the exporter is safe only with the extended master secret; offer it
    // on 1.3 alone.
    let exporter = match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => connection
            .export_keying_material(vec![0u8; 32], EXPORTER, Some(b""))
            .ok(),
        _ => None,
    };
    let bindings = ChannelBindings {
        tls_exporter: exporter,
        tls_server_end_point: tls.end_point.clone(),
        tls_version: connection.protocol_version().map(u16::from),
    };
    Ok((Transport::Tls(Box::new(stream.into())), bindings))
}
