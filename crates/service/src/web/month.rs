//! A month of a household's: sums, charts and tables, drawn here so that they work without scripts and on paper.
//!
//! The sums are the service's own, of orders that were verified when they came in. A phone that wants to be sure looks at the
//! orders themselves, which it verifies. Wearers' names are those that lie beside the log; one that was erased is not shown.

use std::collections::BTreeMap;

use jiff::civil;
use maud::{DOCTYPE, Markup, html};
use nodpay_core::{Amount, Category, Currency, Every, MerchantId, Minor, Timestamp, WatchId, WearerId};
use nodpay_protocol::LogBook;
use nodpay_store::BackKind;

use super::chart::{Bar, Chart};
use super::edition::Edition;
use super::shell::{Language, head};
use super::words::Words;
use crate::export::Names;
use crate::problem::ApiError;
use crate::seeing::{Move, MoveKind, Span};

/// Shops that the chart names; what the others took is one bar.
const SHOPS_SHOWN: usize = 8;
/// Shops that the table names.
const SHOPS_LISTED: usize = 200;

/// Some purchases together.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    minor: i64,
    count: u64,
}

impl Sum {
    const fn add(&mut self, minor: i64) {
        self.minor = self.minor.saturating_add(minor);
        self.count += 1;
    }
}

/// A month's movements, added up.
#[derive(Debug)]
pub(crate) struct Sums {
    currency: Currency,
    first: civil::Date,
    bought: Sum,
    back: Sum,
    paid_in: Sum,
    by_category: BTreeMap<Category, Sum>,
    by_shop: BTreeMap<MerchantId, (String, Sum)>,
    /// By the first day of the week that is in the month.
    by_week: BTreeMap<civil::Date, Sum>,
    by_watch: BTreeMap<WatchId, Sum>,
}

impl Sums {
    pub(crate) fn new(currency: Currency, first: civil::Date) -> Self {
        let mut sums = Self {
            currency,
            first,
            bought: Sum::default(),
            back: Sum::default(),
            paid_in: Sum::default(),
            by_category: BTreeMap::new(),
            by_shop: BTreeMap::new(),
            by_week: BTreeMap::new(),
            by_watch: BTreeMap::new(),
        };
        let days = first.series(jiff::Span::new().days(1)).take_while(|day| day.month() == first.month());
        for day in days.filter(|day| *day == first || day.weekday() == civil::Weekday::Monday) {
            sums.by_week.insert(day, Sum::default());
        }
        sums
    }

    pub(crate) fn add(&mut self, moved: &Move, span: &Span) {
        let minor = moved.amount.minor().saturating_abs();
        match &moved.kind {
            MoveKind::Purchase(purchase) => {
                self.bought.add(minor);
                self.by_category.entry(Category::of(purchase.shop.mcc)).or_default().add(minor);
                let name = || (purchase.shop.name.as_str().to_owned(), Sum::default());
                self.by_shop.entry(purchase.shop.merchant).or_insert_with(name).1.add(minor);
                self.by_watch.entry(purchase.row.watch).or_default().add(minor);
                if let Some((_, week)) = self.by_week.range_mut(..=span.date(moved.at)).next_back() {
                    week.add(minor);
                }
            }
            MoveKind::Back { kind: BackKind::Refund, .. } => self.back.add(minor),
            MoveKind::PaidIn => self.paid_in.add(minor),
            // What a bank takes back stays a purchase; the order says so.
            MoveKind::Back { kind: BackKind::TakenBack | BackKind::GivenAgain, .. } | MoveKind::PaidOut => {}
        }
    }

    /// The last day of the week that begins on `first`, within the month.
    fn week_end(&self, first: civil::Date) -> civil::Date {
        let next = self.by_week.range(first..).nth(1).map(|(next, _)| *next);
        next.and_then(|next| next.yesterday().ok()).unwrap_or_else(|| self.first.last_of_month())
    }

    fn amount(&self, minor: i64) -> Result<Amount, ApiError> {
        let minor = Minor::new(minor).map_err(|error| ApiError::Internal(format!("a month's sum: {error}")))?;
        Ok(Amount::new(minor, self.currency))
    }
}

