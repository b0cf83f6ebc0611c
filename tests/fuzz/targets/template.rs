//! A proxy's file: what is not asked for stays, and what is asked for is what is read back.

use std::collections::BTreeMap;

use cfgserver::model::Address;
use cfgserver::template::{Dialect, Fault, Placement, Template};

/// The first byte chooses the proxy and how many replicas are wanted; the rest is the file.
pub(super) fn stays_itself(bytes: &[u8]) {
    let Some((choice, text)) = bytes.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let dialect = if choice % 2 == 0 {
        Dialect::Nutcracker
    } else {
        Dialect::Bdrp
    };
    let Ok(template) = Template::parse(text, dialect) else {
        return;
    };
    assert_eq!(template.render(&BTreeMap::new()).as_deref(), Ok(text));
    let movable = template
        .servers()
        .iter()
        .enumerate()
        .filter(|(_, server)| server.fixed().is_none());
    let placements: BTreeMap<usize, Placement> = movable
        .map(|(index, _)| (index, placement(index, choice / 2, dialect)))
        .collect();
    let moved = match template.render(&placements) {
        Ok(moved) => moved,
        // A long weight leaves no room for a longer address.
        Err(error) if matches!(error.fault, Fault::TooLong { .. }) => return,
        Err(error) => panic!("{error}"),
    };
    let result = Template::parse(&moved, dialect).unwrap();
    for (index, server) in result.servers().iter().enumerate() {
        match placements.get(&index) {
            Some(placement) => assert_eq!(server.primary(), Some(placement.primary)),
            None => assert_eq!(server.address, template.servers()[index].address),
        }
    }
    assert_eq!(result.render(&placements), Ok(moved), "placed twice is placed once");
}

fn placement(index: usize, choice: u8, dialect: Dialect) -> Placement {
    let index = index % 200;
    let address = |part: usize| -> Address { format!("10.0.{index}.{part}:7000").parse().unwrap() };
    let six = || format!("[::{index:x}:1]:7000").parse().unwrap();
    let with_six = dialect == Dialect::Nutcracker && choice % 2 == 1;
    let replicas = (1..=usize::from(choice % 4)).map(|part| address(part + 1)).collect();
    Placement {
        primary: if with_six { six() } else { address(1) },
        replicas: (dialect == Dialect::Bdrp && choice & 4 == 0).then_some(replicas),
    }
}
