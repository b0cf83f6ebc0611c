//! The order links of a leader: one per instance that may need orders. One thing at a time goes over each; what comes
//! meanwhile waits behind it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::control::{OrderConnection, Shared};
use crate::failover::{LinkFault, Order, OrderFault, Read, still_stands};
use crate::model::{Address, Facts, Group, GroupConfig, GroupId, Instant, RunId, Term};
use crate::mutation::{self, Mutation};
use crate::redis::{LinkError, OrderError, Target};
use crate::stop::{self, Point};

/// Longest wait for a link, its INFO included.
const OPEN_LIMIT: Duration = Duration::from_millis(1_000);
/// Longest wait for INFO on a link.
const READ_LIMIT: Duration = Duration::from_millis(500);
/// Longest life of an order. CONFIG REWRITE may wait for a slow disk.
const ORDER_LIMIT: Duration = Duration::from_secs(2);

/// A link's place: an instance of a group.
pub(super) type Place = (GroupId, Address);

/// What came of something that went over a link.
pub(super) enum LinkNews {
    /// Opened, or not.
    Opened(Result<Facts, LinkFault>),
    /// INFO was read again, or not.
    Read(Result<Facts, LinkFault>),
    /// An order was answered, or not.
    Answered(Result<Option<Facts>, OrderFault>),
}

/// A piece of work on a link, and the connection if it is still of use.
pub(super) struct LinkDone {
    pub(super) place: Place,
    serial: u64,
    connection: Option<Box<dyn OrderConnection>>,
    pub(super) news: LinkNews,
}

/// Work on a link, to be driven by the leader.
pub(super) type LinkWork = BoxFuture<'static, LinkDone>;

enum Job {
    Read,
    Order(RunId, Order),
}

struct Slot {
    /// Tells this connection from earlier ones to the same place.
    serial: u64,
    target: Target,
    /// Here while nothing goes over it.
    connection: Option<Box<dyn OrderConnection>>,
    queue: VecDeque<Job>,
    used_at: Instant,
    /// An order is on its way, or waits.
    orders: u32,
}

/// All links of a leader.
pub(super) struct Links {
    shared: Arc<Shared>,
    term: Term,
    slots: BTreeMap<Place, Slot>,
    next_serial: u64,
}

impl Links {
    pub(super) fn new(shared: Arc<Shared>, term: Term) -> Self {
        Self {
            shared,
            term,
            slots: BTreeMap::new(),
            next_serial: 0,
        }
    }

    /// No order is on its way on any link.
    pub(super) fn no_orders(&self) -> bool {
        self.slots.values().all(|slot| slot.orders == 0)
    }

    /// Closes every link.
    pub(super) fn close_all(&mut self) {
        self.slots.clear();
    }

    /// Closes the links of a group that `keep` does not want.
    pub(super) fn retain(&mut self, group: GroupId, keep: impl Fn(Address, Instant) -> bool) -> Vec<Address> {
        let closing: Vec<Place> = self
            .slots
            .range((group, MIN_ADDRESS)..)
            .take_while(|((id, _), _)| *id == group)
            .filter(|((_, address), slot)| slot.orders == 0 && !keep(*address, slot.used_at))
            .map(|(place, _)| *place)
            .collect();
        for place in &closing {
            self.slots.remove(place);
        }
        closing.into_iter().map(|(_, address)| address).collect()
    }

    /// Closes the links of a group that were made with other settings than these, as soon as no order is on them.
    pub(super) fn close_outdated(&mut self, group: GroupId, config: &GroupConfig) -> Vec<Address> {
        let slots = self.slots.range((group, MIN_ADDRESS)..);
        let outdated: Vec<Place> = slots
            .take_while(|((id, _), _)| *id == group)
            .filter(|((_, address), slot)| slot.orders == 0 && slot.target != Target::new(*address, config))
            .map(|(place, _)| *place)
            .collect();
        for place in &outdated {
            self.slots.remove(place);
        }
        outdated.into_iter().map(|(_, address)| address).collect()
    }

    /// When the link of a group that was used longest ago was used.
    pub(super) fn oldest_use(&self, group: GroupId) -> Option<Instant> {
        let slots = self.slots.range((group, MIN_ADDRESS)..);
        let own = slots.take_while(|((id, _), _)| *id == group);
        own.map(|(_, slot)| slot.used_at).min()
    }

