//! Every error text of the surface, in one place.
//!
//! Texts that Sentinel has are Sentinel's, byte for byte: clients and automation compare them. The own ones are
//! at the end.

use std::fmt::Display;

use crate::resp::Reply;

/// Longest part of a name or of arguments that an error repeats, in bytes.
const ECHO_BYTES_MAX: usize = 128;

/// Any name that is not a group, except in GET-MASTER-ADDR-BY-NAME.
pub const NO_SUCH_MASTER: &str = "ERR No such master with that name";
/// MONITOR: the quorum is not a number.
pub const INVALID_QUORUM: &str = "ERR Invalid quorum";
/// MONITOR: the port is not a number.
pub const INVALID_PORT: &str = "ERR Invalid port";
/// MONITOR: quorum 0 or below.
pub const QUORUM_TOO_SMALL: &str = "ERR Quorum must be 1 or greater.";
/// MONITOR: the host is not an IP address.
pub const INVALID_HOST: &str = "ERR Invalid IP address or hostname specified";
/// MONITOR: the port is out of range.
pub const INVALID_PORT_NUMBER: &str = "ERR Invalid port number.";
/// MONITOR: the name is taken.
pub const DUPLICATE_MASTER: &str = "ERR Duplicate master name.";
/// SET: scripts are never configured over the wire.
pub const SCRIPTS_DENIED: &str = "ERR Reconfiguration of scripts path is denied for security reasons. Check the \
                                  deny-scripts-reconfig configuration directive in your Sentinel configuration";
/// FAILOVER, RESET: one is in progress.
pub const FAILOVER_IN_PROGRESS: &str = "INPROG Failover already in progress";
/// FAILOVER COORDINATED: the primary cannot take part.
pub const NO_GOOD_PRIMARY: &str = "NOGOODPRIMARY Primary does not support FAILOVER command";
/// FAILOVER with something else behind the name.
pub const UNKNOWN_FAILOVER_OPTION: &str = "ERR Unknown failover option specified";
/// FAILOVER: nobody to promote.
pub const NO_GOOD_REPLICA: &str = "NOGOODSLAVE No suitable replica to promote";
/// An integer that is not one.
pub const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";
/// HELLO: the version is not a number.
pub const HELLO_VERSION: &str = "ERR Protocol version is not an integer or out of range";
/// HELLO: neither 2 nor 3.
pub const NO_PROTOCOL: &str = "NOPROTO unsupported protocol version";
/// A client name with a space or worse.
pub const CLIENT_NAME: &str = "ERR Client names cannot contain spaces, newlines or special characters.";
/// AUTH with one argument while there is no password.
pub const NO_PASSWORD_SET: &str = "ERR AUTH <password> called without any password configured for the default user. \
                                   Are you sure your configuration is correct?";
/// AUTH of an unknown user.
pub const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";
/// Options that make no sense.
pub const SYNTAX: &str = "ERR syntax error";
/// COMMAND GETKEYS of no request that there is.
pub const INVALID_COMMAND: &str = "ERR Invalid command specified";
/// COMMAND GETKEYS of a request without keys.
pub const NO_KEYS: &str = "ERR The command has no key arguments";
/// PUBLISH of anything but a hello.
pub const ONLY_HELLO: &str = "ERR Only HELLO messages are accepted by Sentinel instances.";
/// SHUTDOWN ABORT.
pub const NO_SHUTDOWN: &str = "ERR No shutdown in progress.";
/// ACL DELUSER default.
pub const ACL_DEFAULT_STAYS: &str = "ERR The 'default' user cannot be removed";
/// ACL LOAD, SAVE.
pub const ACL_NO_FILE: &str = "ERR This Redis instance is not configured to use an ACL file. You may want to specify \
                               users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a \
                               Redis configuration file set) in order to store users in the Redis configuration.";
