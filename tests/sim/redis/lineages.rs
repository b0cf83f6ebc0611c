//! The streams of writes that replicas copy, by their replication ids.

/// The streams that there ever were: each began anew, or branched off another at an offset.
#[derive(Debug, Default)]
pub(crate) struct Lineages {
    parents: Vec<Option<(u32, u64)>>,
}

impl Lineages {
    pub(crate) fn fresh(&mut self) -> u32 {
        self.parents.push(None);
        self.parents.len() as u32
    }

    /// The stream from which a replication id came, as INFO shows it.
    pub(crate) fn root(&self, replid: &str) -> Option<u32> {
        let mut id = u32::from_str_radix(replid, 16).ok()?;
        while let Some((parent, _)) = self.parents.get(id as usize - 1).copied()? {
            id = parent;
        }
        Some(id)
    }

    /// Which stream another branched off, and where.
    pub(super) fn parent(&self, id: u32) -> Option<(u32, u64)> {
        self.parents.get(id as usize - 1).copied().flatten()
    }

    pub(super) fn branch(&mut self, of: u32, at: u64) -> u32 {
        self.parents.push(Some((of, at)));
        self.parents.len() as u32
    }
}
