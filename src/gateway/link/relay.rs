//! Carries the bytes of one session both ways, through the faults that are there at each moment.

use super::{
    chain::Key,
    flow::{Flow, Over},
    pair::pair,
    proxies::Toxics,
    shape::Shape,
};
use crate::{
    gateway::listener::Gateway,
    policy::{fault::link::Way, verdict::Link},
};
use socket2::SockRef;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Instant, timeout},
};

/// How long a client that was told the end may take to close its side.
const LINGER: Duration = Duration::from_secs(1);
/// A time further off than anything is held.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// What may be between a client and its session.
pub(in crate::gateway) struct Links {
    /// By rules, as long as they are in force. None: it ended.
    rules: Vec<Option<Link>>,
    /// Of the policies that `rules` were last compared with.
    number: u64,
    /// Of the proxy that the session came through.
    toxics: Option<Toxics>,
}

impl Links {
    /// None: nothing can ever be between them.
    pub fn new(rules: Vec<Link>, number: u64, toxics: Option<Toxics>) -> Option<Links> {
        (!rules.is_empty() || toxics.is_some()).then(|| Links {
            rules: rules.into_iter().map(Some).collect(),
            number,
            toxics,
        })
    }

    /// A session that goes without, because it could not be done.
    pub fn could_not_apply(&self) {
        for link in self.rules.iter().flatten() {
            link.rule.life.counters.could_not_apply();
        }
    }

    /// Ends of rules are noticed. When to look again.
    fn look(&mut self, gateway: &Gateway) -> Option<Instant> {
        let policies = &gateway.policies;
        if self.number != policies.number() {
            let current = policies.current();
            self.number = current.number;
            for slot in &mut self.rules {
                let goes_on = |link: &mut Link| match current.rule(link.rule.key) {
                    Some(rule) if rule.continues(&link.rule) => {
                        link.rule = Arc::clone(rule);
                        true
                    }
                    _ => false,
                };
                slot.take_if(|link| !goes_on(link));
            }
        }
        let clock = policies.shared().clock.now();
        let mut next = None;
        for slot in &mut self.rules {
            slot.take_if(|link| link.rule.is_expired(clock) || gateway.is_stopping());
            let end = slot.as_ref().and_then(|link| link.rule.expires_at());
            let end = end.map(|end| Instant::now() + end.saturating_sub(clock).min(FAR));
            next = next.into_iter().chain(end).min();
        }
        next
    }

    /// What is there now, on one way.
    fn shapes(&self, way: Way, stopping: bool) -> Vec<(Key, Shape)> {
        let mut shapes = Vec::new();
        for (at, link) in self.rules.iter().enumerate() {
            if let Some(link) = link
                && link.fault.way().covers(way)
            {
                let draws = link.draws.apart(way as u64);
                shapes.push((Key::Rule(at), Shape::Fault { fault: link.fault.clone(), draws, way }));
            }
        }
        if let Some(toxics) = self.toxics.as_ref().filter(|_| !stopping) {
            let shape = |(id, toxic, draws)| (Key::Toxic(id), Shape::Toxic { toxic, draws });
            shapes.extend(toxics.now(way).into_iter().map(shape));
        }
        shapes
    }
}

/// Makes the end that the session gets.
pub(in crate::gateway) async fn relay(
    client: TcpStream,
) -> Result<(Relay, TcpStream), (TcpStream, io::Error)> {
    match pair().await {
        Ok((ours, theirs)) => Ok((Relay { client, session: ours }, theirs)),
        Err(error) => Err((client, error)),
    }
}

/// A client's socket, and our end of the connection to its session.
pub(in crate::gateway) struct Relay {
    client: TcpStream,
    session: TcpStream,
}

impl Relay {
    /// Until both sides are told the end. `ended` says when the session has.
    pub async fn run(self, gateway: Arc<Gateway>, mut links: Links, ended: watch::Receiver<bool>) {
        let Relay { client, session } = self;
        let (mut up, mut down) = (Flow::new(&gateway.held), Flow::new(&gateway.held));
        let over = carry(&gateway, &mut links, (&mut up, &mut down), (&client, &session), ended).await;
        // The session is told first, whatever the client does.
        drop(session);
        match over {
            Over::Reset => {
                if let Err(error) = SockRef::from(&client).set_linger(Some(Duration::ZERO)) {
                    tracing::debug!(%error, "the connection is closed instead of reset");
                }
            }
            Over::SinkGone => {}
            Over::Finished | Over::Close => linger(&client).await,
        }
    }
}

/// Until the client is told the end, or is to be.
async fn carry(
    gateway: &Gateway,
    links: &mut Links,
    (up, down): (&mut Flow, &mut Flow),
    (client, session): (&TcpStream, &TcpStream),
    mut ended: watch::Receiver<bool>,
) -> Over {
    let mut changes = gateway.policies.changes();
    let stopped = gateway.stopped();
    tokio::pin!(stopped);
    let mut stopping = gateway.is_stopping();
    let mut up_over = false;
    let mut toxics = links.toxics.as_ref().map(Toxics::changes);
    // A client that is never told the end is not kept longer than one that says nothing.
    let abandoned = async {
        if ended.wait_for(|ended| *ended).await.is_ok() {
            tokio::time::sleep(gateway.limits.idle_timeout).await;
        }
    };
    tokio::pin!(abandoned);
    loop {
        let look = links.look(gateway);
        up.set(&links.shapes(Way::Up, stopping));
        down.set(&links.shapes(Way::Down, stopping));
        let next = async {
            match look {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let toxics_changed = async {
            match &mut toxics {
                Some(changes) => changes.changed().await.is_ok(),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            over = down.run(session, client) => return over,
            over = up.run(client, session), if !up_over => match over {
                // what the session still says may be under way
                Over::Finished | Over::SinkGone => up_over = true,
                over => return over,
            },
            changed = changes.changed() => if changed.is_err() { return Over::Close },
            // the proxy is no more, and its connections are dropped
            there = toxics_changed => if !there { return Over::SinkGone },
            () = next => {}
            () = &mut stopped, if !stopping => stopping = true,
            () = &mut abandoned => return Over::Close,
        }
    }
}

/// Ends our side and lets the client end its own: closing with input unread is a reset, which takes with it what the client has
/// not read yet.
async fn linger(client: &TcpStream) {
    let _ = SockRef::from(client).shutdown(std::net::Shutdown::Write);
    let drained = async {
        while client.readable().await.is_ok() {
            match read_away(client) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
    };
    // However it ends, the connection is closed next.
    let _ = timeout(LINGER, drained).await;
}

/// Not part of a future, so that what waits holds no buffer.
fn read_away(client: &TcpStream) -> io::Result<usize> {
    client.try_read(&mut [0; 4096])
}
