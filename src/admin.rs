//! `nodpay admin`: what the operator does. None of it can change a household's keys.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use jiff::Timestamp as Date;
use nodpay::parties::{Result, now};
use nodpay_core::{Amount, Country, Currency, Digest, HouseholdId, Mcc, MerchantId, Minor, Text};
use nodpay_protocol::code;
use nodpay_service::admin::{self, MerchantDetails};
use nodpay_service::{ServiceKeys, init_keys, load_root_key};
use nodpay_store::Store;
use nodpay_watch::reader::{load_image, read_code};
use qrcode::{EcLevel, QrCode};
use serde_json::json;

use crate::serve::{Place, runtime};

/// Only for links when no origin is given.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

/// Pictures of printed codes are read at this many pixels on their long side.
const CODE_PICTURE_SIDE: usize = 1_280;
/// Pixels a module of a printed code.
const MODULE: u32 = 12;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The service's TOML file, for where things lie.
    #[arg(long, env = "NODPAY_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make the root key and the outcome key, once.
    Init,
    /// Make an invitation link for the first guardian of a new household.
    Invite,
    /// Merchants and their tills.
    #[command(subcommand)]
    Merchant(MerchantCommand),
    /// Pay money into a household's wallet.
    TopUp {
        household: HouseholdId,
        /// In minor units: 5000 is ¥50.00.
        minor: i64,
        #[arg(long, default_value = "CNY")]
        currency: String,
    },
    /// Replace the key that signs outcomes; restart each replica with the new file, in any order.
    RotateOutcomeKey {
        /// Where the root key lies now. Default: root.key in the data folder.
        #[arg(long)]
        key: Option<PathBuf>,
    },
    /// Bring the database up to this program's version, which `serve` does by itself; prints the version before and after.
    Migrate,
    /// Prove that the books are right; exit 1 and what is wrong where they are not.
    Check,
}

#[derive(Subcommand)]
enum MerchantCommand {
    /// Add a merchant: prints its API key and the link for its till, once.
    Add {
        #[arg(long)]
        name: String,
        #[arg(long)]
        city: String,
        #[arg(long, default_value = "CN")]
        country: String,
        /// Merchant category code (ISO 18245).
        #[arg(long, default_value = "5411")]
        mcc: String,
        #[arg(long, default_value = "CNY")]
        currency: String,
    },
    /// All merchants, one JSON object a line.
    List,
    /// Make another link for a merchant's till.
    Till { merchant: MerchantId },
    /// A merchant's printed codes.
    #[command(subcommand)]
    Code(CodeCommand),
    /// Sign the certificate of a till that enrolled while the root key was elsewhere.
    Certify {
        merchant: MerchantId,
        /// Where the root key lies now.
        #[arg(long)]
        key: PathBuf,
    },
}

#[derive(Subcommand)]
enum CodeCommand {
    /// Register a printed code that the merchant has already (EMV or EPC, of any scheme): prints the name to remove it by.
    Add {
        #[arg(long)]
        merchant: MerchantId,
        /// What the code says.
        #[arg(long, conflicts_with = "image", required_unless_present = "image")]
        text: Option<String>,
        /// A picture of it (PNG, JPEG).
        #[arg(long)]
        image: Option<PathBuf>,
    },
    /// A merchant's printed codes, one JSON object a line.
    List {
        #[arg(long)]
        merchant: MerchantId,
    },
    /// Forget a code.
    Remove {
        #[arg(long)]
        merchant: MerchantId,
        /// As `add` and `list` print it.
        #[arg(long)]
        code: Digest,
    },
    /// Make and register a code for the merchant to print.
    Make {
        #[arg(long)]
        merchant: MerchantId,
        /// In minor units: 450 is ¥4.50. Without it the child types the amount.
        #[arg(long)]
        amount: Option<i64>,
        /// The picture to write: .svg or .png.
        #[arg(long)]
        out: PathBuf,
    },
}

pub(crate) fn run(options: Options) -> Result<()> {
    let Options { config, place, command } = options;
    let place = place.with_file(config.as_deref())?;
    if let Command::Init = command {
        let files = init_keys(&place.folder(), now())?;
        println!("root key:    {} (move it to a safe place when the tills are enrolled)", files.root_key.display());
        println!("outcome key: {}", files.outcome_key.display());
        return Ok(());
    }
    let keys = if let Command::RotateOutcomeKey { .. } = command {
        ServiceKeys::load_even_if_over(&place.outcome_key(), None)?
    } else {
        ServiceKeys::load(&place.outcome_key(), None, now())?
    };
    let store = Store::open(&place.database()?, keys.outcome_signer())?;
    runtime()?.block_on(act(&store, &keys, &place, command))
}