/// What the household's rules allow at present.
#[derive(Debug)]
pub(crate) struct Rules {
    months: Vec<MonthCap>,
    /// The household's cap of a month, over all its watches.
    house_month: Option<i64>,
    /// What a week's bars are measured by: all shown watches' caps together, where each has one, or the household's.
    week: Option<i64>,
}

#[derive(Debug)]
struct MonthCap {
    watch: WatchId,
    wearer: WearerId,
    rule: String,
    minor: i64,
}

/// The lowest caps of each watch, of one wearer or of all; then those of the household too.
pub(crate) fn rules(book: &LogBook, wearer: Option<WearerId>, now: Timestamp) -> Rules {
    let (mut months, mut weeks) = (Vec::new(), Vec::new());
    for watch in book.watches().filter(|watch| wearer.is_none_or(|wearer| wearer == watch.wearer)) {
        let held = || {
            book.mandates()
                .map(|standing| &standing.mandate)
                .filter(|rule| rule.watch == watch.watch && now < rule.until)
        };
        let month = held().filter_map(|rule| Some((rule.per_month?.minor(), rule.name.as_str()))).min();
        months.extend(month.map(|(minor, rule)| MonthCap {
            watch: watch.watch,
            wearer: watch.wearer,
            rule: rule.to_owned(),
            minor,
        }));
        weeks.push(held().filter_map(|rule| rule.per_week.map(Amount::minor)).min());
    }
    let house = book.house_rules(u64::MAX).caps.filter(|_| wearer.is_none());
    let house = |every| house.and_then(|caps| caps.cap(every)).map(Amount::minor);
    let weeks = weeks.into_iter().collect::<Option<Vec<_>>>().filter(|caps| !caps.is_empty());
    let week = weeks.map(|caps| caps.into_iter().fold(0, i64::saturating_add));
    let week = [week, house(Every::Week)].into_iter().flatten().min();
    Rules { months, house_month: house(Every::Month), week }
}

/// Everything that a month's page shows.
pub(crate) struct View {
    pub(crate) sums: Sums,
    pub(crate) span: Span,
    /// As the person's browser named it.
    pub(crate) zone: Option<String>,
    pub(crate) wearer: Option<WearerId>,
    pub(crate) names: Names,
    pub(crate) rules: Rules,
    /// A guardian stopped the payments.
    pub(crate) frozen: bool,
    pub(crate) language: Language,
}

/// A page that says only where to log in.
pub(crate) fn log_in_first(language: Language) -> Result<Markup, ApiError> {
    let words = Words::of(language)?;
    let title = words.t("month.log-in-first", &[]);
    let content = html! {
        h1 { (title) }
        a.main href="/app" { (words.t("login.start", &[])) }
    };
    Ok(document(&words, language, &title, html! {}, &content))
}

/// What the button that stops payments leads to where they may not have stopped; `code` says why.
pub(crate) fn not_frozen(language: Language, code: &str) -> Result<Markup, ApiError> {
    let words = Words::of(language)?;
    let title = words.t("freeze.failed", &[]);
    let content = html! {
        h1 { (title) }
        p { (words.t(&format!("problem.{code}"), &[])) }
        a.main href="/app" data-testid="to-app" { (words.t("nav.home", &[])) }
    };
    Ok(document(&words, language, &title, html! {}, &content))
}

