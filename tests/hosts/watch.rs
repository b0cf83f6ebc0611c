//! The clients of a run: they work through every fault and remember everything.

use std::net::{Ipv4Addr, SocketAddr};

use crate::chance::Chance;
use crate::crew::{Crew, Pulse};
use crate::operator::{Desk, Operator};
use crate::prober::{Accepted, Prober};
use crate::scene::Scene;
use crate::subscriber::{Heard, Subscriber};
use crate::writer::{Book, Told, Writer};

const OPERATORS: u64 = 2;

/// What the clients of one group know.
pub(crate) struct GroupWatch {
    pub(crate) name: String,
    pub(crate) book: Book,
    /// Each instance, and when it accepted writes.
    pub(crate) accepted: Vec<(Ipv4Addr, Accepted)>,
    /// Its primary when the run began.
    pub(crate) first: Ipv4Addr,
}

pub(crate) struct Watch {
    crew: Crew,
    pub(crate) groups: Vec<GroupWatch>,
    pub(crate) heard: Heard,
    pub(crate) desks: Vec<Desk>,
    pub(crate) pulse: Pulse,
}

impl Watch {
    /// Starts all clients.
    pub(crate) fn start(scene: &Scene, seed: u64) -> Self {
        let mut watch = Self {
            crew: Crew::default(),
            groups: Vec::new(),
            heard: Heard::default(),
            desks: Vec::new(),
            pulse: Pulse::default(),
        };
        let nodes: Vec<SocketAddr> = scene.nodes.iter().map(|node| node.address()).collect();
        let told = Told::default();
        watch.listen(scene, &nodes, &told);
        watch.write(scene, &nodes, &told);
        for number in 0..OPERATORS {
            watch.operate(scene, &nodes, number, seed);
        }
        let (pulse, stop) = (watch.pulse.clone(), watch.crew.stop.clone());
        watch.crew.join(move || pulse.run(&stop));
        watch
    }

    fn listen(&mut self, scene: &Scene, nodes: &[SocketAddr], told: &Told) {
        for node in nodes {
            let subscriber = Subscriber {
                node: *node,
                groups: scene.group_names(),
                heard: self.heard.clone(),
                told: told.clone(),
                stop: self.crew.stop.clone(),
            };
            self.crew.join(|| subscriber.run());
        }
    }

    fn write(&mut self, scene: &Scene, nodes: &[SocketAddr], told: &Told) {
        for group in &scene.groups {
            let writer = Writer {
                group: group.name.clone(),
                nodes: nodes.to_vec(),
                told: told.clone(),
                book: Book::default(),
                stop: self.crew.stop.clone(),
            };
            let mut watched = GroupWatch {
                name: group.name.clone(),
                book: writer.book.clone(),
                accepted: Vec::new(),
                first: group.members[0].host.ip,
            };
            self.crew.join(|| writer.run());
            for member in &group.members {
                let prober = Prober {
                    at: member.address(),
                    accepted: Accepted::default(),
                    stop: self.crew.stop.clone(),
                };
                watched.accepted.push((member.host.ip, prober.accepted.clone()));
                self.crew.join(|| prober.run());
            }
            self.groups.push(watched);
        }
    }

    fn operate(&mut self, scene: &Scene, nodes: &[SocketAddr], number: u64, seed: u64) {
        let place = usize::try_from(number).unwrap_or(0) % scene.groups.len();
        let operator = Operator {
            number,
            group: scene.groups[place].name.clone(),
            nodes: nodes.to_vec(),
            chance: Chance::new(seed ^ (number + 1) << 32),
            desk: Desk::default(),
            stop: self.crew.stop.clone(),
        };
        self.desks.push(operator.desk.clone());
        self.crew.join(|| operator.run());
    }

    /// Ends all clients.
    pub(crate) fn end(self) {
        self.crew.end();
    }
}
