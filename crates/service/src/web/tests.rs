use std::collections::{BTreeMap, BTreeSet};

use axum::http::HeaderMap;
use nodpay_core::{Category, Mcc};

use super::edition::{Assets, Coding, Edition, FRAME, without_comments};
use super::files::media_type;
use super::install;
use super::shell::{Language, Page, render};

fn text(path: &str) -> String {
    let file = Assets::get(path).unwrap_or_else(|| panic!("{path} is not there"));
    String::from_utf8(file.data.into_owned()).expect("UTF-8")
}

fn words(language: &str) -> BTreeMap<String, serde_json::Value> {
    serde_json::from_str(&text(&format!("texts/{language}.json"))).expect("an object of texts")
}

fn scripts() -> Vec<(String, String)> {
    let names = Assets::iter().filter(|path| path.ends_with(".js") && *path != "js/selftest.js");
    names.map(|path| (path.to_string(), text(&path))).collect()
}

/// The names in `{braces}`.
fn places(text: &str) -> BTreeSet<&str> {
    text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).collect()
}

/// All texts of a value: itself, or its plural forms.
fn forms(value: &serde_json::Value) -> Vec<&str> {
    match value.as_object() {
        Some(forms) => forms.values().filter_map(|form| form.as_str()).collect(),
        None => vec![value.as_str().expect("a text or its plural forms")],
    }
}

#[test]
fn both_languages_say_the_same_things() {
    let (english, chinese) = (words("en"), words("zh"));
    let keys = |words: &BTreeMap<String, serde_json::Value>| words.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&english), keys(&chinese));
    for (key, value) in &english {
        let named = |value| forms(value).into_iter().flat_map(places).map(str::to_owned).collect::<BTreeSet<_>>();
        assert_eq!(named(value), named(&chinese[key]), "{key} names the same values");
        for text in forms(value).into_iter().chain(forms(&chinese[key])) {
            assert!(!text.trim().is_empty() && text == text.trim(), "{key} is a whole text");
        }
        if value.is_object() {
            let plural = |value: &serde_json::Value, form: &str| value.get(form).is_some();
            assert!(
                plural(value, "one") && plural(value, "other") && plural(&chinese[key], "other"),
                "{key} has its forms"
            );
        }
    }
}

/// Texts that no page's script says: those of the month's page, which the service draws, and of the service worker's notifications.
fn said_without_scripts(texts: &BTreeMap<String, serde_json::Value>) -> BTreeSet<String> {
    let mut said: BTreeSet<String> = texts.keys().filter(|key| key.starts_with(install::WORDS)).cloned().collect();
    for key in include_str!("month.rs").split('"') {
        let is_key = key.contains('.') && key.chars().all(|c| c.is_ascii_lowercase() || c == '.' || c == '-');
        if is_key && !key.starts_with('.') {
            assert!(texts.contains_key(key), "the month uses {key}, which has no text");
            said.insert(key.to_owned());
        }
    }
    said
}

/// `t("key")` must exist, so must the texts that a template begins; and every text must be used by some script: what a script uses
/// decides which words go with it.
#[test]
fn every_text_used_is_there_and_every_text_there_is_used() {
    let english = words("en");
    for (path, script) in scripts() {
        for rest in script.split(" t(").chain(script.split("(t(")).skip(1) {
            if let Some((key, _)) = rest.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
                assert!(english.contains_key(key), "{path} uses {key}, which has no text");
            } else if let Some((start, _)) = rest.strip_prefix('`').and_then(|rest| rest.split_once("${")) {
                assert!(english.keys().any(|key| key.starts_with(start)), "{path} uses {start}…, which has no text");
            }
        }
    }
    let edition = Edition::now();
    let mut used: BTreeSet<&str> =
        edition.scripts().values().flat_map(|script| &script.words).map(String::as_str).collect();
    let said_elsewhere = said_without_scripts(&english);
    used.extend(said_elsewhere.iter().map(String::as_str));
    for key in english.keys() {
        assert!(used.contains(key.as_str()), "no page uses {key}");
    }
}

