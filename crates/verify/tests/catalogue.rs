//! CHECKS.md is the catalogue of the code, word for word.
//!
//! After a change of the catalogue, `DOCKSEAL_BLESS=1 cargo test -p dockseal-verify --test catalogue` writes it anew.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::Path;

use dockseal_verify::Check;

#[expect(clippy::unwrap_used, reason = "writing to a string does not fail")]
fn catalogue() -> String {
    let mut text = String::from(
        "# Checks\n\nEvery check of the judge: what it means, what to do, and where Docker's answer comes from.\n\
         A *refusal* makes Docker refuse, a *warning* works other than expected, *advice* works and could be better.\n",
    );
    for check in Check::ALL {
        write!(
            text,
            "\n## {}\n\n*{}* — {}\n\n**What to do:** {}\n\n**Source:** {}\n",
            check.id(),
            check.severity().name(),
            check.explanation(),
            check.remedy(),
            check.source()
        )
        .unwrap();
    }
    text
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a test may read its environment and write its snapshot"
)]
fn checks_md_is_the_catalogue() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("CHECKS.md");
    if std::env::var_os("DOCKSEAL_BLESS").is_some() {
        std::fs::write(&path, catalogue()).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(&path).unwrap_or_default(),
        catalogue()
    );
}

#[test]
fn identifiers_are_unique_and_plain() {
    let mut seen = HashSet::new();
    for check in Check::ALL {
        assert!(seen.insert(check.id()), "{} twice", check.id());
        assert!(
            check
                .id()
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
        );
        assert!(check.explanation().ends_with('.') && check.remedy().ends_with('.'));
    }
}
