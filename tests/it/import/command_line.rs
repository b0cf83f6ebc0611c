//! The words of `cfgserver import` and `cfgserver export`.

use std::os::unix::fs::PermissionsExt;

use super::{import, said, shown, text};
use crate::import::sentinel::Sentinel;
use crate::world::{Node, Redis, SOON, World, cfgserver, wait_until};

#[test]
fn a_command_line_that_cannot_be_understood_ends_with_64() {
    for words in [
        &["import"][..],
        &["import", "--apply"],
        &["import", "a.conf", "--from", "127.0.0.1:1"],
        &["import", "a.conf", "--mode", "watch"],
        &["import", "a.conf", "--to", "nowhere"],
        &["import", "a.conf", "--from-user", "me"],
        &["import", "--mode", "manage", "--replace"],
        &["import", "--from", "127.0.0.1:1", "--mode", "manage"],
        &["import", "a.conf", "b.conf"],
        &["export", "a.conf"],
        &["export", "--apply"],
    ] {
        let refused = cfgserver().args(words).output().unwrap();
        assert_eq!(refused.status.code(), Some(64), "{words:?}: {}", text(&refused.stderr));
    }
}

#[test]
fn help_tells_the_options_the_environment_and_the_exit_codes() {
    let help = said(&cfgserver().args(["import", "--help"]).output().unwrap());
    for part in [
        "--from",
        "--to",
        "--mode",
        "--group",
        "--apply",
        "--replace",
        "--secrets",
        "--from-user",
        "--from-password-file",
        "--auth-user",
        "--auth-pass-file",
        "CFGSERVER_IMPORT_FROM_PASSWORD",
        "Exit codes:",
    ] {
        assert!(help.contains(part), "{part} is not in {help}");
    }
    let help = said(&cfgserver().args(["export", "--help"]).output().unwrap());
    assert!(help.contains("--from") && help.contains("without passwords"), "{help}");
}

#[test]
fn a_file_that_is_not_understood_ends_with_1_and_every_line_that_is_wrong() {
    let world = World::bare();
    let file = world.folder().join("sentinel.conf");
    std::fs::write(&file, "port 26379\nsentinel monitor a 10.0.0.1 6379 0\nhush\n").unwrap();
    // Nobody is asked before the file is understood: there is no node.
    let refused = import(world.port(), &[shown(&file)]);
    let (place, said) = (file.display(), text(&refused.stderr));
    let expected = format!(
        "cfgserver: {place}:2: monitor: the quorum must be 1 or greater\n\
         cfgserver: {place}:3: this is no directive of Redis or Sentinel\n"
    );
    assert_eq!((refused.status.code(), said), (Some(1), expected));
    let refused = import(world.port(), &["/none/sentinel.conf"]);
    assert!(text(&refused.stderr).starts_with("cfgserver: cannot read /none/sentinel.conf: "));
    assert_eq!(refused.status.code(), Some(1));
}

#[test]
fn nobody_and_strangers_on_the_other_side_end_with_1() {
    let Some(world) = World::open() else { return };
    let file = world.folder().join("sentinel.conf");
    std::fs::write(&file, "sentinel monitor a 10.0.0.1 6379 2\n").unwrap();
    let redis = Redis::start(&world, &[]);
    let said = |words: &[&str], port: u16| {
        let refused = import(port, words);
        assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stdout));
        text(&refused.stderr)
    };
    let nobody = world.port();
    let expected = format!("cfgserver: the node at 127.0.0.1:{nobody}: connection refused\n");
    assert_eq!(said(&[shown(&file)], nobody), expected);
    let expected = format!(
        "cfgserver: the node at 127.0.0.1:{}: it is no cfgserver node",
        redis.port
    );
    let found = said(&[shown(&file)], redis.port);
    assert!(found.starts_with(&expected), "{found}");
    let from = format!("127.0.0.1:{}", redis.port);
    let found = said(&["--from", &from], nobody);
    assert!(
        found.starts_with(&format!(
            "cfgserver: the Sentinel at {from}: it answers -ERR unknown command"
        )),
        "{found}"
    );
    let refused = cfgserver().args(["export", "--from", &from]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
}

