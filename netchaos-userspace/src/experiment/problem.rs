//! What is wrong with an input: where, which field, which value, what is allowed.

use std::fmt;

use serde::Serialize;

/// Why a value is refused. `Display` gives `"5x" is not a duration; allowed: …`.
///
/// This is the error of every `FromStr` in this room. It knows no place; a [`Problem`] does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Invalid {
    /// As it was written; none where there is no single value, such as for a missing field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Goes on after the value: "is not a duration".
    pub message: String,
    /// What would be accepted instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<String>,
}

impl Invalid {
    pub fn value(
        value: impl Into<String>,
        message: impl Into<String>,
        allowed: impl Into<String>,
    ) -> Self {
        Self {
            value: Some(value.into()),
            message: message.into(),
            allowed: Some(allowed.into()),
        }
    }

    /// For what is wrong with the field itself: missing, unknown, given twice.
    pub fn field(message: impl Into<String>, allowed: Option<String>) -> Self {
        Self {
            value: None,
            message: message.into(),
            allowed,
        }
    }

    /// What a word stands for.
    ///
    /// # Errors
    /// It is none of `words`; `message` goes on after it, such as "is not a direction".
    pub(super) fn unless_word<T: Copy>(
        text: &str,
        words: &[(&'static str, T)],
        message: &str,
    ) -> Result<T, Self> {
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let allowed = match words.split_last() {
                Some((last, others)) if !others.is_empty() => {
                    format!("{} or {last}", others.join(", "))
                }
                _ => words.concat(),
            };
            Self::value(text, message, allowed)
        })
    }

    /// The same refusal of a value that is a part of `whole`.
    pub(super) fn within(self, whole: &str) -> Self {
        Self {
            value: Some(whole.to_owned()),
            ..self
        }
    }
}

/// Values longer than this are cut in messages; the field `value` keeps all of it.
const SHOWN_CHARACTERS: usize = 80;

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(value) = &self.value {
            let mut shown: String = value.chars().take(SHOWN_CHARACTERS).collect();
            if shown.len() < value.len() {
                shown.push('…');
            }
            // Debug quotes, and escapes what a terminal would obey.
            write!(f, "{shown:?} ")?;
        }
        f.write_str(&self.message)?;
        match &self.allowed {
            Some(allowed) => write!(f, "; allowed: {allowed}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Invalid {}

/// One thing that is wrong, and where: `file.yaml:14: spec.delay.latency: "5x" is not …`.
///
/// Flags have neither file nor line; their field is the flag, such as `--delay`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The path to the field (`spec.externalTargets[1]`) or the flag; empty for a whole file.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
    #[serde(flatten)]
    pub invalid: Invalid,
}

impl Problem {
    /// A problem of something that is in no file, such as a flag.
    pub fn of(field: impl Into<String>, invalid: Invalid) -> Self {
        Self {
            file: None,
            line: None,
            field: field.into(),
            invalid,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
            if let Some(line) = self.line {
                write!(f, "{line}:")?;
            }
            f.write_str(" ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        self.invalid.fmt(f)
    }
}

/// Everything that is wrong with one input. `Display` prints one problem per line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}