/// Every code that an error can have has words in both languages.
#[test]
fn every_error_has_words() {
    let sources = [
        include_str!("../problem.rs"),
        include_str!("../../../store/src/error.rs"),
        include_str!("../../../protocol/src/verify.rs"),
    ];
    let english = words("en");
    // Codes that only operators, watches and other programs meet.
    let elsewhere = [
        "incident",
        "outcome-signer",
        "database",
        "method-not-allowed",
        "unsupported-media-type",
        "proof-other-request",
        "payee-unknown",
        "code-taken",
        "too-many-codes",
        "orders-open",
        "schedule-unknown",
        "schedule-exists",
        "schedule-time",
        "too-many-schedules",
        "iban-missing",
        "nothing-to-pay-out",
        "payout-unknown",
        "payout-state",
        "api-key-unknown",
        "too-many-api-keys",
    ];
    for source in sources {
        for arm in source.split("Self::").skip(1).chain(source.split("ApiError::").skip(1)) {
            let Some((_, answer)) = arm.split_once("=>") else { continue };
            let line = answer.lines().next().unwrap_or_default();
            let code = line.split('"').nth(1).unwrap_or_default();
            let is_code = !code.is_empty() && code.chars().all(|c| c.is_ascii_lowercase() || c == '-');
            if is_code && !elsewhere.contains(&code) {
                assert!(english.contains_key(&format!("problem.{code}")), "problem.{code} has no words");
            }
        }
    }
}

/// One cause has one code, and one code means one thing: what is said in two places is the same there.
#[test]
fn every_code_has_one_meaning() {
    let tables = [
        ("fn describe(&self)", include_str!("../problem.rs")),
        ("pub const fn code(&self)", include_str!("../../../store/src/error.rs")),
        ("pub const fn code(&self)", include_str!("../../../protocol/src/verify.rs")),
    ];
    let mut said: BTreeMap<&str, usize> = BTreeMap::new();
    for (function, source) in tables {
        let (_, body) = source.split_once(function).expect("the table of codes");
        let (table, _) = body.split_once("\n    }\n").expect("its end");
        let texts = table.split('"').skip(1).step_by(2);
        for code in texts.filter(|text| text.chars().all(|c| c.is_ascii_lowercase() || c == '-')) {
            *said.entry(code).or_default() += 1;
        }
    }
    assert!(said.len() > 150, "{}", said.len());
    let twice: Vec<_> = said.into_iter().filter(|(_, places)| *places > 1).collect();
    // Of a message: found by its signature's verification, by the store's transaction, or by the request around it.
    let same = [
        "bad-first-nod",
        "bad-log-entry",
        "certificate-not-valid",
        "guardian-not-counting",
        "login-unknown",
        "malformed-request",
        "other-decision",
        "other-order",
        "other-outcome",
        "revoked-watch",
        "stale-bill",
        "unknown-guardian",
        "unknown-watch",
        "wrong-total",
    ];
    assert_eq!(twice, same.map(|code| (code, 2)));
}

#[test]
fn pages_hold_nothing_inline_and_nothing_from_elsewhere() {
    let edition = Edition::now();
    for (page, language) in
        Page::ALL.into_iter().flat_map(|page| [(page, Language::English), (page, Language::Chinese)])
    {
        let html = render(page, language, true, &edition).into_string();
        for wrong in ["style=", "onclick", "onload", "javascript:", "http://", "https://", "<style"] {
            assert!(!html.contains(wrong), "{page:?} holds {wrong}");
        }
        let addresses: Vec<&str> =
            html.split("=\"/static/").skip(1).filter_map(|rest| rest.split_once('"')).map(|(path, _)| path).collect();
        for address in &addresses {
            let path = address.strip_prefix(edition.name()).and_then(|path| path.strip_prefix('/'));
            assert!(
                path.is_some_and(|path| edition.file(path).is_some()),
                "{page:?} names {address}, which is not there"
            );
        }
        assert!(html.matches("modulepreload").count() > 3 && html.contains(&format!("/words/{FRAME}.")));
    }
}