pub(crate) fn page(view: &View, now: Timestamp) -> Result<Markup, ApiError> {
    let words = Words::of(view.language)?;
    let sums = &view.sums;
    let month = words.month(sums.first);
    let is_present = view.span.from <= now && now < view.span.to;
    let content = html! {
        @if view.frozen {
            div.notice.bad data-testid="frozen" {
                (shape("M9 6v12M15 6v12"))
                div {
                    p { (words.t("freeze.done", &[])) }
                    p { a.plain href="/app" { (words.t("freeze.lift", &[])) } }
                }
            }
        }
        div.month-head {
            (step(view, &words, sums.first.yesterday().ok(), "month.earlier", "M14.5 5l-7 7 7 7"))
            h1 { (month) @if let Some(name) = view.wearer.and_then(|wearer| view.names.get(&wearer)) { " · " bdi { (name) } } }
            (step(view, &words, sums.first.last_of_month().tomorrow().ok().filter(|_| view.span.to <= now), "month.later", "M9.5 5l7 7-7 7"))
        }
        (wearers(view, &words))
        (totals(view, &words)?)
        @if sums.bought.count == 0 {
            p.quiet { (words.t("month.none", &[])) }
        } @else {
            (against(view, &words, is_present)?)
            (by_week(view, &words, is_present)?)
            (by_category(view, &words)?)
            (by_shop(view, &words)?)
        }
        (files(view, &words))
        p.soft { (words.t("month.note", &[])) " " (words.t("month.zone", &[("zone", view.zone.as_deref().unwrap_or("UTC"))])) }
    };
    let other = match view.language {
        Language::English => Language::Chinese,
        Language::Chinese => Language::English,
    };
    let top = html! {
        @if !view.frozen { (freeze(view.language, &words)) }
        a.language data-testid="language" href=(address(view, sums.first, view.wearer, other)) lang=(other.tag()) { (words.t("language.other", &[])) }
    };
    Ok(document(&words, view.language, &month, top, &content))
}

/// One tap, which needs no script.
fn freeze(language: Language, words: &Words) -> Markup {
    html! {
        form method="post" action={ "/app/freeze?lang=" (language.name()) } {
            button.freeze data-testid="freeze" { (shape("M9 6v12M15 6v12")) (words.t("freeze.now", &[])) }
        }
    }
}

fn document(words: &Words, language: Language, title: &str, top: Markup, content: &Markup) -> Markup {
    let edition = Edition::now();
    html! {
        (DOCTYPE)
        html lang=(language.tag()) {
            head {
                // The form says where it comes from; under the policy of the others a browser would not.
                meta name="referrer" content="same-origin";
                (head(&format!("{title} · {}", words.t("brand", &[])), &edition))
                script type="module" src=(edition.address("js/month.js")) {}
            }
            body.month {
                div.page {
                    header.top {
                        a.round href="/app#/history" aria-label=(words.t("back", &[])) { (shape("M14.5 5l-7 7 7 7")) }
                        span.brand { (words.t("brand", &[])) }
                        (top)
                    }
                    main.narrow { (content) }
                }
            }
        }
    }
}

fn shape(path: &str) -> Markup {
    html! { svg.icon viewBox="0 0 24 24" aria-hidden="true" focusable="false" { path d=(path) {} } }
}

/// The same page for another month, wearer or language.
fn address(view: &View, day: civil::Date, wearer: Option<WearerId>, language: Language) -> String {
    format!("/app/month/{}?lang={}{}", day.strftime("%Y-%m"), language.name(), query(view, wearer))
}

/// Zone and wearer. What stands in a zone's name needs no escapes but for the plus.
fn query(view: &View, wearer: Option<WearerId>) -> String {
    let zone = view.zone.as_ref().map(|zone| format!("&tz={}", zone.replace('+', "%2B"))).unwrap_or_default();
    let wearer = wearer.map(|wearer| format!("&wearer={wearer}")).unwrap_or_default();
    format!("{zone}{wearer}")
}

fn step(view: &View, words: &Words, day: Option<civil::Date>, label: &str, path: &str) -> Markup {
    html! {
        @if let Some(day) = day {
            a.round href=(address(view, day, view.wearer, view.language)) aria-label={ (words.t(label, &[])) ": " (words.month(day)) } { (shape(path)) }
        } @else {
            span.round.empty {}
        }
    }
}

fn wearers(view: &View, words: &Words) -> Markup {
    let link = |wearer: Option<WearerId>, name: &str| {
        let on = view.wearer == wearer;
        html! {
            a.chip.on[on] href=(address(view, view.sums.first, wearer, view.language)) aria-current=[on.then_some("true")] { bdi { (name) } }
        }
    };
    html! {
        @if view.names.len() > 1 {
            nav.chips aria-label=(words.t("month.whose", &[])) {
                (link(None, &words.t("month.everyone", &[])))
                @for (wearer, name) in &view.names { (link(Some(*wearer), name)) }
            }
        }
    }
}

