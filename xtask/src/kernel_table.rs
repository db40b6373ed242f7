//! What each kernel makes of netchaos, asked in a VM of it and written into a document: how much of each program its
//! verifier looks at, and which ways netchaos goes there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde::Deserialize;

use crate::build;
use crate::ctx::Ctx;
use crate::setup::kernels::Kernel;
use crate::setup::packages::Programs;
use crate::setup::toolchain::Toolchain;
use crate::test::ALL_KERNELS;
use crate::ui;
use crate::vm::{self, Stream};

/// The document, and what its table stands between.
const FILE: &str = "docs/kernels.md";
const BEGIN: &str = "<!-- written by `cargo xtask kernels` -->\n";
const END: &str = "<!-- end -->\n";
const HEAD: &str = "\
| Kernel | egress | in | back | follow | attached at | duplicate |
|---|---|---|---|---|---|---|
";
/// The programs, in the order of the columns.
const PROGRAMS: [&str; 4] = [
    "netchaos_egress",
    "netchaos_in",
    "netchaos_back",
    "netchaos_follow",
];
/// The test that loads the programs and says how much was verified.
const VERIFIER: &str = "host_verifier";
/// An emulated machine takes a tenth of it.
const BOUND: Duration = Duration::from_secs(300);

/// Which kernels to ask.
#[derive(Args)]
pub struct TableArgs {
    /// Kernels to ask, as for `vm`; may be repeated; rows of others stay [default: 5.10, 6.1, 6.12, 6.18 and the newest
    /// of Debian's, and no other rows]
    #[arg(long)]
    kernel: Vec<String>,
    #[command(flatten)]
    machine: crate::MachineArgs,
}

/// Rows by the version of their kernel.
type Rows = BTreeMap<(u32, u32), String>;

/// Asks the kernels, one after the other, and writes the table.
///
/// # Errors
/// When one cannot be had, booted or understood; the document then stays as it is.
pub fn run(ctx: &Ctx, args: &TableArgs) -> Result<ExitCode> {
    let path = ctx.root.join(FILE);
    let text = fs::read_to_string(&path).context(FILE)?;
    let toolchain = Toolchain::ready(ctx)?;
    let mut asked = Asked {
        ctx,
        args,
        programs: vm::ready(ctx)?,
        netchaos: args.machine.netchaos(ctx, &[])?,
        verifier: verifier(ctx, &toolchain)?,
    };
    let (mut rows, kernels) = match &args.kernel[..] {
        [] => (Rows::new(), ALL_KERNELS.map(str::to_owned).into()),
        named => (rows_of(&text)?, named.to_vec()),
    };
    for which in kernels {
        let kernel = Kernel::named(ctx, &which)?;
        let version = kernel.version().context("a kernel without a version")?;
        let row = asked.row(&kernel).with_context(|| kernel.release.clone())?;
        ui::note(row.trim());
        rows.insert(version, row);
    }
    fs::write(&path, with_rows(&text, &rows)?).context(FILE)?;
    Ok(ExitCode::SUCCESS)
}

fn verifier(ctx: &Ctx, toolchain: &Toolchain) -> Result<PathBuf> {
    let built = build::tests(ctx, toolchain, VERIFIER)?;
    let test = built.into_iter().next();
    Ok(test.with_context(|| format!("no test {VERIFIER}"))?.path)
}

/// What it takes to ask.
struct Asked<'a> {
    ctx: &'a Ctx,
    args: &'a TableArgs,
    programs: Programs,
    netchaos: PathBuf,
    verifier: PathBuf,
}

impl Asked<'_> {
    fn row(&mut self, kernel: &Kernel) -> Result<String> {
        let verified = self.ask(kernel, &[self.verifier.as_ref(), "--show-output".as_ref()])?;
        let doctor = ["doctor", "-o", "json"].map(Path::new);
        let doctor = self.ask(kernel, &[&[&*self.netchaos], &doctor[..]].concat())?;
        row(&kernel.release, &verified, &doctor)
    }

    /// What a command in a VM prints.
    fn ask(&self, kernel: &Kernel, command: &[&Path]) -> Result<String> {
        let request = vm::Request {
            command: command.iter().map(|word| word.into()).collect(),
            netchaos: self.netchaos.clone(),
            bound: Some(BOUND),
        };
        let mut printed = Vec::new();
        let mut sink = |stream, bytes: &[u8]| match stream {
            Stream::Out => {
                printed.extend(bytes);
                Ok(())
            }
            Stream::Err => vm::pass_on(stream, bytes),
        };
        let options = self.args.machine.options();
        let status = vm::run(
            self.ctx,
            &self.programs,
            kernel,
            &options,
            &request,
            &mut sink,
        )?;
        let printed = String::from_utf8_lossy(&printed).into_owned();
        if status != 0 {
            bail!("{}: status {status}\n{printed}", command[0].display());
        }
        Ok(printed)
    }
}