async fn act(store: &Store, keys: &ServiceKeys, place: &Place, command: Command) -> Result<()> {
    let origins = place.origins(DEFAULT_LISTEN);
    let origin = origins.first().ok_or("give an origin")?;
    let until = |at: nodpay_core::Timestamp| Date::from_millisecond(at.unix_ms()).map(|date| date.to_string());
    match command {
        Command::Init => {}
        Command::Invite => {
            let invitation = admin::invite_guardian(store, origin, now()).await?;
            println!("{}", invitation.link);
            eprintln!("Good for one guardian until {}.", until(invitation.expires)?);
        }
        Command::Merchant(MerchantCommand::Add { name, city, country, mcc, currency }) => {
            let details = MerchantDetails {
                name: Text::from_typed(&name)?,
                mcc: Mcc::from_digits(&mcc).ok_or("a merchant category code is four digits")?,
                city: Text::from_typed(&city)?,
                country: Country::from_code(&country).ok_or("a country code is two capital letters")?,
                currency: Currency::from_code(&currency)?,
            };
            let added = admin::add_merchant(store, origin, details, now()).await?;
            println!("merchant: {}", added.merchant);
            println!("API key:  {}", added.api_key);
            println!("till:     {}", added.till.link);
            eprintln!("Both are shown this once. The till's link is good until {}.", until(added.till.expires)?);
        }
        Command::Merchant(MerchantCommand::List) => {
            for merchant in admin::merchants(store).await? {
                let balance = store.merchant_balance(merchant.merchant).await?;
                let line = json!({
                    "merchant": merchant.merchant,
                    "name": merchant.name,
                    "city": merchant.city,
                    "certified": merchant.certificate.is_some(),
                    "balance": balance,
                });
                println!("{line}");
            }
        }
        Command::Merchant(MerchantCommand::Till { merchant }) => {
            println!("{}", admin::invite_till(store, origin, merchant, now()).await?.link);
        }
        Command::Merchant(MerchantCommand::Code(command)) => act_on_code(store, command).await?,
        Command::Merchant(MerchantCommand::Certify { merchant, key }) => {
            let certificate = admin::certify_merchant(store, &load_root_key(&key)?, merchant, now()).await?;
            println!("certified {} until {}", certificate.name, until(certificate.not_after)?);
        }
        Command::TopUp { household, minor, currency } => {
            let amount = Amount::new(Minor::new(minor)?, Currency::from_code(&currency)?);
            let balance = admin::top_up(store, household, amount, now()).await?;
            println!("{}", json!({ "household": household, "balance": balance.wallet.available()? }));
        }
        Command::RotateOutcomeKey { key } => {
            let key = key.or_else(|| place.root_key()).ok_or("say with --key where the root key lies")?;
            let (present, file) = (keys.outcome_certificate(), place.outcome_key());
            let certificate = admin::rotate_outcome_key(store, present, &file, &key, now()).await?;
            println!("{} holds a new outcome key, good until {}", file.display(), until(certificate.not_after)?);
            eprintln!("Replicas sign with it from their next start.");
        }
        Command::Migrate => {
            let versions = store.migrated();
            println!("{}", json!({ "from": versions.from, "to": versions.to }));
        }
        Command::Check => {
            let findings = store.check().await?;
            for finding in &findings {
                println!("{} {}: {}", finding.table, finding.row, finding.what);
            }
            if !findings.is_empty() {
                return Err(format!("{} findings", findings.len()).into());
            }
            println!("The books are right.");
        }
    }
    Ok(())
}

async fn act_on_code(store: &Store, command: CodeCommand) -> Result<()> {
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
            println!("{}", admin::add_code(store, merchant, &text, now()).await?);
        }
        CodeCommand::List { merchant } => {
            for row in store.codes(merchant).await? {
                let said = code::parse(row.text.as_str())?;
                let (payee, scheme) = (said.payee, said.scheme);
                println!("{}", json!({ "code": row.payee, "payee": payee, "scheme": scheme, "text": row.text }));
            }
        }
        CodeCommand::Remove { merchant, code } => store.remove_code(merchant, code).await?,
        CodeCommand::Make { merchant, amount, out } => {
            let text = admin::make_code(store, merchant, amount.map(Minor::new).transpose()?, now()).await?;
            print_code(&text, &out)?;
            println!("{text}");
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
