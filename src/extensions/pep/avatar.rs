//! Avatars: one store, three faces (XEP-0398). The items of the nodes of XEP-0084 are the truth;
//! the picture of the vCard is made from them, and taken apart where a client sets it; the hash
//! that clients of XEP-0153 look for is put into presence.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rookery_actors::effect::{Effects, Query};
use rookery_actors::extension::View;
use rookery_actors::keys::{AccountId, Kind, row};
use rookery_actors::site::random_id;
use rookery_protocol::error::StanzaError;
use rookery_protocol::ns;
use rookery_protocol::stanza::{Kind as StanzaKind, PresenceType, Stanza};
use rookery_protocol::xml::Element;
use rookery_storage::Tree;
use rookery_storage::record::{Record, decode, encode};
use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};
use tracing::error;

use super::Pep;
use super::defaults;
use crate::extensions::pubsub::config::{Access, Config};
use crate::extensions::pubsub::problem::full;
use crate::extensions::pubsub::shelf::{Found, Item};

/// One row an account: its [`Avatar`].
pub const AVATAR: Kind = Kind(0x32);

/// What an image may be (attacks U12); anything else is no avatar.
const KINDS: &[(&str, &[u8])] = &[
    ("image/png", b"\x89PNG"),
    ("image/jpeg", b"\xff\xd8\xff"),
    ("image/gif", b"GIF8"),
    ("image/webp", b"RIFF"),
];

/// The avatar that is shown.
#[derive(Clone, Serialize, Deserialize, PartialEq, Debug)]
pub struct Avatar {
    /// The SHA-1 of the image, in hexadecimal.
    pub id: String,
    /// Its media type.
    pub kind: String,
}

impl Record for Avatar {
    const VERSION: u8 = 1;
}

impl Avatar {
    /// What a row of [`AVATAR`] holds.
    pub fn load(value: &[u8]) -> Option<Avatar> {
        let avatar = decode(value);
        avatar
            .inspect_err(|problem| error!(%problem, "an avatar cannot be read"))
            .ok()
    }

    /// What a `<metadata/>` shows: of several forms the one that lies here (XEP-0398 §4.1).
    fn of_metadata(metadata: &Element) -> Option<Avatar> {
        let infos = metadata
            .children()
            .filter(|it| it.is(ns::AVATAR_METADATA, "info"));
        let mut here = infos.filter(|it| it.attr("url").is_none());
        here.find_map(|info| {
            let id = info.attr("id")?.to_ascii_lowercase();
            let is_hash = id.len() == 40 && id.bytes().all(|it| it.is_ascii_hexdigit());
            let kind = info.attr("type").unwrap_or("image/png").to_owned();
            (is_hash && kind.len() <= 128).then_some(Avatar { id, kind })
        })
    }
}

/// An image from a vCard.
pub struct Picture {
    avatar: Avatar,
    base64: String,
    bytes: usize,
}

impl Picture {
    /// The image of a `<PHOTO/>`; `None` if there is none that is an avatar.
    pub fn of_photo(photo: &Element) -> Option<Picture> {
        let text = photo.child(ns::VCARD, "BINVAL")?.text();
        let base64: String = text.split_whitespace().collect();
        let image = STANDARD.decode(&base64).ok().filter(|it| !it.is_empty())?;
        let found = KINDS.iter().find(|(_, magic)| image.starts_with(magic));
        let (kind, _) = found?;
        let hash = Sha1::digest(&image);
        let id = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let kind = (*kind).to_owned();
        Some(Picture {
            avatar: Avatar { id, kind },
            base64,
            bytes: image.len(),
        })
    }

    fn data(&self) -> Element {
        Element::new(ns::AVATAR_DATA, "data").with_text(&self.base64)
    }

    fn metadata(&self) -> Element {
        let info = Element::new(ns::AVATAR_METADATA, "info")
            .with_attr("bytes", self.bytes.to_string())
            .with_attr("id", &self.avatar.id)
            .with_attr("type", &self.avatar.kind);
        Element::new(ns::AVATAR_METADATA, "metadata").with_child(info)
    }
}

/// `<PHOTO/>` of a vCard.
pub fn photo(kind: &str, base64: &str) -> Element {
    let part = |name: &'static str, text: &str| Element::new(ns::VCARD, name).with_text(text);
    Element::new(ns::VCARD, "PHOTO")
        .with_child(part("TYPE", kind))
        .with_child(part("BINVAL", base64.trim()))
}

impl Pep {
    /// What was published to the node of metadata shows from now on; `None`: nothing.
    pub(super) fn show_avatar(&mut self, metadata: Option<&Element>, view: View, fx: &mut Effects) {
        self.set_avatar(metadata.and_then(Avatar::of_metadata), view.account.id, fx);
    }

    fn set_avatar(&mut self, avatar: Option<Avatar>, account: AccountId, fx: &mut Effects) {
        if avatar == self.face.avatar {
            return;
        }
        let key = row(account, AVATAR, &[]);
        match avatar.as_ref().map(encode) {
            Some(Ok(value)) => fx.put(Tree::Account, key, value),
            Some(Err(problem)) => return error!(%problem, "an avatar cannot be written"),
            None => fx.delete(Tree::Account, key),
        }
        self.face.avatar = avatar;
    }

