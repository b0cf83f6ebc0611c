//! Replication: who copies what from whom, and what becomes of the data.

use cfgserver::redis::Answer;

use super::{Emptied, Fleet, Index, Overwritten, Replica};

/// How often a replica without a link tries again.
const RETRY_MS: u64 = 1_000;
/// A replica that hears nothing for this long gives its link up.
const REPL_TIMEOUT_MS: u64 = 10_000;
/// What is remembered of a primary's writes.
const WRITTEN_MAX: usize = 256;

/// Replication, one instance at a time.
impl Fleet {
    /// How much of its stream an instance has.
    pub(crate) fn offset(&self, who: Index, at: u64) -> u64 {
        let server = &self.servers[who];
        match server.replica {
            Replica::Up { from, stalled } => {
                let seen = stalled.unwrap_or(at).min(at).saturating_sub(server.lag_ms);
                server.offset.max(self.offset(from, seen))
            }
            _ if server.is_primary() => {
                let later = server.written.partition_point(|(written_at, _)| *written_at <= at);
                match later.checked_sub(1) {
                    Some(last) => server.written[last].1,
                    None => server.offset,
                }
            }
            _ => server.offset,
        }
    }

    pub(crate) fn keys(&self, who: Index) -> u64 {
        if !self.emptied.is_empty() && self.is_emptied(who) {
            return 0;
        }
        self.keys_of_stream(who)
    }

    /// The keys of what it copies, but for those that a FLUSHALL deleted: that may not have come as far as this yet.
    fn keys_of_stream(&self, who: Index) -> u64 {
        match self.servers[who].replica {
            Replica::Up { from, .. } => self.keys_of_stream(from),
            Replica::Loading { .. } => 0,
            _ => self.servers[who].keys,
        }
    }

    /// What it has of its stream ends where a FLUSHALL left nothing.
    pub(crate) fn is_emptied(&self, who: Index) -> bool {
        let (lineage, offset) = (self.servers[who].lineage, self.offset(who, self.now));
        let mut parts = self.emptied.iter();
        parts.any(|part| part.covers(lineage, offset))
    }

    /// It has all of a FLUSHALL, and nothing of what was written afterwards to its stream, or to the one that its stream
    /// branched off.
    pub(crate) fn misses_keys(&self, who: Index) -> bool {
        let mut at = Some((self.servers[who].lineage, self.offset(who, self.now)));
        while let Some((lineage, offset)) = at {
            match self.emptied.iter().find(|part| part.covers(lineage, offset)) {
                Some(part) if part.to < u64::MAX => return true,
                Some(_) => at = self.lineages.parent(lineage),
                None => return false,
            }
        }
        false
    }

    /// A stream branches off another where that had no keys: it has none either, until something is written to it.
    fn inherit_emptiness(&mut self, from: u32, offset: u64, to: u32) {
        let mut parts = self.emptied.iter();
        if parts.any(|part| part.covers(from, offset)) {
            self.emptied.push(Emptied {
                lineage: to,
                from: offset,
                to: u64::MAX,
            });
        }
    }

    /// FLUSHALL: nothing is there until something is written again.
    pub(crate) fn flush(&mut self, who: Index, now: u64) -> bool {
        let before = self.offset(who, now);
        if !self.write(who, 60, now) {
            return false;
        }
        self.emptied.push(Emptied {
            lineage: self.servers[who].lineage,
            from: before + 60,
            to: u64::MAX,
        });
        true
    }

    /// A client writes; false when it is told to go elsewhere, or waits.
    pub(crate) fn write(&mut self, who: Index, bytes: u64, now: u64) -> bool {
        let offset = self.offset(who, now);
        let server = &mut self.servers[who];
        let takes = server.alive() && !server.hung(now) && !server.loading(now) && server.is_primary();
        if !takes || server.paused_until > now || server.failing_over.is_some() {
            return false;
        }
        server.keys = server.keys.max(1);
        let lineage = server.lineage;
        let parts = self.emptied.iter_mut();
        let open = parts.filter(|part| part.lineage == lineage && part.to == u64::MAX);
        open.for_each(|part| part.to = (offset + bytes).max(part.from + 1));
        let server = &mut self.servers[who];
        if server.written.len() == WRITTEN_MAX {
            server.offset = server.written[WRITTEN_MAX / 2 - 1].1;
            server.written.drain(..WRITTEN_MAX / 2);
        }
        server.written.push((now, offset + bytes));
        true
    }