/// What is fetched at the start is all that the scripts import: nothing is found out one import after the other.
#[test]
fn pages_name_every_script_that_they_start_with() {
    let edition = Edition::now();
    let named = |page, known| -> BTreeSet<String> {
        let html = render(page, Language::English, known, &edition).into_string();
        let links = html.split("modulepreload\" href=\"").skip(1).filter_map(|rest| rest.split_once(".js\""));
        links.filter_map(|(path, _)| path.rsplit_once('/')).map(|(_, module)| module.to_owned()).collect()
    };
    let imported = |module: &str| -> BTreeSet<String> {
        let mut found = BTreeSet::from([module.to_owned()]);
        let mut open = vec![module.to_owned()];
        while let Some(module) = open.pop() {
            for line in text(&format!("js/{module}.js")).lines().filter(|line| line.contains("from \"./")) {
                let (_, rest) = line.split_once("\"./").expect("a path");
                let name = rest.trim_end_matches("\";").trim_end_matches(".js").to_owned();
                if found.insert(name.clone()) {
                    open.push(name);
                }
            }
        }
        found
    };
    for page in Page::ALL {
        assert_eq!(named(page, false), imported(page.module()), "{page:?}");
        assert!(imported(page.module()).contains(FRAME), "{page:?} has the frame");
    }
    let signed_in = &imported("login") | &imported("app");
    assert_eq!(named(Page::App, true), signed_in);
    for fetched_later in
        ["home", "household", "guardians", "settings", "push", "pairing", "invite", "codes", "rules", "qr"]
    {
        assert!(!signed_in.contains(fetched_later), "{fetched_later} can wait");
    }
}

/// What a script calls of another one, it imports: a forgotten import shows only when somebody gets there.
#[test]
fn scripts_import_what_they_call() {
    let scripts = scripts();
    let exported: BTreeSet<&str> = scripts
        .iter()
        .flat_map(|(_, script)| script.lines())
        .filter_map(|line| line.strip_prefix("export "))
        .map(|line| line.trim_start_matches("async ").trim_start_matches("function ").trim_start_matches("const "))
        .filter_map(|line| line.split(|c: char| !c.is_alphanumeric()).next())
        .collect();
    let part_of_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '.');
    for (path, script) in &scripts {
        let code = without_comments(script, true);
        let imports = code.split("import {").skip(1).filter_map(|rest| rest.split_once('}')).map(|(names, _)| names);
        let imported: BTreeSet<&str> = imports.flat_map(|names| names.split(|c: char| !c.is_alphanumeric())).collect();
        for name in &exported {
            let declared = |kind: &str| code.contains(&format!("{kind} {name}"));
            let destructured = declared("{") || code.contains(&format!("{name} }}"));
            if imported.contains(name) || destructured || ["function", "const", "let"].iter().any(|kind| declared(kind))
            {
                continue;
            }
            let call = format!("{name}(");
            for line in code.lines().filter(|line| !line.trim_start().starts_with(name) || !line.ends_with('{')) {
                let mut parts = line.split(&call);
                let mut before = parts.next().unwrap_or_default();
                for after in parts {
                    assert!(before.ends_with(part_of_name), "{path} calls {name} without importing it: {line}");
                    before = after;
                }
            }
        }
    }
}

/// A script that waits for one that waits for it would see half of it.
#[test]
fn no_script_imports_itself_by_way_of_others() {
    let edition = Edition::now();
    for (module, script) in edition.scripts() {
        for import in &script.imports {
            assert!(!edition.closure(import).contains(&module.as_str()), "{module} and {import} import each other");
        }
    }
}

