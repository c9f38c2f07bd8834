//! What a shop sells, in the few words a family thinks in.

use serde::{Deserialize, Serialize};

use crate::Mcc;

/// A small closed set of kinds of shops, made of the merchant category codes of ISO 18245. It only names and filters: rules and
/// caps are about the codes themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Category {
    /// Groceries, canteens, restaurants, bakeries.
    Food,
    /// Schools, courses, stationery.
    School,
    Books,
    Toys,
    /// Buses, trains, taxis, tolls, bicycles.
    Transport,
    /// Clothes and shoes.
    Clothes,
    /// Chemists, doctors, dentists, hairdressers.
    Health,
    /// Games, films, music, sport, outings.
    Fun,
    Other,
}

impl Category {
    pub const ALL: [Self; 9] = [
        Self::Food,
        Self::School,
        Self::Books,
        Self::Toys,
        Self::Transport,
        Self::Clothes,
        Self::Health,
        Self::Fun,
        Self::Other,
    ];

    /// ISO 18245:2003 with the codes that card schemes publish under it.
    #[must_use]
    pub fn of(mcc: Mcc) -> Self {
        match mcc.number() {
            5411 | 5422 | 5441 | 5451 | 5462 | 5499 | 5811..=5814 => Self::Food,
            5111 | 5943 | 8211 | 8220 | 8241 | 8244 | 8249 | 8299 | 8351 => Self::School,
            2741 | 5192 | 5942 | 5994 => Self::Books,
            5945 => Self::Toys,
            3351..=3441
            | 4011
            | 4111
            | 4112
            | 4121
            | 4131
            | 4411
            | 4511
            | 4784
            | 4789
            | 5541
            | 5542
            | 5940
            | 7512
            | 7523 => Self::Transport,
            5137 | 5139 | 5611 | 5621 | 5631 | 5641 | 5651 | 5655 | 5661 | 5681 | 5691 | 5697..=5699 | 7296 => {
                Self::Clothes
            }
            4119
            | 5122
            | 5912
            | 5975
            | 5976
            | 5977
            | 7230
            | 7297
            | 7298
            | 8011
            | 8021
            | 8031
            | 8041..=8043
            | 8049
            | 8050
            | 8062
            | 8071
            | 8099 => Self::Health,
            4899
            | 5733
            | 5735
            | 5815..=5818
            | 5941
            | 5970
            | 5971
            | 5995
            | 7032
            | 7829
            | 7832
            | 7841
            | 7911
            | 7922
            | 7929
            | 7932
            | 7933
            | 7941
            | 7991
            | 7992..=7994
            | 7996..=7999 => Self::Fun,
            _ => Self::Other,
        }
    }

    /// What it is called between programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Food => "food",
            Self::School => "school",
            Self::Books => "books",
            Self::Toys => "toys",
            Self::Transport => "transport",
            Self::Clothes => "clothes",
            Self::Health => "health",
            Self::Fun => "fun",
            Self::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_their_kinds() {
        let cases = [
            ("5411", Category::Food),
            ("5814", Category::Food),
            ("5943", Category::School),
            ("8211", Category::School),
            ("5942", Category::Books),
            ("5945", Category::Toys),
            ("4111", Category::Transport),
            ("5661", Category::Clothes),
            ("5912", Category::Health),
            ("5816", Category::Fun),
            ("7832", Category::Fun),
            ("0000", Category::Other),
            ("5921", Category::Other),
            ("9999", Category::Other),
        ];
        for (mcc, category) in cases {
            assert_eq!(Category::of(Mcc::from_digits(mcc).expect("four digits")), category, "{mcc}");
        }
    }

    #[test]
    fn names_are_what_programs_read() {
        for category in Category::ALL {
            let text = serde_json::to_string(&category).expect("a text");
            assert_eq!(text, format!("\"{}\"", category.as_str()));
            assert_eq!(serde_json::from_str::<Category>(&text).expect("read back"), category);
        }
    }
}
