//! The HTML that a page starts from: its title, its style, its module, and a sentence for browsers without scripts.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT_LANGUAGE;
use maud::{DOCTYPE, Markup, html};
use serde::Deserialize;

use super::edition::{Edition, FRAME};

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

    /// The script that it starts with.
    pub(super) const fn module(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Join => "join",
            Self::App => "login",
            Self::Till => "till",
            Self::Demo => "demo",
            Self::Newcomer => "newcomer",
            Self::Recover => "recover",
        }
    }

    /// The page's own style, beside what all share.
    const fn style(self) -> Option<&'static str> {
        match self {
            Self::Till => Some("till"),
            Self::Demo => Some("demo"),
            Self::Start | Self::Join | Self::App | Self::Newcomer | Self::Recover => None,
        }
    }

    /// The guardian's pages, which a phone may keep as an app.
    const fn is_installable(self) -> bool {
        match self {
            Self::Start | Self::Join | Self::App | Self::Newcomer | Self::Recover => true,
            Self::Till | Self::Demo => false,
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

    /// How our files are called.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh",
        }
    }

    pub(super) const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh-CN",
        }
    }
}

/// What a guardian's browser needs after the login.
const SIGNED_IN: &str = "app";

/// The whole document. It names all that the page starts with, so that it is fetched side by side; for whoever comes with a
/// guardian's cookie (`known`), what follows the login too.
pub(super) fn render(page: Page, language: Language, known: bool, edition: &Edition) -> Markup {
    let without_scripts = match language {
        Language::English => "This page checks signatures itself and needs JavaScript for that. Please switch it on.",
        Language::Chinese => "本页面要自己核对签名，需要 JavaScript。请在浏览器中开启。",
    };
    let mut modules = edition.closure(page.module());
    let mut words = vec![page.module(), FRAME];
    if page == Page::App && known {
        let more: Vec<&str> = edition.closure(SIGNED_IN).into_iter().filter(|one| !modules.contains(one)).collect();
        modules.extend(more);
        words.push(SIGNED_IN);
    }
    let file = |path: &str| edition.address(path);
    html! {
        (DOCTYPE)
        html lang=(language.tag()) {
            head {
                (head(page.title(language), edition))
                @if page.is_installable() {
                    link rel="manifest" href="/manifest.webmanifest";
                    link rel="apple-touch-icon" href=(file("img/icon-apple-180.png"));
                    meta name="apple-mobile-web-app-title" content=(Page::Start.title(language));
                }
                @if let Some(style) = page.style() {
                    link rel="stylesheet" href=(file(&format!("css/{style}.css")));
                }
                script type="module" src=(file(&format!("js/{}.js", page.module()))) {}
                @for set in words {
                    link rel="preload" as="fetch" crossorigin href=(file(&format!("words/{set}.{}.json", language.name())));
                }
                @for module in modules {
                    link rel="modulepreload" href=(file(&format!("js/{module}.js")));
                }
            }
            body class=(page.module()) {
                div #page { noscript { p { (without_scripts) } } }
                div #live .unseen role="status" aria-live="polite" {}
            }
        }
    }
}

/// What the head of every document begins with.
pub(super) fn head(title: &str, edition: &Edition) -> Markup {
    html! {
        meta charset="utf-8";
        meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover";
        meta name="color-scheme" content="light dark";
        meta name="theme-color" content="#f5f1e8" media="(prefers-color-scheme: light)";
        meta name="theme-color" content="#101519" media="(prefers-color-scheme: dark)";
        title { (title) }
        link rel="icon" href=(edition.address("img/logo.svg")) type="image/svg+xml";
        link rel="stylesheet" href=(edition.address("css/app.css"));
    }
}
