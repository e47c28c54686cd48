//! The parameters of SVCB and HTTPS (RFC 9460 section 2.1 and appendix A).

use crate::data::{address, plain, quoted};
use crate::error::{What, ZoneError};
use crate::text::number;
use crate::words::Word;
use alloc::vec::Vec;
use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

const MANDATORY: u16 = 0;
const ALPN: u16 = 1;
const NO_DEFAULT_ALPN: u16 = 2;
const PORT: u16 = 3;
const IPV4HINT: u16 = 4;
const ECH: u16 = 5;
const IPV6HINT: u16 = 6;
const DOHPATH: u16 = 7;
const OHTTP: u16 = 8;
/// What no parameter can be (RFC 9460 section 14.3.2).
const INVALID: u16 = 65_535;

/// The names of keys, by number.
const NAMES: [&str; 9] =
    ["mandatory", "alpn", "no-default-alpn", "port", "ipv4hint", "ech", "ipv6hint", "dohpath", "ohttp"];

/// Appends the parameters that the words say, in the order of their keys.
pub(crate) fn parse(words: &[Word<'_>], out: &mut Vec<u8>) -> Result<(), ZoneError> {
    let mut parameters = Vec::with_capacity(words.len());
    for word in words {
        parameters.push((parameter(word.raw).ok_or_else(|| word.error(What::Parameter))?, word));
    }
    // In a zone file there are few, and a sort is some kilobytes.
    for index in 1..parameters.len() {
        let place = parameters[..index].iter().position(|other| other.0.0 > parameters[index].0.0);
        place.iter().for_each(|place| parameters[*place..=index].rotate_right(1));
    }
    if let Some(pair) = parameters.windows(2).find(|pair| pair[0].0.0 == pair[1].0.0) {
        return Err(pair[1].1.error(What::ParameterTwice));
    }
    let start = out.len();
    for ((key, value), word) in &parameters {
        let len = u16::try_from(value.len()).map_err(|_| word.error(What::Parameter))?;
        out.extend_from_slice(&key.to_be_bytes());
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(value);
    }
    if let (false, Some(word)) = (is_sound(&out[start..]), words.first()) {
        return Err(word.error(What::ParameterMissing));
    }
    Ok(())
}

/// A key with its value.
fn parameter(raw: &[u8]) -> Option<(u16, Vec<u8>)> {
    let equals = raw.iter().position(|&byte| byte == b'=');
    let (name, value) = raw.split_at(equals.unwrap_or(raw.len()));
    let value = value.get(1..).unwrap_or_default();
    let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
    let mut text = Vec::new();
    plain(value, &mut text).ok()?;
    let (key, wire) = match key_of(name)? {
        // Under its number, a value is written as it is on the wire.
        (key, false) => (key, text),
        (key, true) => (key, wire_of(key, &text)?),
    };
    // Keys that must have a value, and those that must have none, say so here.
    value_is_sound(key, &wire).then_some((key, wire))
}

/// The number of a key, and whether it was named.
fn key_of(name: &[u8]) -> Option<(u16, bool)> {
    if let Some(key) = NAMES.iter().position(|known| known.as_bytes() == name) {
        return Some((key as u16, true));
    }
    let digits = name.strip_prefix(b"key")?;
    // Without leading zeros.
    (digits.first() != Some(&b'0') || digits.len() == 1).then_some(())?;
    Some((number(digits, u32::from(INVALID) - 1)? as u16, false))
}

/// What the value of a named key is on the wire.
fn wire_of(key: u16, text: &[u8]) -> Option<Vec<u8>> {
    let mut wire = Vec::new();
    match key {
        MANDATORY => {
            let mut keys = Vec::new();
            for name in text.split(|&byte| byte == b',') {
                keys.push(key_of(name)?.0);
            }
            while let Some((least, _)) = keys.iter().enumerate().min_by_key(|(_, key)| **key) {
                wire.extend_from_slice(&u16::to_be_bytes(keys.swap_remove(least)));
            }
        }
        ALPN => return list(text),
        PORT => wire.extend_from_slice(&(number(text, 0xffff)? as u16).to_be_bytes()),
        IPV4HINT => {
            for part in text.split(|&byte| byte == b',') {
                wire.extend_from_slice(&address::<Ipv4Addr>(part)?.octets());
            }
        }
        IPV6HINT => {
            for part in text.split(|&byte| byte == b',') {
                wire.extend_from_slice(&address::<Ipv6Addr>(part)?.octets());
            }
        }
        ECH => return from_base64(text),
        _ => wire.extend_from_slice(text),
    }
    Some(wire)
}

/// Values with commas between them, each with its length in front; a backslash takes the sense from a comma or a
/// backslash.
fn list(text: &[u8]) -> Option<Vec<u8>> {
    let mut wire = Vec::from([0]);
    let mut head = 0;
    let mut bytes = text.iter();
    let end = |wire: &mut Vec<u8>, head: usize| {
        wire[head] = u8::try_from(wire.len() - head - 1).ok().filter(|len| *len > 0)?;
        Some(())
    };
    while let Some(&byte) = bytes.next() {
        match byte {
            b',' => {
                end(&mut wire, head)?;
                head = wire.len();
                wire.push(0);
            }
            b'\\' => wire.push(*bytes.next().filter(|byte| matches!(byte, b',' | b'\\'))?),
            _ => wire.push(byte),
        }
    }
    end(&mut wire, head)?;
    Some(wire)
}

/// Keys and values one after the other; nothing if they are not whole.
fn parameters(mut bytes: &[u8]) -> impl Iterator<Item = Option<(u16, &[u8])>> {
    core::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let whole = (|| {
            let (head, rest) = bytes.split_first_chunk::<4>()?;
            let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([head[2], head[3]])))?;
            bytes = rest;
            Some((u16::from_be_bytes([head[0], head[1]]), value))
        })();
        if whole.is_none() {
            bytes = &[];
        }
        Some(whole)
    })
}