fn totals(view: &View, words: &Words) -> Result<Markup, ApiError> {
    let sums = &view.sums;
    let money = |minor| Ok::<_, ApiError>(words.money(sums.amount(minor)?));
    let (bought, back, paid_in) = (sums.bought, sums.back, sums.paid_in);
    Ok(html! {
        section.card.balance {
            p { (words.t("month.spent", &[])) }
            p.amount data-testid="month-spent" { (money(bought.minor.saturating_sub(back.minor))?) }
            p { (words.count("month.count", bought.count)) }
        }
        @if back.count > 0 || paid_in.count > 0 {
            dl.card.sums {
                @if back.count > 0 {
                    div { dt { (words.t("month.before", &[])) } dd.amount { (money(bought.minor)?) } }
                    div { dt { (words.t("month.back", &[])) } dd.amount data-testid="month-back" { (money(-back.minor)?) } }
                }
                @if paid_in.count > 0 {
                    div { dt { (words.t("month.paid-in", &[])) } dd.amount data-testid="month-paid-in" { (money(paid_in.minor)?) } }
                }
            }
        }
    })
}

/// One chart and its table: rows of cells, the first of each its name.
fn figure(words: &Words, chart: &Chart<'_>, drawn: &Markup, columns: &[&str], rows: &[Vec<String>]) -> Markup {
    html! {
        section.card.figure data-testid=(chart.id) {
            h2 { (chart.title) }
            (drawn)
            details {
                summary { (words.t("month.table", &[])) }
                table.tested {
                    caption.unseen { (chart.title) }
                    thead { tr { @for column in columns { th scope="col" { (words.t(column, &[])) } } } }
                    tbody {
                        @for row in rows {
                            tr {
                                @for (index, cell) in row.iter().enumerate() {
                                    @if index == 0 { th scope="row" { bdi { (cell) } } } @else { td { (cell) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Spending against the rules' caps of a month and against what was paid in.
fn against(view: &View, words: &Words, is_present: bool) -> Result<Markup, ApiError> {
    let sums = &view.sums;
    let bar = |label: String, minor: i64, limit: i64| {
        let (spent, whole) = (words.money(sums.amount(minor)?), words.money(sums.amount(limit)?));
        let text = words.t("month.of", &[("spent", &spent), ("limit", &whole)]);
        Ok::<_, ApiError>((Bar { label: label.clone(), text, minor, limit: Some(limit) }, vec![label, spent, whole]))
    };
    let mut all = Vec::new();
    // Of earlier months it is not known what the rules were.
    for cap in view.rules.months.iter().filter(|_| is_present) {
        let name = view.names.get(&cap.wearer).map_or("", String::as_str);
        let label = words.t("month.cap-of", &[("name", name), ("rule", &cap.rule)]);
        all.push(bar(label, sums.by_watch.get(&cap.watch).map_or(0, |sum| sum.minor), cap.minor)?);
    }
    if let Some(cap) = view.rules.house_month.filter(|_| is_present) {
        all.push(bar(words.t("month.cap-house", &[]), sums.bought.minor, cap)?);
    }
    if sums.paid_in.minor > 0 {
        all.push(bar(
            words.t("month.of-paid-in", &[]),
            sums.bought.minor.saturating_sub(sums.back.minor),
            sums.paid_in.minor,
        )?);
    }
    if all.is_empty() {
        return Ok(html! {});
    }
    let (bars, rows): (Vec<_>, Vec<_>) = all.into_iter().unzip();
    let chart = Chart { id: "against", title: &words.t("month.against", &[]), bars: &bars };
    let columns = ["month.column.limit", "month.column.spent", "month.column.allowed"];
    Ok(figure(words, &chart, &chart.bars(), &columns, &rows))
}

fn by_week(view: &View, words: &Words, is_present: bool) -> Result<Markup, ApiError> {
    let sums = &view.sums;
    let (mut bars, mut rows) = (Vec::new(), Vec::new());
    for (first, sum) in &sums.by_week {
        let text = words.money(sums.amount(sum.minor)?);
        let days = format!("{} – {}", words.day(*first), words.day(sums.week_end(*first)));
        rows.push(vec![days, text.clone(), words.number(sum.count)]);
        bars.push(Bar { label: words.day(*first), text, minor: sum.minor, limit: None });
    }
    let cap = view
        .rules
        .week
        .filter(|_| is_present)
        .map(|cap| Ok::<_, ApiError>((cap, words.money(sums.amount(cap)?))))
        .transpose()?;
    let line = cap.map(|(cap, total)| (cap, words.t("month.cap-week", &[("total", &total)])));
    let chart = Chart { id: "by-week", title: &words.t("month.by-week", &[]), bars: &bars };
    let drawn = chart.columns(line.as_ref().map(|(cap, words)| (*cap, words.as_str())));
    Ok(figure(words, &chart, &drawn, &["month.column.week", "month.column.spent", "month.column.count"], &rows))
}

fn by_category(view: &View, words: &Words) -> Result<Markup, ApiError> {
    let sums =
        view.sums.by_category.iter().map(|(category, sum)| (words.t(category_key(*category), &[]), *sum)).collect();
    ranked(view, words, ("by-category", "month.by-category", "month.column.category"), sums, SHOPS_SHOWN)
}

fn by_shop(view: &View, words: &Words) -> Result<Markup, ApiError> {
    let sums = view.sums.by_shop.values().cloned().collect();
    ranked(view, words, ("by-shop", "month.by-shop", "month.column.shop"), sums, SHOPS_SHOWN)
}

/// From most to least: the chart shows so many and the others together, the table more.
fn ranked(
    view: &View,
    words: &Words,
    (id, title, column): (&'static str, &str, &str),
    mut sums: Vec<(String, Sum)>,
    shown: usize,
) -> Result<Markup, ApiError> {
    sums.sort_by(|(one, sum), (other, more)| more.minor.cmp(&sum.minor).then_with(|| one.cmp(other)));
    let (mut bars, mut rows) = (Vec::new(), Vec::new());
    let text = |minor| Ok::<_, ApiError>(words.money(view.sums.amount(minor)?));
    for (label, sum) in sums.iter().take(SHOPS_LISTED) {
        rows.push(vec![label.clone(), text(sum.minor)?, words.number(sum.count)]);
    }
    for (label, sum) in sums.iter().take(shown) {
        bars.push(Bar { label: label.clone(), text: text(sum.minor)?, minor: sum.minor, limit: None });
    }
    let others = sums.get(shown..).unwrap_or_default();
    if !others.is_empty() {
        let minor = others.iter().fold(0_i64, |all, (_, sum)| all.saturating_add(sum.minor));
        let label = words.count("month.others", u64::try_from(others.len()).unwrap_or(u64::MAX));
        bars.push(Bar { label, text: text(minor)?, minor, limit: None });
    }
    let chart = Chart { id, title: &words.t(title, &[]), bars: &bars };
    Ok(figure(words, &chart, &chart.bars(), &[column, "month.column.spent", "month.column.count"], &rows))
}

const fn category_key(category: Category) -> &'static str {
    match category {
        Category::Food => "category.food",
        Category::School => "category.school",
        Category::Books => "category.books",
        Category::Toys => "category.toys",
        Category::Transport => "category.transport",
        Category::Clothes => "category.clothes",
        Category::Health => "category.health",
        Category::Fun => "category.fun",
        Category::Other => "category.other",
    }
}

fn files(view: &View, words: &Words) -> Markup {
    let first = view.sums.first;
    let link = |format: &str| {
        format!(
            "/api/guardian/export?format={format}&from={first}&to={}{}",
            first.last_of_month(),
            query(view, view.wearer)
        )
    };
    html! {
        section.card.paperless {
            // The script that prints shows it.
            button.main type="button" id="print" hidden { (words.t("month.print", &[])) }
            a.plain href=(link("csv")) download data-testid="month-csv" { (words.t("export.csv", &[])) }
            a.plain href=(link("ofx")) download data-testid="month-ofx" { (words.t("export.ofx", &[])) }
        }
    }
}
