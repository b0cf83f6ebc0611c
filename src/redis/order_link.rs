//! A link of the leader: who is on the other side is read on the connection that carries the order.

use std::collections::VecDeque;
use std::time::Duration;

use tracing::warn;

use crate::detect::parse_info;
use crate::failover::Order;
use crate::model::{Facts, RunId};
use crate::redis::clients::links_of_the_past;
use crate::redis::link::{explained, request};
use crate::redis::order::{LeaderName, OrderReply, Reading};
use crate::redis::{Answer, Link, LinkError, OrderError, Target};

/// A link that orders go over. It knows the process on the other side, and is named after the leader so that whoever
/// comes next can close it: an order that is held on its way must not land when nobody expects it any more.
#[derive(Debug)]
pub struct OrderLink {
    target: Target,
    name: LeaderName,
    link: Link,
    facts: Facts,
}

impl OrderLink {
    /// Connects, closes the links of other leaders there and those that this one has given up, and reads INFO, together
    /// within `limit`.
    ///
    /// Where CLIENT is renamed or forbidden the link has no name and closes nothing.
    pub async fn open(target: &Target, name: LeaderName, limit: Duration) -> Result<Self, OrderError> {
        within(limit, Self::establish(target, name)).await
    }

    /// INFO as it was read last on this connection.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Reads INFO again, on this connection.
    pub async fn refresh(&mut self, limit: Duration) -> Result<&Facts, OrderError> {
        let mut answers: VecDeque<Answer> = self.link.call(&[request(["INFO"])], limit).await?.into();
        self.facts = facts(answers.pop_back())?;
        Ok(&self.facts)
    }

    /// Gives an order to the process `expected`, and reads INFO after it.
    ///
    /// Nothing is sent unless that process was read on this connection. `fence` is asked right before each write, with
    /// what was read last.
    /// A connection that ends after the write leaves the effect open: the instance is asked for INFO once more, over
    /// a new connection, within what is left of `limit`.
    pub async fn execute(
        &mut self,
        order: &Order,
        expected: &RunId,
        fence: &(dyn Fn(&Facts) -> bool + Sync),
        limit: Duration,
    ) -> Result<OrderReply, OrderError> {
        if self.facts.run_id != *expected {
            let found = self.facts.run_id.clone();
            return Err(OrderError::OtherProcess { found });
        }
        let done = within(limit, self.carry_out(order, fence)).await;
        if let Err(OrderError::Link(error)) = &done {
            // Answers may still be on their way: nothing else may be read here as if it were the next one.
            self.link.fail(error.clone());
        }
        done
    }

    async fn establish(target: &Target, name: LeaderName) -> Result<Self, OrderError> {
        let mut link = Link::connect(target, CONNECT_MAX).await?;
        let commands = [
            request(["CLIENT", "SETNAME", &name.to_string()]),
            request(["CLIENT", "LIST"]),
            request(["INFO"]),
        ];
        let mut answers = VecDeque::new();
        link.exchange(&commands, &mut answers).await?;
        let info = answers.pop_back();
        let stale = answers
            .pop_back()
            .map_or_else(Vec::new, |list| links_of_the_past(&list, &name));
        // An order may have landed over one of them before it was closed: read INFO after that.
        let info = if stale.is_empty() {
            info
        } else {
            close(&mut link, &stale).await?
        };
        Ok(Self {
            target: target.clone(),
            name,
            link,
            facts: facts(info)?,
        })
    }

    async fn carry_out(
        &mut self,
        order: &Order,
        fence: &(dyn Fn(&Facts) -> bool + Sync),
    ) -> Result<OrderReply, OrderError> {
        for form in order.forms(self.facts.failing_over) {
            let mut answers = VecDeque::new();
            if !fence(&self.facts) {
                return Err(OrderError::LeaseLost);
            }
            if let Err(error) = self.link.exchange(&form.requests, &mut answers).await {
                return self.look_again(order, error).await;
            }
            let facts = facts(answers.pop_back()).ok();
            // What it is by now is what the next form, or the next order, is made for, and what the fence is asked about.
            if let Some(facts) = &facts {
                self.facts = facts.clone();
            }
            match form.read(answers.make_contiguous()) {
                // Done is done, also when it cannot be read: then only a sighting tells.
                Reading::Done => return Ok(OrderReply { facts }),
                Reading::Refused(text) => return Err(OrderError::Refused(text)),
                Reading::NothingDone => {
                    let why = answers.iter().find_map(|answer| match answer {
                        Answer::Error(text) => Some(explained(text)),
                        _ => None,
                    });
                    // The order matters more than its frills: clients are not disconnected, nothing is written down.
                    warn!(
                        target: "cfgserver::order", address = %self.target.address, %order,
                        reason = why.as_deref().unwrap_or("transaction aborted"), "the order goes alone"
                    );
                }
            }
        }
        Err(OrderError::Refused("transaction aborted".to_owned()))
    }

    /// The connection ended under an order. CLIENT KILL may have closed it, after the order was carried out; or the
    /// instance, before it came: then it was not, and must not be taken for done.
    async fn look_again(&mut self, order: &Order, error: LinkError) -> Result<OrderReply, OrderError> {
        if error != LinkError::Closed {
            return Err(error.into());
        }
        let expected = self.facts.run_id.clone();
        *self = Self::establish(&self.target, self.name.clone()).await?;
        // Another process is told as it is.
        if self.facts.run_id == expected && !order.shows_in(&self.facts) {
            return Err(error.into());
        }
        let facts = Some(self.facts.clone());
        Ok(OrderReply { facts })
    }
}

/// Longest wait for a connection; the caller's limit is usually shorter.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Closes connections by their ids; INFO after that.
async fn close(link: &mut Link, ids: &[u64]) -> Result<Option<Answer>, LinkError> {
    let kill = |id: &u64| request(["CLIENT", "KILL", "ID", &id.to_string()]);
    let mut commands: Vec<_> = ids.iter().map(kill).collect();
    commands.push(request(["INFO"]));
    let mut answers = VecDeque::new();
    link.exchange(&commands, &mut answers).await?;
    Ok(answers.pop_back())
}

fn facts(info: Option<Answer>) -> Result<Facts, OrderError> {
    match info {
        Some(Answer::Bulk(text)) => Ok(parse_info(&text)?),
        Some(Answer::Error(text)) => Err(OrderError::Refused(explained(&text).into_owned())),
        _ => Err(LinkError::Protocol("info is no text".to_owned()).into()),
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, OrderError>>) -> Result<T, OrderError> {
    let done = tokio::time::timeout(limit, work).await;
    done.unwrap_or(Err(OrderError::Link(LinkError::TimedOut)))
}
