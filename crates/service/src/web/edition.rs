//! One edition of the static files: all of them as they stand, under one name that is their digest.
//!
//! Owns: what a browser is given of `assets/`: scripts and style without their comments, each language's words cut into what one
//! script and its imports use, all of it compressed once; and which scripts import which. Never does: HTTP.
//!
//! Invariants:
//! - the name changes with any byte of any file, so a page that names it gets files of one edition or none;
//! - of a script only whole lines go, and stay as empty ones: its line numbers are those of the source.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Write as _;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::http::header::ACCEPT_ENCODING;
use rust_embed::RustEmbed;
use serde_json::Value;

/// `assets/`, by path.
#[derive(RustEmbed)]
#[folder = "assets/"]
pub(super) struct Assets;

/// While developing, files are read from their folder whenever they are asked for.
pub(super) const READ_ANEW: bool = cfg!(debug_assertions);
/// What every page has loaded before it fetches words of another script.
pub(super) const FRAME: &str = "frame";
const BROTLI_QUALITY: u32 = 11;
/// For the shells, which are made anew for each request.
const QUICK_BROTLI_QUALITY: u32 = 5;
/// `log2` of the window, more than any file (RFC 7932 section 9.1).
const BROTLI_WINDOW: u32 = 19;
const BUFFER: usize = 8 * 1024;

/// The files, and what the scripts say of each other.
pub(super) struct Edition {
    name: String,
    files: HashMap<String, File>,
    scripts: BTreeMap<String, Script>,
}

/// A file as it is served, and its smaller forms once somebody asked for them.
pub(super) struct File {
    plain: Bytes,
    brotli: OnceLock<Bytes>,
    gzip: OnceLock<Bytes>,
}

/// What a script says it needs.
pub(super) struct Script {
    /// Loaded with it.
    pub(super) imports: Vec<String>,
    pub(super) words: BTreeSet<String>,
}

/// A content coding (RFC 9110 section 8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Brotli,
    Gzip,
}

impl Coding {
    /// The best of ours that the browser takes (RFC 9110 section 12.5.3).
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let wanted = headers.get(ACCEPT_ENCODING)?.to_str().ok()?;
        let takes = |name: &str| {
            wanted.split(',').any(|one| {
                let mut parts = one.split(';').map(str::trim);
                parts.next() == Some(name) && !parts.any(is_zero)
            })
        };
        [("br", Self::Brotli), ("gzip", Self::Gzip)].into_iter().find(|(name, _)| takes(name)).map(|(_, coding)| coding)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// A page's shell in this form.
    pub(super) fn pack_quickly(self, plain: &[u8]) -> Bytes {
        pack(self, QUICK_BROTLI_QUALITY, flate2::Compression::fast(), plain)
    }
}

/// Whether a weight says "not at all": `q=0`, `q=0.0` …
fn is_zero(weight: &str) -> bool {
    weight.strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok()).is_some_and(|weight| weight <= 0.0)
}

fn pack(coding: Coding, quality: u32, level: flate2::Compression, plain: &[u8]) -> Bytes {
    let packed = match coding {
        Coding::Brotli => {
            let mut writer = brotli::CompressorWriter::new(Vec::new(), BUFFER, quality, BROTLI_WINDOW);
            writer.write_all(plain).and_then(|()| writer.flush()).map(|()| writer.into_inner())
        }
        Coding::Gzip => {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), level);
            writer.write_all(plain).and_then(|()| writer.finish())
        }
    };
    packed.map_or_else(|_| unreachable!("memory takes every byte"), Bytes::from)
}

impl File {
    fn new(plain: impl Into<Bytes>) -> Self {
        Self { plain: plain.into(), brotli: OnceLock::new(), gzip: OnceLock::new() }
    }

    /// In this form; the first call for a form takes some hundredths of a second.
    pub(super) fn bytes(&self, coding: Option<Coding>) -> Bytes {
        let pack = |coding| pack(coding, BROTLI_QUALITY, flate2::Compression::best(), &self.plain);
        match coding {
            None => &self.plain,
            Some(Coding::Brotli) => self.brotli.get_or_init(|| pack(Coding::Brotli)),
            Some(Coding::Gzip) => self.gzip.get_or_init(|| pack(Coding::Gzip)),
        }
        .clone()
    }
}