/// CLIENT KILL of an address that nobody has.
pub const NO_SUCH_CLIENT: &str = "ERR No such client";
/// CLIENT KILL ID with something else than a number from 1 up.
pub const CLIENT_ID_TOO_SMALL: &str = "ERR client-id should be greater than 0";
/// CLIENT PAUSE with another mode.
pub const PAUSE_MODE: &str = "ERR CLIENT PAUSE mode must be WRITE or ALL";
/// CLIENT PAUSE: the time is no number.
pub const TIMEOUT_NOT_AN_INTEGER: &str = "ERR timeout is not an integer or out of range";
/// CLIENT PAUSE: the time is below 0.
pub const TIMEOUT_NEGATIVE: &str = "ERR timeout is negative";
/// CLIENT UNBLOCK for another reason.
pub const UNBLOCK_REASON: &str = "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR";
/// CLIENT CACHING without CLIENT TRACKING.
pub const CACHING_WITHOUT_TRACKING: &str = "ERR CLIENT CACHING can be called only when the client is in tracking mode \
                                            with OPTIN or OPTOUT mode enabled";
/// CLIENT CACHING YES in another mode.
pub const CACHING_YES_WITHOUT_OPTIN: &str =
    "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.";
/// CLIENT CACHING NO in another mode.
pub const CACHING_NO_WITHOUT_OPTOUT: &str =
    "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.";
/// CLIENT TRACKING REDIRECT twice.
pub const TRACKING_REDIRECTS_TWICE: &str = "ERR A client can only redirect to a single other client";
/// CLIENT TRACKING REDIRECT to nobody.
pub const TRACKING_REDIRECTS_NOWHERE: &str = "ERR The client ID you want redirect to does not exist";
/// CLIENT TRACKING PREFIX without BCAST.
pub const TRACKING_PREFIX_WITHOUT_BCAST: &str = "ERR PREFIX option requires BCAST mode to be enabled";
/// CLIENT TRACKING on again, with another choice of BCAST.
pub const TRACKING_SWITCHES_BCAST: &str = "ERR You can't switch BCAST mode on/off before disabling tracking for this \
                                           client, and then re-enabling it with a different mode.";
/// CLIENT TRACKING BCAST with OPTIN or OPTOUT.
pub const TRACKING_BCAST_WITH_OPT: &str = "ERR OPTIN and OPTOUT are not compatible with BCAST";
/// CLIENT TRACKING OPTIN OPTOUT.
pub const TRACKING_OPTIN_AND_OPTOUT: &str = "ERR You can't specify both OPTIN mode and OPTOUT mode";
/// CLIENT TRACKING on again, with OPTIN instead of OPTOUT or the other way round.
pub const TRACKING_SWITCHES_OPT: &str = "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this \
                                         client, and then re-enabling it with a different mode.";
/// SENTINEL CONFIG that is neither GET nor SET.
pub const CONFIG_SHAPE: &str = "ERR Only SENTINEL CONFIG GET <param> [<param> <param> ...] / SET <param> <value> \
                                [<param> <value> ...] are supported.";
/// SENTINEL SIMULATE-FAILURE of something else.
pub const UNKNOWN_FAILURE: &str = "ERR Unknown failure simulation specified";
/// SET notification-script: not there, or not executable.
pub const NO_NOTIFICATION_SCRIPT: &str = "ERR Notification script seems non existing or non executable";
/// SET client-reconfig-script: not there, or not executable.
pub const NO_RECONFIG_SCRIPT: &str = "ERR Client reconfiguration script seems non existing or non executable";
/// CLIENT LIST ID with something else than a number.
pub const INVALID_CLIENT_ID: &str = "ERR Invalid client ID";

/// No request of that name.
pub fn unknown_command(args: &[impl AsRef<[u8]>]) -> Reply {
    let name = args.first().map(|name| echo(name.as_ref(), ECHO_BYTES_MAX));
    let mut shown = Vec::new();
    for argument in args.iter().skip(1) {
        if shown.len() >= ECHO_BYTES_MAX {
            break;
        }
        let room = ECHO_BYTES_MAX - shown.len();
        shown.push(b'\'');
        shown.extend_from_slice(cut(argument.as_ref(), room));
        shown.extend_from_slice(b"' ");
    }
    Reply::error(format!(
        "ERR unknown command '{}', with args beginning with: {}",
        name.unwrap_or_default(),
        String::from_utf8_lossy(&shown)
    ))
}

