//! XMPP addresses: RFC 7622, prepared once, on entry, and compared as strings ever after.
//!
//! Two liberties, both towards resources only, both so that people's nicknames keep working:
//! code points that the PRECIS tables do not know yet are allowed (tables age, emoji do not wait),
//! and so are the joiner and the variation selectors inside an emoji sequence.

use core::net::Ipv6Addr;
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use precis_core::profile::PrecisFastInvocation;
use precis_core::{DerivedPropertyValue, FreeformClass, StringClass};
use precis_profiles::UsernameCaseMapped;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use unicode_normalization::{UnicodeNormalization, is_nfc};

/// The longest part of an address in bytes, after preparation (RFC 7622 §3.2 to §3.4).
pub const PART_MAX: usize = 1023;

/// An address `[local@]domain[/resource]`, prepared: equal addresses are equal strings.
///
/// Cloning costs a reference count.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Jid {
    text: Arc<str>,
    /// Bytes of the localpart; zero when there is none, since an empty one is not allowed.
    local: u16,
    /// Where the bare address ends.
    bare: u16,
}

/// Why a string is no address. It names the part and never repeats what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JidError {
    /// The part before `@` is empty, too long or has a forbidden character.
    #[error("the part before @ is not allowed")]
    Local,
    /// The domain is empty, too long or no domain name.
    #[error("the domain is not valid")]
    Domain,
    /// The part after `/` is empty, too long or has a forbidden character.
    #[error("the part after / is not allowed")]
    Resource,
}

impl Jid {
    /// Reads and prepares an address. RFC 7622 §3.2: the first `/` starts the resource, then the
    /// first `@` before it ends the localpart.
    pub fn parse(text: &str) -> Result<Jid, JidError> {
        if let Some((local, bare)) = prepared_already(text) {
            let text = text.into();
            return Ok(Jid { text, local, bare });
        }
        let (bare, resource) = match text.split_once('/') {
            Some((bare, resource)) => (bare, Some(resource)),
            None => (text, None),
        };
        match bare.split_once('@') {
            Some((local, domain)) => Jid::new(Some(local), domain, resource),
            None => Jid::new(None, bare, resource),
        }
    }

    /// Puts an address together from its parts, each of which is prepared here.
    pub fn new(local: Option<&str>, domain: &str, resource: Option<&str>) -> Result<Jid, JidError> {
        let local = local.map(prepare_local).transpose()?;
        let domain = prepare_domain(domain)?;
        let resource = resource.map(prepare_resource).transpose()?;
        Ok(Jid::join(local.as_deref(), &domain, resource.as_deref()))
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The part before `@`.
    pub fn local(&self) -> Option<&str> {
        (self.local > 0).then(|| &self.text[..usize::from(self.local)])
    }

    /// The domain, as U-labels in lower case without a final dot.
    pub fn domain(&self) -> &str {
        let start = match self.local {
            0 => 0,
            length => usize::from(length) + 1,
        };
        &self.text[start..usize::from(self.bare)]
    }

    /// The part after `/`.
    pub fn resource(&self) -> Option<&str> {
        self.text.get(usize::from(self.bare) + 1..)
    }

    /// Whether there is no resource.
    pub fn is_bare(&self) -> bool {
        usize::from(self.bare) == self.text.len()
    }

    /// The address without its resource.
    pub fn bare(&self) -> Jid {
        if self.is_bare() {
            return self.clone();
        }
        Jid {
            text: self.bare_str().into(),
            local: self.local,
            bare: self.bare,
        }
    }

    /// The address without its resource, borrowed.
    pub fn bare_str(&self) -> &str {
        &self.text[..usize::from(self.bare)]
    }

    /// The address of the domain alone.
    pub fn to_domain(&self) -> Jid {
        if self.local == 0 && self.is_bare() {
            return self.clone();
        }
        Jid::join(None, self.domain(), None)
    }

    /// The same bare address with this resource, which is prepared here.
    pub fn with_resource(&self, resource: &str) -> Result<Jid, JidError> {
        let resource = prepare_resource(resource)?;
        Ok(Jid::join(self.local(), self.domain(), Some(&resource)))
    }

    /// Joins prepared parts.
    fn join(local: Option<&str>, domain: &str, resource: Option<&str>) -> Jid {
        let before = local.map_or(0, |local| local.len() + 1);
        let bare = before + domain.len();
        // Each part was held to PART_MAX, so the offsets fit 16 bits with room to spare.
        let (local_length, bare_length) = (before.saturating_sub(1) as u16, bare as u16);
        let mut text = String::with_capacity(bare + resource.map_or(0, |part| part.len() + 1));
        if let Some(local) = local {
            text.push_str(local);
            text.push('@');
        }
        text.push_str(domain);
        if let Some(resource) = resource {
            text.push('/');
            text.push_str(resource);
        }
        Jid {
            text: text.into(),
            local: local_length,
            bare: bare_length,
        }
    }
}

impl fmt::Display for Jid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl fmt::Debug for Jid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text, out)
    }
}

