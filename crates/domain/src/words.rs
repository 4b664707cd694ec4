//! Closed sets of words: one spelling in API, database, logs and console, one number in the database.

/// Declares a closed set of words that has one spelling everywhere: API, database, logs, console.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $number:literal $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum $name { $($(#[$variant_doc])* #[serde(rename = $text)] $variant = $number,)* }

        impl $name {
            /// Every word, in order of number.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// The word as it is written everywhere.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }

            /// The word for a text, or `None`.
            #[must_use]
            pub fn parse(text: &str) -> Option<$name> {
                match text { $($text => Some($name::$variant),)* _ => None }
            }

            /// The number that the database keeps.
            #[must_use]
            pub fn number(self) -> u8 {
                self as u8
            }

            /// The word for the database's number, or `None` where it was never given out.
            #[must_use]
            pub fn from_number(number: i64) -> Option<$name> {
                match number { $($number => Some($name::$variant),)* _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(crate) use words;
