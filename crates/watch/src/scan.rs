//! The measuring command: reads the QR codes of picture files and says what, how well and how fast.
//!
//! One JSON object a line: `{"file","text","ms"}`; `text` is null where nothing was read, `ms` the reading alone, without
//! loading and scaling. With a list of expected texts a last line sums up. A video gives one object:
//! `{"file","frame","text","texts","ms","total_ms","frames","mean_ms"}`: the first frame that read (counted from 0) and all
//! its texts, the time that frame took, all frames until then took, how many frames those were, and their mean.

use crate::reader::{Frame, Reader, load_image, read_code};
use crate::y4m::Video;
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Reads `files` and writes one line each to `out`; sentences about unreadable files go to `errors`. `Ok(true)` when all
/// files could be loaded.
pub fn run(files: &[PathBuf], max_side: usize, out: &mut impl Write, errors: &mut impl Write) -> io::Result<bool> {
    let mut complete = true;
    for file in files {
        match load(file, max_side) {
            Ok(frame) => {
                report(file, &frame, out)?;
            }
            Err(sentence) => {
                complete = false;
                writeln!(errors, "{sentence}")?;
            }
        }
    }
    Ok(complete)
}

/// Reads all files that `list` names (CSV with the columns `file` and `expected_text`, paths relative to its folder) and
/// ends with a line that counts right, wrong and unread texts. Line ends count as equal however they are written, and
/// those at the end of a text do not count.
pub fn run_expected(list: &Path, max_side: usize, out: &mut impl Write, errors: &mut impl Write) -> io::Result<bool> {
    let text = match std::fs::read_to_string(list) {
        Ok(text) => text,
        Err(error) => {
            writeln!(errors, "The list {} cannot be read: {error}.", list.display())?;
            return Ok(false);
        }
    };
    let mut records = records(&text).into_iter();
    let header = records.next().unwrap_or_default();
    let column = |name: &str| header.iter().position(|cell| cell.trim_start_matches('\u{feff}') == name);
    let (Some(file_column), Some(text_column)) = (column("file"), column("expected_text")) else {
        writeln!(errors, "The list {} has no columns file and expected_text.", list.display())?;
        return Ok(false);
    };
    let folder = list.parent().unwrap_or(Path::new(""));
    let mut complete = true;
    let (mut right, mut wrong, mut none) = (0u32, 0u32, 0u32);
    let mut times = Vec::new();
    for record in records {
        let (Some(name), Some(expected)) = (record.get(file_column), record.get(text_column)) else {
            continue;
        };
        let file = folder.join(name);
        match load(&file, max_side) {
            Ok(frame) => {
                let (text, ms) = report(&file, &frame, out)?;
                times.push(ms);
                match text {
                    None => none += 1,
                    Some(text) if plain(&text) == plain(expected) => right += 1,
                    Some(_) => wrong += 1,
                }
            }
            Err(sentence) => {
                complete = false;
                writeln!(errors, "{sentence}")?;
            }
        }
    }
    times.sort_by(f64::total_cmp);
    let summary = serde_json::json!({
        "right": right,
        "wrong": wrong,
        "none": none,
        "mean_ms": rounded(times.iter().sum::<f64>() / f64::from(right + wrong + none).max(1.0)),
        "p50": rounded(percentile(&times, 50)),
        "p99": rounded(percentile(&times, 99)),
    });
    writeln!(out, "{summary}")?;
    Ok(complete)
}

