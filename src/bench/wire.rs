//! Bytes between the watch and the service, HTTP headers included, TCP and TLS apart.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nodpay::parties::Result;

/// Passes bytes on between the watch and the service, and counts them.
pub(super) struct CountingProxy {
    pub(super) address: String,
    count: Arc<AtomicU64>,
}

impl CountingProxy {
    pub(super) fn before(origin: &str) -> Result<Self> {
        let target = origin.strip_prefix("http://").ok_or("the service is not plain HTTP")?.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = format!("http://{}", listener.local_addr()?);
        let count = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&count);
        std::thread::spawn(move || {
            for incoming in listener.incoming().flatten() {
                if let Ok(onward) = TcpStream::connect(&target) {
                    // A head and a body that come one after the other go on so, without waiting for each other.
                    let _ = (incoming.set_nodelay(true), onward.set_nodelay(true));
                    pass(&incoming, &onward, &counter);
                    pass(&onward, &incoming, &counter);
                }
            }
        });
        Ok(Self { address, count })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }
}

fn pass(from: &TcpStream, to: &TcpStream, count: &Arc<AtomicU64>) {
    let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else { return };
    let count = Arc::clone(count);
    std::thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let Some(bytes) = buffer.get(..length) else { return };
            count.fetch_add(u64::try_from(length).unwrap_or(0), Ordering::SeqCst);
            if to.write_all(bytes).is_err() {
                return;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
}
