//! The one line that chooses a key store.
//!
//! ```text
//! file:[FOLDER][?secret=PATH]
//! pkcs11:token=LABEL[;serial=…][;manufacturer=…][;model=…][;slot-id=N][;object=LABEL]?module-path=PATH&pin-source=PATH
//! tpm:device:PATH[?lockout=PATH]
//! tpm:swtpm:host=HOST,port=PORT[?lockout=PATH]
//! ```
//!
//! `pkcs11:` follows RFC 7512: percent-encoding, `;` between what names the token, `&` between what opens it. `%3F` in a path
//! is a question mark, here and in the other two.

use std::path::PathBuf;
use std::str::FromStr;

/// Label of the key on a token where none is configured.
const OBJECT: &str = "nodpay-watch";

/// Which store, and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyConfig {
    /// An encrypted file.
    File {
        /// Where it lies; in the watch's folder without a value.
        folder: Option<PathBuf>,
        /// The secret that it is encrypted under; a file `device-secret` beside it without a value.
        secret: Option<PathBuf>,
    },
    /// A PKCS#11 token.
    Pkcs11(Pkcs11Config),
    /// A TPM 2.
    Tpm(TpmConfig),
}

/// A token. What is `None` may be anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pkcs11Config {
    /// The library to load.
    pub module: PathBuf,
    /// Label of the token.
    pub token: Option<String>,
    /// Its serial number.
    pub serial: Option<String>,
    /// Its maker.
    pub manufacturer: Option<String>,
    /// Its model.
    pub model: Option<String>,
    /// The slot it is in.
    pub slot_id: Option<u64>,
    /// Label of the key.
    pub object: String,
    /// File with the token's PIN, mode 0600. Read at every login, never kept.
    pub pin_source: PathBuf,
}

/// A TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TpmConfig {
    /// How to reach it.
    pub tcti: Tcti,
    /// File with its lock-out authorisation, mode 0600, 1 to 32 bytes. Without a value the store makes one, if nobody has.
    pub lockout: Option<PathBuf>,
}

/// TPM command transmission interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tcti {
    /// `/dev/tpmrm0`: the kernel's, which shares it with others.
    Device(PathBuf),
    /// A software TPM; its control channel is one port higher.
    Swtpm {
        /// Name or address.
        host: String,
        /// Of its data channel.
        port: u16,
    },
}

/// What is wrong with the line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// It starts with another word.
    #[error("keys are in file:…, pkcs11:… or tpm:…")]
    Store,
    /// A word that this store does not know, or knows and was told twice.
    #[error("{0} is not understood in the line for keys")]
    Unknown(String),
    /// Something it cannot do without.
    #[error("the line for keys lacks {0}")]
    Missing(&'static str),
    /// `%` without two hexadecimal digits, not UTF-8, or not the number it should be.
    #[error("{0} in the line for keys cannot be read")]
    Malformed(String),
    /// Command lines and logs are read by many.
    #[error("a PIN does not belong in a command line: put it into a file and name that with pin-source")]
    PinValue,
}

impl Default for KeyConfig {
    /// The encrypted file in the watch's folder.
    fn default() -> Self {
        Self::File { folder: None, secret: None }
    }
}

impl FromStr for KeyConfig {
    type Err = ConfigError;

    fn from_str(line: &str) -> Result<Self, ConfigError> {
        let (store, rest) = line.split_once(':').ok_or(ConfigError::Store)?;
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        let mut query = Words::parse(query, '&')?;
        let config = match store {
            "file" => {
                let folder = (!path.is_empty()).then(|| decode(path)).transpose()?;
                Self::File { folder: folder.map(PathBuf::from), secret: query.take("secret").map(PathBuf::from) }
            }
            "pkcs11" => Self::Pkcs11(pkcs11(path, &mut query)?),
            "tpm" => Self::Tpm(TpmConfig { tcti: tcti(path)?, lockout: query.take("lockout").map(PathBuf::from) }),
            _ => return Err(ConfigError::Store),
        };
        query.end()?;
        Ok(config)
    }
}