/// Words come with the script that says them, or with the frame; with those that no script says they are all words there are.
#[test]
fn words_are_cut_by_script() {
    let edition = Edition::now();
    let set = |module: &str, language: &str| -> BTreeSet<String> {
        let file = edition.file(&format!("words/{module}.{language}.json")).expect("a set");
        let words: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&file.bytes(None)).expect("JSON");
        words.into_keys().collect()
    };
    assert!(set("login", "en").contains("login.start") && !set("login", "en").contains("order.approve"));
    assert!(set(FRAME, "zh").contains("problem.offline") && !set("app", "zh").contains("problem.offline"));
    assert!(set("app", "en").contains("order.approve") && !set("app", "en").contains("till.charge"));
    let mut all: BTreeSet<String> = edition.scripts().keys().flat_map(|module| set(module, "zh")).collect();
    all.extend(said_without_scripts(&words("zh")));
    assert_eq!(all, words("zh").into_keys().collect());
}

/// A rule names codes, and calls them together what the history and the month call them.
#[test]
fn kinds_of_shops_in_rules_are_those_of_the_history() {
    const RENTED_CARS: std::ops::RangeInclusive<u16> = 3351..=3441;
    let script = text("js/rule-words.js");
    let table =
        script.split_once("export const KINDS = {").and_then(|(_, rest)| rest.split_once("};")).expect("a table");
    let kinds = table.0.lines().filter_map(|line| line.trim().strip_suffix("\",")?.split_once(": \""));
    let said: BTreeMap<String, String> = kinds.map(|(kind, codes)| (kind.to_owned(), codes.to_owned())).collect();
    let mut meant: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for number in (0..10_000).filter(|number| !RENTED_CARS.contains(number)) {
        let digits = format!("{number:04}");
        let kind = Category::of(Mcc::from_digits(&digits).expect("four digits"));
        if kind != Category::Other {
            meant.entry(kind.as_str().to_owned()).or_default().push(digits);
        }
    }
    assert!(
        meant.len() == Category::ALL.len() - 1 && meant.values().all(|codes| codes.len() <= 64),
        "a rule holds each"
    );
    assert_eq!(said, meant.into_iter().map(|(kind, codes)| (kind, codes.join(" "))).collect());
}

#[test]
fn comments_go_and_line_numbers_stay() {
    let source = "// one\n/** two\n * three */\nlet a = 1; // four\n  /* five */\nlet b = \"//\";\n";
    assert_eq!(without_comments(source, true), "\n\n\nlet a = 1; // four\n\nlet b = \"//\";\n");
    assert_eq!(without_comments("/* a\n b */\n.x {}\n", false), "\n\n.x {}\n");
    for path in Assets::iter().filter(|path| path.ends_with(".js") || path.ends_with(".css")) {
        let source = text(&path);
        let code = without_comments(&source, path.ends_with(".js"));
        assert_eq!(code.lines().count(), source.lines().count(), "{path}");
        assert!(!code.lines().any(|line| line.trim_start().starts_with("/*")), "{path}");
        for (number, line) in source.lines().enumerate() {
            let comment = ["//", "*", "/*"].iter().any(|mark| line.trim_start().starts_with(mark));
            assert!(comment || line.matches('`').count() % 2 == 0, "{path}:{}: a text over several lines", number + 1);
        }
    }
}

#[test]
fn files_come_in_the_form_that_a_browser_takes() {
    let of = |wanted: &'static str| {
        Coding::of(&HeaderMap::from_iter([(
            axum::http::header::ACCEPT_ENCODING,
            axum::http::HeaderValue::from_static(wanted),
        )]))
    };
    assert_eq!(of("gzip, deflate, br, zstd"), Some(Coding::Brotli));
    assert_eq!(of("gzip;q=1.0, br;q=0"), Some(Coding::Gzip));
    assert_eq!(of("identity, br;q=0.0"), None);
    assert_eq!(Coding::of(&HeaderMap::new()), None);
    let edition = Edition::now();
    let file = edition.file("js/verify.js").expect("a script");
    let plain = file.bytes(None);
    let (brotli, gzip) = (file.bytes(Some(Coding::Brotli)), file.bytes(Some(Coding::Gzip)));
    assert!(brotli.len() < gzip.len() && gzip.len() < plain.len() / 2);
    let mut back = Vec::new();
    std::io::Read::read_to_end(&mut brotli::Decompressor::new(&brotli[..], 4096), &mut back).expect("Brotli");
    assert_eq!(back, plain);
    back.clear();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&gzip[..]), &mut back).expect("gzip");
    assert_eq!(back, plain);
}