/// Reads the frames of a video (YUV4MPEG2) one after the other, as a watch does, until one gives a text. `Ok(true)` when one
/// did.
pub fn run_video(file: &Path, max_side: usize, out: &mut impl Write, errors: &mut impl Write) -> io::Result<bool> {
    let mut reader = Reader::new();
    let mut texts = Vec::new();
    let (mut frames, mut ms, mut total_ms) = (0u32, 0.0, 0.0);
    let mut video = match File::open(file).map_err(Into::into).and_then(|file| Video::new(BufReader::new(file))) {
        Ok(video) => video,
        Err(error) => {
            writeln!(errors, "{} cannot be read: {error}.", file.display())?;
            return Ok(false);
        }
    };
    while texts.is_empty() {
        let frame = match video.next_frame() {
            Ok(Some(frame)) => frame.scaled_to(max_side),
            Ok(None) => break,
            Err(error) => {
                writeln!(errors, "{} cannot be read after {frames} frames: {error}.", file.display())?;
                break;
            }
        };
        let start = Instant::now();
        texts = reader.read(&frame);
        ms = start.elapsed().as_secs_f64() * 1e3;
        total_ms += ms;
        frames += 1;
    }
    let read = !texts.is_empty();
    let line = serde_json::json!({
        "file": file.display().to_string(),
        "frame": read.then(|| frames - 1),
        "text": texts.first(),
        "texts": texts,
        "ms": read.then(|| rounded(ms)),
        "total_ms": rounded(total_ms),
        "frames": frames,
        "mean_ms": rounded(total_ms / f64::from(frames).max(1.0)),
    });
    writeln!(out, "{line}")?;
    Ok(read)
}

fn load(file: &Path, max_side: usize) -> Result<Frame, String> {
    let bytes = std::fs::read(file).map_err(|error| format!("{} cannot be read: {error}.", file.display()))?;
    let frame = load_image(&bytes).map_err(|error| format!("{} cannot be read: {error}.", file.display()))?;
    Ok(frame.scaled_to(max_side))
}

fn report(file: &Path, frame: &Frame, out: &mut impl Write) -> io::Result<(Option<String>, f64)> {
    let start = Instant::now();
    let text = read_code(frame);
    let ms = start.elapsed().as_secs_f64() * 1e3;
    let line = serde_json::json!({ "file": file.display().to_string(), "text": text, "ms": rounded(ms) });
    writeln!(out, "{line}")?;
    Ok((text, ms))
}

fn rounded(ms: f64) -> f64 {
    (ms * 1e3).round() / 1e3
}

fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).copied().unwrap_or(0.0)
}

fn plain(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n").trim_end_matches('\n').to_owned()
}