fn pkcs11(path: &str, query: &mut Words) -> Result<Pkcs11Config, ConfigError> {
    let mut words = Words::parse(Some(path), ';')?;
    let pin_source = query.take("pin-source").ok_or(ConfigError::Missing("pin-source"))?;
    let slot_id = |text: String| text.parse().map_err(|_| ConfigError::Malformed(format!("slot-id={text}")));
    let config = Pkcs11Config {
        module: query.take("module-path").ok_or(ConfigError::Missing("module-path"))?.into(),
        token: words.take("token"),
        serial: words.take("serial"),
        manufacturer: words.take("manufacturer"),
        model: words.take("model"),
        slot_id: words.take("slot-id").map(slot_id).transpose()?,
        object: words.take("object").unwrap_or_else(|| OBJECT.to_owned()),
        // RFC 7512 section 2.4 shows file URIs; a plain path means the same.
        pin_source: pin_source.strip_prefix("file:").unwrap_or(&pin_source).into(),
    };
    words.end()?;
    Ok(config)
}

fn tcti(text: &str) -> Result<Tcti, ConfigError> {
    match text.split_once(':') {
        Some(("device", path)) if !path.is_empty() => Ok(Tcti::Device(decode(path)?.into())),
        Some(("swtpm", place)) => {
            let mut words = Words::parse(Some(place), ',')?;
            let host = words.take("host").ok_or(ConfigError::Missing("host"))?;
            let port = words.take("port").ok_or(ConfigError::Missing("port"))?;
            let port = port.parse().map_err(|_| ConfigError::Malformed(format!("port={port}")))?;
            words.end()?;
            Ok(Tcti::Swtpm { host, port })
        }
        _ => Err(ConfigError::Missing("device:PATH or swtpm:host=HOST,port=PORT")),
    }
}

/// `name=value` words, each taken once.
struct Words(Vec<(String, String)>);

impl Words {
    fn parse(text: Option<&str>, separator: char) -> Result<Self, ConfigError> {
        let words = text.into_iter().flat_map(|text| text.split(separator)).filter(|word| !word.is_empty());
        let words = words.map(|word| {
            let (name, value) = word.split_once('=').ok_or_else(|| ConfigError::Unknown(word.to_owned()))?;
            if name == "pin-value" {
                return Err(ConfigError::PinValue);
            }
            let value = decode(value)?;
            if value.is_empty() { Err(ConfigError::Malformed(word.to_owned())) } else { Ok((name.to_owned(), value)) }
        });
        words.collect::<Result<_, _>>().map(Self)
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(word, _)| word == name)?;
        Some(self.0.swap_remove(at).1)
    }

    fn end(self) -> Result<(), ConfigError> {
        match self.0.into_iter().next() {
            None => Ok(()),
            Some((name, _)) => Err(ConfigError::Unknown(name)),
        }
    }
}

