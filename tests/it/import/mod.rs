//! Moving over from Redis Sentinel, and back.

mod command_line;
mod replayed;
mod sentinel;
mod takeover;

use std::path::Path;
use std::process::Output;

use crate::world::cfgserver;

/// `cfgserver import` towards a node.
fn import(port: u16, words: &[&str]) -> Output {
    let to = format!("127.0.0.1:{port}");
    let mut command = cfgserver();
    command.arg("import").args(["--to", &to]).args(words);
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What a run that must end well printed.
#[track_caller]
fn said(output: &Output) -> String {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    assert_eq!(err, "", "{out}");
    out
}

fn shown(path: &Path) -> &str {
    path.to_str().unwrap()
}
