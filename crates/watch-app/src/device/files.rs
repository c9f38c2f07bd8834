//! Files in place of a camera: a y4m video or a folder of pictures, shown over and over.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nodpay_watch::reader::{Frame, MAX_SIDE, load_image};

use super::FrameSource;

/// Longest line of a y4m file, in bytes.
const MAX_LINE_LEN: u64 = 1024;
/// How long each picture of a folder is in front of the camera.
const PICTURE_TIME: Duration = Duration::from_millis(500);
/// Largest picture file, in bytes.
const MAX_PICTURE_LEN: u64 = 64 * 1024 * 1024;

/// Frames at the pace of a camera.
pub(crate) struct Paced<S> {
    frames: S,
    pace: Duration,
    due: Instant,
}

impl Paced<Y4m> {
    pub(crate) fn y4m(path: &Path) -> io::Result<Self> {
        let frames = Y4m::open(path)?;
        let pace = frames.frame_time;
        Ok(Self { frames, pace, due: Instant::now() })
    }
}

impl Paced<Folder> {
    pub(crate) fn folder(path: &Path) -> io::Result<Self> {
        Ok(Self { frames: Folder::open(path)?, pace: PICTURE_TIME, due: Instant::now() })
    }
}

impl<S: FrameSource> FrameSource for Paced<S> {
    fn next_frame(&mut self) -> io::Result<Frame> {
        let frame = self.frames.next_frame()?;
        let now = Instant::now();
        std::thread::sleep(self.due.saturating_duration_since(now));
        self.due = self.due.max(now) + self.pace;
        Ok(frame)
    }
}

/// A YUV4MPEG2 video, of which only the brightness is used: planes of 8 bits, whatever the colours.
pub(crate) struct Y4m {
    file: BufReader<File>,
    /// Where the first frame begins.
    start: u64,
    head: Y4mHead,
    frame_time: Duration,
}

impl Y4m {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut file = BufReader::new(File::open(path)?);
        let line = line(&mut file)?;
        let head =
            Y4mHead::parse(&line).ok_or_else(|| bad(format!("{}: not a y4m video of 8 bits", path.display())))?;
        let start = file.stream_position()?;
        let frame_time = Duration::from_secs(1) * head.rate.1 / head.rate.0;
        Ok(Self { file, start, head, frame_time })
    }

    /// `None` at the end.
    fn read(&mut self) -> io::Result<Option<Frame>> {
        let line = line(&mut self.file)?;
        if line.is_empty() {
            return Ok(None);
        }
        if !line.starts_with("FRAME") {
            return Err(bad(format!("not a frame of a y4m video: {line:?}")));
        }
        let mut luma = vec![0; self.head.width * self.head.height];
        self.file.read_exact(&mut luma)?;
        let colour = i64::try_from(self.head.colour_len).map_err(bad)?;
        self.file.seek_relative(colour)?;
        Frame::new(self.head.width, self.head.height, luma).map(Some).map_err(bad)
    }
}

impl FrameSource for Y4m {
    fn next_frame(&mut self) -> io::Result<Frame> {
        if let Some(frame) = self.read()? {
            return Ok(frame);
        }
        self.file.seek(io::SeekFrom::Start(self.start))?;
        self.read()?.ok_or_else(|| bad("a video without frames"))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Y4mHead {
    width: usize,
    height: usize,
    /// Frames, in this many seconds.
    rate: (u32, u32),
    /// Bytes of the colour planes that follow the brightness of a frame.
    colour_len: usize,
}

impl Y4mHead {
    fn parse(line: &str) -> Option<Self> {
        let (mut width, mut height, mut rate, mut colours) = (0, 0, (25, 1), "420");
        for word in line.strip_prefix("YUV4MPEG2 ")?.split(' ') {
            let (key, value) = word.split_at_checked(1)?;
            match key {
                "W" => width = value.parse().ok()?,
                "H" => height = value.parse().ok()?,
                "F" => {
                    let (frames, seconds) = value.split_once(':')?;
                    rate = (frames.parse().ok()?, seconds.parse().ok()?);
                }
                "C" => colours = value,
                _ => {}
            }
        }
        let is_side = |side: usize| (1..=MAX_SIDE).contains(&side);
        if !is_side(width) || !is_side(height) || rate.0 == 0 {
            return None;
        }
        let half = |side: usize| side.div_ceil(2);
        let colour_len = match colours {
            "420" | "420jpeg" | "420paldv" | "420mpeg2" => 2 * half(width) * half(height),
            "422" => 2 * half(width) * height,
            "444" => 2 * width * height,
            "444alpha" => 3 * width * height,
            "mono" => 0,
            _ => return None,
        };
        Some(Self { width, height, rate, colour_len })
    }
}

/// Without its end; empty at the end of the file.
fn line(file: &mut BufReader<File>) -> io::Result<String> {
    let mut line = String::new();
    file.take(MAX_LINE_LEN).read_line(&mut line)?;
    Ok(line.trim_end_matches('\n').to_owned())
}

/// The PNG and JPEG files of a folder, by name.
pub(crate) struct Folder {
    pictures: Vec<PathBuf>,
    next: usize,
}

impl Folder {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let is_picture = |path: &PathBuf| {
            let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("");
            ["png", "jpg", "jpeg"].iter().any(|known| extension.eq_ignore_ascii_case(known))
        };
        let entries: io::Result<Vec<PathBuf>> = path.read_dir()?.map(|entry| Ok(entry?.path())).collect();
        let mut pictures: Vec<PathBuf> = entries?.into_iter().filter(is_picture).collect();
        pictures.sort();
        if pictures.is_empty() {
            return Err(bad(format!("{}: no PNG or JPEG in it", path.display())));
        }
        Ok(Self { pictures, next: 0 })
    }
}

impl FrameSource for Folder {
    fn next_frame(&mut self) -> io::Result<Frame> {
        let path = self.pictures.get(self.next % self.pictures.len()).ok_or_else(|| bad("no picture"))?;
        self.next = self.next.wrapping_add(1);
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_PICTURE_LEN).read_to_end(&mut bytes)?;
        load_image(&bytes).map_err(|error| bad(format!("{}: {error}", path.display())))
    }
}

