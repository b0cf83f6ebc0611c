//! The words of the command line.

use std::path::PathBuf;

use crate::faults::{ALL, SHORT};

pub(crate) const USAGE: &str = "\
usage: scripts/faults [--minutes N] [--fault NAME[,NAME...]] [--kills N] [--seed N] [--nodes 3|5] [--report FILE]
       scripts/faults --prove
       scripts/faults --list

Real nodes and Redis servers, each in a network namespace of its own, with real faults. Needs root, or unprivileged
user namespaces.
  --minutes N      a sequence of faults that the seed decides, for so long
  --fault NAMES    these faults, one after another
  --kills N        afterwards (or alone) kill -9 of random nodes under operator writes
  --seed N         decides everything that is drawn [default: 1]
  --nodes N        nodes of the cluster [default: 3]
  --report FILE    the report in Markdown; the raw one stands beside it as .json
  --prove          does by hand what must not happen, and fails when that is not noticed
  --list           names the faults
Without arguments: the fixed sequence of the tests.";

/// What a filter of cargo test is compared with.
const NAME: &str = "hosts::faults";
const SHORT_KILLS: u64 = 20;

pub(crate) struct Options {
    pub(crate) minutes: u64,
    pub(crate) faults: Vec<String>,
    pub(crate) kills: u64,
    pub(crate) seed: u64,
    pub(crate) nodes: u8,
    pub(crate) report: PathBuf,
    pub(crate) prove: bool,
    pub(crate) list: bool,
    pub(crate) help: bool,
    filters: Vec<String>,
}

impl Options {
    pub(crate) fn is_filtered_out(&self) -> bool {
        !self.filters.is_empty() && !self.filters.iter().any(|filter| NAME.contains(filter.as_str()))
    }
}

pub(crate) fn parse(words: &[String]) -> Result<Options, String> {
    let mut options = Options {
        minutes: 0,
        faults: Vec::new(),
        kills: 0,
        seed: 1,
        nodes: 3,
        report: PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("hosts/report.md"),
        prove: false,
        list: false,
        help: false,
        filters: Vec::new(),
    };
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let mut value = || rest.next().ok_or(format!("{word} wants a value"));
        let number = |text: &str| text.parse::<u64>().map_err(|_| format!("{text} is no number"));
        match word.as_str() {
            "--minutes" => options.minutes = number(value()?)?,
            "--fault" => options.faults.extend(value()?.split(',').map(str::to_owned)),
            "--kills" => options.kills = number(value()?)?,
            "--seed" => options.seed = number(value()?)?,
            "--nodes" => options.nodes = nodes(value()?)?,
            "--report" => options.report = std::path::absolute(value()?).map_err(|error| error.to_string())?,
            "--prove" => options.prove = true,
            "--list" => options.list = true,
            "--help" => options.help = true,
            // What cargo test passes on to every test binary means nothing here, but for names.
            flag if flag.starts_with('-') => {}
            name => options.filters.push(name.to_owned()),
        }
    }
    if let Some(name) = options
        .faults
        .iter()
        .find(|name| ALL.iter().all(|fault| fault.name != **name))
    {
        return Err(format!("there is no fault {name}: see --list"));
    }
    if options.minutes == 0 && options.faults.is_empty() && options.kills == 0 {
        options.faults = SHORT.iter().map(|name| (*name).to_owned()).collect();
        options.kills = SHORT_KILLS;
    }
    Ok(options)
}

fn nodes(text: &str) -> Result<u8, String> {
    match text {
        "3" => Ok(3),
        "5" => Ok(5),
        _ => Err(format!("--nodes {text}: 3 or 5")),
    }
}
