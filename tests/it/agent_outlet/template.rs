//! The template is the operator's, who edits it while the agent runs.

use cfgserver::agent::{Outcome, Outlet};
use cfgserver::clock::Clock;
use cfgserver::task::Tasks;

use super::place::{Place, TEMPLATE, home, moved, one_at, open, refused};

#[tokio::test]
async fn an_edit_is_picked_up_and_the_proxy_restarted_with_it() {
    let place = Place::new();
    let mut outlet = open(&place.restarted("output = \"out.yml\"")).await;
    outlet.begin(&home()).await;
    assert!(!outlet.template_changed().await);
    let more = format!("{TEMPLATE}   - 10.0.0.3:6379:1 three\n");
    place.write("proxy.yml", &more);
    assert!(outlet.template_changed().await);
    assert!(!outlet.template_changed().await);
    assert!(outlet.groups().contains("three"));
    moved(&outlet.apply(&home()).await);
    assert_eq!((place.read("out.yml"), place.count("restarted")), (more, 2));
}

#[tokio::test]
async fn an_edit_in_place_is_checked_and_restarts_the_proxy_once() {
    let place = Place::new();
    let mut outlet = open(&place.restarted("")).await;
    outlet.begin(&home()).await;
    let edited = TEMPLATE.replace("redis: true", "redis: true\n  timeout: 400");
    place.write("proxy.yml", &edited);
    assert!(outlet.template_changed().await);
    moved(&outlet.apply(&home()).await);
    assert_eq!(outlet.apply(&home()).await, Outcome::Unchanged);
    assert_eq!((place.count("checked"), place.count("restarted")), (1, 1));
    assert_eq!(place.read("proxy.yml"), edited);
    place.script("check", "exit 1");
    place.write("proxy.yml", TEMPLATE);
    refused(&outlet.apply(&home()).await);
    assert_eq!(place.count("restarted"), 1, "not with a file that the check refuses");
}

#[tokio::test]
async fn an_edit_that_is_found_while_the_file_is_written_is_told_as_well() {
    let place = Place::new();
    let mut outlet = open(&place.restarted("")).await;
    outlet.begin(&home()).await;
    place.write("proxy.yml", &format!("{TEMPLATE}   - 10.0.0.3:6379:1 three\n"));
    moved(&outlet.apply(&one_at("10.0.0.9:7000", 2)).await);
    assert!(outlet.template_changed().await, "it has a group that nobody asks for");
    assert!(!outlet.template_changed().await);
    assert!(outlet.groups().contains("three"));
}

#[tokio::test]
async fn a_broken_edit_in_place_is_told_with_its_line_and_not_written_over() {
    let place = Place::new();
    let mut outlet = open(&place.restarted("")).await;
    outlet.begin(&home()).await;
    let broken = TEMPLATE.replace("10.0.0.2:6379:1 two", "10.0.0.2:6379 two");
    place.write("proxy.yml", &broken);
    let reason = refused(&outlet.apply(&one_at("10.0.0.9:7000", 2)).await);
    assert!(reason.contains("line 8: '10.0.0.2:6379' has no weight"), "{reason}");
    assert_eq!((place.read("proxy.yml"), place.count("restarted")), (broken, 0));
    place.write("proxy.yml", TEMPLATE);
    moved(&outlet.apply(&one_at("10.0.0.9:7000", 2)).await);
}

#[tokio::test]
async fn a_broken_edit_beside_the_output_does_not_stop_the_following() {
    let place = Place::new();
    let config = place.restarted("output = \"out.yml\"");
    let mut outlet = open(&config).await;
    outlet.begin(&home()).await;
    place.write("proxy.yml", "alpha: [");
    assert!(outlet.template_changed().await);
    moved(&outlet.apply(&one_at("10.0.0.9:7000", 2)).await);
    assert!(outlet.status().fault.unwrap().contains("proxy.yml"));
    let last = TEMPLATE.replace("10.0.0.1:6379", "10.0.0.9:7000");
    assert_eq!(place.read("out.yml"), last);
    outlet.stop().await;
    // Also an agent that starts meanwhile goes on, with the last file.
    let mut next = open(&config).await;
    assert_eq!(next.begin(&one_at("10.0.0.9:7000", 2)).await, Outcome::Unchanged);
    moved(&next.apply(&one_at("10.0.0.7:7000", 3)).await);
    assert!(next.status().fault.is_some());
    place.write("proxy.yml", TEMPLATE);
    assert!(next.template_changed().await);
    assert_eq!(next.status().fault, None);
}

#[tokio::test]
async fn an_edit_is_read_when_it_is_complete() {
    let place = Place::new();
    let mut outlet = open(&place.restarted("output = \"out.yml\"")).await;
    outlet.begin(&home()).await;
    let (first, second) = TEMPLATE.split_at(TEMPLATE.find("   - 10.0.0.2").unwrap());
    let path = place.path("proxy.yml");
    std::fs::write(&path, first).unwrap();
    let rest = format!("{first}{second}   - 10.0.0.3:6379:1 three\n");
    let (changed, ()) = tokio::join!(outlet.template_changed(), async {
        tokio::time::sleep(std::time::Duration::from_millis(60)).await;
        std::fs::write(&path, rest).unwrap();
    });
    assert!(changed);
    assert_eq!(outlet.groups().len(), 3);
}

#[tokio::test]
async fn an_agent_without_any_file_to_go_on_with_says_which_and_why() {
    let place = Place::new();
    let config = place.restarted("output = \"out.yml\"");
    for (text, words) in [("alpha: {", "not YAML"), ("", "no pools")] {
        place.write("proxy.yml", text);
        let refused = Outlet::open(&config, Clock::start(), Tasks::default()).await;
        let text = refused.err().unwrap().to_string();
        assert!(text.contains("proxy.yml line ") && text.contains(words), "{text}");
    }
    std::fs::remove_file(place.path("proxy.yml")).unwrap();
    let refused = Outlet::open(&config, Clock::start(), Tasks::default()).await;
    assert!(refused.err().unwrap().to_string().contains("cannot read the template "));
}

#[tokio::test]
async fn servers_that_are_not_followed_are_told_with_the_reason() {
    let place = Place::new();
    let more = "   - /run/a.sock:1 three\n   - 10.0.0.4:6379:1\n";
    place.write("proxy.yml", &format!("{TEMPLATE}{more}"));
    let config = place.restarted("[groups]\none = \"orders\"\n\"alpha/two\" = \"bills\"\nfour = \"x\"\n");
    let outlet = open(&config).await;
    assert_eq!(outlet.groups(), ["bills", "orders"].map(str::to_owned).into());
    let told: Vec<String> = outlet
        .status()
        .unfollowed
        .iter()
        .map(|server| format!("{}: {}", server.server, server.reason))
        .collect();
    let expected = [
        "alpha/three: it is a Unix socket",
        "alpha/10.0.0.4:6379: it has no name, so that a move would move its keys",
        "four: [groups] names it, but the file has no such server",
    ];
    assert_eq!(told, expected);
}