/// A line of the table: from what the test of the verifier prints, and what `netchaos doctor -o json` does.
fn row(release: &str, verified: &str, doctor: &str) -> Result<String> {
    #[derive(Deserialize)]
    struct Diagnosis {
        abilities: Vec<Ability>,
    }
    #[derive(Deserialize)]
    struct Ability {
        name: String,
        works: bool,
    }
    let diagnosis: Diagnosis = serde_json::from_str(doctor).context("netchaos doctor -o json")?;
    let works = |name: &str| {
        let ability = diagnosis
            .abilities
            .iter()
            .find(|ability| ability.name == name);
        Ok::<_, anyhow::Error>(
            ability
                .with_context(|| format!("doctor has no {name}"))?
                .works,
        )
    };
    let mut cells = vec![release.to_owned()];
    for program in PROGRAMS {
        let count = verified.lines().find_map(|line| {
            line.strip_prefix(&format!("{program}: "))?
                .split_once(" instr")
        });
        let (count, _) =
            count.with_context(|| format!("nothing said of {program}:\n{verified}"))?;
        cells.push(count.to_owned());
    }
    let hook = if works("tcx")? { "tcx" } else { "clsact" };
    cells.push(hook.to_owned());
    let duplicate = if works("netem duplicate beside others")? {
        "beside others"
    } else {
        "in a pair of its own"
    };
    cells.push(duplicate.to_owned());
    Ok(format!("| {} |\n", cells.join(" | ")))
}

/// The text before the table, the table, and the text after it.
fn parts(text: &str) -> Result<[&str; 3]> {
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| {
        let (table, after) = rest.split_once(END)?;
        Some([before, table, after])
    });
    parts.with_context(|| format!("{FILE} lacks the lines {BEGIN:?} and {END:?}"))
}

fn rows_of(text: &str) -> Result<Rows> {
    let [_, table, _] = parts(text)?;
    let rows = table.lines().skip(HEAD.lines().count()).map(|line| {
        let release = line.trim_start_matches("| ");
        let version = crate::setup::kernels::version_of(release);
        Ok((
            version.with_context(|| format!("{FILE}: {line}"))?,
            format!("{line}\n"),
        ))
    });
    rows.collect()
}

fn with_rows(text: &str, rows: &Rows) -> Result<String> {
    let [before, _, after] = parts(text)?;
    let rows: String = rows.values().map(String::as_str).collect();
    Ok([before, BEGIN, HEAD, &rows, END, after].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_made_of_what_is_printed() {
        let verified = "netchaos_egress: 1 instructions verified\nnetchaos_in: 2 instructions verified\n\
                        netchaos_back: 3 instructions verified\nnetchaos_follow: 4 instructions verified\n";
        let doctor = r#"{"abilities": [{"name": "tcx", "works": false},
                         {"name": "netem duplicate beside others", "works": true}]}"#;
        assert_eq!(
            row("5.10.0-46", verified, doctor).unwrap(),
            "| 5.10.0-46 | 1 | 2 | 3 | 4 | clsact | beside others |\n"
        );
        let error = row("5.10.0-46", "", doctor).unwrap_err().to_string();
        assert!(error.contains("netchaos_egress"), "{error}");
    }

    #[test]
    fn rows_of_others_stay() {
        let text = format!("a\n{BEGIN}{HEAD}| 6.12.1 | x |\n| 5.10.0 | y |\n{END}b\n");
        let mut rows = rows_of(&text).unwrap();
        rows.insert((6, 12), "| 6.12.2 | z |\n".into());
        let written = with_rows(&text, &rows).unwrap();
        assert_eq!(
            written,
            format!("a\n{BEGIN}{HEAD}| 5.10.0 | y |\n| 6.12.2 | z |\n{END}b\n")
        );
    }

    #[test]
    fn the_document_has_a_place_for_the_table() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(FILE);
        rows_of(&fs::read_to_string(file).unwrap()).unwrap();
    }
}
