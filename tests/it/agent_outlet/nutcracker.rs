//! Debian's own nutcracker: asked for its opinion, and run as the child.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cfgserver::agent::{Config, Outcome, Table};

use super::place::{Place, eventually, moved, open, refused, table};
use crate::world::{Client, Redis, World, has_program, now};

fn file(port: u16, primary: u16) -> String {
    format!(
        "alpha:\n  listen: 127.0.0.1:{port}\n  redis: true\n  hash: fnv1a_64\n  distribution: ketama\n  servers:\n   - \
         127.0.0.1:{primary}:1 one # keys stay by this name\n"
    )
}

fn config(place: &Place, stats: u16) -> Config {
    let run = format!("nutcracker -c {{file}} -a 127.0.0.1 -s {stats} -o nutcracker.log");
    let words: Vec<&str> = run.split(' ').collect();
    place.config(&format!(
        "[proxy]\nkind = \"nutcracker\"\ntemplate = \"proxy.yml\"\nrun = {words:?}\n"
    ))
}

fn one(port: u16, version: u64) -> Table {
    table(&[("one", &format!("127.0.0.1:{port}"), version, &[])])
}

fn get(port: u16) -> Option<String> {
    let mut client = Client::connect(port).ok()?;
    client.patience(Duration::from_secs(1));
    let value = client.try_call(&["GET", "who"]).ok()?;
    (!value.is_error()).then(|| value.text().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_reach_the_new_primary_after_a_gap_of_milliseconds() {
    let Some(world) = World::open().filter(|_| has_program("nutcracker")) else {
        return;
    };
    let (first, second, port) = (Redis::start(&world, &[]), Redis::start(&world, &[]), world.port());
    first.call(&["SET", "who", "first"]);
    second.call(&["SET", "who", "second"]);
    let place = Place::new();
    place.write("proxy.yml", &file(port, first.port));
    let mut outlet = open(&config(&place, world.port())).await;
    moved(&outlet.begin(&Table::default()).await);
    eventually("clients are served", || get(port).as_deref() == Some("first")).await;

    let stop = Arc::new(AtomicBool::new(false));
    let watching = std::thread::spawn({
        let stop = stop.clone();
        move || {
            let (mut longest, mut last) = (Duration::ZERO, now());
            while !stop.load(Ordering::Relaxed) {
                if get(port).is_some() {
                    longest = longest.max(now() - last);
                    last = now();
                }
            }
            longest
        }
    });
    let mut gaps = Vec::new();
    for (version, (to, name)) in [(&second, "second"), (&first, "first"), (&second, "second")]
        .iter()
        .enumerate()
    {
        let outcome = outlet.apply(&one(to.port, version as u64 + 1)).await;
        let Outcome::Applied { proxy_down_ms, .. } = outcome else {
            panic!("{outcome:?}")
        };
        gaps.push(proxy_down_ms);
        eventually("the new primary answers", || get(port).as_deref() == Some(name)).await;
    }
    stop.store(true, Ordering::Relaxed);
    let longest = watching.join().unwrap();
    eprintln!("nutcracker did not listen for {gaps:?} ms, clients saw at most {longest:?}");
    assert!(gaps.iter().all(|gap| *gap < 1_000) && longest < Duration::from_secs(2));
    assert_eq!(place.read("proxy.yml"), file(port, second.port));
    outlet.stop().await;
    assert!(Client::connect(port).is_err(), "it ends with the agent");
}

#[tokio::test]
async fn its_own_check_keeps_a_bad_file_out() {
    if !has_program("nutcracker") {
        return;
    }
    let world = World::bare();
    let place = Place::new();
    let bad = file(world.port(), 1).replace("fnv1a_64", "nonsense");
    place.write("proxy.yml", &bad);
    let mut outlet =
        open(&place.config("[proxy]\nkind = \"nutcracker\"\ntemplate = \"proxy.yml\"\nrestart = [\"./restart\"]\n"))
            .await;
    let reason = refused(&outlet.apply(&one(2, 1)).await);
    assert!(
        reason.contains("nutcracker -t -c ") && reason.contains("syntax is invalid"),
        "{reason}"
    );
    assert_eq!((place.read("proxy.yml"), place.count("restarted")), (bad.clone(), 0));
    place.write("proxy.yml", &bad.replace("nonsense", "md5"));
    assert!(outlet.template_changed().await);
    moved(&outlet.apply(&one(2, 1)).await);
}

#[tokio::test]
async fn a_port_that_is_taken_is_told() {
    if !has_program("nutcracker") {
        return;
    }
    let world = World::bare();
    let port = world.port();
    let taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let place = Place::new();
    place.write("proxy.yml", &file(port, 1));
    let mut outlet = open(&config(&place, world.port())).await;
    outlet.begin(&Table::default()).await;
    eventually("it is told", || {
        let fault = outlet.status().fault.unwrap_or_default();
        fault.contains("ended with code 1")
    })
    .await;
    drop(taken);
    eventually("it is started again, and listens", || Client::connect(port).is_ok()).await;
    outlet.stop().await;
}
