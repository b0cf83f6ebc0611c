//! The command line of moving over: `import`, and `export` for the way back.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::{Refusal, Secret};
use crate::import::{Elsewhere, Secrets, Value, Wish};
use crate::model::{HostPort, Mode};

pub(super) const HELP: &str = r#"Without --apply it only prints what it would do. What is done is not done twice: an import that was interrupted is
repeated, and a second one finds nothing to do.

  cfgserver import sentinel.conf                       # what would be done
  cfgserver import sentinel.conf --apply               # monitor the groups, in mode observe
  cfgserver import --from 10.0.0.1:26379 --apply       # the same from a Sentinel that runs
  cfgserver import --mode manage --apply               # the Sentinels are stopped: take over
  cfgserver import --mode observe --apply              # let go again
  cfgserver export > groups.conf                       # the groups as lines of a sentinel.conf

A group is new (+), gets settings (~), stays as it is (=) or is refused (!). If one is refused, nothing is done at all:
correct it, or leave it out with --group. In mode observe cfgserver gives no orders, and adopts the switches that
Sentinel makes. Without --mode, new groups observe and the others keep their mode.

A live Sentinel does not tell auth-user, auth-pass and rename-command. Passwords are never printed, and are read from
files that not everyone may read, or from the environment:

  CFGSERVER_IMPORT_TO                    --to
  CFGSERVER_IMPORT_FROM_USER             --from-user
  CFGSERVER_IMPORT_FROM_PASSWORD_FILE    --from-password-file
  CFGSERVER_IMPORT_FROM_PASSWORD         the password itself
  CFGSERVER_IMPORT_AUTH_USER             --auth-user
  CFGSERVER_IMPORT_AUTH_PASS_FILE        --auth-pass-file
  CFGSERVER_IMPORT_AUTH_PASS             the password itself

Options win over the environment, and a file over a password in the environment.

Exit codes: 0 done, nothing to do, or only shown; 1 refused or not done (the file, a group, the network); 64 usage."#;

#[derive(Debug, Args)]
pub(super) struct ImportLine {
    /// A sentinel.conf
    #[arg(value_name = "FILE", conflicts_with = "from")]
    file: Option<PathBuf>,
    /// A Sentinel that runs, instead of a file
    #[arg(long, value_name = "HOST:PORT")]
    from: Option<HostPort>,
    /// Any node of the cluster [default: 127.0.0.1:26379]
    #[arg(long, value_name = "HOST:PORT")]
    to: Option<HostPort>,
    /// What the groups shall be in; alone, without a file and --from, nothing but the mode is changed
    #[arg(long, value_name = "observe|manage")]
    mode: Option<ModeWord>,
    /// Only groups whose names match, as in SENTINEL RESET; may be given more than once [default: all]
    #[arg(long, value_name = "PATTERN")]
    group: Vec<String>,
    /// Do it
    #[arg(long)]
    apply: bool,
    /// A group that the cluster has at another address is removed and monitored anew, instead of refused
    #[arg(long)]
    replace: bool,
    /// Set passwords again where the cluster has one; they cannot be compared
    #[arg(long)]
    secrets: bool,
    /// User name for the Sentinel
    #[arg(long, value_name = "NAME", requires = "from", conflicts_with = "file")]
    from_user: Option<String>,
    /// File with the password for the Sentinel
    #[arg(long, value_name = "FILE", requires = "from", conflicts_with = "file")]
    from_password_file: Option<PathBuf>,
    /// User name towards the instances, for groups of which the source tells no password
    #[arg(long, value_name = "NAME")]
    auth_user: Option<String>,
    /// File with the password towards the instances, for groups of which the source tells none
    #[arg(long, value_name = "FILE")]
    auth_pass_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct ExportLine {
    /// Any node of the cluster [default: 127.0.0.1:26379]
    #[arg(long, value_name = "HOST:PORT")]
    from: Option<HostPort>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ModeWord {
    Observe,
    Manage,
}

/// Where the groups come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A sentinel.conf.
    File(PathBuf),
    /// A Sentinel that runs.
    Live {
        /// Where.
        place: HostPort,
        /// User name; empty for the default user.
        user: String,
        /// Its password.
        password: Option<Secret>,
    },
    /// The cluster itself: only the mode is changed.
    Cluster(Mode),
}

/// What is asked of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Where the groups come from.
    pub origin: Origin,
    /// A node.
    pub to: HostPort,
    /// How.
    pub wish: Wish,
    /// Do it, instead of showing it.
    pub apply: bool,
}

impl Import {
    /// Where the groups come from, in words.
    pub fn origin_text(&self) -> String {
        match &self.origin {
            Origin::File(path) => path.display().to_string(),
            Origin::Live { place, .. } => format!("the Sentinel at {place}"),
            Origin::Cluster(_) => "the cluster's own groups".to_owned(),
        }
    }
}