impl Edition {
    /// The edition of the files as they are now. A release has one; while developing, files are read from their folder.
    pub(super) fn now() -> Arc<Self> {
        static CURRENT: RwLock<Option<Arc<Edition>>> = RwLock::new(None);
        let known = CURRENT.read().unwrap_or_else(PoisonError::into_inner).clone();
        let name = match known {
            Some(edition) if !READ_ANEW => return edition,
            _ => name_now(),
        };
        if let Some(edition) = known.filter(|edition| edition.name == name) {
            return edition;
        }
        let edition = Arc::new(Self::read(name));
        *CURRENT.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&edition));
        edition
    }

    fn read(name: String) -> Self {
        let mut files = HashMap::new();
        let mut scripts = BTreeMap::new();
        let texts: Vec<(String, BTreeMap<String, Value>)> = Assets::iter()
            .filter_map(|path| Some((path.strip_prefix("texts/")?.strip_suffix(".json")?.to_owned(), text(&path))))
            .map(|(language, text)| (language, serde_json::from_str(&text).unwrap_or_default()))
            .collect();
        let keys: BTreeSet<&str> = texts.iter().flat_map(|(_, words)| words.keys().map(String::as_str)).collect();
        for path in Assets::iter().filter(|path| !path.starts_with("texts/")) {
            match path.rsplit_once('.') {
                Some((_, ending @ ("js" | "css"))) => {
                    let source = text(&path);
                    if let Some(module) = path.strip_prefix("js/").and_then(|path| path.strip_suffix(".js")) {
                        scripts.insert(module.to_owned(), Script::read(&source, &keys));
                    }
                    files.insert(path.to_string(), File::new(without_comments(&source, ending == "js")));
                }
                _ => {
                    let bytes = Assets::get(&path).map(|file| file.data.into_owned()).unwrap_or_default();
                    files.insert(path.to_string(), File::new(bytes));
                }
            }
        }
        let mut edition = Self { name, files, scripts };
        let mut cut = Vec::new();
        for module in edition.scripts.keys() {
            let used = edition.words(module);
            for (language, words) in &texts {
                let words: BTreeMap<&String, &Value> = words.iter().filter(|(key, _)| used.contains(key)).collect();
                let text = serde_json::to_vec(&words).unwrap_or_default();
                cut.push((format!("words/{module}.{language}.json"), File::new(text)));
            }
        }
        edition.files.extend(cut);
        edition
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Where a page finds this file.
    pub(super) fn address(&self, path: &str) -> String {
        format!("/static/{}/{path}", self.name)
    }

    pub(super) fn file(&self, path: &str) -> Option<&File> {
        self.files.get(path)
    }

    #[cfg(test)]
    pub(super) fn scripts(&self) -> &BTreeMap<String, Script> {
        &self.scripts
    }

    /// The script and all that is loaded with it, imported ones first.
    pub(super) fn closure<'a>(&'a self, module: &'a str) -> Vec<&'a str> {
        fn visit<'a>(edition: &'a Edition, module: &'a str, seen: &mut BTreeSet<&'a str>, order: &mut Vec<&'a str>) {
            if !seen.insert(module) {
                return;
            }
            for import in edition.scripts.get(module).map_or(&[][..], |script| &script.imports) {
                visit(edition, import, seen, order);
            }
            order.push(module);
        }
        let mut order = Vec::new();
        visit(self, module, &mut BTreeSet::new(), &mut order);
        order
    }

    /// The words of the script and all that is loaded with it, without those of the frame that every page starts with.
    fn words(&self, module: &str) -> BTreeSet<&String> {
        let of = |module| -> BTreeSet<&String> {
            self.closure(module)
                .into_iter()
                .filter_map(|one| self.scripts.get(one))
                .flat_map(|one| &one.words)
                .collect()
        };
        if module == FRAME { of(FRAME) } else { &of(module) - &of(FRAME) }
    }
}

impl Script {
    /// `keys` are all words there are. A script names a word whole, in quotes, or by a beginning that its template goes on from.
    fn read(source: &str, keys: &BTreeSet<&str>) -> Self {
        let code = without_comments(source, true);
        let imports = code.split(" from \"./").skip(1).filter_map(|rest| rest.split_once(".js\""));
        let whole = code.split('"').filter_map(|piece| keys.get(piece)).map(|key| (*key).to_owned());
        let beginnings = code.split('`').filter_map(|piece| piece.split_once("${")).map(|(beginning, _)| beginning);
        let begun = beginnings.filter(|beginning| !beginning.is_empty()).flat_map(|beginning| {
            keys.iter().filter(move |key| key.starts_with(beginning)).map(|key| (*key).to_owned())
        });
        let words = whole.chain(begun).collect();
        Self { imports: imports.map(|(name, _)| name.to_owned()).collect(), words }
    }
}

/// The first 64 bits of the digest of all files.
fn name_now() -> String {
    let mut all = ring::digest::Context::new(&ring::digest::SHA256);
    let mut paths: Vec<_> = Assets::iter().collect();
    paths.sort_unstable();
    for path in paths {
        all.update(path.as_bytes());
        all.update(&Assets::get(&path).map(|file| file.metadata.sha256_hash()).unwrap_or_default());
    }
    all.finish().as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn text(path: &str) -> String {
    Assets::get(path).map(|file| String::from_utf8_lossy(&file.data).into_owned()).unwrap_or_default()
}

/// Empties the lines that hold nothing but a comment. No string of ours goes over lines; a test knows that.
pub(super) fn without_comments(source: &str, script: bool) -> String {
    let mut inside = false;
    let mut kept = String::with_capacity(source.len());
    for line in source.lines() {
        let begins = !inside && line.trim_start().starts_with("/*");
        let comment = inside || begins || (script && line.trim_start().starts_with("//"));
        if inside || begins {
            inside = !line.trim_end().ends_with("*/");
        }
        if !comment {
            kept.push_str(line);
        }
        kept.push('\n');
    }
    kept
}