/// A container that has no such subcommand; `container` in upper case.
pub fn unknown_subcommand(container: &str, subcommand: &[u8]) -> Reply {
    let subcommand = echo(subcommand, ECHO_BYTES_MAX);
    Reply::error(format!("ERR unknown subcommand '{subcommand}'. Try {container} HELP."))
}

/// A known container with a shape that it does not have; `container` in upper case.
pub fn subcommand_shape(container: &str, subcommand: &[u8]) -> Reply {
    let subcommand = echo(subcommand, ECHO_BYTES_MAX);
    Reply::error(format!(
        "ERR unknown subcommand or wrong number of arguments for '{subcommand}'. Try {container} HELP."
    ))
}

/// Too few or too many arguments; `name` as in `sentinel|set`.
pub fn arity(name: &str) -> Reply {
    Reply::error(format!("ERR wrong number of arguments for '{name}' command"))
}

/// A RESP2 connection that subscribes may ask for little else; `name` as in `client|id`.
pub fn only_while_subscribed(name: &str) -> Reply {
    Reply::error(format!(
        "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this \
         context"
    ))
}

/// HELLO with an option that it does not have, or without its value.
pub fn hello_option(option: &[u8]) -> Reply {
    let option = echo(option, ECHO_BYTES_MAX);
    Reply::error(format!("ERR Syntax error in HELLO option '{option}'"))
}

/// CLIENT SETINFO of something else than the library's name and version.
pub fn client_info_option(option: &[u8]) -> Reply {
    Reply::error(format!("ERR Unrecognized option '{}'", echo(option, ECHO_BYTES_MAX)))
}

/// CLIENT SETINFO with a value that would break CLIENT LIST.
pub fn client_info_value(option: &str) -> Reply {
    Reply::error(format!(
        "ERR {option} cannot contain spaces, newlines or special characters."
    ))
}

/// CLIENT LIST TYPE of an unknown type.
pub fn client_type(name: &[u8]) -> Reply {
    Reply::error(format!("ERR Unknown client type '{}'", echo(name, ECHO_BYTES_MAX)))
}

/// SET: the value does not fit the option.
pub fn set_argument(value: &[u8], option: &[u8]) -> Reply {
    Reply::error(format!(
        "ERR Invalid argument '{}' for SENTINEL SET '{}'",
        echo(value, ECHO_BYTES_MAX),
        echo(option, ECHO_BYTES_MAX)
    ))
}

/// SET: no such option, or its value is missing.
pub fn set_option(option: &[u8]) -> Reply {
    Reply::error(format!(
        "ERR Unknown option or number of arguments for SENTINEL SET '{}'",
        echo(option, ECHO_BYTES_MAX)
    ))
}

/// A control character in the argument at `index` of a request, named as in `SET`.
pub fn control_character(index: usize, request: &str) -> Reply {
    Reply::error(format!(
        "ERR Invalid argument at index {index} for SENTINEL {request}: control characters are not allowed"
    ))
}

/// CONFIG SET: no such parameter.
pub fn config_argument(name: &[u8]) -> Reply {
    let name = echo(name, ECHO_BYTES_MAX);
    Reply::error(format!("ERR Invalid argument '{name}' to SENTINEL CONFIG SET"))
}

/// CONFIG SET: a parameter twice.
pub fn config_duplicate(name: &[u8]) -> Reply {
    let name = echo(name, ECHO_BYTES_MAX);
    Reply::error(format!("ERR Duplicate argument '{name}' to SENTINEL CONFIG SET"))
}

/// CONFIG SET: a parameter without a value.
pub fn config_missing(name: &[u8]) -> Reply {
    Reply::error(format!("ERR Missing argument '{}' value", echo(name, ECHO_BYTES_MAX)))
}

/// CONFIG SET: the value does not fit the parameter.
pub fn config_value(value: &[u8], name: &[u8]) -> Reply {
    Reply::error(format!(
        "ERR Invalid value '{}' to SENTINEL CONFIG SET '{}'",
        echo(value, ECHO_BYTES_MAX),
        echo(name, ECHO_BYTES_MAX)
    ))
}

