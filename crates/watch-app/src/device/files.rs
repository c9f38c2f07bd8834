//! Files in place of a camera: a y4m video or a folder of pictures, shown over and over.

use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nodpay_watch::reader::{Frame, load_image};
use nodpay_watch::y4m::{Video, VideoError};

use super::FrameSource;

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
        let pace = frames.video.frame_time();
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

/// A y4m video.
pub(crate) struct Y4m {
    path: PathBuf,
    video: Video<BufReader<File>>,
}

impl Y4m {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), video: open_video(path)? })
    }

    fn read(&mut self) -> io::Result<Option<Frame>> {
        self.video.next_frame().map_err(|error| bad_video(&self.path, error))
    }
}

impl FrameSource for Y4m {
    fn next_frame(&mut self) -> io::Result<Frame> {
        if let Some(frame) = self.read()? {
            return Ok(frame);
        }
        self.video = open_video(&self.path)?;
        self.read()?.ok_or_else(|| bad("a video without frames"))
    }
}

fn open_video(path: &Path) -> io::Result<Video<BufReader<File>>> {
    Video::new(BufReader::new(File::open(path)?)).map_err(|error| bad_video(path, error))
}

fn bad_video(path: &Path, error: VideoError) -> io::Error {
    bad(format!("{}: {error}", path.display()))
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
        assert_eq!(video.video.frame_time(), Duration::from_millis(100));

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
