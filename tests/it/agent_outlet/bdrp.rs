//! BDRP: follows primaries by itself and rewrites its file; what its read replicas lose, only a restart brings back.

use cfgserver::agent::{Config, Outcome};

use super::place::{Place, moved, open, refused, table};

const TEMPLATE: &str = "\
# ours
sigma:
  listen: 127.0.0.1:33102
  servers:
   - server1
     10.0.0.1:6379:1
     10.0.0.2:6379:1
   - server2
     10.0.0.4:6379:1
";

/// As the proxy itself writes it: no comments, more settings.
fn rewritten(server1: &str) -> String {
    format!(
        "sigma:\n  listen: 127.0.0.1:33102\n  hash: crc16\n  preconnect: false\n  servers:\n   - server1\n{server1}   - \
         server2\n     10.0.0.4:6379:1\n\n"
    )
}

fn place() -> (Place, Config) {
    let place = Place::new();
    place.write("proxy.yml", TEMPLATE);
    let config = place.config(
        "[proxy]\nkind = \"bdrp\"\ntemplate = \"proxy.yml\"\noutput = \"out.yml\"\nrestart = [\"./restart\", \"{file}\"]\n",
    );
    (place, config)
}

fn server1(primary: &str, replicas: &[&str]) -> cfgserver::agent::Table {
    table(&[
        ("sigma-server1", primary, 2, replicas),
        ("sigma-server2", "10.0.0.4:6379", 1, &[]),
    ])
}

#[tokio::test]
async fn a_switch_that_the_proxy_has_made_by_itself_needs_no_restart() {
    let (place, config) = place();
    let mut outlet = open(&config).await;
    assert_eq!(
        outlet.groups(),
        ["sigma-server1", "sigma-server2"].map(str::to_owned).into()
    );
    moved(&outlet.begin(&server1("10.0.0.1:6379", &["10.0.0.2:6379"])).await);
    assert_eq!(
        (place.read("out.yml").as_str(), place.count("restarted")),
        (TEMPLATE, 1)
    );
    // It rewrote the slave entry that was the old primary; the new primary serves its own reads.
    let switched = rewritten("     10.0.0.2:6379:1\n     10.0.0.2:6379:1\n");
    place.write("out.yml", &switched);
    assert_eq!(outlet.apply(&server1("10.0.0.2:6379", &[])).await, Outcome::Unchanged);
    assert_eq!((place.read("out.yml"), place.count("restarted")), (switched, 1));
}

#[tokio::test]
async fn read_replicas_that_eroded_come_back_with_one_restart() {
    let (place, config) = place();
    let mut outlet = open(&config).await;
    outlet.begin(&server1("10.0.0.1:6379", &["10.0.0.2:6379"])).await;
    place.write("out.yml", &rewritten("     10.0.0.2:6379:1\n     10.0.0.2:6379:1\n"));
    let whole = server1("10.0.0.2:6379", &["10.0.0.1:6379"]);
    assert_eq!(moved(&outlet.apply(&whole).await), [""; 0], "no primary moved");
    let expected = TEMPLATE.replace(
        "10.0.0.1:6379:1\n     10.0.0.2:6379:1",
        "10.0.0.2:6379:1\n     10.0.0.1:6379:1",
    );
    assert_eq!((place.read("out.yml"), place.count("restarted")), (expected, 2));
    assert_eq!(outlet.apply(&whole).await, Outcome::Unchanged);
}

#[tokio::test]
async fn an_edit_of_the_template_is_written_whatever_the_proxy_made_of_the_last_one() {
    let (place, config) = place();
    let table = server1("10.0.0.1:6379", &["10.0.0.2:6379"]);
    let mut outlet = open(&config).await;
    outlet.begin(&table).await;
    place.write("out.yml", &rewritten("     10.0.0.1:6379:1\n     10.0.0.2:6379:1\n"));
    assert_eq!(outlet.apply(&table).await, Outcome::Unchanged);
    outlet.stop().await;
    let edited = format!("{TEMPLATE}  timeout: 400\n");
    place.write("proxy.yml", &edited);
    // Also when the agent did not run meanwhile.
    let mut next = open(&config).await;
    moved(&next.begin(&table).await);
    assert_eq!((place.read("out.yml"), place.count("restarted")), (edited, 2));
}

#[tokio::test]
async fn a_proxy_that_writes_its_own_memory_over_the_new_file_is_restarted_again() {
    let (place, config) = place();
    let old = rewritten("     10.0.0.1:6379:1\n     10.0.0.2:6379:1\n");
    let mut outlet = open(&config).await;
    outlet.begin(&server1("10.0.0.1:6379", &["10.0.0.2:6379"])).await;
    place.write("old.yml", &old);
    place.script("restart", "cp old.yml out.yml; echo x >> restarted");
    let table = server1("10.0.0.9:6379", &[]);
    let reason = refused(&outlet.apply(&table).await);
    assert!(reason.contains("rewritten its file"), "{reason}");
    place.script("restart", "echo x >> restarted");
    moved(&outlet.apply(&table).await);
    assert!(place.read("out.yml").contains("10.0.0.9:6379:1"));
    assert_eq!(outlet.apply(&table).await, Outcome::Unchanged);
}

#[tokio::test]
async fn a_primary_with_an_ipv6_address_stays_out_and_holds_up_nobody() {
    let (place, config) = place();
    let mut outlet = open(&config).await;
    let table = table(&[
        ("sigma-server1", "[::1]:6379", 2, &[]),
        ("sigma-server2", "10.0.0.5:6379", 2, &["10.0.0.4:6379", "[::1]:1"]),
    ]);
    assert_eq!(
        moved(&outlet.begin(&table).await),
        ["sigma/server2 10.0.0.4:6379 10.0.0.5:6379"]
    );
    assert_eq!(
        place.read("out.yml"),
        TEMPLATE.replace("10.0.0.4:6379:1", "10.0.0.5:6379:1\n     10.0.0.4:6379:1")
    );
    let told = outlet.status().stuck;
    assert_eq!(told.len(), 1);
    assert!(
        told[0].server == "sigma/server1" && told[0].reason.contains("IPv6"),
        "{told:?}"
    );
}