    /// What it has now is what it has: a link is lost, or a role changes.
    fn freeze(&mut self, who: Index, now: u64) {
        let (offset, keys) = (self.offset(who, now), self.keys(who));
        let server = &mut self.servers[who];
        server.offset = offset;
        server.keys = keys;
        server.written.clear();
    }

    pub(crate) fn lose_link(&mut self, who: Index, now: u64, retry_ms: u64) {
        self.freeze(who, now);
        let server = &mut self.servers[who];
        if server.link_up() {
            server.link_lost_at = Some(now);
        }
        if matches!(server.replica, Replica::Loading { .. }) {
            // Half a copy is worth nothing.
            server.keys = 0;
            server.offset = 0;
        }
        server.replica = Replica::Down;
        self.plan(who, now + retry_ms.max(1));
    }

    /// Those that copy from it lose their links.
    pub(crate) fn drop_replicas(&mut self, of: Index, now: u64) {
        for who in 0..self.servers.len() {
            let copies = match self.servers[who].replica {
                Replica::Up { from, .. } | Replica::Transfer { from } => from == of,
                // The copy is there already; it is loaded, and then the link is found broken.
                Replica::Loading { .. } | Replica::Down => false,
            };
            if copies {
                self.lose_link(who, now, RETRY_MS / 2);
            }
        }
    }

    fn plan(&mut self, who: Index, at: u64) {
        let server = &mut self.servers[who];
        server.generation += 1;
        self.later.push((at, who, server.generation));
    }

    /// The network or a process stood still, or goes on: streams stall, and stalled ones go on.
    pub(crate) fn look_at_streams(&mut self, now: u64) {
        for who in 0..self.servers.len() {
            let Replica::Up { from, stalled } = self.servers[who].replica else {
                continue;
            };
            let flows = self.flows(from, who, now);
            match (flows, stalled) {
                (false, None) => {
                    self.servers[who].offset = self.offset(who, now);
                    self.servers[who].replica = Replica::Up {
                        from,
                        stalled: Some(now),
                    };
                    self.plan(who, now + REPL_TIMEOUT_MS);
                }
                (true, Some(since)) => {
                    // What was sent meanwhile arrives now.
                    let has = self.offset(who, since);
                    self.servers[who].offset = has;
                    self.servers[who].replica = Replica::Up { from, stalled: None };
                    self.servers[who].generation += 1;
                }
                _ => {}
            }
        }
    }

    fn flows(&self, from: Index, to: Index, now: u64) -> bool {
        let (source, target) = (&self.servers[from], &self.servers[to]);
        self.reaches(from, to) && !source.hung(now) && !target.hung(now) && source.running && target.running
    }

    /// What was planned for this moment.
    pub(crate) fn replicate(&mut self, who: Index, generation: u32, now: u64) {
        let server = &self.servers[who];
        if server.generation != generation || !server.running {
            return;
        }
        if server.hung(now) {
            let until = server.hung_until;
            return self.plan(who, until + 1);
        }
        if server.loading_until > now {
            let until = server.loading_until;
            return self.plan(who, until + 1);
        }
        if server.failing_over.is_some() {
            return self.go_on_failing_over(who, now);
        }
        let Some(from) = server.follows.and_then(|address| self.at(address)) else {
            return;
        };
        match server.replica {
            Replica::Down => self.connect(who, from, now),
            Replica::Transfer { from } => self.transferred(who, from, now),
            Replica::Loading { from } => self.loaded(who, from, now),
            Replica::Up { stalled: Some(_), .. } => self.lose_link(who, now, RETRY_MS),
            Replica::Up { .. } => {}
        }
    }

    fn serves(&self, from: Index, to: Index, now: u64) -> bool {
        let source = &self.servers[from];
        let ready = source.is_primary() || source.link_up();
        from != to && self.flows(from, to, now) && source.host_up && !source.loading(now) && ready
    }

