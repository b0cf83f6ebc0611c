//! Which scripts run, which wait, and which are tried again: the rules of Redis Sentinel 7.0.

use std::collections::VecDeque;

use crate::model::{Age, Instant};
use crate::script::Words;

/// A script that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobId(u64);

/// The scripts of a node, in the order in which they were asked for.
///
/// When it is full the oldest one that does not run makes room: news are worth more.
#[derive(Debug, Default)]
pub struct Queue {
    jobs: VecDeque<Job>,
    next: u64,
}

#[derive(Debug)]
struct Job {
    id: JobId,
    words: Words,
    /// How often it was started.
    tries: u32,
    turn: Turn,
    /// It took too long, and was told to end.
    overdue: bool,
}

/// Where a script is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Not before this moment.
    Waits(Instant),
    /// Since this moment, in this process; none while it is being started.
    Runs(Instant, Option<u32>),
}

/// How a script ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With a code.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

/// What becomes of a script that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is content.
    Done,
    /// It is started again after so many milliseconds.
    Again(Age),
    /// It is given up.
    GivenUp(Words),
    /// There is no such script any more.
    Gone,
}

/// A script as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Program and arguments.
    pub words: Words,
    /// How often it was started.
    pub tries: u32,
    /// Where it is.
    pub turn: Turn,
}

impl Queue {
    /// How many may wait and run.
    pub const JOBS_MAX: usize = 256;
    /// How many run at the same time.
    pub const RUNNING_MAX: usize = 16;
    /// How often one is started at most.
    pub const TRIES_MAX: u32 = 10;
    /// The code of a program that failed for a moment. All greater ones mean that it will fail again.
    const TRY_AGAIN: i32 = 1;

    /// Puts one behind the others. Answers what had to make room.
    pub fn add(&mut self, words: Words, now: Instant) -> Option<Words> {
        self.next += 1;
        self.jobs.push_back(Job {
            id: JobId(self.next),
            words,
            tries: 0,
            turn: Turn::Waits(now),
            overdue: false,
        });
        if self.jobs.len() <= Self::JOBS_MAX {
            return None;
        }
        let oldest = self.jobs.iter().position(|job| !job.turn.runs())?;
        self.jobs.remove(oldest).map(|job| job.words)
    }

    /// The next one to start now; it counts as running from here on.
    pub fn start(&mut self, now: Instant) -> Option<(JobId, Words)> {
        if self.running() >= Self::RUNNING_MAX {
            return None;
        }
        let due = |job: &&mut Job| matches!(job.turn, Turn::Waits(at) if at <= now);
        let job = self.jobs.iter_mut().find(due)?;
        job.tries += 1;
        job.turn = Turn::Runs(now, None);
        job.overdue = false;
        Some((job.id, job.words.clone()))
    }

    /// It runs in this process.
    pub fn started(&mut self, id: JobId, process: u32) {
        if let Some(job) = self.jobs.iter_mut().find(|job| job.id == id)
            && let Turn::Runs(_, known) = &mut job.turn
        {
            *known = Some(process);
        }
    }

    /// It ended. Code 1 and signals are tried again, with a pause that doubles.
    pub fn ended(&mut self, id: JobId, end: End, now: Instant, retry_ms: Age) -> Verdict {
        let Some(at) = self.jobs.iter().position(|job| job.id == id) else {
            return Verdict::Gone;
        };
        let job = &mut self.jobs[at];
        let passing = matches!(end, End::Signal(_) | End::Code(Self::TRY_AGAIN));
        if passing && job.tries < Self::TRIES_MAX {
            let pause_ms = retry_ms.saturating_mul(1 << (job.tries - 1));
            job.turn = Turn::Waits(now.plus(pause_ms));
            return Verdict::Again(pause_ms);
        }
        let words = std::mem::take(&mut job.words);
        self.jobs.remove(at);
        match end {
            End::Code(0) => Verdict::Done,
            _ => Verdict::GivenUp(words),
        }
    }

    /// Those that ran for longer than `runtime_ms`: program and process. Each is named once per start.
    pub fn overdue(&mut self, now: Instant, runtime_ms: Age) -> Vec<(String, u32)> {
        let mut found = Vec::new();
        for job in &mut self.jobs {
            if let Turn::Runs(since, Some(process)) = job.turn
                && now.since(since) > runtime_ms
                && !job.overdue
            {
                job.overdue = true;
                found.push((job.words.first().cloned().unwrap_or_default(), process));
            }
        }
        found
    }

    /// When there is something to start or to end.
    pub fn wake_at(&self, runtime_ms: Age) -> Option<Instant> {
        let has_room = self.running() < Self::RUNNING_MAX;
        let due = |job: &Job| match job.turn {
            Turn::Waits(at) => has_room.then_some(at),
            Turn::Runs(since, _) => (!job.overdue).then(|| since.plus(runtime_ms.saturating_add(1))),
        };
        self.jobs.iter().filter_map(due).min()
    }

    /// How many run.
    pub fn running(&self) -> usize {
        self.jobs.iter().filter(|job| job.turn.runs()).count()
    }

    /// All of them, oldest first.
    pub fn pending(&self) -> Vec<Pending> {
        let shown = |job: &Job| Pending {
            words: job.words.clone(),
            tries: job.tries,
            turn: job.turn,
        };
        self.jobs.iter().map(shown).collect()
    }
}

impl Turn {
    /// It runs.
    pub fn runs(self) -> bool {
        matches!(self, Self::Runs(..))
    }
}