/// DEBUG: the value is no time.
pub fn debug_argument(value: &[u8], name: &[u8]) -> Reply {
    Reply::error(format!(
        "ERR Invalid argument '{}' for SENTINEL DEBUG '{}'",
        echo(value, ECHO_BYTES_MAX),
        echo(name, ECHO_BYTES_MAX)
    ))
}

/// DEBUG: no such period, or its value is missing.
pub fn debug_option(name: &[u8]) -> Reply {
    Reply::error(format!(
        "ERR Unknown option or number of arguments for SENTINEL DEBUG '{}'",
        echo(name, ECHO_BYTES_MAX)
    ))
}

/// ACL CAT: no such category.
pub fn acl_category(name: &[u8]) -> Reply {
    Reply::error(format!("ERR Unknown category '{}'", echo(name, ECHO_BYTES_MAX)))
}

/// ACL DRYRUN: no such user.
pub fn acl_user(name: &[u8]) -> Reply {
    Reply::error(format!("ERR User '{}' not found", echo(name, ECHO_BYTES_MAX)))
}

/// ACL DRYRUN: no such request.
pub fn acl_command(name: &[u8]) -> Reply {
    Reply::error(format!("ERR Command '{}' not found", echo(name, ECHO_BYTES_MAX)))
}

/// CLIENT KILL USER: no such user.
pub fn no_such_user(name: &[u8]) -> Reply {
    Reply::error(format!("ERR No such user '{}'", echo(name, ECHO_BYTES_MAX)))
}

/// CLIENT TRACKING: a prefix that begins as one does that the connection has, or the other way round.
pub fn prefix_overlaps_known(prefix: &[u8], known: &[u8]) -> Reply {
    Reply::error(format!(
        "ERR Prefix '{}' overlaps with an existing prefix '{}'. Prefixes for a single client must not overlap.",
        echo(prefix, ECHO_BYTES_MAX),
        echo(known, ECHO_BYTES_MAX)
    ))
}

/// CLIENT TRACKING: a prefix that begins as another one of the same request does, or the other way round.
pub fn prefix_overlaps_given(prefix: &[u8], other: &[u8]) -> Reply {
    Reply::error(format!(
        "ERR Prefix '{}' overlaps with another provided prefix '{}'. Prefixes for a single client must not overlap.",
        echo(prefix, ECHO_BYTES_MAX),
        echo(other, ECHO_BYTES_MAX)
    ))
}

/// CKQUORUM: not enough nodes.
pub fn no_quorum(usable: usize, quorum_missed: Missed, majority_missed: Missed) -> Reply {
    let mut reasons = Vec::new();
    if quorum_missed == Missed::Yes {
        reasons.push("Not enough available Sentinels to reach the specified quorum for this master");
    }
    if majority_missed == Missed::Yes {
        reasons.push("Not enough available Sentinels to reach the majority and authorize a failover");
    }
    Reply::error(format!("NOQUORUM {usable} usable Sentinels. {}", reasons.join(". ")))
}

/// Whether a number of nodes was missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// There are fewer.
    Yes,
    /// There are enough.
    No,
}

impl From<bool> for Missed {
    fn from(missed: bool) -> Self {
        if missed { Self::Yes } else { Self::No }
    }
}

// From here on: texts that Sentinel does not have.

/// The node has not caught up: its answer could be old. The code is one that clients take for "ask another".
pub const LOADING: &str = "LOADING This node has not caught up with its cluster yet";
/// MONITOR: the name is not one.
pub const INVALID_GROUP_NAME: &str = "ERR Invalid group name.";
/// ACL SETUSER, GENPASS.
pub const ACL_NOT_YET: &str = "ERR Users are not supported yet: there is only 'default', without a password";
/// CONFIG SET sentinel-user, sentinel-pass.
pub const CONFIG_NO_USERS_YET: &str =
    "ERR Users are not supported yet: nodes know each other by the secret of their cluster";
