//! What a configuration follows, for people, before anything is started.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::agent::{Config, Process};
use crate::template::Template;

use super::disk;
use super::plan::{Following, dialect, full_name};
use super::status::OutletError;

/// Commands of the configuration whose program is not there: better known now than at the first failover.
pub fn absent(config: &Config) -> Vec<String> {
    let proxy = config.proxy.iter().flat_map(|proxy| {
        let process = match &proxy.process {
            Process::Restart(words) => ("restart", words),
            Process::Run(words) => ("run", words),
        };
        [("check", &proxy.check), process]
    });
    let hook = config.hook.iter().map(|hook| ("command", &hook.command));
    let programs = proxy.chain(hook).filter_map(|(key, words)| Some((key, words.first()?)));
    let missing = programs.filter(|(_, program)| !is_program(program, config.folder()));
    missing
        .map(|(key, program)| format!("{key}: there is no program '{program}'"))
        .collect()
}

fn is_program(program: &str, folder: &Path) -> bool {
    let runs = |path: &Path| {
        path.metadata()
            .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return runs(&folder.join(program));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| runs(&folder.join(program)))
}

/// One line for each server of the proxy's file: where it stands there, and which group it follows or why none. Then
/// one for each group of the hook.
pub fn listing(config: &Config) -> Result<Vec<String>, OutletError> {
    let mut lines = Vec::new();
    if let Some(proxy) = &config.proxy {
        let path = &proxy.template;
        let text = disk::read(path).map_err(|error| OutletError::Unreadable {
            path: path.clone(),
            error,
        })?;
        let template = Template::parse(&text, dialect(proxy.kind)).map_err(|error| OutletError::Template {
            path: path.clone(),
            error,
        })?;
        let following = Following::of(&template, proxy.kind, &config.groups);
        for (index, server) in template.servers().iter().enumerate() {
            if let Some(group) = following.groups.get(&index) {
                let (line, name) = (server.line, full_name(server));
                lines.push(format!("{} line {line}: {name} follows group {group}", path.display()));
            }
        }
        for server in &following.unfollowed {
            lines.push(format!(
                "{}: {} is not followed: {}",
                path.display(),
                server.server,
                server.reason
            ));
        }
    }
    let hook = config.hook.as_ref();
    match hook.and_then(|hook| hook.groups.as_ref()) {
        Some(groups) => lines.extend(groups.iter().map(|group| format!("hook: told of group {group}"))),
        None if hook.is_some() => lines.push("hook: told of the groups of the proxy's file".to_owned()),
        None => {}
    }
    Ok(lines)
}
