//! How soon the demo answers, from a cold start.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nodpay::parties::{Client, Result};

use super::figures::Figure;

/// The demo must answer by then.
const START_PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn measure() -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let started = Instant::now();
    let mut child = Command::new(std::env::current_exe()?)
        .args(["demo", "--listen", "127.0.0.1:0", "--data"])
        .arg(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let answer = first_answer(&mut child, started);
    let _ = child.kill();
    let _ = child.wait();
    Ok(vec![Figure::millis("demo_up_ms", answer?).at_most(2_000)])
}

/// The demo prints its address on its first line; the page must be there.
fn first_answer(child: &mut Child, started: Instant) -> Result<Duration> {
    let mut lines = BufReader::new(child.stdout.take().ok_or("no pipe from the demo")?).lines();
    let address = loop {
        let line = lines.next().ok_or("the demo ended")??;
        if let Some(start) = line.find("http://") {
            break line[start..].trim().to_owned();
        }
    };
    let (origin, path) = address.rsplit_once('/').ok_or("no address")?;
    let client = Client::new(origin);
    while started.elapsed() < START_PATIENCE {
        if client.get_text(&format!("/{path}")).is_ok() {
            return Ok(started.elapsed());
        }
    }
    Err("the demo page did not come up".into())
}
