//! The simulated surroundings against themselves: what the rest rests on.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use cfgserver::host::Host;
use cfgserver::net::{self, weather};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use turmoil::Sim;

/// All checks, by what they hold.
pub(super) const CHECKS: &[(&str, fn())] = &[
    (
        "a cut holds bytes back and loses none",
        a_cut_holds_bytes_back_and_loses_none,
    ),
    (
        "a cut one way leaves the other open",
        a_cut_one_way_leaves_the_other_open,
    ),
    ("nobody connects across a cut", nobody_connects_across_a_cut),
    (
        "a process that stands still goes on later",
        a_process_that_stands_still_goes_on_later,
    ),
    (
        "who was cut off when a process ended hears of it when the cut is over",
        who_was_cut_off_when_a_process_ended_hears_of_it_later,
    ),
];

const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 1, 1));
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 1, 2));
const PORT: u16 = 7;

/// What was heard: when, and what.
type Heard = Rc<RefCell<Vec<(u64, String)>>>;

fn now_ms() -> u64 {
    turmoil::sim_elapsed().unwrap_or_default().as_millis() as u64
}

/// A server that says what it is told.
fn echo() -> Sim<'static> {
    weather::clear();
    let mut sim = turmoil::Builder::new()
        .rng_seed(1)
        .epoch(std::time::UNIX_EPOCH)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(1))
        .build();
    sim.host(SERVER, || {
        Host::new("server", SERVER, 1).run(async {
            let listener = net::listen(SocketAddr::new(SERVER, PORT))?;
            loop {
                let (mut stream, _) = listener.accept().await?;
                cfgserver::task::Tasks::default().spawn("echo", async move {
                    let mut byte = [0];
                    while let Ok(1) = stream.read(&mut byte).await {
                        _ = stream.write_all(&byte).await;
                    }
                });
            }
        })
    });
    sim
}

/// A client that says `a`, `b`, .. every 10 ms, on one connection.
fn talker(sim: &mut Sim<'static>, machine: &Host, heard: &Heard) {
    let (machine, heard) = (machine.clone(), heard.clone());
    sim.host(CLIENT, move || {
        let heard = heard.clone();
        machine.run(async move {
            let mut stream = match net::connect(&format!("{SERVER}:{PORT}"), Duration::from_millis(100)).await {
                Ok(stream) => stream,
                Err(error) => {
                    heard.borrow_mut().push((now_ms(), error.kind().to_string()));
                    return Ok(());
                }
            };
            for letter in b'a'..=b'e' {
                stream.write_all(&[letter]).await?;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let mut byte = [0];
            while stream.read(&mut byte).await? == 1 {
                heard.borrow_mut().push((now_ms(), char::from(byte[0]).to_string()));
            }
            Ok(())
        })
    });
}

fn run(sim: &mut Sim<'_>, ms: u64) {
    for _ in 0..ms {
        sim.step().unwrap();
    }
}

fn letters(heard: &Heard) -> String {
    heard.borrow().iter().map(|(_, text)| text.as_str()).collect()
}

fn a_cut_holds_bytes_back_and_loses_none() {
    let (mut sim, heard) = (echo(), Heard::default());
    talker(&mut sim, &Host::new("client", CLIENT, 2), &heard);
    run(&mut sim, 25);
    weather::cut((CLIENT, SERVER));
    weather::cut((SERVER, CLIENT));
    run(&mut sim, 100);
    assert_eq!(letters(&heard), "abc", "what was under way");
    weather::mend((CLIENT, SERVER));
    weather::mend((SERVER, CLIENT));
    run(&mut sim, 20);
    assert_eq!(letters(&heard), "abcde");
}

fn a_cut_one_way_leaves_the_other_open() {
    let (mut sim, heard) = (echo(), Heard::default());
    talker(&mut sim, &Host::new("client", CLIENT, 2), &heard);
    run(&mut sim, 12);
    weather::cut((SERVER, CLIENT));
    run(&mut sim, 100);
    let before = letters(&heard);
    weather::mend((SERVER, CLIENT));
    run(&mut sim, 20);
    assert!(before.len() < 3, "{before}");
    assert_eq!(letters(&heard), "abcde");
}

fn nobody_connects_across_a_cut() {
    let (mut sim, heard) = (echo(), Heard::default());
    weather::cut((SERVER, CLIENT));
    talker(&mut sim, &Host::new("client", CLIENT, 2), &heard);
    run(&mut sim, 200);
    assert_eq!(letters(&heard), "timed out");
    assert!(heard.borrow()[0].0 >= 100);
}

fn a_process_that_stands_still_goes_on_later() {
    let (mut sim, heard) = (echo(), Heard::default());
    let machine = Host::new("client", CLIENT, 2);
    talker(&mut sim, &machine, &heard);
    run(&mut sim, 25);
    machine.stop();
    run(&mut sim, 1_000);
    assert_eq!(letters(&heard), "");
    machine.go_on();
    run(&mut sim, 60);
    assert_eq!(letters(&heard), "abcde");
    assert!(heard.borrow()[0].0 > 1_000);
}

fn who_was_cut_off_when_a_process_ended_hears_of_it_later() {
    let (mut sim, heard) = (echo(), Heard::default());
    listener(&mut sim, &heard);
    run(&mut sim, 10);
    weather::cut((SERVER, CLIENT));
    sim.partition_oneway(SERVER, CLIENT);
    weather::dies(Some(SERVER));
    sim.crash(SERVER);
    weather::dies(None);
    sim.repair_oneway(SERVER, CLIENT);
    net::orphan(SERVER, &[CLIENT]);
    run(&mut sim, 100);
    assert_eq!(letters(&heard), "", "nothing is heard of its machine");
    weather::mend((SERVER, CLIENT));
    run(&mut sim, 5);
    assert_eq!(letters(&heard), "ended");
}

/// A client that says nothing, and hears when its connection ends.
fn listener(sim: &mut Sim<'static>, heard: &Heard) {
    let (machine, heard) = (Host::new("client", CLIENT, 2), heard.clone());
    sim.host(CLIENT, move || {
        let heard = heard.clone();
        machine.clone().run(async move {
            let mut stream = net::connect(&format!("{SERVER}:{PORT}"), Duration::from_millis(100)).await?;
            while let Ok(1) = stream.read(&mut [0]).await {}
            heard.borrow_mut().push((now_ms(), "ended".to_owned()));
            Ok(())
        })
    });
}