/// CLIENT TRACKING with more prefixes than one connection may have.
pub const TRACKING_TOO_MANY_PREFIXES: &str = "ERR Too many prefixes on this connection";
/// A write while there is nobody to decide it.
pub const NO_LEADER: &str = "ERR No leader can be reached. Nothing was done";
/// A write that may or may not have been done.
pub const OUTCOME_UNKNOWN: &str =
    "ERR The outcome is unknown: it may or may not have been done, and it was not retried";
/// The group changed while a request about it was decided.
pub const MOVED: &str = "ERR The group changed meanwhile. Nothing was done";
/// Peers' requests on a connection that has not done their handshake.
pub const PEERS_ONLY: &str = "ERR RAFT requests need the handshake of a peer";
/// A client name or library field that is too long.
pub const CLIENT_TEXT_TOO_LONG: &str = "ERR Client names and library fields are limited to 1024 bytes";
/// More subscriptions than one connection may have.
pub const TOO_MANY_SUBSCRIPTIONS: &str = "ERR Too many subscriptions on this connection";
/// CFG: a node id is a number from 1 up.
pub const INVALID_NODE_ID: &str = "ERR Invalid node id";
/// CFG NODE ADD: not host:port.
pub const INVALID_NODE_ADDRESS: &str = "ERR Invalid node address, host:port is needed";

/// A change, or a peer, on the port for old proxies; `listen` is where the node takes both.
pub fn questions_only(listen: &str) -> Reply {
    let port = listen.rsplit_once(':').map_or("", |(_, port)| port);
    Reply::error(format!(
        "ERR This port (proxy-listen) answers questions only. Send this request to port {port} of this node"
    ))
}

/// MONITOR: another group has this instance.
pub fn address_taken(group: impl Display) -> Reply {
    Reply::error(format!("ERR Address already belongs to group '{group}'."))
}

/// FAILOVER: nobody to promote, with the reason of each replica.
pub fn no_good_replica(reasons: &[(String, String)]) -> Reply {
    if reasons.is_empty() {
        return Reply::error(NO_GOOD_REPLICA);
    }
    let reasons: Vec<_> = reasons.iter().map(|(who, why)| format!("{who} {why}")).collect();
    Reply::error(format!("{NO_GOOD_REPLICA}: {}", reasons.join(", ")))
}

/// FAILOVER COORDINATED: the primary cannot take part; why, or nothing when its version says it.
pub fn no_good_primary(why: &str) -> Reply {
    if why.is_empty() {
        return Reply::error(NO_GOOD_PRIMARY);
    }
    Reply::error(format!(
        "NOGOODPRIMARY Primary cannot take part in a coordinated failover: {why}"
    ))
}

/// Any other refusal, as text for people.
pub fn refused(reason: impl Display) -> Reply {
    Reply::error(format!("ERR {reason}"))
}

/// What C's `%.*s` prints: at most `bytes_max` bytes, up to the first NUL.
fn cut(text: &[u8], bytes_max: usize) -> &[u8] {
    let text = &text[..text.len().min(bytes_max)];
    text.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn echo(text: &[u8], bytes_max: usize) -> String {
    String::from_utf8_lossy(cut(text, bytes_max)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(reply: &Reply) -> &str {
        match reply {
            Reply::Error(text) => text,
            other => panic!("not an error: {other:?}"),
        }
    }

    #[test]
    fn unknown_command_repeats_at_most_128_bytes_of_name_and_arguments() {
        let long = "x".repeat(200);
        let reply = unknown_command(&[long.as_bytes(), "a".repeat(100).as_bytes(), "b".repeat(100).as_bytes()]);
        let expected = format!(
            "ERR unknown command '{}', with args beginning with: '{}' '{}' ",
            "x".repeat(128),
            "a".repeat(100),
            "b".repeat(25)
        );
        assert_eq!(text(&reply), expected);
    }

    #[test]
    fn missing_quorum_and_majority_are_joined_by_a_full_stop() {
        let reply = no_quorum(1, Missed::Yes, Missed::Yes);
        let expected = "NOQUORUM 1 usable Sentinels. Not enough available Sentinels to reach the specified quorum for \
                        this master. Not enough available Sentinels to reach the majority and authorize a failover";
        assert_eq!(text(&reply), expected);
    }
}
