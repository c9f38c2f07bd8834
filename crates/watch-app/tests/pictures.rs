//! Every screen in every language and shape looks as its stored picture in `tests/pictures`.
//!
//! After a change that is meant to be seen: `UPDATE_PICTURES=1 cargo test -p nodpay-watch-app --test pictures`, then look at
//! what changed. A picture that differs is written as expected, got and difference side by side; the message says where.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use nodpay_watch_app::gallery::{file_name, gallery, render};
use nodpay_watch_app::screens::{Picture, Shape};
use nodpay_watch_app::words::Language;

/// Stored pictures keep this many shades a channel, which makes them indexed PNGs of some kilobytes.
const SHADES: u8 = 16;
/// From one shade to the next.
const STEP: u8 = 255 / (SHADES - 1);
/// How far a channel may be from its stored shade: half a step by rounding, and two by what processors make of floats.
const TOLERANCE: u8 = STEP / 2 + 2;

#[test]
fn round_chinese() {
    check(Shape::Round, Language::Chinese);
}

#[test]
fn round_english() {
    check(Shape::Round, Language::English);
}

#[test]
fn square_chinese() {
    check(Shape::Square, Language::Chinese);
}

#[test]
fn square_english() {
    check(Shape::Square, Language::English);
}

/// Pictures of screens that are no more would never be looked at again.
#[test]
fn no_stored_picture_is_left_over() {
    let mut wanted = BTreeSet::new();
    for shape in Shape::ALL {
        for language in Language::ALL {
            wanted.extend(gallery().iter().map(|entry| format!("{}.png", file_name(entry.name, language, shape))));
        }
    }
    let stored = std::fs::read_dir(folder()).expect("the stored pictures");
    for file in stored {
        let name = file.expect("an entry").file_name().into_string().expect("a name of ours");
        if !wanted.contains(&name) {
            assert!(updating(), "{name} is of no screen");
            std::fs::remove_file(folder().join(&name)).expect("removes");
        }
    }
}

/// One letter more and a colour a little off are seen; rounding is not.
#[test]
fn a_difference_is_found() {
    let grey = |shade: u8| RgbImage::from_pixel(4, 4, Rgb([shade, shade, shade]));
    let mut dot = grey(0);
    dot.put_pixel(3, 1, Rgb([0, 0, 17]));
    assert!(differs(&grey(0), &dot));
    assert!(differs(&grey(34), &grey(34 + TOLERANCE + 1)));
    assert!(differs(&grey(34), &RgbImage::from_pixel(4, 5, Rgb([34, 34, 34]))));
    for shade in 0..=255 {
        assert!(!differs(&rounded(&grey(shade)), &grey(shade)), "{shade}");
    }
}

fn check(shape: Shape, language: Language) {
    let mut different = Vec::new();
    for (name, picture) in render(shape, language) {
        let name = file_name(name, language, shape);
        let path = folder().join(format!("{name}.png"));
        let got = to_image(&picture);
        let stored = image::open(&path).map(|image| image.to_rgb8()).ok();
        match stored {
            Some(stored) if !differs(&stored, &got) => {}
            _ if updating() => store(&path, &rounded(&got)),
            stored => different.push(show_difference(&name, stored.unwrap_or_default(), &got)),
        }
    }
    assert!(
        different.is_empty(),
        "{} screens do not look as stored; expected, got and difference are in\n{}",
        different.len(),
        different.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join("\n")
    );
}

fn updating() -> bool {
    std::env::var_os("UPDATE_PICTURES").is_some()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pictures")
}

fn to_image(picture: &Picture) -> RgbImage {
    RgbImage::from_raw(picture.width, picture.height, picture.rgb.clone()).expect("whole")
}

fn differs(stored: &RgbImage, got: &RgbImage) -> bool {
    stored.dimensions() != got.dimensions()
        || stored.as_raw().iter().zip(got.as_raw()).any(|(one, two)| one.abs_diff(*two) > TOLERANCE)
}

fn rounded(image: &RgbImage) -> RgbImage {
    let mut image = image.clone();
    image.iter_mut().for_each(|byte| *byte = byte.saturating_add(STEP / 2) / STEP * STEP);
    image
}

/// Writes an indexed PNG.
fn store(path: &Path, image: &RgbImage) {
    let colours: Vec<[u8; 3]> = image.pixels().map(|pixel| pixel.0).collect::<BTreeSet<_>>().into_iter().collect();
    assert!(colours.len() <= 256, "{} has {} colours", path.display(), colours.len());
    let index =
        |pixel: &Rgb<u8>| u8::try_from(colours.binary_search(&pixel.0).expect("is one of them")).expect("of 256");
    let pixels: Vec<u8> = image.pixels().map(index).collect();
    let file = std::fs::File::create(path).expect("makes the file");
    let mut encoder = png::Encoder::new(file, image.width(), image.height());
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(colours.concat());
    encoder.set_compression(png::Compression::High);
    encoder.set_filter(png::Filter::NoFilter);
    let mut writer = encoder.write_header().expect("writes");
    writer.write_image_data(&pixels).expect("writes");
    writer.finish().expect("writes");
}

/// Expected, got, and in white where they differ.
fn show_difference(name: &str, stored: RgbImage, got: &RgbImage) -> PathBuf {
    let (width, height) = got.dimensions();
    let mut sheet = RgbImage::new(width * 3, height);
    let zero = Rgb([0, 0, 0]);
    for (x, y, &pixel) in got.enumerate_pixels() {
        let expected = stored.get_pixel_checked(x, y).copied().unwrap_or(zero);
        let far = expected.0.iter().zip(pixel.0).any(|(one, two)| one.abs_diff(two) > TOLERANCE);
        sheet.put_pixel(x, y, expected);
        sheet.put_pixel(width + x, y, pixel);
        sheet.put_pixel(width * 2 + x, y, if far { Rgb([255, 255, 255]) } else { zero });
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("difference");
    std::fs::create_dir_all(&folder).expect("makes the folder");
    let path = folder.join(format!("{name}.png"));
    sheet.save(&path).expect("writes");
    path
}
