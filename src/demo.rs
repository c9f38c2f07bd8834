//! `nodpay demo`: a service of its own on loopback, a shop with goods, a watch process, and one page that shows till,
//! watch and phone side by side. Takes the demo's software keys, which `serve` never does.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use nodpay::parties::{Result, Stage, now};
use nodpay_core::{Amount, Country, Currency, HouseholdId, LineId, Mcc, MerchantId, Minor, Text, TransferId};
use nodpay_service::admin::{self, MerchantDetails};
use nodpay_service::rails::RailFiles;
use nodpay_service::{App, Config, Keep, KeyFiles, PushConfig, init_keys};
use nodpay_store::{Address, Good, TopUp, Topic};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;

use crate::serve::{LogFormat, log, runtime};

mod bridge;

/// What the demo's household starts with: ¥50.00.
const WALLET_MINOR: i64 = 5_000;
const GOODS: [(&str, &str, i64, &str); 6] = [
    ("bread", "全麦面包 Wholemeal bread", 850, "食品 Food"),
    ("milk", "牛奶 Milk 250 ml", 450, "饮料 Drinks"),
    ("cola", "可乐 Cola", 350, "饮料 Drinks"),
    ("apple", "苹果 Apple", 220, "食品 Food"),
    ("gum", "口香糖 Gum", 500, "零食 Sweets"),
    ("pencil", "铅笔 Pencil", 140, "文具 Stationery"),
];

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where to listen; this machine only.
    #[arg(long, default_value = "127.0.0.1:8765")]
    listen: SocketAddr,
    /// Keep everything in this folder. Default: a temporary one.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Play the whole job without a browser and print one JSON object on the last line.
    #[arg(long)]
    headless: bool,
    /// Where `--headless` writes evidence files and anchor.json.
    #[arg(long, default_value = "nodpay-demo")]
    out: PathBuf,
    /// A file with the key of a stand-in for Stripe, and its address; for tests.
    #[arg(long, requires = "stripe_api", hide = true)]
    stripe_key: Option<PathBuf>,
    #[arg(long, requires = "stripe_key", hide = true)]
    stripe_api: Option<String>,
    #[arg(long, env = "NODPAY_LOG_FORMAT", value_enum, default_value_t, hide = true)]
    log_format: LogFormat,
    /// Serve, print the invitations as JSON, and play nothing.
    #[arg(long, hide = true)]
    stage_only: bool,
}

pub(crate) fn run(options: Options) -> Result<()> {
    let temporary = match &options.data {
        Some(_) => None,
        None => Some(tempfile::tempdir()?),
    };
    let data = match (&options.data, &temporary) {
        (Some(data), _) => data.clone(),
        (None, Some(folder)) => folder.path().to_owned(),
        (None, None) => return Err("there is no folder for the data".into()),
    };
    if options.headless {
        return crate::headless::run(&data, &options.out);
    }
    log(options.log_format, if options.stage_only { "warn" } else { "info" });
    let rails = RailFiles { stripe_key: options.stripe_key, stripe_api: options.stripe_api, ..RailFiles::default() };
    runtime()?.block_on(serve(&data, options.listen, rails, options.stage_only))
}