    /// Opens a link in place of the one that may be there. Also says how many orders waited on that one: they are
    /// not given any more.
    pub(super) fn open(&mut self, place: Place, config: &GroupConfig) -> (usize, LinkWork) {
        self.next_serial += 1;
        let serial = self.next_serial;
        let target = Target::new(place.1, config);
        let slot = Slot {
            serial,
            target: target.clone(),
            connection: None,
            queue: VecDeque::new(),
            used_at: self.shared.now(),
            orders: 0,
        };
        let replaced = self.slots.insert(place, slot);
        let waiting = replaced.iter().flat_map(|slot| &slot.queue);
        let orders_dropped = waiting.filter(|job| matches!(job, Job::Order(..))).count();
        let opening = self.shared.links.open(target, self.term, OPEN_LIMIT);
        let work: LinkWork = Box::pin(async move {
            let (connection, result) = match opening.await {
                Ok(connection) => {
                    let facts = connection.facts().clone();
                    (Some(connection), Ok(facts))
                }
                Err(error) => (None, Err(link_fault(place, &error))),
            };
            LinkDone {
                place,
                serial,
                connection,
                news: LinkNews::Opened(result),
            }
        });
        (orders_dropped, work)
    }

    /// Reads INFO on a link. `None`: when what is on its way there is done, or there is no link.
    pub(super) fn read(&mut self, place: Place) -> Option<LinkWork> {
        self.enqueue(place, Job::Read)
    }

    /// Gives an order on a link. `None`: when what is on its way there is done.
    pub(super) fn order(&mut self, place: Place, run_id: RunId, order: Order) -> Result<Option<LinkWork>, OrderFault> {
        if let Some(slot) = self.slots.get_mut(&place) {
            slot.orders += 1;
            return Ok(self.enqueue(place, Job::Order(run_id, order)));
        }
        Err(OrderFault::Unknown)
    }

    fn enqueue(&mut self, place: Place, job: Job) -> Option<LinkWork> {
        let slot = self.slots.get_mut(&place)?;
        slot.queue.push_back(job);
        self.go_on(place)
    }

    /// Takes the connection back. What waited behind it goes on, or fails with it.
    pub(super) fn done(&mut self, done: LinkDone) -> (Vec<(Place, LinkNews)>, Option<LinkWork>) {
        let place = done.place;
        let now = self.shared.now();
        let mut news = vec![(place, done.news)];
        let Some(slot) = self.slots.get_mut(&place).filter(|slot| slot.serial == done.serial) else {
            // Replaced meanwhile: only the fate of an order still matters.
            news.retain(|(_, news)| matches!(news, LinkNews::Answered(..)));
            return (news, None);
        };
        slot.used_at = now;
        if matches!(news[0].1, LinkNews::Answered(..)) {
            slot.orders = slot.orders.saturating_sub(1);
        }
        if let Some(connection) = done.connection {
            slot.connection = Some(connection);
            return (news, self.go_on(place));
        }
        if let Some(slot) = self.slots.remove(&place) {
            news.extend(slot.queue.into_iter().map(|job| match job {
                Job::Read => (place, LinkNews::Read(Err(LinkFault::Failed))),
                Job::Order(..) => (place, LinkNews::Answered(Err(OrderFault::Unknown))),
            }));
        }
        (news, None)
    }

    fn go_on(&mut self, place: Place) -> Option<LinkWork> {
        let slot = self.slots.get_mut(&place)?;
        if slot.queue.is_empty() {
            return None;
        }
        let mut connection = slot.connection.take()?;
        let job = slot.queue.pop_front()?;
        let serial = slot.serial;
        let (shared, term) = (self.shared.clone(), self.term);
        Some(Box::pin(async move {
            let (keep, news) = match job {
                Job::Read => read(place, connection.as_mut()).await,
                Job::Order(run_id, order) => give(&shared, term, place, connection.as_mut(), &run_id, order).await,
            };
            LinkDone {
                place,
                serial,
                connection: (keep == Keep::Yes).then_some(connection),
                news,
            }
        }))
    }
}

/// The smallest address, for ranges over a group's links.
const MIN_ADDRESS: Address = Address {
    ip: std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
    port: 0,
};

/// Whether the connection is still of use.
#[derive(PartialEq, Eq)]
enum Keep {
    Yes,
    No,
}

async fn read(place: Place, connection: &mut dyn OrderConnection) -> (Keep, LinkNews) {
    match connection.refresh(READ_LIMIT).await {
        Ok(facts) => (Keep::Yes, LinkNews::Read(Ok(facts))),
        Err(error) => (Keep::No, LinkNews::Read(Err(link_fault(place, &error)))),
    }
}