#[test]
fn files_have_types_and_scripts_only_import_their_own() {
    for path in Assets::iter() {
        assert_ne!(media_type(&path), "application/octet-stream", "{path}");
    }
    for (path, script) in scripts() {
        for module in script.split("from \"").skip(1).filter_map(|rest| rest.split_once('"')).map(|(name, _)| name) {
            let name = module.strip_prefix("./").unwrap_or_else(|| panic!("{path} imports {module}"));
            assert!(Assets::get(&format!("js/{name}")).is_some(), "{path} imports {module}, which is not there");
        }
        for wrong in ["innerHTML", "eval(", "new Function", "document.write", "setAttribute(\"style\""] {
            assert!(!script.contains(wrong), "{path} uses {wrong}");
        }
    }
}

#[test]
fn every_page_carries_the_policy() {
    let response =
        super::html(&HeaderMap::new(), &render(Page::App, Language::English, false, &Edition::now()).into_string());
    let policy = response.headers().get("content-security-policy").and_then(|value| value.to_str().ok());
    let policy = policy.expect("a policy");
    assert!(policy.starts_with("default-src 'self'") && !policy.contains("unsafe") && !policy.contains("http"));
    assert_eq!(response.headers().get("x-content-type-options").map(|value| value.as_bytes()), Some(&b"nosniff"[..]));
}

#[test]
fn the_shell_speaks_the_browsers_language() {
    let of = |wanted: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert("accept-language", axum::http::HeaderValue::from_static(wanted));
        Language::of(&headers)
    };
    assert_eq!(of("zh-CN,zh;q=0.9,en;q=0.8"), Language::Chinese);
    assert_eq!(of("de-DE, en;q=0.7, zh;q=0.3"), Language::English);
    assert_eq!(of("fr"), Language::English);
    assert_eq!(of(""), Language::English);
}

#[tokio::test]
async fn the_service_worker_keeps_whole_versions_only() {
    use axum::extract::Path;
    use axum::http::HeaderMap;
    use http_body_util::BodyExt as _;

    let response = install::worker().await.expect("the service worker");
    assert_eq!(response.headers()["content-type"], "text/javascript; charset=utf-8");
    assert_eq!(response.headers()["cache-control"], "no-cache");
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    let (first, _) = std::str::from_utf8(&body).expect("text").split_once('\n').expect("lines");
    let said = first.strip_prefix("const NODPAY = ").and_then(|said| said.strip_suffix(';')).expect("what it keeps");
    let said: serde_json::Value = serde_json::from_str(said).expect("JSON");
    let version = said["version"].as_str().expect("a version");
    for file in said["files"].as_array().expect("files") {
        let path =
            file.as_str().and_then(|file| file.strip_prefix(&format!("/offline/{version}/"))).expect("its version");
        let get =
            async |version: &str| install::kept(Path((version.to_owned(), path.to_owned())), HeaderMap::new()).await;
        assert!(get(version).await.is_ok(), "{path}");
        assert!(get("0123456789abcdef").await.is_err(), "{path} of another version");
    }
    let page = install::kept(Path((version.to_owned(), "page".to_owned())), HeaderMap::new()).await;
    let page = page.expect("the page").into_body().collect().await.expect("a body").to_bytes();
    let page = std::str::from_utf8(&page).expect("text");
    for address in page.split(['"']).filter(|text| text.starts_with("/offline/")) {
        assert!(said["files"].as_array().expect("files").contains(&address.into()), "{address} is not kept");
    }
    assert!(page.contains("No connection") && page.contains("没有网络连接") && !page.contains("style="));
    let words = &said["words"];
    assert!(words["en"]["note.order"].is_string() && words["zh"]["note.order"].is_string());
}
