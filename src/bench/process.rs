//! What Linux says about another process: proc(5).

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use nodpay::parties::Result;

/// Of every machine this runs on. A larger page would be counted as several small ones, in memory and out of it alike.
const PAGE: u64 = 4096;
/// An entry of `/proc/PID/pagemap`, in bytes; its highest bit says that the page is in memory.
const PAGEMAP_ENTRY: u64 = 8;
const PAGE_PRESENT: u64 = 1 << 63;
/// Clock ticks a second in `/proc`: USER_HZ, on every architecture this runs on.
const TICKS: u64 = 100;

/// Where the faces lie in a program's file, in bytes from its start.
pub(super) struct Fonts(Vec<Range<u64>>);

impl Fonts {
    /// # Errors
    /// If the program does not hold the faces of this build, whole and as they are.
    pub(super) fn in_program(program: &[u8]) -> Result<Self> {
        let find = |face: &[u8]| -> Result<Range<u64>> {
            let at = program.windows(face.len()).position(|window| window == face);
            let at = u64::try_from(at.ok_or("the watch program has not the fonts of this build")?)?;
            Ok(at..at + u64::try_from(face.len())?)
        };
        nodpay_watch_app::fonts::faces().into_iter().map(find).collect::<Result<_>>().map(Self)
    }

    /// What they take of the file.
    pub(super) fn bytes(&self) -> u64 {
        self.0.iter().map(|face| face.end - face.start).sum()
    }
}

/// Resident memory, in bytes.
#[derive(Clone, Copy)]
pub(super) struct Memory {
    /// All of it (`Rss` of all mappings): anonymous, and program, libraries and fonts as far as they are in memory.
    pub(super) total: u64,
    /// Heap, stacks, and pages of the program that were written to.
    pub(super) anonymous: u64,
    /// Pages that hold nothing but fonts.
    pub(super) fonts: u64,
}

impl Memory {
    pub(super) fn of(pid: u32, fonts: &Fonts) -> Result<Self> {
        let program = std::fs::read_link(format!("/proc/{pid}/exe"))?;
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps"))?;
        let mut pages = File::open(format!("/proc/{pid}/pagemap"))?;
        let mut memory = Self { total: 0, anonymous: 0, fonts: 0 };
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("Rss:") => memory.total += kilobytes(words.next())?,
                Some("Anonymous:") => memory.anonymous += kilobytes(words.next())?,
                _ => {
                    if let Some(mapping) = Mapping::of_line(line)
                        && mapping.file == program
                    {
                        memory.fonts += mapping.font_pages(fonts, &mut pages)? * PAGE;
                    }
                }
            }
        }
        Ok(memory)
    }

    /// Without the fonts.
    pub(super) fn apart_from_fonts(&self) -> u64 {
        self.total.saturating_sub(self.fonts)
    }
}

fn kilobytes(word: Option<&str>) -> Result<u64> {
    Ok(word.ok_or("no figure")?.parse::<u64>()? * 1024)
}

/// A part of a file in a process's memory.
struct Mapping {
    addresses: Range<u64>,
    /// Of the first byte in the file.
    offset: u64,
    file: PathBuf,
}

impl Mapping {
    /// `559f5c8a5000-559f5c8f5000 r--p 00000000 fe:00 1234  /usr/bin/nodpay-watch`
    fn of_line(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let number = |word: &str| u64::from_str_radix(word, 16).ok();
        let addresses = number(start)?..number(end)?;
        let offset = number(words.nth(1)?)?;
        let file = line.get(line.find('/')?..)?.into();
        Some(Self { addresses, offset, file })
    }

    /// How many pages of this mapping are in memory and hold nothing but fonts.
    fn font_pages(&self, fonts: &Fonts, pages: &mut File) -> Result<u64> {
        let end = self.offset + (self.addresses.end - self.addresses.start);
        let mut present = 0;
        for face in &fonts.0 {
            let first = face.start.max(self.offset).div_ceil(PAGE);
            let last = face.end.min(end) / PAGE;
            for page in first..last {
                let address = self.addresses.start + page * PAGE - self.offset;
                pages.seek(SeekFrom::Start(address / PAGE * PAGEMAP_ENTRY))?;
                let mut entry = [0; 8];
                pages.read_exact(&mut entry)?;
                present += u64::from(u64::from_ne_bytes(entry) & PAGE_PRESENT != 0);
            }
        }
        Ok(present)
    }
}

/// What a process takes: proc_pid_stat(5), proc_pid_status(5).
#[derive(Clone, Copy)]
pub(super) struct Usage {
    /// Time on a processor since its start, threads that have ended included; to a hundredth of a second.
    pub(super) cpu: Duration,
    /// Resident memory, in bytes.
    pub(super) rss: u64,
}

impl Usage {
    pub(super) fn of(pid: u32) -> Result<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The second field, the program's name in brackets, may hold anything; utime and stime are the 14th and 15th.
        let (_, fields) = stat.rsplit_once(") ").ok_or("no name in stat")?;
        let ticks = fields.split_ascii_whitespace().skip(11).take(2).map(str::parse::<u64>);
        let ticks = ticks.sum::<std::result::Result<u64, _>>()?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let rss = kilobytes(rss.and_then(|rss| rss.split_ascii_whitespace().next()))?;
        Ok(Self { cpu: Duration::from_millis(ticks * 1_000 / TICKS), rss })
    }

    /// Time on a processor of all processes with this name and of their children that have ended.
    pub(super) fn cpu_of_all(name: &str) -> Result<Duration> {
        let mut ticks = 0;
        for process in std::fs::read_dir("/proc")? {
            // Processes end while one looks.
            let Ok(stat) = std::fs::read_to_string(process?.path().join("stat")) else { continue };
            if let Some((head, fields)) = stat.rsplit_once(") ")
                && head.ends_with(&format!("({name}"))
            {
                ticks += fields.split_ascii_whitespace().skip(11).take(4).flat_map(str::parse::<u64>).sum::<u64>();
            }
        }
        Ok(Duration::from_millis(ticks * 1_000 / TICKS))
    }

    /// Of this process.
    pub(super) fn own() -> Result<Self> {
        Self::of(std::process::id())
    }
}

/// What a process has done since its start, all threads together.
#[derive(Clone, Copy)]
pub(super) struct Activity {
    /// Time on a processor, to the nanosecond (`schedstat`).
    pub(super) cpu: Duration,
    /// How often a thread slept and was woken (`voluntary_ctxt_switches`).
    pub(super) wakeups: u64,
}

impl Activity {
    pub(super) fn of(pid: u32) -> Result<Self> {
        let mut activity = Self { cpu: Duration::ZERO, wakeups: 0 };
        for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
            let thread = thread?.path();
            let times = std::fs::read_to_string(thread.join("schedstat"))?;
            let on_cpu = times.split_ascii_whitespace().next().ok_or("an empty schedstat")?;
            activity.cpu += Duration::from_nanos(on_cpu.parse()?);
            let status = std::fs::read_to_string(thread.join("status"))?;
            let switches = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            activity.wakeups += switches.ok_or("no context switches")?.trim().parse::<u64>()?;
        }
        Ok(activity)
    }

    /// What was done since `earlier`. A thread that ended in between takes its share with it, to no less than nothing.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        Self { cpu: self.cpu.saturating_sub(earlier.cpu), wakeups: self.wakeups.saturating_sub(earlier.wakeups) }
    }
}