async fn give(
    shared: &Shared,
    term: Term,
    place: Place,
    connection: &mut dyn OrderConnection,
    run_id: &RunId,
    order: Order,
) -> (Keep, LinkNews) {
    let (before, after) = points(&order);
    // Counted before the fence is asked: who shuts it and then sees none on its way may rely on that.
    let _under_way = UnderWay::new(&shared.orders);
    let given = AtomicBool::new(false);
    // Rule 4: asked right before each write. Nothing is written that the committed state does not want any more, nor to
    // an instance that is not any more what it was wanted for.
    let fence = |read: &Facts| {
        let state = shared.board.state();
        let sightings = shared.board.sightings(place.0);
        let wall = state.time(shared.clock.wall());
        let read = Read { facts: read, wall };
        let stands = |group: &Arc<Group>| still_stands(group, &sightings, place.1, read, run_id, &order);
        let leads = shared.proposals.holds_lease() || mutation::is_on(Mutation::OrderAfterLease);
        let holds = leads && state.group(place.0).is_some_and(stands);
        if holds {
            let repeated = given.swap(true, Ordering::Relaxed);
            tracing::debug!(
                target: "cfgserver::order", group = place.0.0, term, address = %place.1, %run_id, %order, repeated, "leaves"
            );
            before.into_iter().for_each(stop::here);
        }
        holds
    };
    let state = shared.board.state();
    let name = state.group(place.0).map(|group| &group.name);
    let group = name.map_or_else(|| place.0.to_string(), ToString::to_string);
    tracing::info!(target: "cfgserver::control", %group, address = %place.1, %order, "order");
    let result = connection.execute(&order, run_id, &fence, ORDER_LIMIT).await;
    if result.is_ok() {
        after.into_iter().for_each(|point| shared.stop_at(point));
    }
    match result {
        Ok(facts) => {
            let keep = if facts.is_some() { Keep::Yes } else { Keep::No };
            (keep, LinkNews::Answered(Ok(facts)))
        }
        Err(error) => {
            tracing::warn!(target: "cfgserver::control", %group, address = %place.1, %order, %error,
                "order failed");
            let fault = order_fault(&error);
            let keep = match fault {
                OrderFault::LeaseLost | OrderFault::Refused(_) => Keep::Yes,
                OrderFault::OtherProcess | OrderFault::Unreachable | OrderFault::Unknown => Keep::No,
            };
            (keep, LinkNews::Answered(Err(fault)))
        }
    }
}

/// An order on its way, counted until it is answered or dropped.
struct UnderWay<'a>(&'a AtomicUsize);

impl<'a> UnderWay<'a> {
    fn new(orders: &'a AtomicUsize) -> Self {
        orders.fetch_add(1, Ordering::SeqCst);
        Self(orders)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn points(order: &Order) -> (Option<Point>, Option<Point>) {
    match order {
        Order::Promote => (Some(Point::BeforePromote), Some(Point::AfterPromote)),
        Order::Follow { .. } => (Some(Point::BeforeFollow), Some(Point::AfterFollow)),
        Order::Pause { .. } => (Some(Point::BeforePause), Some(Point::AfterPause)),
        Order::StepDown { .. } | Order::Yield { .. } => (Some(Point::BeforeStepDown), Some(Point::AfterStepDown)),
        Order::TakeBack => (Some(Point::BeforeTakeBack), Some(Point::AfterTakeBack)),
        Order::Unpause => (None, None),
    }
}

fn link_fault(place: Place, error: &OrderError) -> LinkFault {
    tracing::debug!(target: "cfgserver::control", group = %place.0, address = %place.1, %error, "order link failed");
    match error {
        OrderError::Link(LinkError::Refused) => LinkFault::Refused,
        _ => LinkFault::Failed,
    }
}

fn order_fault(error: &OrderError) -> OrderFault {
    match error {
        OrderError::OtherProcess { .. } => OrderFault::OtherProcess,
        OrderError::LeaseLost => OrderFault::LeaseLost,
        OrderError::Refused(text) => OrderFault::Refused(text.as_str().into()),
        OrderError::Link(LinkError::Refused) => OrderFault::Unreachable,
        OrderError::Link(_) | OrderError::Info(_) => OrderFault::Unknown,
    }
}
