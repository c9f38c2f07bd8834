use std::collections::{BTreeMap, BTreeSet};

use super::files::{Assets, media_type};
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

/// `t("key")` must exist; t(`prefix.${…}`) must have texts; and every text must be used by one of these.
#[test]
fn every_text_used_is_there_and_every_text_there_is_used() {
    let english = words("en");
    let mut used = BTreeSet::new();
    let mut prefixes = BTreeSet::new();
    for (path, script) in scripts() {
        for (start, _) in script.match_indices("t(").chain(script.match_indices("key: ")) {
            let before = script[..start].chars().next_back().unwrap_or(' ');
            if before.is_alphanumeric() || before == '.' || before == '_' {
                continue;
            }
            let rest = script[start..].trim_start_matches("t(").trim_start_matches("key: ");
            if let Some(rest) = rest.strip_prefix('"') {
                let (key, _) = rest.split_once('"').expect("a string ends");
                if script[start..].starts_with("t(") {
                    assert!(english.contains_key(key), "{path} uses {key}, which has no text");
                }
                used.insert(key.to_owned());
            } else if let Some(rest) = rest.strip_prefix('`') {
                let (prefix, _) = rest.split_once("${").expect("a template has a value");
                assert!(english.keys().any(|key| key.starts_with(prefix)), "{path} uses {prefix}…, which has no text");
                prefixes.insert(prefix.to_owned());
            }
        }
        // Choices between two keys: t(a ? "x" : "y") and the like.
        for piece in script.split('"').skip(1).step_by(2) {
            if english.contains_key(piece) {
                used.insert(piece.to_owned());
            }
        }
    }
    for key in include_str!("month.rs").split('"') {
        let is_key = key.contains('.') && key.chars().all(|c| c.is_ascii_lowercase() || c == '.' || c == '-');
        if is_key && !key.starts_with('.') {
            assert!(english.contains_key(key), "the month uses {key}, which has no text");
            used.insert(key.to_owned());
        }
    }
    for key in english.keys() {
        let known = used.contains(key) || prefixes.iter().any(|prefix| key.starts_with(prefix.as_str()));
        assert!(known, "no page uses {key}");
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

#[test]
fn pages_hold_nothing_inline_and_nothing_from_elsewhere() {
    for page in Page::ALL {
        for language in [Language::English, Language::Chinese] {
            let html = render(page, language).into_string();
            for wrong in ["style=", "onclick", "onload", "javascript:", "http://", "https://", "<style"] {
                assert!(!html.contains(wrong), "{page:?} holds {wrong}");
            }
            for address in
                html.split("=\"/static/").skip(1).filter_map(|rest| rest.split_once('"')).map(|(path, _)| path)
            {
                assert!(Assets::get(address).is_some(), "{page:?} names {address}, which is not there");
            }
        }
    }
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
    let response = super::html(render(Page::App, Language::English));
    let policy = response.headers().get("content-security-policy").and_then(|value| value.to_str().ok());
    let policy = policy.expect("a policy");
    assert!(policy.starts_with("default-src 'self'") && !policy.contains("unsafe") && !policy.contains("http"));
    assert_eq!(response.headers().get("x-content-type-options").map(|value| value.as_bytes()), Some(&b"nosniff"[..]));
}

#[test]
fn the_shell_speaks_the_browsers_language() {
    let of = |wanted: &'static str| {
        let mut headers = axum::http::HeaderMap::new();
        headers.insert("accept-language", axum::http::HeaderValue::from_static(wanted));
        Language::of(&headers)
    };
    assert_eq!(of("zh-CN,zh;q=0.9,en;q=0.8"), Language::Chinese);
    assert_eq!(of("de-DE, en;q=0.7, zh;q=0.3"), Language::English);
    assert_eq!(of("fr"), Language::English);
    assert_eq!(of(""), Language::English);
}