async fn serve(data: &Path, listen: SocketAddr, rails: RailFiles, stage_only: bool) -> Result<()> {
    let listener = TcpListener::bind(listen).await.map_err(|error| format!("{listen}: {error}"))?;
    let address = listener.local_addr()?;
    let origin = format!("http://localhost:{}", address.port());
    let app = open(data, address, rails, &origin)?;
    app.stop_on_signals();
    let shop = shop(&app, &origin).await?;
    tokio::spawn(fill_wallets(app.clone()));
    let (till, join) = invite(&app, shop).await?;
    if stage_only {
        let stage = Stage { origin, till: token(&till)?, join: token(&join)?, watch_service: None };
        println!("{}", serde_json::to_string(&stage)?);
        return Ok(nodpay_service::serve(app, listener).await?);
    }
    let bridge = bridge::Bridge::start(&data.join("watch"))?;
    let start = move |State(app): State<App>| async move {
        match invite(&app, shop).await {
            Ok((till, join)) => axum::Json(json!({ "till": till, "join": join })).into_response(),
            Err(error) => {
                tracing::error!("no invitation: {error}");
                axum::http::StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    };
    let more = Router::new().route("/demo/start", get(start)).route("/demo/watch", get(bridge.handler()));
    let routes = nodpay_service::router_with(app.clone(), more);
    println!("{origin}/demo");
    let served = nodpay_service::serve_routes(app, routes, listener).await;
    bridge.stop();
    Ok(served?)
}

fn open(data: &Path, listen: SocketAddr, rails: RailFiles, origin: &str) -> Result<App> {
    std::fs::create_dir_all(data)?;
    let files = KeyFiles::in_folder(data);
    if !files.outcome_key.exists() {
        init_keys(data, now())?;
    }
    Ok(App::open(Config {
        database: Address::Sqlite(data.join("nodpay.sqlite")),
        rails,
        listen,
        origins: vec![origin.to_owned()],
        rp_id: "localhost".to_owned(),
        outcome_key: files.outcome_key,
        root_key: Some(files.root_key),
        tls: None,
        behind_proxy: false,
        push: PushConfig { key: Some(files.push_key), ..PushConfig::default() },
        keep: Keep::default(),
        demo: true,
    })?)
}

/// The demo's shop; made once.
async fn shop(app: &App, origin: &str) -> Result<MerchantId> {
    if let Some(shop) = admin::merchants(app.store()).await?.first() {
        return Ok(shop.merchant);
    }
    let details = MerchantDetails {
        name: Text::new("阳光小卖部 Sunny Shop")?,
        mcc: Mcc::from_digits("5411").ok_or("no category")?,
        city: Text::new("深圳 Shenzhen")?,
        country: Country::from_code("CN").ok_or("no country")?,
        currency: Currency::CNY,
    };
    let added = admin::add_merchant(app.store(), origin, details, app.now()).await?;
    let goods = GOODS.map(|(id, name, price, category)| -> Result<Good> {
        Ok(Good {
            id: LineId::new(id).ok_or("no line id")?,
            name: Text::new(name)?,
            unit_price: Minor::new(price)?,
            category: Some(Text::new(category)?),
            min_age: None,
        })
    });
    app.store().set_goods(added.merchant, goods.into_iter().collect::<Result<_>>()?).await?;
    admin::make_code(app.store(), added.merchant, None, app.now()).await?;
    Ok(added.merchant)
}

/// Fresh links for the till and for a guardian.
async fn invite(app: &App, shop: MerchantId) -> Result<(String, String)> {
    let till = admin::invite_till(app.store(), "", shop, app.now()).await?;
    let join = admin::invite_guardian(app.store(), "", app.now()).await?;
    Ok((till.link, join.link))
}

fn token(link: &str) -> Result<String> {
    Ok(link.split_once('#').ok_or("the link has no token")?.1.to_owned())
}

/// Gives each new household its pocket money, once: the transfer's id is the household's.
async fn fill_wallets(app: App) {
    let mut topics = app.store().subscribe();
    loop {
        match topics.recv().await {
            Ok(Topic::Household(household)) => {
                if let Err(error) = fill(&app, household).await {
                    tracing::error!("the demo's wallet was not filled: {error}");
                }
            }
            Ok(Topic::Merchant(_) | Topic::Subscribers(_) | Topic::Everything) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

async fn fill(app: &App, household: HouseholdId) -> Result<()> {
    let transfer = TransferId::from_bytes(*household.as_bytes());
    let amount = Amount::new(Minor::new(WALLET_MINOR)?, Currency::CNY);
    app.store().top_up(TopUp { household, transfer, amount }, app.now()).await?;
    Ok(())
}

/// How long the demo waits before it starts a watch again that ended.
const RESTART_AFTER: Duration = Duration::from_secs(1);
