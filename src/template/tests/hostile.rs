//! Random files and random changes: what is read back is what was asked for, and nothing panics.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{BDRP, NUTCRACKER, at, own};
use crate::template::{Dialect, Placement, Template};

/// What hostile texts are made of.
const PIECES: &[&str] = &[
    "\n",
    "\r",
    "\r\n",
    " ",
    "  ",
    "\t",
    ":",
    "-",
    "- ",
    ": ",
    "[",
    "]",
    "{",
    "}",
    ",",
    "#",
    "&a",
    "*a",
    "!",
    "!!",
    "|",
    ">",
    "'",
    "\"",
    "\\",
    "%",
    "@",
    "`",
    "?",
    "? ",
    "---",
    "...",
    "~",
    "ü",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "\0",
    "\u{7f}",
    "<<: ",
    "servers:",
    "10.0.0.1:1:1",
    "x",
];

fn damaged(original: &'static str) -> impl Strategy<Value = String> {
    let place = any::<prop::sample::Index>();
    let damage = (place.clone(), place, prop::sample::select(PIECES), 0..4_usize);
    prop::collection::vec(damage, 1..6).prop_map(move |damages| {
        let mut letters: Vec<char> = original.chars().collect();
        for (from, to, piece, kind) in damages {
            let (from, to) = (from.index(letters.len() + 1), to.index(letters.len() + 1));
            let (from, to) = (from.min(to), from.max(to).min(from.min(to) + 12));
            let range = if kind == 0 { from..to } else { from..from };
            letters.splice(range, piece.chars());
        }
        letters.into_iter().collect()
    })
}

fn address() -> impl Strategy<Value = String> {
    (any::<[u8; 4]>(), 1..=u16::MAX).prop_map(|(ip, port)| format!("{}.{}.{}.{}:{port}", ip[0], ip[1], ip[2], ip[3]))
}

fn any_address() -> impl Strategy<Value = String> {
    let six = (any::<[u16; 8]>(), 1..=u16::MAX).prop_map(|(ip, port)| {
        let ip = std::net::Ipv6Addr::from(ip.map(|part| if part % 2 == 0 { 0 } else { part }));
        format!("[{ip}]:{port}")
    });
    prop_oneof![address(), six]
}

/// A file must survive being asked for what it already has, or refuse to be read.
fn stays_itself(text: &str, dialect: Dialect) -> Result<(), TestCaseError> {
    let Ok(template) = Template::parse(text, dialect) else {
        return Ok(());
    };
    prop_assert_eq!(template.render(&BTreeMap::new()), Ok(text.to_owned()));
    let mut own = own(&template);
    for (index, placement) in &mut own {
        // A file may name a replica twice, or by a host name; then it does not have what it is asked for.
        let mut replicas = placement.replicas.clone().unwrap_or_default();
        replicas.sort_unstable();
        replicas.dedup();
        if replicas.len() != template.servers()[*index].replicas.len() {
            placement.replicas = None;
        }
    }
    prop_assert_eq!(template.render(&own), Ok(text.to_owned()));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn damaged_files_never_panic(
        one in damaged(NUTCRACKER),
        two in damaged(BDRP),
        noise in prop::collection::vec(prop::sample::select(PIECES), 0..40),
    ) {
        for text in [one, two, noise.concat()] {
            stays_itself(&text, Dialect::Nutcracker)?;
            stays_itself(&text, Dialect::Bdrp)?;
        }
    }

    #[test]
    fn a_moved_server_is_read_back_where_it_was_put(
        moves in prop::collection::btree_map(0..9_usize, any_address(), 0..9),
        text in prop_oneof![Just(NUTCRACKER.to_owned()), damaged(NUTCRACKER)],
    ) {
        let Ok(template) = Template::parse(&text, Dialect::Nutcracker) else { return Ok(()) };
        let placements: BTreeMap<usize, Placement> = moves
            .iter()
            .filter(|(index, _)| template.servers().get(**index).is_some_and(|server| server.fixed().is_none()))
            .map(|(index, address)| (*index, Placement { primary: at(address), replicas: None }))
            .collect();
        let moved = template.render(&placements).unwrap();
        let result = Template::parse(&moved, Dialect::Nutcracker).unwrap();
        for (index, server) in result.servers().iter().enumerate() {
            match placements.get(&index) {
                Some(placement) => prop_assert_eq!(server.primary(), Some(placement.primary)),
                None => prop_assert_eq!(&server.address, &template.servers()[index].address),
            }
        }
        prop_assert_eq!(moved.lines().count(), text.lines().count());
    }

    #[test]
    fn bdrp_replicas_are_read_back_as_they_were_asked_for(
        wanted in prop::collection::btree_map(
            0..3_usize, (address(), prop::collection::btree_set(address(), 0..5)), 0..4),
        carriage_returns in any::<bool>(),
    ) {
        let text = if carriage_returns { BDRP.replace('\n', "\r\n") } else { BDRP.to_owned() };
        let template = Template::parse(&text, Dialect::Bdrp).unwrap();
        let placements: BTreeMap<usize, Placement> = wanted
            .iter()
            .map(|(index, (primary, replicas))| {
                let replicas = Some(replicas.iter().map(|text| at(text)).collect());
                (*index, Placement { primary: at(primary), replicas })
            })
            .collect();
        let moved = template.render(&placements).unwrap();
        let result = Template::parse(&moved, Dialect::Bdrp).unwrap();
        for (index, placement) in &placements {
            let mut replicas = result.servers()[*index].replica_addresses();
            replicas.sort_unstable();
            let mut expected = placement.replicas.clone().unwrap();
            expected.sort_unstable();
            prop_assert_eq!(result.servers()[*index].primary(), Some(placement.primary));
            prop_assert_eq!(replicas, expected);
        }
        prop_assert_eq!(moved.matches('#').count(), text.matches('#').count());
        prop_assert!(!carriage_returns || moved.lines().count() == moved.matches("\r\n").count());
    }
}
