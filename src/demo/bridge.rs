//! Between the demo page and the watch process: WebSocket messages and pipe messages are the same bytes, a kind and a
//! payload. Whoever opens the page sees the last picture at once.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use nodpay::parties::Result;
use tokio::sync::broadcast;

use super::RESTART_AFTER;

/// Pictures a slow page may be behind before it loses some.
const BACKLOG: usize = 16;
/// A camera frame of 1280 × 960 fits.
const MAX_MESSAGE: usize = 2 * 1024 * 1024;

/// The running watch and its watchers.
pub(crate) struct Bridge(Arc<Inner>);

struct Inner {
    data: PathBuf,
    watch: Mutex<Watch>,
    shown: broadcast::Sender<Vec<u8>>,
    stopped: AtomicBool,
}

#[derive(Default)]
struct Watch {
    child: Option<Child>,
    stdin: Option<ChildStdin>,
    /// The newest picture and elements, each as a whole message.
    picture: Vec<u8>,
    elements: Vec<u8>,
}

impl Bridge {
    /// Starts the watch over `data` and keeps it running.
    pub(crate) fn start(data: &Path) -> Result<Self> {
        let (shown, _) = broadcast::channel(BACKLOG);
        let inner =
            Arc::new(Inner { data: data.to_owned(), watch: Mutex::default(), shown, stopped: AtomicBool::new(false) });
        let mut stdout = inner.spawn()?;
        let reader = Arc::clone(&inner);
        std::thread::spawn(move || {
            loop {
                reader.pass_on(&mut stdout);
                if reader.stopped.load(Ordering::SeqCst) {
                    return;
                }
                tracing::warn!("the watch ended; it is started again");
                std::thread::sleep(RESTART_AFTER);
                match reader.spawn() {
                    Ok(again) => stdout = again,
                    Err(error) => return tracing::error!("the watch does not start: {error}"),
                }
            }
        });
        Ok(Self(inner))
    }

    /// Serves `GET /demo/watch`.
    pub(crate) fn handler<S>(&self) -> axum::routing::MethodRouter<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        let inner = Arc::clone(&self.0);
        axum::routing::get(move |upgrade: WebSocketUpgrade| {
            let inner = Arc::clone(&inner);
            async move { upgrade_to(upgrade, inner) }
        })
    }

    /// Ends the watch.
    pub(crate) fn stop(&self) {
        self.0.stopped.store(true, Ordering::SeqCst);
        if let Some(mut child) = self.0.watch().child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn upgrade_to(upgrade: WebSocketUpgrade, inner: Arc<Inner>) -> Response {
    upgrade.max_message_size(MAX_MESSAGE).on_upgrade(move |socket| inner.talk(socket))
}

impl Inner {
    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(&self) -> Result<ChildStdout> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["watch", "run", "--simulator", "--demo-keys", "--data"])
            .arg(&self.data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().ok_or("no pipe from the watch")?;
        let mut watch = self.watch();
        watch.stdin = child.stdin.take();
        watch.child = Some(child);
        Ok(stdout)
    }

    /// Reads the watch's messages until it ends.
    fn pass_on(&self, stdout: &mut ChildStdout) {
        let mut head = [0; 5];
        while stdout.read_exact(&mut head).is_ok() {
            let [kind, length @ ..] = head;
            let Ok(length) = usize::try_from(u32::from_be_bytes(length)) else { return };
            if length > MAX_MESSAGE {
                return;
            }
            let mut message = vec![kind; length + 1];
            let Some(payload) = message.get_mut(1..) else { return };
            if stdout.read_exact(payload).is_err() {
                return;
            }
            {
                let mut watch = self.watch();
                match kind {
                    b'P' => watch.picture.clone_from(&message),
                    b'E' => watch.elements.clone_from(&message),
                    _ => {}
                }
            }
            let _ = self.shown.send(message);
        }
    }

    async fn talk(self: Arc<Self>, mut socket: WebSocket) {
        let mut shown = self.shown.subscribe();
        let first = {
            let watch = self.watch();
            [watch.picture.clone(), watch.elements.clone()]
        };
        for message in first.into_iter().filter(|message| !message.is_empty()) {
            if socket.send(Message::Binary(message.into())).await.is_err() {
                return;
            }
        }
        loop {
            tokio::select! {
                message = shown.recv() => match message {
                    Ok(message) => {
                        if socket.send(Message::Binary(message.into())).await.is_err() {
                            return;
                        }
                    }
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                message = socket.recv() => match message {
                    Some(Ok(Message::Binary(bytes))) => self.forward(&bytes),
                    Some(Ok(Message::Text(_) | Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                },
            }
        }
    }

    /// To the watch's pipe; the watch reads as fast as frames come, so this does not wait long.
    fn forward(&self, message: &[u8]) {
        let Some((kind, payload)) = message.split_first() else { return };
        let Ok(length) = u32::try_from(payload.len()) else { return };
        if let Some(stdin) = self.watch().stdin.as_mut() {
            let sent = stdin
                .write_all(&[*kind])
                .and_then(|()| stdin.write_all(&length.to_be_bytes()))
                .and_then(|()| stdin.write_all(payload))
                .and_then(|()| stdin.flush());
            if sent.is_err() {
                tracing::warn!("the watch does not listen");
            }
        }
    }
}
