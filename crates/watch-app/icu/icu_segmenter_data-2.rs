// The rules of UAX 14 and UAX 29 as they come. Left out: the word lists (3.1 MB) of Chinese and Japanese, by which no line is
// broken but a double click selects a word, and of Burmese, Khmer, Lao and Thai, whose letters the watch's fonts lack.
macro_rules! own_data {
    ($($name:literal)*) => { $(include!(concat!(env!("CARGO_MANIFEST_DIR"), "/data/", $name, ".rs.data"));)* };
}
own_data!(
    "segmenter_break_grapheme_cluster_v1" "segmenter_break_grapheme_cluster_v2" "segmenter_break_line_override_v2"
    "segmenter_break_line_v1" "segmenter_break_line_v2" "segmenter_break_line_v3" "segmenter_break_sentence_override_v1"
    "segmenter_break_sentence_override_v2" "segmenter_break_sentence_v1" "segmenter_break_sentence_v2"
    "segmenter_break_word_override_v1" "segmenter_break_word_v1" "segmenter_break_word_v2" "segmenter_lstm_auto_v1"
    "segmenter_unihan_radical_v1"
);

/// Makes `$name` a provider of the data below.
#[doc(hidden)]
#[macro_export]
macro_rules! __make_provider {
    ($name:ty) => {
        impl $name {
            #[allow(dead_code)]
            pub(crate) const MUST_USE_MAKE_PROVIDER_MACRO: () = ();
        }
        icu_provider::marker::impl_data_provider_never_marker!($name);
    };
}
#[doc(inline)]
pub use __make_provider as make_provider;

/// For every script a list without words: each letter is one.
#[doc(hidden)]
#[macro_export]
macro_rules! __no_words {
    ($provider:ty, $marker:ident) => {
        impl icu_provider::DataProvider<icu::segmenter::provider::$marker> for $provider {
            fn load(
                &self,
                _: icu_provider::DataRequest,
            ) -> Result<icu_provider::DataResponse<icu::segmenter::provider::$marker>, icu_provider::DataError> {
                use icu::collections::char16trie::Char16Trie;
                use icu::segmenter::provider::DictionaryBreakData;
                const NO_WORDS: &DictionaryBreakData<'static> =
                    &DictionaryBreakData::Char16Trie(Char16Trie { data: zerovec::ZeroVec::new() });
                Ok(icu_provider::DataResponse {
                    payload: icu_provider::DataPayload::from_static_ref(NO_WORDS),
                    metadata: Default::default(),
                })
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __impl_segmenter_dictionary_auto_v2 {
    ($provider:ty) => {
        $crate::__no_words!($provider, SegmenterDictionaryAutoV2);
    };
}
#[doc(inline)]
pub use __impl_segmenter_dictionary_auto_v2 as impl_segmenter_dictionary_auto_v2;

#[doc(hidden)]
#[macro_export]
macro_rules! __impl_segmenter_dictionary_extended_v2 {
    ($provider:ty) => {
        $crate::__no_words!($provider, SegmenterDictionaryExtendedV2);
    };
}
#[doc(inline)]
pub use __impl_segmenter_dictionary_extended_v2 as impl_segmenter_dictionary_extended_v2;