    fn connect(&mut self, who: Index, from: Index, now: u64) {
        if !self.serves(from, who, now) || self.copies_from(from, who) {
            return self.plan(who, now + RETRY_MS);
        }
        if self.continues(who, from, now) {
            return self.stream(who, from);
        }
        let server = &mut self.servers[who];
        server.replica = Replica::Transfer { from };
        let sync_ms = server.sync_ms;
        self.plan(who, now + sync_ms);
    }

    /// `one` copies from `other`, over whatever way.
    fn copies_from(&self, mut one: Index, other: Index) -> bool {
        for _ in 0..self.servers.len() {
            match self.servers[one].replica {
                Replica::Up { from, .. } if from == other => return true,
                Replica::Up { from, .. } => one = from,
                _ => return false,
            }
        }
        true
    }

    /// A partial resynchronisation is possible.
    fn continues(&self, who: Index, from: Index, now: u64) -> bool {
        let (replica, source) = (&self.servers[who], &self.servers[from]);
        let offset = self.offset(who, now);
        let same = replica.lineage == source.lineage && offset <= self.offset(from, now);
        let branched = source.second_lineage == Some(replica.lineage) && offset <= source.second_offset;
        offset > 0 && (same || branched)
    }

    fn stream(&mut self, who: Index, from: Index) {
        let lineage = self.servers[from].lineage;
        let server = &mut self.servers[who];
        if server.lineage != lineage {
            server.second_lineage = Some(server.lineage);
            server.second_offset = server.offset;
            server.lineage = lineage;
        }
        server.replica = Replica::Up { from, stalled: None };
        server.generation += 1;
        server.link_lost_at = None;
        // What comes after is between the two of them.
        server.ordered_to_follow = false;
        self.pass_on(who, lineage);
    }

    /// Those further down the chain hear of the new id.
    fn pass_on(&mut self, who: Index, lineage: u32) {
        for other in 0..self.servers.len() {
            if matches!(self.servers[other].replica, Replica::Up { from, .. } if from == who)
                && self.servers[other].lineage != lineage
            {
                self.servers[other].lineage = lineage;
                self.pass_on(other, lineage);
            }
        }
    }

    fn transferred(&mut self, who: Index, from: Index, now: u64) {
        if !self.serves(from, who, now) {
            return self.lose_link(who, now, RETRY_MS);
        }
        let overwritten = Overwritten {
            who,
            source: from,
            had_keys: self.keys(who) > 0,
            // What was deleted is not lost.
            source_has_keys: self.keys(from) > 0 || self.is_emptied(from),
            ordered: self.servers[who].ordered_to_follow,
        };
        self.overwritten.push(overwritten);
        // Its own replicas would copy half of a copy.
        self.drop_replicas(who, now);
        let server = &mut self.servers[who];
        server.replica = Replica::Loading { from };
        let load_ms = server.load_ms;
        self.plan(who, now + load_ms);
    }

    fn loaded(&mut self, who: Index, from: Index, now: u64) {
        let (offset, keys, lineage) = (self.offset(from, now), self.keys(from), self.servers[from].lineage);
        let server = &mut self.servers[who];
        server.offset = offset;
        server.keys = keys;
        server.lineage = lineage;
        server.second_lineage = None;
        self.servers[who].home = self.servers[from].home;
        if !self.serves(from, who, now) {
            self.servers[who].replica = Replica::Up { from, stalled: None };
            return self.lose_link(who, now, RETRY_MS);
        }
        self.stream(who, from);
    }

    /// SLAVEOF NO ONE.
    pub(crate) fn become_primary(&mut self, who: Index, now: u64) {
        if self.servers[who].is_primary() {
            return;
        }
        if matches!(self.servers[who].replica, Replica::Loading { .. }) {
            self.lose_link(who, now, RETRY_MS);
        }
        self.freeze(who, now);
        let (lineage, offset) = (self.servers[who].lineage, self.servers[who].offset);
        let branch = self.lineages.branch(lineage, offset);
        self.inherit_emptiness(lineage, offset, branch);
        let server = &mut self.servers[who];
        server.follows = None;
        server.ordered_to_follow = false;
        server.replica = Replica::Down;
        server.generation += 1;
        server.second_lineage = Some(lineage);
        server.second_offset = offset;
        server.lineage = branch;
        server.written.clear();
        self.pass_on(who, branch);
    }

