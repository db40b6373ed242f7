//! Printing, for people or for programs.

use std::io::{self, Write as _};

use comfy_table::{Table, presets::NOTHING};
use serde::Serialize;

use super::args::Format;

/// Prints a value as JSON or YAML; gives it back where people are to read it.
///
/// # Errors
/// stdout is gone.
pub fn structured<T: Serialize>(format: Format, value: &T) -> io::Result<bool> {
    let text = match format {
        Format::Table => return Ok(false),
        Format::Json => serde_json::to_string_pretty(value).map_err(io::Error::other)?,
        Format::Yaml => serde_saphyr::to_string(value).map_err(io::Error::other)?,
    };
    line(text.trim_end())?;
    Ok(true)
}

/// Prints a table without lines and without its first `skip` columns.
///
/// # Errors
/// stdout is gone.
pub fn table<const N: usize>(
    header: &[&str; N],
    rows: Vec<[String; N]>,
    skip: usize,
) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(&header[skip..]);
    for row in rows {
        table.add_row(&row[skip..]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    line(&table.trim_fmt())
}

/// # Errors
/// stdout is gone.
pub fn line(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// A word beside the result, for people. Where nobody listens it is not said.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "note: {text}");
}

/// A count with its noun: "1 packet", "2 packets".
pub fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}
