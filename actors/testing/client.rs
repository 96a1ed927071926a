//! A client at the other end of a connection in memory: says text, hears elements as text.

use rookery_protocol::framer::Limits;
use rookery_protocol::ns;
use rookery_protocol::reader::{Event, StreamKind, StreamReader};
use rookery_protocol::sasl;
use rookery_protocol::xml::Element;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::timeout;

use super::{DOMAIN, PATIENCE};

const HEADER: &str = "<stream:stream to='test' version='1.0' xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams'>";

/// A client.
pub struct Client {
    io: DuplexStream,
    reader: StreamReader,
    bytes: Vec<u8>,
    /// Its full JID, once it is bound.
    pub jid: String,
}

impl Client {
    pub(super) fn new(io: DuplexStream) -> Client {
        Client::of_kind(io, StreamKind::Client)
    }

    pub(super) fn of_kind(io: DuplexStream, kind: StreamKind) -> Client {
        let reader = StreamReader::new(Limits::after_login(), kind);
        Client {
            io,
            reader,
            bytes: Vec::new(),
            jid: String::new(),
        }
    }

    /// Logs in by PLAIN and binds the resource.
    pub async fn login(&mut self, user: &str, password: &str, resource: &str) {
        self.authenticate(user, password).await;
        self.ask_to_bind(resource).await;
        let bound = self.hear("id='bind'").await;
        self.jid = format!("{user}@{DOMAIN}/{resource}");
        assert!(bound.contains(&self.jid), "{bound}");
    }

    /// Logs in and goes on with the session `previd`, of which it has `h`; the answer.
    pub async fn resume(&mut self, user: &str, previd: &str, h: u32) -> String {
        self.ask_to_resume(user, previd, h).await;
        self.next().await.expect("an answer")
    }

    /// The same, but does not wait for the answer.
    pub async fn ask_to_resume(&mut self, user: &str, previd: &str, h: u32) {
        self.authenticate(user, super::PASSWORD).await;
        self.say(&format!(
            "<resume xmlns='{}' previd='{previd}' h='{h}'/>",
            ns::STREAM_MANAGEMENT
        ))
        .await;
    }

    /// Logs in by PLAIN.
    pub async fn authenticate(&mut self, user: &str, password: &str) {
        self.begin().await;
        let plain = sasl::encode(format!("\0{user}\0{password}").as_bytes());
        self.say(&format!(
            "<auth xmlns='{}' mechanism='PLAIN'>{plain}</auth>",
            ns::SASL
        ))
        .await;
        self.hear("<success").await;
        self.begin().await;
    }

    /// Opens the stream, for the first time or again, and hears the features.
    pub async fn begin(&mut self) {
        self.reader.restart();
        self.say(HEADER).await;
        self.hear("features>").await;
    }

    /// The same as the server of this domain, which proves by its certificate that it is.
    pub async fn begin_as(&mut self, domain: &str) {
        let header = format!(
            "<stream:stream from='{domain}' to='{DOMAIN}' version='1.0' xmlns='{}' \
             xmlns:db='{}' xmlns:stream='{}'>",
            ns::SERVER,
            ns::DIALBACK,
            ns::STREAM
        );
        self.say(&header).await;
        self.hear("features>").await;
        let claim = format!("<db:result from='{domain}' to='{DOMAIN}'>key</db:result>");
        self.say(&claim).await;
        self.hear("type='valid'").await;
    }

    /// Asks for a resource.
    pub async fn ask_to_bind(&mut self, resource: &str) {
        let bind = format!(
            "<iq type='set' id='bind'><bind xmlns='{}'><resource>{resource}</resource></bind></iq>",
            ns::BIND
        );
        self.say(&bind).await;
    }

    /// Sends text.
    pub async fn say(&mut self, text: &str) {
        let sent = timeout(PATIENCE, self.io.write_all(text.as_bytes())).await;
        sent.expect("the server reads")
            .expect("the server is there");
    }

    /// Sends as much of a text as the server takes; answers whether that is all.
    pub async fn say_if_it_goes(&mut self, text: &str, patience: std::time::Duration) -> bool {
        matches!(
            timeout(patience, self.io.write_all(text.as_bytes())).await,
            Ok(Ok(()))
        )
    }

    /// The next element, as text in the namespace of clients; `None`: the stream has ended.
    pub async fn next(&mut self) -> Option<String> {
        loop {
            let mut chunk = self.bytes.as_slice();
            let event = self
                .reader
                .read(&mut chunk)
                .expect("the server writes well-formed XML");
            let left = chunk.len();
            self.bytes.drain(..self.bytes.len() - left);
            match event {
                Some(Event::Element(element)) => return Some(text(&element.to_element())),
                Some(Event::Close) => return None,
                Some(_) => continue,
                None => {}
            }
            let mut buffer = vec![0; 16 * 1024];
            let read = timeout(PATIENCE, self.io.read(&mut buffer)).await;
            match read
                .expect("the server says something")
                .expect("memory does not fail")
            {
                0 => return None,
                count => self.bytes.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// Hears elements until one contains `part`; answers that one.
    pub async fn hear(&mut self, part: &str) -> String {
        let mut heard = Vec::new();
        while let Some(element) = self.next().await {
            if element.contains(part) {
                return element;
            }
            heard.push(element);
        }
        panic!("{part} was never heard, but {heard:#?}");
    }

    /// Hears next of `who` that it is not there any more.
    pub async fn hear_gone(&mut self, who: &str) {
        let gone = self.hear(&format!("from='{who}'")).await;
        assert!(gone.contains("type='unavailable'"), "{gone}");
    }

    /// All elements up to the one that contains `part`, without it.
    pub async fn before(&mut self, part: &str) -> Vec<String> {
        let mut heard = Vec::new();
        while let Some(element) = self.next().await {
            if element.contains(part) {
                return heard;
            }
            heard.push(element);
        }
        panic!("{part} was never heard, but {heard:#?}");
    }

    /// Everything up to the end of the stream.
    pub async fn rest(&mut self) -> Vec<String> {
        let mut heard = Vec::new();
        while let Some(element) = self.next().await {
            heard.push(element);
        }
        heard
    }

    /// Whether everything that was said has been handled: a question to the server that nobody
    /// answers otherwise than with an error.
    pub async fn settle(&mut self) -> Vec<String> {
        self.say("<iq type='get' id='settled'><query xmlns='urn:test:nobody'/></iq>")
            .await;
        self.before("id='settled'").await
    }
}

/// The value of an element's attribute.
pub fn attribute(element: &str, name: &str) -> String {
    let (_, rest) = element
        .split_once(&format!(" {name}='"))
        .unwrap_or_else(|| panic!("no {name} in {element}"));
    rest.split('\'').next().unwrap_or_default().to_owned()
}

fn text(element: &Element) -> String {
    let bytes = element.to_bytes(ns::CLIENT);
    String::from_utf8(bytes).expect("text")
}