    /// What must be read before the picture of a vCard takes its place, or none does.
    pub(super) fn picture_room(&self, picture: Option<&Picture>, view: View) -> Vec<Query> {
        let (data, metadata) = (ns::AVATAR_DATA, ns::AVATAR_METADATA);
        match picture {
            Some(picture) if self.face.avatar.as_ref() == Some(&picture.avatar) => Vec::new(),
            Some(picture) => {
                let id = &picture.avatar.id;
                let mut queries = self.room_queries(data, id, view);
                queries.extend(self.room_queries(metadata, id, view));
                queries
            }
            None if self.face.avatar.is_some() => self.room_queries(metadata, "", view),
            None => Vec::new(),
        }
    }

    /// The picture of a vCard that was set becomes the avatar (XEP-0398 §4.2); a vCard without one
    /// takes the avatar away (XEP-0084 §4.2.2).
    pub(super) fn take_picture(
        &mut self,
        picture: Option<Picture>,
        found: &Found,
        view: View,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let avatar = picture.as_ref().map(|it| it.avatar.clone());
        if avatar == self.face.avatar {
            return Ok(());
        }
        let (id, metadata) = match &picture {
            Some(picture) => {
                let id = picture.avatar.id.clone();
                self.place(ns::AVATAR_DATA, &id, &picture.data(), found, view, fx)?;
                (id, picture.metadata())
            }
            None => (
                random_id().to_string(),
                Element::new(ns::AVATAR_METADATA, "metadata"),
            ),
        };
        self.place(ns::AVATAR_METADATA, &id, &metadata, found, view, fx)?;
        self.set_avatar(avatar, view.account.id, fx);
        Ok(())
    }

    /// Publishes on behalf of the owner. A vCard is for everybody, so a node that is made for what
    /// is in it is open.
    pub(super) fn place(
        &mut self,
        node: &str,
        id: &str,
        payload: &Element,
        found: &Found,
        view: View,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        if self.nodes.get(node).is_none() {
            if !self.has_room_for_node(view) {
                return Err(full());
            }
            let config = Config {
                access: Access::Open,
                ..defaults::of_node(node)
            };
            self.nodes.create(node, config, None, view.account.id, fx);
        }
        let item = Item {
            id: id.to_owned(),
            publisher: String::new(),
            stamp: fx.now,
            xml: String::from_utf8(payload.to_bytes("")).unwrap_or_default(),
        };
        self.shelve(node, &item, found, view, fx)?;
        self.tell_published(node, &item, view, fx);
        Ok(())
    }

    /// Puts the hash of the avatar into a presence that says nothing of one, or something else
    /// (XEP-0398 §5). Who says that he shows none is believed.
    pub(super) fn stamp_presence(&self, presence: &mut Stanza) {
        let Some(avatar) = &self.face.avatar else {
            return;
        };
        if presence.kind != StanzaKind::Presence(PresenceType::Available) {
            return;
        }
        let said = presence.child(ns::VCARD_UPDATE, "x");
        let photo = said.and_then(|x| x.child(ns::VCARD_UPDATE, "photo").map(Element::text));
        if photo.is_some_and(|hash| hash.trim().is_empty()) {
            return;
        }
        presence.retain_children(|child| !child.is(ns::VCARD_UPDATE, "x"));
        let hash = Element::new(ns::VCARD_UPDATE, "photo").with_text(&avatar.id);
        presence.append(&Element::new(ns::VCARD_UPDATE, "x").with_child(hash));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// If this fails, avatars on every disk out there can no longer be read: raise a version.
    #[test]
    fn golden_bytes() {
        let avatar = Avatar {
            id: "a".into(),
            kind: "b".into(),
        };
        assert_eq!(encode(&avatar).unwrap(), [1, 1, b'a', 1, b'b']);
        assert_eq!(Avatar::load(&[1, 1, b'a', 1, b'b']), Some(avatar));
    }

    /// Attacks U12: what is no image of a kind that clients show is no avatar.
    #[test]
    fn what_is_no_picture() {
        let photo = |text: &str| Picture::of_photo(&photo("image/png", text));
        let encoded = |image: &[u8]| STANDARD.encode(image);
        assert!(photo(&encoded(b"\x89PNG...")).is_some());
        let broken = encoded(b"\x89PNG...") + "*";
        let svg = encoded(b"<svg xmlns='http://www.w3.org/2000/svg'/>");
        for text in ["", " ", "!", &broken, &svg] {
            assert!(photo(text).is_none(), "{text}");
        }
        let folded = encoded(b"\xff\xd8\xff\xe0 a picture").replacen('/', "/\n  ", 1);
        assert_eq!(photo(&folded).unwrap().avatar.kind, "image/jpeg");
    }

    #[test]
    fn the_form_that_lies_here_is_shown() {
        let metadata = |infos: &str| {
            let ns = ns::AVATAR_METADATA;
            let text = format!("<metadata xmlns='{ns}'>{infos}</metadata>");
            Avatar::of_metadata(&Element::parse(&text, "").unwrap())
        };
        let id = "A".repeat(40);
        let there = format!("<info id='{}' url='http://x/'/>", "b".repeat(40));
        let here = format!("<info id='{id}' type='image/gif' bytes='1'/>");
        let shown = metadata(&(there.clone() + &here)).unwrap();
        assert_eq!(
            (shown.id, shown.kind.as_str()),
            ("a".repeat(40), "image/gif")
        );
        assert_eq!(metadata(&there), None);
        assert_eq!(metadata(""), None);
        assert_eq!(metadata("<info id='short'/>"), None);
    }
}
