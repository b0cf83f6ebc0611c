//! The options of SENTINEL SET.

use bytes::Bytes;

use crate::model::{Identity, Mode, Setting};
use crate::requests::client::parse_integer;
use crate::requests::{View, maintenance};
use crate::resp::Reply;
use crate::sentinel::errors;

/// Longest path of a script, and longest name of a command, in bytes.
const TEXT_BYTES_MAX: usize = 1024;

/// The options from left to right; the first wrong one refuses them all.
pub(super) fn parse(view: &View<'_>, mut words: &[Bytes]) -> Result<Vec<Setting>, Reply> {
    let mut settings = Vec::new();
    while let [option, rest @ ..] = words {
        let lower = option.to_ascii_lowercase();
        words = match (lower.as_slice(), rest) {
            (b"rename-command", [command, to, rest @ ..]) => {
                settings.push(rename(option, command, to)?);
                rest
            }
            (b"rename-command", _) | (_, []) => return Err(errors::set_option(option)),
            (b"failover", values) => {
                let (setting, rest) = maintenance::parse(view, option, values)?;
                settings.push(setting);
                rest
            }
            (b"notification-script", [path, rest @ ..]) => {
                settings.push(Setting::NotificationScript(script(
                    view,
                    option,
                    path,
                    errors::NO_NOTIFICATION_SCRIPT,
                )?));
                rest
            }
            (b"client-reconfig-script", [path, rest @ ..]) => {
                settings.push(Setting::ClientReconfigScript(script(
                    view,
                    option,
                    path,
                    errors::NO_RECONFIG_SCRIPT,
                )?));
                rest
            }
            (lower, [value, rest @ ..]) => {
                settings.push(one(lower, option, value)?);
                rest
            }
        };
    }
    Ok(settings)
}

fn one(lower: &[u8], option: &[u8], value: &[u8]) -> Result<Setting, Reply> {
    let wrong = || errors::set_argument(value, option);
    let number = |minimum: i64| {
        let number = parse_integer(value).filter(|number| *number >= minimum);
        number.and_then(|number| u64::try_from(number).ok()).ok_or_else(wrong)
    };
    let count = || number(1).and_then(|number| u32::try_from(number).map_err(|_| wrong()));
    let text = || String::from_utf8(value.to_vec()).map_err(|_| wrong());
    Ok(match lower {
        b"quorum" => Setting::Quorum(count()?),
        b"down-after-milliseconds" => Setting::DownAfterMs(number(1)?),
        b"failover-timeout" => Setting::FailoverTimeoutMs(number(1)?),
        b"parallel-syncs" => Setting::ParallelSyncs(count()?),
        b"refused-after-milliseconds" => Setting::RefusedAfterMs(number(0)?),
        b"master-reboot-down-after-period" | b"primary-reboot-down-after-period" => {
            Setting::RebootDownAfterMs(number(0)?)
        }
        b"auth-user" => Setting::AuthUser(text()?),
        b"auth-pass" => Setting::AuthPass(text()?.into()),
        b"mode" => Setting::Mode(match value.to_ascii_lowercase().as_slice() {
            b"manage" => Mode::Manage,
            b"observe" => Mode::Observe,
            _ => return Err(wrong()),
        }),
        b"identity" => Setting::Identity(match value.to_ascii_lowercase().as_slice() {
            b"open" => Identity::Open,
            b"strict" => Identity::Strict,
            _ => return Err(wrong()),
        }),
        _ => return Err(errors::set_option(option)),
    })
}

/// The same name twice takes the other name back.
fn rename(option: &[u8], command: &[u8], to: &[u8]) -> Result<Setting, Reply> {
    let text = |value: &[u8]| {
        let text = String::from_utf8(value.to_vec()).ok();
        let text = text.filter(|text| (1..=TEXT_BYTES_MAX).contains(&text.len()));
        text.ok_or_else(|| errors::set_argument(value, option))
    };
    Ok(Setting::RenameCommand {
        command: text(command)?,
        to: text(to)?,
    })
}

/// Who can reach the port shall not have programs run on the nodes, unless the operator wants that. The file must be
/// on the node that is asked; whether the others have it shows when they need it.
fn script(view: &View<'_>, option: &[u8], path: &[u8], absent: &'static str) -> Result<String, Reply> {
    if view.node.denies_scripts {
        return Err(Reply::error(errors::SCRIPTS_DENIED));
    }
    let text = std::str::from_utf8(path).ok();
    let text = text.filter(|text| text.len() <= TEXT_BYTES_MAX);
    let text = text.ok_or_else(|| errors::set_argument(path, option))?;
    if !text.is_empty() && !view.files.is_executable(text) {
        return Err(Reply::error(absent));
    }
    Ok(text.to_owned())
}
