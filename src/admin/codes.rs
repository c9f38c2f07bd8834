//! `nodpay admin merchant code`: the codes that merchants print.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use nodpay::parties::{Result, now};
use nodpay_core::{Digest, MerchantId, Minor};
use nodpay_protocol::code;
use nodpay_service::admin;
use nodpay_store::Store;
use nodpay_watch::reader::{load_image, read_code};
use qrcode::{EcLevel, QrCode};

use super::show::{Cell, Out};

/// Pictures of printed codes are read at this many pixels on their long side.
const CODE_PICTURE_SIDE: usize = 1_280;
/// Pixels a module of a printed code.
const MODULE: u32 = 12;

#[derive(Subcommand)]
pub(super) enum CodeCommand {
    /// Register a printed code that the merchant has already (EMV or EPC, of any scheme): prints the name to remove it by.
    Add {
        #[arg(long, allow_hyphen_values = true)]
        merchant: MerchantId,
        /// What the code says.
        #[arg(long, conflicts_with = "image", required_unless_present = "image")]
        text: Option<String>,
        /// A picture of it (PNG, JPEG).
        #[arg(long)]
        image: Option<PathBuf>,
    },
    /// A merchant's printed codes.
    List {
        #[arg(long, allow_hyphen_values = true)]
        merchant: MerchantId,
    },
    /// Forget a code.
    Remove {
        #[arg(long, allow_hyphen_values = true)]
        merchant: MerchantId,
        /// As `add` and `list` print it.
        #[arg(long, allow_hyphen_values = true)]
        code: Digest,
    },
    /// Make and register a code for the merchant to print.
    Make {
        #[arg(long, allow_hyphen_values = true)]
        merchant: MerchantId,
        /// In minor units: 450 is ¥4.50. Without it the child types the amount.
        #[arg(long)]
        amount: Option<i64>,
        /// The picture to write: .svg or .png.
        #[arg(long)]
        out: PathBuf,
    },
}

pub(super) async fn act(store: &Store, out: Out, command: CodeCommand) -> Result<()> {
    match command {
        CodeCommand::Add { merchant, text, image } => {
            let text = match (text, image) {
                (Some(text), _) => text,
                (None, Some(path)) => {
                    let picture = load_image(&std::fs::read(&path)?)?.scaled_to(CODE_PICTURE_SIDE);
                    read_code(&picture).ok_or("no code can be read in this picture")?
                }
                (None, None) => return Err("give a text or an image".into()),
            };
            let code = admin::add_code(store, merchant, &text, now()).await?;
            out.say(&vec![("merchant", Cell::text(merchant)), ("code", Cell::text(code))], code);
        }
        CodeCommand::List { merchant } => {
            let mut list = out.list();
            for row in store.codes(merchant).await? {
                let said = code::parse(row.text.as_str())?;
                list.add(vec![
                    ("code", Cell::text(row.payee)),
                    ("payee", Cell::opt_text(said.payee)),
                    ("scheme", Cell::opt_text(said.scheme)),
                    ("text", Cell::text(row.text.as_str())),
                ]);
            }
            list.end();
        }
        CodeCommand::Remove { merchant, code } => {
            store.remove_code(merchant, code).await?;
            out.show(&vec![("merchant", Cell::text(merchant)), ("removed", Cell::text(code))]);
        }
        CodeCommand::Make { merchant, amount, out: file } => {
            let text = admin::make_code(store, merchant, amount.map(Minor::new).transpose()?, now()).await?;
            print_code(&text, &file)?;
            let record = vec![("file", Cell::text(file.display())), ("text", Cell::text(&text))];
            out.say(&record, &text);
        }
    }
    Ok(())
}

/// Writes the picture of a code: level Q, because paper gets dirty, and a quiet zone of four modules (ISO/IEC 18004).
fn print_code(text: &str, out: &Path) -> Result<()> {
    let code = QrCode::with_error_correction_level(text, EcLevel::Q)?;
    match out.extension().and_then(std::ffi::OsStr::to_str) {
        Some("svg") => {
            let picture = code.render::<qrcode::render::svg::Color<'_>>().min_dimensions(600, 600).build();
            std::fs::write(out, picture)?;
        }
        Some("png") => {
            let side = u32::try_from(code.width())?;
            let dark = code.to_colors();
            let picture = image::GrayImage::from_fn((side + 8) * MODULE, (side + 8) * MODULE, |x, y| {
                let at = |pixel: u32| (pixel / MODULE).checked_sub(4).filter(|module| *module < side);
                let module = at(x).zip(at(y)).and_then(|(x, y)| usize::try_from(y * side + x).ok());
                image::Luma([module.and_then(|index| dark.get(index)).map_or(255, |color| color.select(0, 255))])
            });
            picture.save(out)?;
        }
        _ => return Err("the picture's name must end in .svg or .png".into()),
    }
    Ok(())
}
