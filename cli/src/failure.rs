//! What went wrong, with what to do about it, and how both look on a terminal.
//!
//! Inside the binary errors are `anyhow`; one that has a hint is a [`Failure`] in its chain.

use std::fmt;

/// An error that knows what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    code: Option<String>,
    hint: Option<String>,
}

impl Failure {
    /// An error without a hint yet; the message is a lower-case sentence.
    pub(crate) fn new(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), code: None, hint: None }
    }

    /// Adds the stable code that a server gave.
    pub(crate) fn with_code(mut self, code: impl Into<String>) -> Failure {
        self.code = Some(code.into());
        self
    }

    /// Adds what to do about it.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.code {
            Some(code) if self.message.contains('\n') => write!(f, "\n({code})"),
            Some(code) => write!(f, " ({code})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

/// The error with everything that led to it, and the hints on their own lines.
pub(crate) fn render(error: &anyhow::Error) -> String {
    let mut text = String::from("error");
    for cause in error.chain().map(ToString::to_string) {
        // Many errors print their cause themselves.
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    for cause in error.chain() {
        if let Some(hint) = cause.downcast_ref::<Failure>().and_then(|it| it.hint.as_ref()) {
            text.push_str("\n hint: ");
            text.push_str(hint);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use anyhow::Context;

    use super::{Failure, render};

    #[test]
    fn a_cause_is_not_said_twice() {
        let error =
            Err::<(), _>(std::io::Error::other("disk full")).context("cannot write: disk full");
        let error = error.context("cannot export").unwrap_err();
        assert_eq!(render(&error), "error: cannot export: cannot write: disk full");
    }

    #[test]
    fn hints_stand_below_the_whole_chain() {
        let failure = Failure::new("the key is not known").with_code("forbidden");
        let failure = failure.with_hint("make one with `tercet apps key APP`");
        let error = Err::<(), _>(failure).context("cannot ask the app").unwrap_err();
        assert_eq!(
            render(&error),
            "error: cannot ask the app: the key is not known (forbidden)\n \
             hint: make one with `tercet apps key APP`"
        );
    }
}
