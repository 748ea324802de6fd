//! The script that looks, and what it can be asked.

use std::net::SocketAddr;

/// Something to look at in a further run, which an earlier one has shown to matter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// A file: mode, owner and content.
    File(String),
    /// A private key: mode and owner only.
    Key(String),
    /// A TCP listener, to be dialled on the host itself.
    Dial(SocketAddr),
    /// A group by name or number, wherever the host keeps it.
    Group(String),
    /// A user by name or number, wherever the host keeps it.
    User(String),
}

/// The text to give to `sh -s` on the host; without questions it looks at the host as a whole.
#[must_use]
pub fn script(questions: &[Question]) -> String {
    let mut words = String::from("set --");
    for question in questions {
        let word = match question {
            Question::File(path) => format!("f:{path}"),
            Question::Key(path) => format!("k:{path}"),
            Question::Dial(address) => format!("d:{address}"),
            Question::Group(key) => format!("g:{key}"),
            Question::User(key) => format!("u:{key}"),
        };
        // A NUL is in no path, and would end the line early.
        words.push_str(&format!(" '{}'", word.replace('\0', "").replace('\'', "'\\''")));
    }
    format!("{words}\n{}", include_str!("collect.sh"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_quoted() {
        let text = script(&[Question::File("/a 'b' $(c)\n`d`".to_owned())]);
        assert!(text.starts_with("set -- 'f:/a '\\''b'\\'' $(c)\n`d`'\n"), "{text}");
    }
}