fn bad(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(line: &str) -> Option<(usize, usize, (u32, u32), usize)> {
        Y4mHead::parse(line).map(|head| (head.width, head.height, head.rate, head.colour_len))
    }

    #[test]
    fn heads_of_videos() {
        assert_eq!(head("YUV4MPEG2 W640 H480 F30:1 Ip A1:1 C420jpeg"), Some((640, 480, (30, 1), 153_600)));
        assert_eq!(head("YUV4MPEG2 W3 H3 F30000:1001 Cmono XYSCSS=MONO"), Some((3, 3, (30_000, 1001), 0)));
        assert_eq!(head("YUV4MPEG2 W3 H3"), Some((3, 3, (25, 1), 8)));
        assert_eq!(head("YUV4MPEG2 W4 H2 C422"), Some((4, 2, (25, 1), 8)));
        assert_eq!(head("YUV4MPEG2 W4 H2 C444"), Some((4, 2, (25, 1), 16)));
        for refused in [
            "",
            "YUV4MPEG2 ",
            "YUV4MPEG2 W640",
            "YUV4MPEG2 W0 H480",
            "YUV4MPEG2 W640 H99999999999999999999",
            "YUV4MPEG2 W640 H8193",
            "YUV4MPEG2 W640 H480 F0:1",
            "YUV4MPEG2 W640 H480 C420p10",
            "YUV4MPEG2 W640 H480  C420",
            "RIFF W640 H480",
        ] {
            assert_eq!(head(refused), None, "{refused}");
        }
    }

    #[test]
    fn a_video_is_shown_over_and_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("video.y4m");
        let mut bytes = b"YUV4MPEG2 W2 H2 F10:1 C420\n".to_vec();
        bytes.extend_from_slice(b"FRAME\n\x01\x02\x03\x04uv");
        bytes.extend_from_slice(b"FRAME Ip\n\x05\x06\x07\x08uv");
        std::fs::write(&path, &bytes).expect("writes");
        let mut video = Y4m::open(&path).expect("opens");
        let seen: Vec<u8> = (0..5).map(|_| video.next_frame().expect("a frame").luma()[0]).collect();
        assert_eq!(seen, [1, 5, 1, 5, 1]);
        assert_eq!(video.frame_time, Duration::from_millis(100));

        std::fs::write(&path, &bytes[..bytes.len() - 4]).expect("cuts");
        let mut video = Y4m::open(&path).expect("opens");
        assert!(video.next_frame().is_ok());
        assert!(video.next_frame().is_err(), "cut off");
        std::fs::write(&path, b"YUV4MPEG2 W2 H2\n").expect("writes");
        assert!(Y4m::open(&path).expect("opens").next_frame().is_err(), "no frames");
        std::fs::write(&path, b"MThd").expect("writes");
        assert!(Y4m::open(&path).is_err());
    }

    #[test]
    fn a_folder_is_shown_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(Folder::open(folder.path()).is_err(), "empty");
        for (name, grey) in [("b.PNG", 20), ("a.png", 10)] {
            let picture = image::GrayImage::from_pixel(3, 2, image::Luma([grey]));
            picture.save_with_format(folder.path().join(name), image::ImageFormat::Png).expect("writes");
        }
        std::fs::write(folder.path().join("notes.txt"), "no picture").expect("writes");
        let mut frames = Folder::open(folder.path()).expect("opens");
        let seen: Vec<u8> = (0..3).map(|_| frames.next_frame().expect("a frame").luma()[0]).collect();
        assert_eq!(seen, [10, 20, 10]);
        std::fs::write(folder.path().join("a.png"), "no picture").expect("writes");
        assert!(Folder::open(folder.path()).expect("opens").next_frame().is_err());
    }
}