/// CSV (RFC 4180): commas, quoted cells with doubled quotes and line ends inside.
fn records(text: &str) -> Vec<Vec<String>> {
    let mut records = Vec::new();
    let mut record = Vec::new();
    let mut cell = String::new();
    let mut quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, quoted) {
            ('"', true) if characters.peek() == Some(&'"') => {
                characters.next();
                cell.push('"');
            }
            ('"', true) => quoted = false,
            (_, true) => cell.push(character),
            ('"', false) if cell.is_empty() => quoted = true,
            (',', false) => record.push(std::mem::take(&mut cell)),
            ('\r', false) if characters.peek() == Some(&'\n') => {}
            ('\n', false) => {
                record.push(std::mem::take(&mut cell));
                records.push(std::mem::take(&mut record));
            }
            (_, false) => cell.push(character),
        }
    }
    if !cell.is_empty() || !record.is_empty() {
        record.push(cell);
        records.push(record);
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_may_hold_commas_quotes_and_line_ends() {
        let parsed = records("file,expected_text\r\na.png,\"one, \"\"two\"\"\nthree\"\nb.png,plain");
        assert_eq!(
            parsed,
            [vec!["file", "expected_text"], vec!["a.png", "one, \"two\"\nthree"], vec!["b.png", "plain"]]
        );
    }

    #[test]
    fn percentiles_are_nearest_rank() {
        assert_eq!(percentile(&[1.0, 2.0, 3.0, 4.0], 50), 2.0);
        assert_eq!(percentile(&[1.0, 2.0, 3.0, 4.0], 99), 4.0);
        assert_eq!(percentile(&[], 99), 0.0);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_and_the_others_are_still_read() {
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        let files = [PathBuf::from("/nonexistent/one.png"), PathBuf::from("/nonexistent/two.png")];
        assert!(!run(&files, 640, &mut out, &mut errors).expect("written to memory"));
        let said = String::from_utf8(errors).expect("text");
        assert!(out.is_empty() && said.contains("one.png") && said.contains("two.png"), "{said}");
    }

    /// A video of these grey frames, with a colour plane of `chroma` bytes after each.
    fn video(space: &str, width: usize, height: usize, frames: &[Vec<u8>], chroma: usize) -> tempfile::NamedTempFile {
        let mut bytes = format!("YUV4MPEG2 W{width} H{height} F25:1 Ip A1:1{space}\n").into_bytes();
        for luma in frames {
            bytes.extend(b"FRAME\n");
            bytes.extend(luma);
            bytes.extend(std::iter::repeat_n(128u8, chroma));
        }
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(&bytes).expect("written");
        file
    }

    fn run_video_on(file: &Path) -> (bool, serde_json::Value, String) {
        let (mut out, mut errors) = (Vec::new(), Vec::new());
        let read = run_video(file, 640, &mut out, &mut errors).expect("written to memory");
        let line = serde_json::from_slice(&out).unwrap_or_default();
        (read, line, String::from_utf8(errors).expect("text"))
    }

    fn code_frame(width: usize, height: usize) -> Vec<u8> {
        let code = qrcode::QrCode::new("https://pay.example/b/7Q2").expect("it fits");
        let dark = |index: usize| {
            let (x, y) = ((index % width).wrapping_sub(20) / 4, (index / width).wrapping_sub(20) / 4);
            x < code.width() && y < code.width() && code[(x, y)] == qrcode::Color::Dark
        };
        (0..width * height).map(|index| if dark(index) { 20 } else { 220 }).collect()
    }

    #[test]
    fn a_video_is_read_until_its_first_code() {
        let (width, height) = (161, 151);
        let frames = [vec![128; width * height], vec![90; width * height], code_frame(width, height)];
        let quarter = 81 * 76;
        for (space, chroma) in [
            ("", 2 * quarter),
            (" Cmono", 0),
            (" C420jpeg", 2 * quarter),
            (" C420mpeg2", 2 * quarter),
            (" C422", 2 * 81 * height),
            (" C444", 2 * width * height),
        ] {
            let file = video(space, width, height, &frames, chroma);
            let (read, line, errors) = run_video_on(file.path());
            assert!(read && errors.is_empty(), "{space}: {line} {errors}");
            assert_eq!((&line["frame"], &line["frames"]), (&2.into(), &3.into()), "{space}");
            assert_eq!(line["text"], "https://pay.example/b/7Q2", "{space}");
            assert!(line["total_ms"].as_f64() >= line["ms"].as_f64(), "{line}");
        }
    }

    #[test]
    fn a_video_without_a_code_or_that_is_none_is_told_apart() {
        let (read, line, errors) = run_video_on(video(" Cmono", 40, 30, &[vec![0; 1200], vec![255; 1200]], 0).path());
        assert!(!read && errors.is_empty(), "{errors}");
        assert_eq!((&line["frame"], &line["frames"]), (&serde_json::Value::Null, &2.into()));
        let (read, line, errors) = run_video_on(video(" Cmono", 40, 30, &[vec![0; 1200], vec![255; 900]], 0).path());
        assert!(
            !read && line["frames"] == 1 && errors.contains("after 1 frames") && errors.contains("ends"),
            "{errors}"
        );
        for (space, width, said) in [(" C420p10", 40, "C420p10"), (" Cmono", 0, "1 to"), (" Cmono", 9000, "1 to")] {
            let (read, _, errors) = run_video_on(video(space, width, 30, &[], 0).path());
            assert!(!read && errors.contains(said), "{errors}");
        }
        let mut other = tempfile::NamedTempFile::new().expect("a temporary file");
        other.write_all(b"RIFF....AVI LIST").expect("written");
        let (read, _, errors) = run_video_on(other.path());
        assert!(!read && errors.contains("not a YUV4MPEG2 video"), "{errors}");
        assert!(!run_video_on(Path::new("/nonexistent.y4m")).0);
    }
}
