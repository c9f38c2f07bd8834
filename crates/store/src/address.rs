//! Where a store's data lies.

use std::fmt;
use std::path::PathBuf;

/// `sqlite:PATH` or a PostgreSQL URL. `Debug` and `Display` show no password.
#[derive(Clone, PartialEq, Eq)]
pub enum Address {
    /// A file of this one program.
    Sqlite(PathBuf),
    /// A server that any number of replicas share.
    Postgres {
        /// `postgres://USER:PASSWORD@HOST:PORT/NAME`, with several `HOST:PORT` where a standby may take over.
        url: String,
        /// How many to keep, each with a thread of its own; at least 1.
        connections: usize,
    },
}

/// A text that is no [`Address`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a database is given as sqlite:PATH or postgres://USER@HOST/NAME")]
pub struct AddressError;

impl Address {
    /// Connections to PostgreSQL where nobody says how many.
    pub const CONNECTIONS: usize = 16;

    /// # Errors
    /// When it begins with neither `sqlite:` nor `postgres:` or `postgresql:`, or ends there.
    pub fn parse(text: &str, connections: usize) -> Result<Self, AddressError> {
        match text.split_once(':') {
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => {
                Ok(Self::Postgres { url: text.to_owned(), connections })
            }
            Some(_) | None => Err(AddressError),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            // Users, passwords and parameters may be secrets; hosts and the database's name are not.
            Self::Postgres { url, .. } => {
                let rest = url
                    .rsplit_once('@')
                    .map_or_else(|| url.split_once("//").map_or("", |(_, rest)| rest), |(_, rest)| rest);
                write!(f, "postgres://{}", rest.split('?').next().unwrap_or_default())
            }
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_and_secrets_are_not_shown() {
        let parse = |text| Address::parse(text, 3);
        assert_eq!(parse("sqlite:/srv/a b.sqlite"), Ok(Address::Sqlite("/srv/a b.sqlite".into())));
        let url = "postgres://nodpay:s3@cret@one:5432,two:5433/pay?sslmode=disable&password=hidden";
        let address = parse(url).expect("an address");
        assert_eq!(address, Address::Postgres { url: url.to_owned(), connections: 3 });
        assert_eq!(
            format!("{address} {address:?}"),
            "postgres://one:5432,two:5433/pay Address(postgres://one:5432,two:5433/pay)"
        );
        assert_eq!(
            parse("postgresql://one/pay").map(|address| address.to_string()),
            Ok("postgres://one/pay".to_owned())
        );
        for wrong in ["", "sqlite:", "nodpay.sqlite", "mysql://one/pay", "postgres:pay"] {
            assert_eq!(parse(wrong), Err(AddressError), "{wrong}");
        }
    }
}
