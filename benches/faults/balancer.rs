//! A plain TCP balancer: each new connection goes to the next target that answers. It can cut all connections and stop
//! passing bytes on.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nodpay::parties::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A target that does not accept within this time is passed over.
const CONNECT_TIME: Duration = Duration::from_millis(300);
const BUFFER: usize = 16 * 1024;

/// What becomes of connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Flow {
    /// Connections of an earlier age are cut.
    age: u64,
    paused: bool,
}

/// Runs until it is dropped.
pub(super) struct Balancer {
    address: SocketAddr,
    flow: watch::Sender<Flow>,
    task: tokio::task::JoinHandle<()>,
}

impl Balancer {
    pub(super) async fn start(targets: Vec<SocketAddr>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let flow = watch::Sender::new(Flow::default());
        let (targets, next, seen) = (Arc::new(targets), Arc::new(AtomicUsize::new(0)), flow.subscribe());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (targets, next, flow) = (Arc::clone(&targets), Arc::clone(&next), seen.clone());
                tokio::spawn(async move {
                    if let Some(server) = choose(&targets, &next).await {
                        pass_on(client, server, flow).await;
                    }
                });
            }
        });
        Ok(Self { address, flow, task })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends every connection that is open now.
    pub(super) fn cut(&self) {
        self.flow.send_modify(|flow| flow.age += 1);
    }

    /// Holds back every byte, of new connections too, until told otherwise.
    pub(super) fn pause(&self, paused: bool) {
        self.flow.send_modify(|flow| flow.paused = paused);
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

async fn choose(targets: &[SocketAddr], next: &AtomicUsize) -> Option<TcpStream> {
    let first = next.fetch_add(1, Ordering::Relaxed);
    for step in 0..targets.len() {
        let target = targets.get((first + step) % targets.len())?;
        if let Ok(Ok(stream)) = tokio::time::timeout(CONNECT_TIME, TcpStream::connect(target)).await {
            return Some(stream);
        }
    }
    None
}

async fn pass_on(client: TcpStream, server: TcpStream, flow: watch::Receiver<Flow>) {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let age = flow.borrow().age;
    tokio::select! {
        () = pump(from_client, to_server, flow.clone(), age) => {}
        () = pump(from_server, to_client, flow, age) => {}
    }
}

/// One direction, until its end or a cut.
async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut flow: watch::Receiver<Flow>, age: u64) {
    let mut buffer = vec![0; BUFFER];
    loop {
        let now = *flow.borrow_and_update();
        if now.age != age {
            return;
        }
        let len = tokio::select! {
            biased;
            changed = flow.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            read = from.read(&mut buffer), if !now.paused => read.unwrap_or(0),
        };
        let Some(bytes) = buffer.get(..len).filter(|bytes| !bytes.is_empty()) else { return };
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}
