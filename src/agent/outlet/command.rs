//! Runs a command of the operator: bounded in time, with the end of its output kept for the reason.
//!
//! A program that a command leaves in the background may hold its output open: it is read on, so that such a
//! program neither blocks nor is waited for.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};

use crate::agent::config::FILE_WORD;
use crate::task::Tasks;

/// What is kept of the output: its end.
const OUTPUT_BYTES_MAX: usize = 2_048;
/// What was written just before the end is read for this long.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// What to run.
pub(super) struct Job<'a> {
    pub(super) words: &'a [String],
    /// Stands for `{file}`.
    pub(super) file: Option<&'a Path>,
    /// The working folder.
    pub(super) folder: &'a Path,
    /// Standard input.
    pub(super) input: Vec<u8>,
    pub(super) limit: Duration,
    /// What else it started ends with it, when it takes too long.
    pub(super) ends_as_a_whole: bool,
}

/// The words of a command, `{file}` replaced by an absolute path: a command has its own working folder.
pub(super) fn words(words: &[String], file: Option<&Path>) -> Vec<String> {
    let file = file.map(|path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
    let file = file.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
    words.iter().map(|word| word.replace(FILE_WORD, &file)).collect()
}

/// A command in its own process group: a signal for the agent's terminal is not for it.
pub(super) fn prepare(words: &[String], folder: &Path) -> Command {
    let (program, arguments) = words
        .split_first()
        .map_or(("", [].as_slice()), |(first, rest)| (first, rest));
    let mut command = Command::new(program);
    command.args(arguments).process_group(0);
    if folder.is_dir() {
        command.current_dir(folder);
    }
    command
}

/// Runs it to its end. An error is one line that says what happened, with the end of the output.
pub(super) async fn run(job: Job<'_>, tasks: &Tasks) -> Result<(), String> {
    let words = words(job.words, job.file);
    let name = words.join(" ");
    let mut child = prepare(&words, job.folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(job.ends_as_a_whole)
        .spawn()
        .map_err(|error| format!("cannot run '{name}': {error}"))?;
    let output = Output::default();
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (one, two) = (output.clone(), output.clone());
    let mut reading = Box::pin(async move { tokio::join!(one.read(stdout), two.read(stderr)) });
    let mut writing = Box::pin(write(child.stdin.take(), job.input));
    let mut deadline = Box::pin(tokio::time::sleep(job.limit));
    let (mut read, mut written) = (false, false);
    let status = loop {
        tokio::select! {
            status = child.wait() => break Some(status),
            _ = &mut reading, if !read => read = true,
            () = &mut writing, if !written => written = true,
            () = &mut deadline => break None,
        }
    };
    if status.is_none() {
        kill(&mut child, job.ends_as_a_whole).await;
    }
    if !read && tokio::time::timeout(LAST_WORDS, &mut reading).await.is_err() {
        let stopping = tasks.stopping();
        tasks.spawn("output", async move {
            tokio::select! {
                _ = reading => {}
                () = stopping.cancelled() => {}
            }
        });
    }
    let fault = match status {
        Some(Ok(status)) if status.success() => return Ok(()),
        Some(Ok(status)) => describe(status),
        Some(Err(error)) => format!("was lost: {error}"),
        None => format!("took longer than {} ms and was ended", job.limit.as_millis()),
    };
    Err(match output.text() {
        text if text.is_empty() => format!("'{name}' {fault}"),
        text => format!("'{name}' {fault}: {text}"),
    })
}

/// How a process ended, as people say it.
pub(super) fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// Sends a signal to a process, or to all of its group.
pub(super) fn signal(pid: u32, signal: Signal, group: bool) {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return;
    };
    // It may have ended meanwhile: that is what was wanted.
    let _ = if group {
        kill_process_group(pid, signal)
    } else {
        kill_process(pid, signal)
    };
}

async fn kill(child: &mut Child, group: bool) {
    if let Some(pid) = child.id() {
        signal(pid, Signal::KILL, group);
    }
    // After SIGKILL only the kernel can delay the end; it is not waited for without bound.
    let _ = tokio::time::timeout(Duration::from_secs(1), child.wait()).await;
}

async fn write(stdin: Option<ChildStdin>, input: Vec<u8>) {
    if let Some(mut stdin) = stdin {
        // Who does not read to the end does not want to: only how it ends counts.
        let _ = stdin.write_all(&input).await;
        let _ = stdin.shutdown().await;
    }
}

/// The end of what a command printed.
#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Output {
    async fn read(&self, from: Option<impl AsyncRead + Unpin>) {
        let Some(mut from) = from else { return };
        let mut piece = vec![0; OUTPUT_BYTES_MAX];
        while let Ok(count @ 1..) = from.read(&mut piece).await {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            kept.extend_from_slice(&piece[..count]);
            let excess = kept.len().saturating_sub(OUTPUT_BYTES_MAX);
            kept.drain(..excess);
        }
    }

    /// In one line.
    fn text(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&kept);
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines.join(" | ").replace(char::is_control, " ")
    }
}
