//! The HTML that a page starts from: its title, its style, its module, and a sentence for browsers without scripts.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT_LANGUAGE;
use maud::{DOCTYPE, Markup, html};
use serde::Deserialize;

/// Which page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Start,
    Join,
    App,
    Till,
    Demo,
    Newcomer,
    Recover,
}

impl Page {
    #[cfg(test)]
    pub(super) const ALL: [Self; 7] =
        [Self::Start, Self::Join, Self::App, Self::Till, Self::Demo, Self::Newcomer, Self::Recover];

    const fn module(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Join => "join",
            Self::App => "app",
            Self::Till => "till",
            Self::Demo => "demo",
            Self::Newcomer => "newcomer",
            Self::Recover => "recover",
        }
    }

    /// Modules the page needs at once, so that they are fetched side by side and not one after the other.
    const fn preloads(self) -> &'static [&'static str] {
        match self {
            Self::Start => &["dom", "frame", "texts", "api"],
            Self::Join | Self::Newcomer => {
                &["dom", "frame", "texts", "api", "messages", "json", "verify", "members", "trust", "passkey", "keys"]
            }
            Self::Recover => &[
                "dom",
                "frame",
                "texts",
                "api",
                "messages",
                "json",
                "verify",
                "members",
                "trust",
                "passkey",
                "keys",
                "recovery-code",
            ],
            Self::App => &[
                "dom",
                "frame",
                "texts",
                "api",
                "events",
                "messages",
                "json",
                "verify",
                "trust",
                "passkey",
                "keys",
                "order",
                "deciding",
                "goods",
                "pairing",
                "qr",
                "guardians",
                "members",
                "recovery-code",
            ],
            Self::Till => {
                &["dom", "frame", "texts", "api", "events", "messages", "json", "verify", "keys", "basket", "qr"]
            }
            Self::Demo => &["dom", "frame", "texts", "api"],
        }
    }

    const fn title(self, language: Language) -> &'static str {
        match (self, language) {
            (Self::Start, Language::English) => "Nodpay",
            (Self::Start, Language::Chinese) => "点头付",
            (Self::Join, Language::English) => "Join Nodpay",
            (Self::Join, Language::Chinese) => "加入点头付",
            (Self::App, Language::English) => "Nodpay for guardians",
            (Self::App, Language::Chinese) => "点头付家长端",
            (Self::Till, Language::English) => "Nodpay till",
            (Self::Till, Language::Chinese) => "点头付收银台",
            (Self::Demo, Language::English) => "Nodpay demo",
            (Self::Demo, Language::Chinese) => "点头付演示",
            (Self::Newcomer, Language::English) => "Become a guardian",
            (Self::Newcomer, Language::Chinese) => "成为家长",
            (Self::Recover, Language::English) => "Recover with a printed code",
            (Self::Recover, Language::Chinese) => "用恢复码找回",
        }
    }
}

/// What the shell's few words are in; the page itself follows the person's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Language {
    #[serde(rename = "en")]
    English,
    #[serde(rename = "zh")]
    Chinese,
}

impl Language {
    /// The first of ours that the browser names (RFC 9110 section 12.5.4; weights are in order in practice).
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let wanted = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let ours = wanted.split(',').find_map(|tag| match tag.trim().get(..2) {
            Some("zh") => Some(Self::Chinese),
            Some("en") => Some(Self::English),
            _ => None,
        });
        ours.unwrap_or(Self::English)
    }

    pub(super) const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh-CN",
        }
    }
}

/// The whole document.
pub(super) fn render(page: Page, language: Language) -> Markup {
    let without_scripts = match language {
        Language::English => "This page checks signatures itself and needs JavaScript for that. Please switch it on.",
        Language::Chinese => "本页面要自己核对签名，需要 JavaScript。请在浏览器中开启。",
    };
    html! {
        (DOCTYPE)
        html lang=(language.tag()) {
            head {
                (head(page.title(language)))
                @for module in page.preloads() {
                    link rel="modulepreload" href={ "/static/js/" (module) ".js" };
                }
                script type="module" src={ "/static/js/" (page.module()) ".js" } {}
            }
            body class=(page.module()) {
                div #page { noscript { p { (without_scripts) } } }
                div #live .unseen role="status" aria-live="polite" {}
            }
        }
    }
}

/// What the head of every document begins with.
pub(super) fn head(title: &str) -> Markup {
    html! {
        meta charset="utf-8";
        meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover";
        meta name="color-scheme" content="light dark";
        meta name="theme-color" content="#f5f1e8" media="(prefers-color-scheme: light)";
        meta name="theme-color" content="#101519" media="(prefers-color-scheme: dark)";
        title { (title) }
        link rel="icon" href="/static/img/logo.svg" type="image/svg+xml";
        link rel="stylesheet" href="/static/css/app.css";
    }
}
