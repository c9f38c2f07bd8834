//! The app's icons, drawn from `assets/img/logo.svg`. After a change of the logo:
//! `NODPAY_ICONS=write cargo test -p nodpay-service icons`.

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};

use super::edition::Assets;

/// Where the committed pictures lie.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/img");

/// One picture of the logo.
struct Icon {
    file: &'static str,
    size: u16,
    /// How much of the width the logo takes.
    share: f32,
    shape: Shape,
}

#[derive(PartialEq)]
enum Shape {
    /// The round logo on nothing.
    Round,
    /// On its own green to the edges, which the system cuts to its shape.
    Full,
    /// The nod alone, in white: systems take only its outline.
    Outline,
}

/// Of a maskable icon the circle of 80 % always stays (W3C Manifest, "safe zone").
const ICONS: [Icon; 5] = [
    Icon { file: "icon-192.png", size: 192, share: 1.0, shape: Shape::Round },
    Icon { file: "icon-512.png", size: 512, share: 1.0, shape: Shape::Round },
    Icon { file: "icon-maskable-512.png", size: 512, share: 0.8, shape: Shape::Full },
    Icon { file: "icon-apple-180.png", size: 180, share: 0.86, shape: Shape::Full },
    Icon { file: "badge-96.png", size: 96, share: 1.2, shape: Shape::Outline },
];

fn draw(logo: &str, icon: &Icon) -> Vec<u8> {
    let circle_end = logo.find("/>").expect("the circle ends") + 2;
    let circle_start = logo.find("<circle").expect("a circle");
    let fill = logo.split("fill=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a colour");
    let (head, circle, nod) = (&logo[..circle_start], &logo[circle_start..circle_end], &logo[circle_end..]);
    let svg = match icon.shape {
        Shape::Round => format!("{head}{circle}{nod}"),
        Shape::Full => format!("{head}<rect x=\"-32\" y=\"-32\" width=\"96\" height=\"96\" fill=\"{fill}\"/>{nod}"),
        Shape::Outline => format!("{head}{nod}"),
    };
    let svg = svg.replace("viewBox=\"0 0 32 32\"", "viewBox=\"0 0 32 32\" overflow=\"visible\"");
    let tree = Tree::from_str(&svg, &Options::default()).expect("a picture");
    let size = f32::from(icon.size);
    let scale = size * icon.share / 32.0;
    let edge = size * (1.0 - icon.share) / 2.0;
    let mut picture = Pixmap::new(icon.size.into(), icon.size.into()).expect("a size");
    resvg::render(&tree, Transform::from_row(scale, 0.0, 0.0, scale, edge, edge), &mut picture.as_mut());
    if icon.shape == Shape::Full {
        // Systems put black behind what is not there.
        assert!(picture.pixels().iter().all(|pixel| pixel.alpha() == 255), "{} has holes", icon.file);
    }
    picture.encode_png().expect("a PNG")
}

#[test]
fn icons_are_drawn_from_the_logo() {
    let logo = Assets::get("img/logo.svg").expect("the logo");
    let logo = std::str::from_utf8(&logo.data).expect("text").trim().to_owned();
    for icon in &ICONS {
        let path = format!("{FOLDER}/{}", icon.file);
        let drawn = draw(&logo, icon);
        if std::env::var_os("NODPAY_ICONS").is_some() {
            std::fs::write(&path, &drawn).expect("writes");
        }
        let committed = std::fs::read(&path).unwrap_or_default();
        let pixels = |png: &[u8]| Pixmap::decode_png(png).ok();
        assert!(pixels(&committed) == pixels(&drawn), "{} is not the logo: see the top of this file", icon.file);
    }
}