/// Whether they are in order, make sense, and are complete.
pub(crate) fn is_sound(bytes: &[u8]) -> bool {
    let mut last = None;
    let ordered = parameters(bytes).all(|parameter| {
        parameter.is_some_and(|(key, value)| {
            let later = last.replace(key).is_none_or(|last| last < key);
            later && key != INVALID && value_is_sound(key, value)
        })
    });
    let has = |wanted: u16| parameters(bytes).flatten().any(|(key, _)| key == wanted);
    ordered
        && parameters(bytes).flatten().all(|(key, value)| match key {
            MANDATORY => value.chunks_exact(2).all(|key| has(u16::from_be_bytes([key[0], key[1]]))),
            NO_DEFAULT_ALPN => has(ALPN),
            _ => true,
        })
}

fn value_is_sound(key: u16, value: &[u8]) -> bool {
    let whole = |size: usize| !value.is_empty() && value.len().is_multiple_of(size);
    match key {
        MANDATORY => {
            let keys = || value.chunks_exact(2).map(|key| u16::from_be_bytes([key[0], key[1]]));
            whole(2) && keys().next() != Some(0) && keys().zip(keys().skip(1)).all(|(one, next)| one < next)
        }
        ALPN => {
            let mut rest = value;
            while let Some((&len @ 1.., after)) = rest.split_first() {
                let Some(after) = after.get(usize::from(len)..) else { return false };
                rest = after;
            }
            rest.is_empty() && !value.is_empty()
        }
        NO_DEFAULT_ALPN | OHTTP => value.is_empty(),
        PORT => value.len() == 2,
        IPV4HINT => whole(4),
        IPV6HINT => whole(16),
        ECH => !value.is_empty(),
        DOHPATH => !value.is_empty() && core::str::from_utf8(value).is_ok(),
        _ => true,
    }
}

/// Writes them, each with a blank in front.
pub(crate) fn show(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for (key, value) in parameters(bytes).flatten() {
        // An identifier with commas or worse in it would have to be escaped twice.
        let simple = |byte: &u8| byte.is_ascii_graphic() && !b",\\\"".contains(byte);
        let plain = key != ALPN || value.split_first().is_some() && strings(value).flatten().all(simple);
        match NAMES.get(usize::from(key)).filter(|_| plain) {
            Some(name) => write!(f, " {name}")?,
            None => write!(f, " key{key}")?,
        }
        if value.is_empty() {
            continue;
        }
        f.write_str("=")?;
        match key {
            MANDATORY => {
                let keys = value.chunks_exact(2).map(|key| u16::from_be_bytes([key[0], key[1]]));
                commas(f, keys, |f, key| match NAMES.get(usize::from(key)) {
                    Some(name) => f.write_str(name),
                    None => write!(f, "key{key}"),
                })?;
            }
            ALPN if plain => commas(f, strings(value), |f, id| {
                id.iter().try_for_each(|byte| crate::text::escape(f, *byte, b"\";()"))
            })?,
            PORT => write!(f, "{}", u16::from_be_bytes([value[0], value[1]]))?,
            IPV4HINT => {
                let hints = value.as_chunks::<4>().0.iter();
                commas(f, hints, |f, hint| write!(f, "{}", Ipv4Addr::from(*hint)))?;
            }
            IPV6HINT => {
                let hints = value.as_chunks::<16>().0.iter();
                commas(f, hints, |f, hint| write!(f, "{}", Ipv6Addr::from(*hint)))?;
            }
            ECH => to_base64(f, value)?,
            _ => quoted(f, value)?,
        }
    }
    Ok(())
}

fn strings(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    core::iter::from_fn(move || {
        let (&len, rest) = bytes.split_first()?;
        let (this, rest) = rest.split_at_checked(usize::from(len))?;
        bytes = rest;
        Some(this)
    })
}

fn commas<T>(
    f: &mut fmt::Formatter<'_>,
    items: impl Iterator<Item = T>,
    mut show: impl FnMut(&mut fmt::Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    for (index, item) in items.enumerate() {
        f.write_str(if index == 0 { "" } else { "," })?;
        show(f, item)?;
    }
    Ok(())
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let padding = text.iter().rev().take_while(|&&byte| byte == b'=').count();
    (text.len().is_multiple_of(4) && padding <= 2).then_some(())?;
    let digits = &text[..text.len() - padding];
    for group in digits.chunks(4) {
        let mut value = 0;
        for byte in group {
            value = value << 6 | BASE64.iter().position(|digit| digit == byte)? as u32;
        }
        let whole = group.len() * 6 / 8;
        value <<= 6 * (4 - group.len());
        // What is beyond the last byte must be zero.
        (whole == 3 || value << (8 + 8 * whole) == 0).then_some(())?;
        bytes.extend_from_slice(&value.to_be_bytes()[1..1 + whole]);
    }
    Some(bytes)
}

fn to_base64(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for group in bytes.chunks(3) {
        let value = (0..3).fold(0, |value, at| value << 8 | u32::from(*group.get(at).unwrap_or(&0)));
        for digit in 0..4 {
            let index = value >> (18 - 6 * digit) & 63;
            f.write_str(if digit > group.len() { "=" } else { "" })?;
            if digit <= group.len() {
                f.write_str(char::from(BASE64[index as usize]).encode_utf8(&mut [0; 4]))?;
            }
        }
    }
    Ok(())
}