    /// SLAVEOF somebody.
    pub(crate) fn become_replica(&mut self, who: Index, of: cfgserver::model::Address, ordered: bool, now: u64) {
        if self.servers[who].follows == Some(of) {
            return;
        }
        self.drop_replicas(who, now);
        self.lose_link(who, now, 1);
        let server = &mut self.servers[who];
        server.follows = Some(of);
        server.ordered_to_follow = ordered;
        server.link_lost_at = Some(now);
    }

    /// FAILOVER: writes are held back until the replica has told that it has everything.
    pub(crate) fn fail_over(&mut self, who: Index, target: cfgserver::model::Address, ms: u64, now: u64) -> Answer {
        let server = &self.servers[who];
        if !server.is_primary() {
            return Answer::error("ERR FAILOVER is not valid when server is a replica.");
        }
        if server.failing_over.is_some() {
            return Answer::error("ERR FAILOVER already in progress.");
        }
        if !self.at(target).is_some_and(|other| self.streams_to(who, other)) {
            return Answer::error("ERR FAILOVER target HOST and PORT is not a replica.");
        }
        self.servers[who].failing_over = Some((target, now + ms));
        // A replica tells how far it is once a second.
        self.plan(who, now + 1 + now % 1_000);
        Answer::OK
    }

    fn streams_to(&self, from: Index, to: Index) -> bool {
        matches!(self.servers[to].replica, Replica::Up { from: source, stalled: None } if source == from)
    }

    fn go_on_failing_over(&mut self, who: Index, now: u64) {
        let Some((target, until)) = self.servers[who].failing_over else {
            return;
        };
        if now >= until {
            self.servers[who].failing_over = None;
            return;
        }
        let equal = |other: &Index| self.streams_to(who, *other) && self.offset(*other, now) == self.offset(who, now);
        let Some(other) = self.at(target).filter(equal) else {
            return self.plan(who, now + 100);
        };
        self.servers[who].failing_over = None;
        self.become_primary(other, now);
        self.become_replica(who, target, false, now);
    }

    /// The process ends.
    pub(crate) fn stop(&mut self, who: Index, now: u64) {
        if !self.servers[who].running {
            return;
        }
        // First those that copy: they have what was sent, not what was written.
        self.drop_replicas(who, now);
        self.freeze(who, now);
        if matches!(self.servers[who].replica, Replica::Loading { .. }) {
            self.servers[who].keys = 0;
            self.servers[who].offset = 0;
        }
        let server = &mut self.servers[who];
        server.running = false;
        server.hung_until = 0;
        server.replica = Replica::Down;
        server.generation += 1;
        server.paused_until = 0;
        server.failing_over = None;
        let ended = std::mem::take(&mut server.conns);
        self.ended
            .extend(ended.into_iter().map(|(id, conn)| (who, id, conn.owner)));
    }

    /// A new process begins, with what its configuration file and its disk say.
    pub(crate) fn start(&mut self, who: Index, keeps_data: bool, load_ms: u64, now: u64) {
        if self.servers[who].running {
            return;
        }
        let (lineage, offset) = (self.servers[who].lineage, self.servers[who].offset);
        let fresh = if keeps_data {
            let branch = self.lineages.branch(lineage, offset);
            self.inherit_emptiness(lineage, offset, branch);
            branch
        } else {
            self.lineages.fresh()
        };
        let server = &mut self.servers[who];
        server.running = true;
        server.starts += 1;
        server.started_at = now;
        server.follows = server.saved_follows;
        server.link_lost_at = None;
        server.written.clear();
        server.loading_until = now + 1;
        if keeps_data {
            server.loading_until = now + load_ms;
            if server.follows.is_none() {
                // A primary's stream begins anew; from Redis 7 on it remembers where it came from.
                let knows = server.version.starts_with('7');
                server.second_lineage = knows.then_some(server.lineage);
                server.second_offset = server.offset;
                server.lineage = fresh;
            }
        } else {
            server.keys = 0;
            server.offset = 0;
            server.second_lineage = None;
            server.lineage = fresh;
        }
        let ready = server.loading_until;
        self.plan(who, ready + 1);
    }
}
