//! What somebody signed in with, in two coarse words from the `User-Agent` header: enough for a person to know their own devices
//! by, too little to tell people apart by.

use axum::http::HeaderMap;
use axum::http::header::USER_AGENT;
use nodpay_store::Device;

use crate::extract::text;
use crate::problem::ApiError;

/// Bytes of the header that are looked at.
const MAX_LOOK: usize = 512;

/// What is looked for, in this order: browsers name their forebears too.
const SYSTEMS: [(&str, &str); 9] = [
    ("iPhone", "iphone"),
    ("iPad", "ipad"),
    ("HarmonyOS", "harmony"),
    ("OpenHarmony", "harmony"),
    ("Android", "android"),
    ("Windows", "windows"),
    ("CrOS", "chromebook"),
    ("Macintosh", "mac"),
    ("Linux", "linux"),
];
const BROWSERS: [(&str, &str); 11] = [
    ("MicroMessenger", "wechat"),
    ("Edg", "edge"),
    ("OPR/", "opera"),
    ("SamsungBrowser", "samsung"),
    ("HuaweiBrowser", "huawei"),
    ("Firefox", "firefox"),
    ("FxiOS", "firefox"),
    ("CriOS", "chrome"),
    ("Chrome", "chrome"),
    ("Chromium", "chrome"),
    ("Safari", "safari"),
];
const OTHER: &str = "other";

/// `iphone/safari`; `other/other` where nothing is known.
pub(crate) fn of(headers: &HeaderMap) -> Result<Device, ApiError> {
    let agent = text(headers, USER_AGENT).unwrap_or_default();
    let agent = agent.get(..MAX_LOOK).unwrap_or(agent);
    let find = |names: &[(&str, &'static str)]| {
        names.iter().find(|(mark, _)| agent.contains(mark)).map_or(OTHER, |(_, name)| name)
    };
    let words = format!("{}/{}", find(&SYSTEMS), find(&BROWSERS));
    Device::new(&words).map_err(|error| ApiError::Internal(error.to_string()))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn devices_have_two_words() {
        let cases = [
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
              Version/18.1 Mobile/15E148 Safari/604.1",
                "iphone/safari",
            ),
            (
                "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 \
              Mobile Safari/537.36",
                "android/chrome",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 \
              Safari/537.36 Edg/131.0.0.0",
                "windows/edge",
            ),
            (
                "Mozilla/5.0 (Linux; Android 14; 22081212C) AppleWebKit/537.36 Chrome/122.0 Mobile Safari/537.36 \
              MicroMessenger/8.0.50",
                "android/wechat",
            ),
            ("curl/8.5.0", "other/other"),
            ("", "other/other"),
        ];
        for (agent, words) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(USER_AGENT, HeaderValue::from_static(agent));
            assert_eq!(of(&headers).expect("words").as_str(), words, "{agent}");
        }
        let mut long = HeaderMap::new();
        let agent = "x".repeat(MAX_LOOK) + "Android";
        long.insert(USER_AGENT, HeaderValue::try_from(agent).expect("a header"));
        assert_eq!(of(&long).expect("words").as_str(), "other/other");
    }
}
