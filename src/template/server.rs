//! What the words of a server mean, to each proxy.

use super::error::{Fault, TemplateError};
use super::scan::{Entry, Word};
use super::{Dialect, Server};
use crate::model::Address;

/// BDRP keeps `ip:port:weight` in 32 bytes, one of them the end; longer texts are cut, and written so.
pub(super) const BDRP_TEXT_MAX: usize = 31;

/// Reads one server.
pub(super) fn read(entry: &Entry, dialect: Dialect) -> Result<Server, TemplateError> {
    let read = match dialect {
        Dialect::Nutcracker => nutcracker(entry),
        Dialect::Bdrp => bdrp(entry),
    };
    read.map_err(|fault| fault.on(entry.line))
}

/// `host:port:weight` or `/socket:weight`, and a name: taken apart from the right, as the proxy does.
fn nutcracker(entry: &Entry) -> Result<Server, Fault> {
    let (place, name) = match entry.words.as_slice() {
        [place] => (place, None),
        [place, name] => (place, Some(name.text.clone())),
        _ => return Err(Fault::NotAnAddress(joined(&entry.words))),
    };
    let (address, weight) = if place.text.starts_with('/') {
        let missing = || Fault::NoWeight(place.text.clone());
        let (path, weight) = place.text.rsplit_once(':').ok_or_else(missing)?;
        check_weight(&place.text, weight)?;
        (path, weight)
    } else {
        split(&place.text)?
    };
    Ok(Server {
        pool: entry.pool.clone(),
        name,
        address: address.to_owned(),
        weight: weight.to_owned(),
        replicas: Vec::new(),
        line: entry.line,
    })
}

/// A name, the primary, and replicas for reading.
fn bdrp(entry: &Entry) -> Result<Server, Fault> {
    let Some((name, places)) = entry.words.split_first() else {
        return Err(Fault::NotAnAddress(String::new()));
    };
    if looks_like_a_place(&name.text) {
        return Err(Fault::NoName(name.text.clone()));
    }
    let Some((primary, replicas)) = places.split_first() else {
        return Err(Fault::NoAddress(name.text.clone()));
    };
    let (address, weight) = bdrp_place(&primary.text)?;
    let replicas: Result<Vec<String>, Fault> = replicas
        .iter()
        .map(|word| Ok(bdrp_place(&word.text)?.0.to_owned()))
        .collect();
    Ok(Server {
        pool: entry.pool.clone(),
        name: Some(name.text.clone()),
        address: address.to_owned(),
        weight: weight.to_owned(),
        replicas: replicas?,
        line: entry.line,
    })
}

/// `host:port` and the weight of one place of BDRP.
pub(super) fn bdrp_place(text: &str) -> Result<(&str, &str), Fault> {
    let (address, weight) = split(text)?;
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    if host.contains(':') {
        return Err(Fault::Ipv6(text.to_owned()));
    }
    if text.len() > BDRP_TEXT_MAX {
        return Err(Fault::TooLong {
            text: text.to_owned(),
            limit: BDRP_TEXT_MAX,
        });
    }
    Ok((address, weight))
}

/// `host:port` and the weight: the host may hold colons.
fn split(text: &str) -> Result<(&str, &str), Fault> {
    let not_an_address = || Fault::NotAnAddress(text.to_owned());
    let (address, weight) = text.rsplit_once(':').ok_or_else(not_an_address)?;
    let Some((host, port)) = address.rsplit_once(':') else {
        let only_weight_is_missing = !address.is_empty() && is_number(weight);
        return Err(if only_weight_is_missing {
            Fault::NoWeight(text.to_owned())
        } else {
            not_an_address()
        });
    };
    if host.is_empty() {
        return Err(not_an_address());
    }
    check_weight(text, weight)?;
    if !is_number(port) || !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return Err(Fault::BadPort(text.to_owned()));
    }
    Ok((address, weight))
}

fn check_weight(text: &str, weight: &str) -> Result<(), Fault> {
    let good = is_number(weight) && weight.parse::<i32>().is_ok_and(|weight| weight > 0);
    good.then_some(()).ok_or_else(|| Fault::BadWeight(text.to_owned()))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `host:port` or `host:port:weight` where a name should stand.
fn looks_like_a_place(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(_, number)| is_number(number))
}

fn joined(words: &[Word]) -> String {
    let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    texts.join(" ")
}

/// The address that `host:port` of a file means; `None` for a host name or a socket's path.
pub(super) fn meaning(address: &str) -> Option<Address> {
    let (host, port) = address.rsplit_once(':')?;
    Address::parse(host, port).ok()
}
