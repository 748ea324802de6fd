//! The name of a client: what dockerd hands to authorization plugins as the user.

use std::fmt;

/// A client's user name: the common name of its certificate and the name of its directory.
///
/// 1–64 characters (RFC 5280 appendix A.1, `ub-common-name`). dockerd passes the common name to authorization plugins
/// (moby pkg/authorization/middleware.go), so it is an identity and must be unambiguous.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserName(String);

impl UserName {
    /// Reads a user name.
    ///
    /// # Errors
    /// When it is empty, longer than 64 characters, begins or ends with a blank, begins with `-`, is `.` or `..`, or
    /// contains a slash, a backslash, a control or an invisible character.
    pub fn parse(text: &str) -> Result<Self, UserNameError> {
        if text.is_empty() {
            return Err(UserNameError::Empty);
        }
        let length = text.chars().count();
        if length > 64 {
            return Err(UserNameError::TooLong { length });
        }
        if let Some(character) = text.chars().find(|c| matches!(c, '/' | '\\') || is_invisible(*c)) {
            return Err(UserNameError::Character { character });
        }
        if text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace) {
            return Err(UserNameError::OuterBlank);
        }
        // `.x` would be a hidden directory and could collide with a staging directory of ours.
        if text.starts_with('-') || text.starts_with('.') {
            return Err(UserNameError::Start);
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Control characters, and format characters that change how the text around them is shown.
pub(crate) fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not a user name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserNameError {
    /// Nothing at all.
    Empty,
    /// More than 64 characters.
    TooLong {
        /// Its length in characters.
        length: usize,
    },
    /// A character that cannot stand in it.
    Character {
        /// The first such character.
        character: char,
    },
    /// A blank at either end.
    OuterBlank,
    /// It begins with `-` or `.`.
    Start,
}

impl fmt::Display for UserNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the user name is empty"),
            Self::TooLong { length } => write!(f, "the user name has {length} characters; a common name holds 64"),
            Self::Character { character } => {
                write!(f, "the user name contains {}, which cannot stand in it", character.escape_default())
            }
            Self::OuterBlank => f.write_str("the user name begins or ends with a blank"),
            Self::Start => f.write_str("the user name begins with '-' or '.'"),
        }
    }
}

impl std::error::Error for UserNameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unambiguous_names_pass() {
        for good in ["alice", "ci-runner@build", "Änne Müller", "a.b_c", &"x".repeat(64)] {
            assert!(UserName::parse(good).is_ok(), "{good:?}");
        }
        let bad = [
            ("", UserNameError::Empty),
            (&*"x".repeat(65), UserNameError::TooLong { length: 65 }),
            ("a/b", UserNameError::Character { character: '/' }),
            ("a\\b", UserNameError::Character { character: '\\' }),
            ("a\nb", UserNameError::Character { character: '\n' }),
            ("a\u{202e}b", UserNameError::Character { character: '\u{202e}' }),
            (" a", UserNameError::OuterBlank),
            ("-a", UserNameError::Start),
            (".", UserNameError::Start),
            ("..", UserNameError::Start),
        ];
        for (text, error) in bad {
            assert_eq!(UserName::parse(text), Err(error), "{text:?}");
        }
    }
}
