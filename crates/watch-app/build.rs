//! Compiles the screens. No picture or font is embedded by Slint: shapes are paths, the fonts are read at run time.

fn main() {
    if let Err(error) = slint_build::compile("ui/watch.slint") {
        eprintln!("{error}");
        std::process::exit(1);
    }
}