#[test]
fn one_refused_group_means_that_nothing_is_done_and_the_others_can_be_asked_for() {
    let world = World::bare();
    let node = Node::alone(&world);
    let file = world.folder().join("sentinel.conf");
    std::fs::write(
        &file,
        "sentinel monitor a 127.0.0.1 1 1\nsentinel monitor b 127.0.0.1 1 1\n",
    )
    .unwrap();
    let refused = import(node.port, &[shown(&file), "--apply"]);
    let found = text(&refused.stdout) + &text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{found}");
    assert!(
        found.contains("! b: refused, its address is that of group a as well"),
        "{found}"
    );
    assert!(node.call(&["CFG", "GROUPS"]).items().is_empty());
    let done = said(&import(node.port, &[shown(&file), "--apply", "--group", "a"]));
    assert!(done.ends_with("a: done\nDone.\n"), "{done}");
    assert_eq!(node.call(&["CFG", "GROUPS"]).items().len(), 1);
}

/// Passwords of the Sentinel and of the instances, from files and from the environment.
#[test]
fn passwords_come_from_files_or_the_environment_and_are_never_printed() {
    let Some(world) = World::open() else { return };
    let redis = Redis::start(&world, &[]);
    assert!(redis.call(&["CONFIG", "SET", "requirepass", "hush-instance"]).is_ok());
    let lines = format!(
        "sentinel monitor a 127.0.0.1 {} 1\nsentinel auth-pass a hush-instance\nrequirepass hush-sentinel",
        redis.port
    );
    let sentinel = Sentinel::start(&world, &lines);
    let node = Node::alone(&world);
    let from = format!("127.0.0.1:{}", sentinel.port);
    let locked = import(node.port, &["--from", &from]);
    assert!(
        text(&locked.stderr).contains("it answers -NOAUTH"),
        "{}",
        text(&locked.stderr)
    );
    let secret = |name: &str, content: &str, mode: u32| {
        let path = world.folder().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let open = secret("open", "hush-sentinel", 0o644);
    let refused = import(node.port, &["--from", &from, "--from-password-file", shown(&open)]);
    assert!(
        text(&refused.stderr).contains("from-password-file"),
        "{}",
        text(&refused.stderr)
    );
    let wrong = secret("wrong", "hush-wrong", 0o600);
    let refused = import(node.port, &["--from", &from, "--from-password-file", shown(&wrong)]);
    assert!(text(&refused.stderr).contains("WRONGPASS"), "{}", text(&refused.stderr));

    let of_instances = secret("instances", "hush-instance\n", 0o600);
    let mut command = cfgserver();
    command.args([
        "import",
        "--from",
        &from,
        "--auth-pass-file",
        shown(&of_instances),
        "--apply",
    ]);
    command.env("CFGSERVER_IMPORT_FROM_PASSWORD", "hush-sentinel");
    command.env("CFGSERVER_IMPORT_TO", format!("127.0.0.1:{}", node.port));
    let done = said(&command.output().unwrap());
    assert!(done.contains("auth-pass ******") && done.ends_with("Done.\n"), "{done}");
    wait_until("the node gets in", SOON, || {
        node.call(&["SENTINEL", "MASTER", "a"]).field("role-reported") == Some("master")
            && node.call(&["SENTINEL", "MASTER", "a"]).field("info-refresh") != Some("0")
    });
    let file = said(&import(node.port, &[shown(&sentinel.file), "--apply"]));
    assert!(
        file.contains("= a: nothing to do") && file.contains("cannot be compared"),
        "{file}"
    );
    let again = said(&import(node.port, &[shown(&sentinel.file), "--secrets", "--apply"]));
    assert!(
        again.contains("auth-pass ****** -> ******") && again.ends_with("Done.\n"),
        "{again}"
    );
    let exported = said(
        &cfgserver()
            .args(["export", "--from", &format!("127.0.0.1:{}", node.port)])
            .output()
            .unwrap(),
    );
    assert!(exported.contains("# sentinel auth-pass a ..."), "{exported}");
    for shown in [done, file, again, exported, node.log_text()] {
        assert!(!shown.contains("hush"), "{shown}");
    }
}