impl AsRef<str> for Jid {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl FromStr for Jid {
    type Err = JidError;

    fn from_str(text: &str) -> Result<Jid, JidError> {
        Jid::parse(text)
    }
}

impl Serialize for Jid {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Jid {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Jid, D::Error> {
        let text = String::deserialize(from)?;
        Jid::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// What RFC 7622 §3.3.1 takes out of the localpart beyond the IdentifierClass.
const LOCAL_EXCLUDED: &[char] = &['"', '&', '\'', '/', ':', '<', '>', '@'];

/// Prepares a localpart: UsernameCaseMapped (RFC 8265 §3.3) without the characters of RFC 7622
/// §3.3.1.
pub fn prepare_local(local: &str) -> Result<Cow<'_, str>, JidError> {
    if local.is_empty() || local.len() > 4 * PART_MAX {
        return Err(JidError::Local);
    }
    if local.contains(LOCAL_EXCLUDED) {
        return Err(JidError::Local);
    }
    let prepared = if local.is_ascii() {
        if !local.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(JidError::Local);
        }
        lower_ascii(local)
    } else {
        // Case mapping can undo normalisation and the reverse; an address must not change when it
        // is prepared again (RFC 8264 §7), so what has not settled after three rounds is refused.
        let mut last = Cow::Borrowed(local);
        for _ in 0..3 {
            let next = UsernameCaseMapped::enforce(last.as_ref()).map_err(|_| JidError::Local)?;
            if next == last {
                break;
            }
            last = Cow::Owned(next.into_owned());
        }
        let settled = UsernameCaseMapped::enforce(last.as_ref()).is_ok_and(|next| next == last);
        if !settled || last.contains(LOCAL_EXCLUDED) {
            return Err(JidError::Local);
        }
        last
    };
    if prepared.len() > PART_MAX {
        Err(JidError::Local)
    } else {
        Ok(prepared)
    }
}

/// Prepares a domain: lower case U-labels without the final dot (RFC 7622 §3.2). An IPv6 address
/// stands in brackets.
pub fn prepare_domain(domain: &str) -> Result<Cow<'_, str>, JidError> {
    // The final dot goes before everything else (RFC 7622 §3.2).
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    if let Some(literal) = domain.strip_prefix('[') {
        let address = literal.strip_suffix(']').ok_or(JidError::Domain)?;
        let address: Ipv6Addr = address.parse().map_err(|_| JidError::Domain)?;
        return Ok(Cow::Owned(format!("[{address}]")));
    }
    if domain.len() > PART_MAX {
        return Err(JidError::Domain);
    }
    match is_plain_domain(domain.as_bytes()) {
        true => Ok(lower_ascii(domain)),
        false => international_domain(domain).map(Cow::Owned),
    }
}

/// Prepares a resource: OpaqueString (RFC 8265 §4.2) with the liberties of this module.
pub fn prepare_resource(resource: &str) -> Result<Cow<'_, str>, JidError> {
    // RFC 7622 §3.5, example 18: a leading space is no resource.
    if resource.is_empty() || resource.len() > 4 * PART_MAX || resource.starts_with(' ') {
        return Err(JidError::Resource);
    }
    if resource
        .bytes()
        .all(|byte| byte == b' ' || byte.is_ascii_graphic())
    {
        let fits = resource.len() <= PART_MAX;
        return if fits {
            Ok(Cow::Borrowed(resource))
        } else {
            Err(JidError::Resource)
        };
    }
    if !is_freeform(resource) {
        return Err(JidError::Resource);
    }
    // RFC 8265 §4.2.2: other spaces become the ASCII one; then normalisation form C.
    let mapped: String = resource
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .nfc()
        .collect();
    let sound = is_nfc(&mapped) && is_freeform(&mapped) && !mapped.starts_with(' ');
    if !sound || mapped.len() > PART_MAX {
        return Err(JidError::Resource);
    }
    Ok(if mapped == resource {
        Cow::Borrowed(resource)
    } else {
        Cow::Owned(mapped)
    })
}

fn lower_ascii(text: &str) -> Cow<'_, str> {
    match text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Cow::Owned(text.to_ascii_lowercase()),
        false => Cow::Borrowed(text),
    }
}

/// Whether this is a domain of ordinary ASCII labels within the lengths of RFC 1034 §3.1. What
/// begins with `xn--`, or is otherwise reserved by two hyphens, is not ordinary.
fn is_plain_domain(domain: &[u8]) -> bool {
    !domain.is_empty()
        && domain.len() <= 253
        && domain.split(|&byte| byte == b'.').all(|label| {
            (1..=63).contains(&label.len())
                && is_all(label, &IN_LABEL)
                && label[0] != b'-'
                && label[label.len() - 1] != b'-'
                && label.get(2..4) != Some(b"--")
        })
}