/// Percent-encoding (RFC 3986 section 2.1).
fn decode(text: &str) -> Result<String, ConfigError> {
    let malformed = || ConfigError::Malformed(text.to_owned());
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).ok_or_else(malformed)?;
        let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| hex).ok_or_else(malformed)?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).map_err(|_| malformed())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<KeyConfig, ConfigError> {
        line.parse()
    }

    #[test]
    fn a_file_needs_nothing_and_may_have_a_folder_and_a_secret() {
        assert_eq!(parse("file:"), Ok(KeyConfig::default()));
        let folder = Some("/var/lib/my watch".into());
        assert_eq!(parse("file:/var/lib/my watch"), Ok(KeyConfig::File { folder: folder.clone(), secret: None }));
        let secret = Some("/run/credentials/watch/secret?".into());
        assert_eq!(
            parse("file:/var/lib/my%20watch?secret=/run/credentials/watch/secret%3f"),
            Ok(KeyConfig::File { folder, secret })
        );
    }

    #[test]
    fn a_token_is_named_as_rfc_7512_says() {
        let all = "pkcs11:token=The%20watch;serial=12%3B3;manufacturer=M;model=X;slot-id=7;object=key\
                   ?module-path=/usr/lib/module.so&pin-source=file:/etc/watch/pin";
        let config = Pkcs11Config {
            module: "/usr/lib/module.so".into(),
            token: Some("The watch".to_owned()),
            serial: Some("12;3".to_owned()),
            manufacturer: Some("M".to_owned()),
            model: Some("X".to_owned()),
            slot_id: Some(7),
            object: "key".to_owned(),
            pin_source: "/etc/watch/pin".into(),
        };
        assert_eq!(parse(all), Ok(KeyConfig::Pkcs11(config)));
        let KeyConfig::Pkcs11(least) = parse("pkcs11:?module-path=m.so&pin-source=pin").expect("parses") else {
            panic!("a token");
        };
        assert_eq!((least.token, least.object.as_str()), (None, OBJECT));
    }

    #[test]
    fn a_tpm_is_a_device_or_a_simulator() {
        let device = Tcti::Device("/dev/tpmrm0".into());
        assert_eq!(
            parse("tpm:device:/dev/tpmrm0"),
            Ok(KeyConfig::Tpm(TpmConfig { tcti: device.clone(), lockout: None }))
        );
        assert_eq!(
            parse("tpm:device:/dev/tpmrm0?lockout=/etc/l"),
            Ok(KeyConfig::Tpm(TpmConfig { tcti: device, lockout: Some("/etc/l".into()) }))
        );
        let tcti = Tcti::Swtpm { host: "127.0.0.1".to_owned(), port: 2321 };
        assert_eq!(parse("tpm:swtpm:host=127.0.0.1,port=2321"), Ok(KeyConfig::Tpm(TpmConfig { tcti, lockout: None })));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let (module, pin) = ("module-path=m.so", "pin-source=pin");
        for (line, error) in [
            ("keys".to_owned(), ConfigError::Store),
            ("cloud:somewhere".to_owned(), ConfigError::Store),
            ("file:a?colour=red".to_owned(), ConfigError::Unknown("colour".to_owned())),
            ("file:a?secret=1&secret=2".to_owned(), ConfigError::Unknown("secret".to_owned())),
            ("file:a?secret=".to_owned(), ConfigError::Malformed("secret=".to_owned())),
            ("file:%2".to_owned(), ConfigError::Malformed("%2".to_owned())),
            ("file:%+1".to_owned(), ConfigError::Malformed("%+1".to_owned())),
            ("file:%ff".to_owned(), ConfigError::Malformed("%ff".to_owned())),
            (format!("pkcs11:token=a?{module}"), ConfigError::Missing("pin-source")),
            (format!("pkcs11:token=a?{pin}"), ConfigError::Missing("module-path")),
            (format!("pkcs11:token=a?{module}&pin-value=1234"), ConfigError::PinValue),
            (format!("pkcs11:token=a?{module}&pin-value=12%3"), ConfigError::PinValue),
            (format!("pkcs11:slot-id=x?{module}&{pin}"), ConfigError::Malformed("slot-id=x".to_owned())),
            (format!("pkcs11:token?{module}&{pin}"), ConfigError::Unknown("token".to_owned())),
            (format!("pkcs11:id=%01?{module}&{pin}"), ConfigError::Unknown("id".to_owned())),
            ("tpm:".to_owned(), ConfigError::Missing("device:PATH or swtpm:host=HOST,port=PORT")),
            ("tpm:device:".to_owned(), ConfigError::Missing("device:PATH or swtpm:host=HOST,port=PORT")),
            ("tpm:swtpm:host=a".to_owned(), ConfigError::Missing("port")),
            ("tpm:swtpm:host=a,port=65536".to_owned(), ConfigError::Malformed("port=65536".to_owned())),
        ] {
            assert_eq!(parse(&line), Err(error), "{line}");
        }
    }
}
