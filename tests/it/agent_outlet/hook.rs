//! The hook: told of each change, and always of the newest in the end.

use super::place::{Place, eventually, open, table};

const HOOK: &str = "[hook]\ncommand = [\"./told\"]\ngroups = [\"g\", \"h\"]\ntimeout-ms = 500\n";

fn lines(place: &Place) -> Vec<serde_json::Value> {
    let text = place.read("documents");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn it_reads_one_document_for_each_change_and_nothing_twice() {
    let place = Place::new();
    place.script("told", "cat >> documents");
    let config = place.config(HOOK);
    let mut outlet = open(&config).await;
    assert_eq!(outlet.groups(), ["g", "h"].map(str::to_owned).into());
    outlet.begin(&table(&[])).await;
    eventually("nothing to tell", || !outlet.status().hook.unwrap().pending).await;
    outlet
        .apply(&table(&[
            ("g", "10.0.0.1:1", 5, &["10.0.0.2:2"]),
            ("x", "10.0.0.1:1", 5, &[]),
        ]))
        .await;
    assert!(outlet.status().hook.unwrap().pending, "at once");
    eventually("told", || lines(&place).len() == 1).await;
    let expected = r#"{"changes":[{"from":null,"group":"g","server":null,"to":"10.0.0.1:1","version":5}],"cluster":"c","groups":{"g":{"primary":"10.0.0.1:1","replicas":["10.0.0.2:2"],"version":5}}}"#;
    assert_eq!(
        lines(&place)[0],
        serde_json::from_str::<serde_json::Value>(expected).unwrap()
    );
    let moved = table(&[("g", "10.0.0.2:2", 6, &[]), ("h", "10.0.0.3:3", 6, &[])]);
    outlet.apply(&moved).await;
    eventually("told of the move", || lines(&place).len() == 2).await;
    let changes = lines(&place)[1]["changes"].clone();
    assert_eq!(changes[0]["from"], "10.0.0.1:1");
    assert_eq!(changes[0]["to"], "10.0.0.2:2");
    assert_eq!(changes[1]["group"], "h");
    eventually("agreed", || !outlet.status().hook.unwrap().pending).await;
    outlet.stop().await;
    // The next agent knows what was told, and goes on from there.
    let mut next = open(&config).await;
    next.begin(&moved).await;
    let only_replicas = table(&[("g", "10.0.0.2:2", 7, &["10.0.0.1:1"]), ("h", "10.0.0.3:3", 6, &[])]);
    next.apply(&only_replicas).await;
    eventually("told of the replicas", || lines(&place).len() == 3).await;
    assert_eq!(lines(&place)[2]["changes"], serde_json::json!([]));
    assert_eq!(lines(&place)[2]["groups"]["g"]["replicas"][0], "10.0.0.1:1");
}

#[tokio::test]
async fn what_changes_while_it_fails_is_one_document_in_the_end() {
    let place = Place::new();
    place.script(
        "told",
        "cat > last; echo x >> calls; test -f good && cat last >> documents",
    );
    let mut outlet = open(&place.config(HOOK)).await;
    outlet.begin(&table(&[("g", "10.0.0.1:1", 1, &[])])).await;
    eventually("failed once", || outlet.status().hook.unwrap().fault.is_some()).await;
    let fault = outlet.status().hook.unwrap().fault.unwrap();
    assert!(fault.contains("code 1"), "{fault}");
    for version in 2..50 {
        outlet
            .apply(&table(&[("g", &format!("10.0.0.1:{version}"), version, &[])]))
            .await;
    }
    place.write("good", "");
    eventually("agreed", || !outlet.status().hook.unwrap().pending).await;
    let documents = lines(&place);
    assert_eq!(documents.len(), 1);
    assert_eq!(documents[0]["changes"][0]["to"], "10.0.0.1:49");
    assert_eq!(documents[0]["changes"][0]["from"], serde_json::Value::Null);
    assert!(place.count("calls") < 5);
    let status = outlet.status().hook.unwrap();
    assert!(status.fault.is_none() && status.told.is_some());
}

#[tokio::test]
async fn what_is_taken_back_before_it_could_be_told_is_no_fault() {
    let place = Place::new();
    place.script("told", "test -f good && cat >> documents");
    place.write("good", "");
    let first = table(&[("g", "10.0.0.1:1", 1, &["10.0.0.2:2"])]);
    let mut outlet = open(&place.config(HOOK)).await;
    outlet.begin(&first).await;
    eventually("told", || !outlet.status().hook.unwrap().pending).await;
    std::fs::remove_file(place.path("good")).unwrap();
    outlet.apply(&table(&[("g", "10.0.0.1:1", 2, &[])])).await;
    eventually("failed", || outlet.status().hook.unwrap().fault.is_some()).await;
    outlet.apply(&table(&[("g", "10.0.0.1:1", 3, &["10.0.0.2:2"])])).await;
    eventually("nothing to tell", || !outlet.status().hook.unwrap().pending).await;
    assert_eq!(outlet.status().hook.unwrap().fault, None);
    assert_eq!(lines(&place).len(), 1);
}

#[tokio::test]
async fn one_that_hangs_is_ended_with_all_that_it_started() {
    let place = Place::new();
    place.script("told", "sleep 600 & echo $! > pid; wait");
    let mut outlet = open(&place.config(HOOK)).await;
    outlet.begin(&table(&[("g", "10.0.0.1:1", 1, &[])])).await;
    eventually("given up", || {
        let fault = outlet.status().hook.unwrap().fault.unwrap_or_default();
        fault.contains("took longer than 500 ms")
    })
    .await;
    let pid = place.read("pid").trim().to_owned();
    eventually("nothing of it is left", || {
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        !command.contains("sleep")
    })
    .await;
}

#[tokio::test]
async fn beside_a_proxy_it_is_told_of_the_servers_of_the_file() {
    let place = Place::new();
    place.script("told", "cat >> documents");
    let mut outlet = open(&place.restarted("[hook]\ncommand = [\"./told\"]\n")).await;
    outlet
        .begin(&table(&[
            ("one", "10.0.0.1:6379", 1, &[]),
            ("other", "10.0.0.1:1", 1, &[]),
        ]))
        .await;
    eventually("told", || lines(&place).len() == 1).await;
    let told = lines(&place)[0].clone();
    assert_eq!(told["changes"][0]["server"], "alpha/one");
    assert_eq!(told["groups"].as_object().unwrap().len(), 1);
}