/// Letters, digits and the hyphen.
static IN_LABEL: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x80u8 {
        table[byte as usize] = byte.is_ascii_alphanumeric() || byte == b'-';
        byte += 1;
    }
    table
};

fn is_all(bytes: &[u8], of: &[bool; 256]) -> bool {
    // Without a way out of the loop there are fewer steps to it.
    bytes
        .iter()
        .fold(true, |all, &byte| all & of[usize::from(byte)])
}

/// Bytes that a localpart keeps as they are: graphic ASCII but capitals and [`LOCAL_EXCLUDED`].
static PLAIN_LOCAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x80u8 {
        table[byte as usize] = byte.is_ascii_graphic()
            && !byte.is_ascii_uppercase()
            && !matches!(byte, b'"' | b'&' | b'\'' | b'/' | b':' | b'<' | b'>' | b'@');
        byte += 1;
    }
    table
};

/// Where localpart and bare address end, if the text is an address of ASCII that preparation would
/// leave as it is: what nearly all are.
fn prepared_already(text: &str) -> Option<(u16, u16)> {
    let bytes = text.as_bytes();
    let plain = bytes
        .iter()
        .position(|&byte| !PLAIN_LOCAL[usize::from(byte)]);
    let (local, start) = match plain {
        Some(at @ 1..=PART_MAX) if bytes[at] == b'@' => (at, at + 1),
        _ => (0, 0),
    };
    let rest = &bytes[start..];
    let length = rest
        .iter()
        .position(|&byte| byte == b'/')
        .unwrap_or(rest.len());
    let domain = &rest[..length];
    let has_capitals = domain
        .iter()
        .fold(false, |any, byte| any | byte.is_ascii_uppercase());
    if has_capitals || !is_plain_domain(domain) {
        return None;
    }
    if let Some(resource) = rest.get(length + 1..) {
        let is_plain = |&byte: &u8| byte == b' ' || byte.is_ascii_graphic();
        let is_resource = (1..=PART_MAX).contains(&resource.len())
            && resource[0] != b' '
            && resource.iter().all(is_plain);
        if !is_resource {
            return None;
        }
    }
    // Each part was held to PART_MAX, so the offsets fit.
    Some((local as u16, (start + length) as u16))
}

/// Maps a domain with labels beyond ASCII, or A-labels, to U-labels (UTS 46, non-transitional).
fn international_domain(domain: &str) -> Result<String, JidError> {
    if domain.ends_with('.') {
        return Err(JidError::Domain);
    }
    let uts46 = Uts46::new();
    let (mapped, sound) = uts46.to_unicode(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::Check);
    sound.map_err(|_| JidError::Domain)?;
    // A full stop of another script may have become the final dot.
    let mapped = mapped.strip_suffix('.').unwrap_or(&mapped);
    // RFC 1034's lengths hold for the form that the DNS carries.
    uts46
        .to_ascii(
            mapped.as_bytes(),
            AsciiDenyList::STD3,
            Hyphens::Check,
            DnsLength::Verify,
        )
        .map_err(|_| JidError::Domain)?;
    let (again, sound) = uts46.to_unicode(mapped.as_bytes(), AsciiDenyList::STD3, Hyphens::Check);
    if sound.is_err() || again != mapped || mapped.len() > PART_MAX {
        return Err(JidError::Domain);
    }
    Ok(mapped.to_owned())
}

/// Whether the FreeformClass (RFC 8264 §4.3) allows the string, with this module's liberties.
fn is_freeform(text: &str) -> bool {
    use DerivedPropertyValue as Value;
    let class = FreeformClass::default();
    // The context rules look at neighbours, so they are given the string without what we let by.
    let mut strict = String::new();
    let mut contextual = false;
    let mut after_symbol = false;
    for c in text.chars() {
        match class.get_value_from_char(c) {
            Value::PValid => after_symbol = false,
            Value::SpecClassPval | Value::Unassigned if !c.is_ascii() && !c.is_alphanumeric() => {
                after_symbol = true;
            }
            Value::SpecClassPval | Value::Unassigned => after_symbol = false,
            // Inside an emoji sequence: zero width joiner, variation selectors.
            _ if after_symbol && matches!(c, '\u{200d}' | '\u{fe0e}' | '\u{fe0f}') => continue,
            Value::ContextJ | Value::ContextO => (contextual, after_symbol) = (true, false),
            Value::Disallowed | Value::SpecClassDis => return false,
        }
        strict.push(c);
    }
    !contextual || class.allows(without_unassigned(class, &strict)).is_ok()
}

fn without_unassigned(class: FreeformClass, text: &str) -> String {
    let known = |c: &char| class.get_value_from_char(*c) != DerivedPropertyValue::Unassigned;
    text.chars().filter(known).collect()
}

#[cfg(test)]
mod tests;
