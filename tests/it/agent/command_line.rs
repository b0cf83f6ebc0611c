//! The words of `cfgserver agent`.

use super::Agent;
use crate::world::{World, cfgserver};

const PROXY: &str =
    "[proxy]\nkind = \"nutcracker\"\ntemplate = \"n.yml\"\nrestart = [\"true\"]\n[groups]\nsecond = \"beta\"\n";

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn check_shows_the_effective_configuration_and_what_is_followed_and_touches_nothing() {
    let world = World::bare();
    let agent = Agent::new(&world, &[11], PROXY);
    let servers =
        "p:\n  listen: 127.0.0.1:1\n  redis: true\n  servers:\n   - 127.0.0.1:1:1 alpha\n   - 127.0.0.1:2:1 second\n";
    std::fs::write(agent.file("n.yml"), servers).unwrap();
    let checked = agent.run(&["check"]);
    let shown = text(&checked.stdout);
    assert_eq!(checked.status.code(), Some(0), "{shown}");
    assert!(
        shown.contains("nodes = [\"127.0.0.1:11\"]\n") && shown.contains("debounce-ms = 30\n"),
        "{shown}"
    );
    assert!(shown.contains("n.yml line 5: p/alpha follows group alpha\n"), "{shown}");
    assert!(shown.contains("n.yml line 6: p/second follows group beta\n"), "{shown}");
    assert!(!agent.file("cfgserver-agent").exists());
    assert_eq!(std::fs::read_to_string(agent.file("n.yml")).unwrap(), servers);
}

#[test]
fn what_cannot_be_run_with_ends_with_1_and_one_line() {
    let world = World::bare();
    let mut agent = Agent::new(&world, &[11], PROXY);
    for verb in [&["check"][..], &[]] {
        let refused = agent.run(verb);
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(
            said.contains("cannot read the template") && said.contains("n.yml"),
            "{said}"
        );
    }
    std::fs::write(agent.file("n.yml"), "p:\n  listen: [\n").unwrap();
    let said = text(&agent.run(&["check"]).stderr);
    assert!(said.contains("n.yml") && said.lines().count() == 1, "{said}");
    agent.configure(&[11], "[proxy]\nkind = 3\n");
    let refused = agent.run(&["status"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused.stderr).contains("agent.toml line 4: "),
        "{}",
        text(&refused.stderr)
    );
    agent.configure(&[11], "[hook]\ncommand = [\"true\"]\ngroups = [\"alpha\"]\n");
    let never = agent.run(&["status"]);
    assert_eq!(never.status.code(), Some(1));
    assert!(
        text(&never.stderr).contains("no agent has run yet"),
        "{}",
        text(&never.stderr)
    );
    agent.start();
    agent.terminate();
}

#[test]
fn a_command_whose_program_is_not_there_is_found_before_it_is_needed() {
    let world = World::bare();
    let absent = PROXY.replace(
        "[\"true\"]",
        "[\"/no/such/program\"]\ncheck = [\"no-such-check\", \"{file}\"]",
    );
    let agent = Agent::new(&world, &[11], &absent);
    std::fs::write(
        agent.file("n.yml"),
        "p:\n  listen: 127.0.0.1:1\n  servers:\n   - 127.0.0.1:1:1 alpha\n",
    )
    .unwrap();
    let checked = agent.run(&["check"]);
    let said = text(&checked.stderr);
    assert_eq!(checked.status.code(), Some(1), "{said}");
    assert!(
        said.contains("restart: there is no program '/no/such/program'") && said.contains("'no-such-check'"),
        "{said}"
    );
    std::fs::write(agent.file("own"), "#!/bin/sh\n").unwrap();
    let not_executable = PROXY.replace("[\"true\"]", "[\"./own\"]\ncheck = []");
    agent.configure(&[11], &not_executable);
    assert_eq!(agent.run(&["check"]).status.code(), Some(1));
}

#[test]
fn a_command_line_that_cannot_be_understood_ends_with_64() {
    for words in [&["agent"][..], &["agent", "dance"], &["agent", "--config"]] {
        let refused = cfgserver().args(words).output().unwrap();
        assert_eq!(refused.status.code(), Some(64), "{words:?}");
    }
    let help = cfgserver().args(["agent", "--help"]).output().unwrap();
    let shown = text(&help.stdout);
    assert!(
        help.status.success() && shown.contains("[proxy]") && shown.contains("debounce-max-ms = 200"),
        "{shown}"
    );
}