/// What is asked about moving over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MoveInvocation {
    /// From a Sentinel to the cluster.
    Import(Box<Import>),
    /// The groups of this node's cluster, for a Sentinel.
    Export(HostPort),
}

const PREFIX: &str = "CFGSERVER_IMPORT_";

pub(super) fn read_export(line: ExportLine) -> MoveInvocation {
    MoveInvocation::Export(line.from.unwrap_or_else(default_node))
}

fn default_node() -> HostPort {
    HostPort {
        host: "127.0.0.1".to_owned(),
        port: 26379,
    }
}

/// Argv over the environment, checked; files with passwords are read here.
pub(super) fn read_import(
    line: ImportLine,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<MoveInvocation, Refusal> {
    let mut environment = Environment::read(environment)?;
    let mode = line.mode.map(|mode| match mode {
        ModeWord::Observe => Mode::Observe,
        ModeWord::Manage => Mode::Manage,
    });
    let to = match line.to {
        Some(to) => to,
        None => environment
            .take("TO")
            .map_or_else(|| Ok(default_node()), |text| place("TO", &text))?,
    };
    let origin = match (line.file, line.from, mode) {
        (Some(file), _, _) => Origin::File(file),
        (None, Some(from), _) => Origin::Live {
            place: from,
            user: line
                .from_user
                .or_else(|| environment.take("FROM_USER"))
                .unwrap_or_default(),
            password: environment.password(line.from_password_file, "from-password-file", "FROM_PASSWORD")?,
        },
        (None, None, Some(mode)) => Origin::Cluster(mode),
        (None, None, None) => {
            let fault = "import needs a file, --from HOST:PORT, or --mode alone; see cfgserver import --help";
            return Err(Refusal::misused(fault.to_owned()));
        }
    };
    if matches!(origin, Origin::Live { .. }) && mode == Some(Mode::Manage) {
        let fault = "a Sentinel that runs replaces primaries itself: import in mode observe, stop all Sentinels, and then \
                     take over with --mode manage alone";
        return Err(Refusal::misused(fault.to_owned()));
    }
    if matches!(origin, Origin::Cluster(_)) && (line.replace || line.secrets) {
        let fault = "--replace and --secrets need a file or --from HOST:PORT";
        return Err(Refusal::misused(fault.to_owned()));
    }
    let mut auth = Vec::new();
    if let Some(user) = line.auth_user.or_else(|| environment.take("AUTH_USER")) {
        auth.push(("auth-user", Value::Open(text("auth-user", user.as_bytes())?)));
    }
    if let Some(password) = environment.password(line.auth_pass_file, "auth-pass-file", "AUTH_PASS")? {
        auth.push(("auth-pass", Value::Secret(text("auth-pass-file", password.bytes())?)));
    }
    let wish = Wish {
        mode,
        only: line.group,
        elsewhere: if line.replace {
            Elsewhere::Replace
        } else {
            Elsewhere::Refuse
        },
        secrets: if line.secrets { Secrets::Set } else { Secrets::Keep },
        auth,
    };
    let apply = line.apply;
    Ok(MoveInvocation::Import(Box::new(Import {
        origin,
        to,
        wish,
        apply,
    })))
}

/// The variables of ours, without their prefix.
struct Environment(std::collections::BTreeMap<String, String>);

impl Environment {
    fn read(all: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, Refusal> {
        let mut own = std::collections::BTreeMap::new();
        for (name, value) in all {
            let Some(name) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else {
                continue;
            };
            if value.is_empty() {
                continue;
            }
            let value = value.into_string();
            let value = value.map_err(|_| Refusal::cannot_start(format!("{PREFIX}{name}: this is no UTF-8")))?;
            own.insert(name.to_owned(), value);
        }
        Ok(Self(own))
    }

    fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// The file that argv names, else the one that the environment names, else the password in the environment.
    fn password(
        &mut self,
        file: Option<PathBuf>,
        option: &'static str,
        variable: &str,
    ) -> Result<Option<Secret>, Refusal> {
        let named = self.take(&format!("{variable}_FILE")).map(PathBuf::from);
        if let Some(file) = file.or(named) {
            return Ok(Some(Secret::read(&file, option)?));
        }
        Ok(self.take(variable).map(|password| Secret::new(password.as_bytes())))
    }
}

fn place(name: &str, value: &str) -> Result<HostPort, Refusal> {
    let fault = |error| Refusal::cannot_start(format!("{PREFIX}{name}: {error}"));
    value.parse().map_err(fault)
}

/// What goes to the cluster has the shape that it takes. The value is not repeated: it may be a password.
fn text(option: &str, bytes: &[u8]) -> Result<String, Refusal> {
    let text = std::str::from_utf8(bytes).ok();
    let good = text.filter(|text| !text.bytes().any(|byte| byte.is_ascii_control()));
    good.map(str::to_owned)
        .ok_or_else(|| Refusal::cannot_start(format!("{option}: must be UTF-8 without control characters")))
}
