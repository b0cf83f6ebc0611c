use super::*;

const PROXY: &str = "[proxy]\nkind = \"nutcracker\"\ntemplate = \"n.yml\"\nrestart = [\"r\"]\n";
const BDRP: &str =
    "[proxy]\nkind = \"bdrp\"\ntemplate = \"n.yml\"\noutput = \"live.yml\"\nrun = [\"b\", \"-c\", \"{file}\"]\n";
const HOOK: &str = "[hook]\ncommand = [\"told\"]\ngroups = [\"g-1\"]\n";

fn parse(parts: &[&str]) -> Result<Config, ConfigError> {
    let text = format!("nodes = [\"10.0.0.1:26379\", \"control:26379\"]\n{}", parts.concat());
    Config::parse(&text, Path::new("/etc/agent/agent.toml"))
}

#[track_caller]
fn refused(parts: &[&str], fault: &str) {
    let text = parse(parts).unwrap_err().to_string();
    assert!(text.contains(fault), "{text}");
    assert!(text.starts_with("/etc/agent/agent.toml"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn little_is_enough_for_a_stock_proxy() {
    let config = parse(&[PROXY]).unwrap();
    let proxy = config.proxy.clone().unwrap();
    assert_eq!(proxy.template, Path::new("/etc/agent/n.yml"));
    assert_eq!(proxy.output, proxy.template);
    assert_eq!(proxy.check, ["nutcracker", "-t", "-c", "{file}"]);
    assert_eq!(proxy.process, Process::Restart(vec!["r".to_owned()]));
    assert_eq!(config.state_dir, Path::new("/etc/agent/cfgserver-agent"));
    assert_eq!(config.pace, Pace::default());
    assert_eq!(config.nodes[1].to_string(), "control:26379");
    assert_eq!((config.cluster, config.hook), (None, None));
}

#[test]
fn relative_paths_begin_at_the_folder_of_the_file() {
    let text = format!("nodes = [\"a:1\"]\nstate-dir = \"/var/lib/x\"\n{PROXY}");
    let config = Config::parse(&text, Path::new("agent.toml")).unwrap();
    assert_eq!(config.state_dir, Path::new("/var/lib/x"));
    assert_eq!(config.proxy.as_ref().unwrap().template, Path::new("./n.yml"));
    assert_eq!(config.folder(), Path::new("."));
}

#[test]
fn what_is_shown_reads_back_as_the_same_configuration() {
    let groups = "[groups]\n\"pool/shard \\\"a\\\"\" = \"orders-1\"\n";
    let more = "timeout-ms = 5\n[pace]\nsettle-ms = 77\ndebounce-ms = 300\n";
    let head = "cluster = \"abc\"\nstate-dir = \"/s\"\nlog-level = \"debug\"\nlog-format = \"json\"\n";
    for parts in [
        &[PROXY][..],
        &[HOOK],
        &[PROXY, groups, HOOK],
        &[head, BDRP, HOOK, more],
        &[BDRP, "check = []\n"],
    ] {
        let config = parse(parts).unwrap();
        let shown = config.to_toml();
        assert_eq!(Config::parse(&shown, &config.file).unwrap(), config, "{shown}");
    }
}

#[test]
fn a_fault_is_told_with_its_line() {
    for (text, line, fault) in [
        ("\nnode = []\n", 2, "unknown field `node`"),
        ("nodes = [\"10.0.0.1\"]", 1, "'10.0.0.1' is not HOST:PORT"),
        (
            "nodes = [\"a:1\"]\n\n[pace]\nsettle-ms = -1\n",
            4,
            "must be a whole number from 0 to 3600000",
        ),
        ("nodes = [\"a:1\"]\n[hook]\ncommand = \"x\"\n", 3, "invalid type"),
        ("nodes = [\"a:1\"]\n[groups]\na = \"b c\"\n", 3, "a group name is"),
        (
            "nodes = [\"a:1\"]\n[proxy]\nkind = \"haproxy\"\n",
            3,
            "unknown variant `haproxy`",
        ),
        ("[hook]\ncommand = [\"x\"]\n", 1, "missing field `nodes`"),
        (
            "nodes = [\"a:1\"]\n[proxy]\nkind = \"bdrp\"\n",
            2,
            "missing field `template`",
        ),
    ] {
        let error = Config::parse(text, Path::new("a.toml")).unwrap_err().to_string();
        assert!(error.starts_with(&format!("a.toml line {line}: ")), "{error}");
        assert!(error.contains(fault) && error.lines().count() == 1, "{error}");
    }
}

#[test]
fn contradictions_are_refused() {
    refused(&[], "nothing to do: give [proxy], [hook] or both");
    refused(&["[hook]\ncommand = [\"x\"]\n"], "[hook] groups is needed");
    refused(&["[hook]\ncommand = []\ngroups = [\"g\"]\n"], "[hook] command is empty");
    refused(&["[hook]\ncommand = [\"x\"]\ngroups = []\n"], "[hook] groups is empty");
    refused(&["[groups]\na = \"b\"\n", HOOK], "it needs [proxy]");
    refused(&["cluster = \"\"\n", HOOK], "cluster is empty");
    refused(&[PROXY, "run = [\"x\"]\n"], "restart and run contradict each other");
    refused(&[&PROXY.replace("restart", "check")], "needs restart");
    refused(&[&PROXY.replace("[\"r\"]", "[]")], "[proxy] restart is empty");
    refused(&[PROXY, "check = [\"nutcracker\", \"-t\"]\n"], "check has no {file}");
    refused(
        &[&BDRP.replace("output = \"live.yml\"\n", "")],
        "another file than the template",
    );
    refused(&[&BDRP.replace("live.yml", "n.yml")], "another file than the template");
    refused(
        &[HOOK, "[pace]\ndebounce-ms = 50\ndebounce-max-ms = 49\n"],
        "must not be smaller",
    );
    let twice = Config::parse(&format!("nodes = [\"a:1\", \"A:1\"]\n{HOOK}"), Path::new("x")).unwrap_err();
    assert_eq!(twice.to_string(), "x: nodes names a:1 twice");
    let none = Config::parse(&format!("nodes = []\n{HOOK}"), Path::new("x")).unwrap_err();
    assert!(none.to_string().starts_with("x: nodes is empty"));
}

#[test]
fn a_long_debounce_alone_is_no_contradiction() {
    let pace = parse(&[HOOK, "[pace]\ndebounce-ms = 300\n"]).unwrap().pace;
    assert_eq!(
        (pace.debounce, pace.debounce_max),
        (Duration::from_millis(300), Duration::from_millis(300))
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Config::load(Path::new("/does/not/exist.toml")).unwrap_err().to_string();
    assert!(error.starts_with("cannot read /does/not/exist.toml: "), "{error}");
}
