//! A document as Markdown.

use std::fmt::{self, Write as _};

use super::page::{Page, Part, Said, Tone, shown, time, took};

/// The document as Markdown: what it says is taken as text, whatever it looks like.
pub(crate) fn markdown(page: &Page) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write(page, &mut out);
    out
}

fn write(page: &Page, out: &mut String) -> fmt::Result {
    writeln!(out, "# {}: {}", plain(&page.title), plain(&page.verdict.text))?;
    for part in &page.parts {
        out.push('\n');
        match part {
            Part::Heading(text) => writeln!(out, "## {}", plain(text))?,
            Part::Below(said) => writeln!(out, "### {}", line(said))?,
            Part::Text(text) => writeln!(out, "{}", plain(text))?,
            Part::List(lines) => {
                for said in lines {
                    writeln!(out, "- {}", line(said))?;
                }
            }
            Part::Facts(rows) => {
                writeln!(out, "| | |\n|---|---|")?;
                for (name, value) in rows {
                    writeln!(out, "| {} | {} |", plain(name), plain(&value.text))?;
                }
            }
            Part::Counts(counts) => {
                let names = counts.iter().map(|count| count.name.to_owned());
                row(out, names)?;
                row(out, counts.iter().map(|_| "---:".to_owned()))?;
                row(out, counts.iter().map(|count| count.value.to_string()))?;
            }
            Part::Table { head, rows } => {
                row(out, head.iter().map(|name| (*name).to_owned()))?;
                row(out, head.iter().map(|_| "---".to_owned()))?;
                for cells in rows {
                    row(out, cells.iter().map(|cell| plain(&cell.text)))?;
                }
            }
            Part::Changes { sides: [from, to], changes } => {
                for change in changes {
                    let (a, b) = (code(&change.from), code(&change.to));
                    writeln!(out, "- `{}`: {from} `{a}`, {to} `{b}`", code(&change.at))?;
                }
            }
            Part::Timeline(phases) => {
                row(out, ["step", "began", "took"].map(str::to_owned))?;
                row(out, ["---", "---", "---:"].map(str::to_owned))?;
                for phase in phases {
                    let took = took(phase.started_at, phase.ended_at);
                    row(out, [plain(&phase.name), time(phase.started_at), took])?;
                }
            }
        }
    }
    Ok(())
}

fn row(out: &mut String, cells: impl IntoIterator<Item = String>) -> fmt::Result {
    for cell in cells {
        write!(out, "| {cell} ")?;
    }
    writeln!(out, "|")
}

/// A line that says how it stands, since Markdown has no colours.
fn line(said: &Said) -> String {
    let text = plain(&said.text);
    match said.tone {
        Tone::Bad => format!("**{text}**"),
        _ => text,
    }
}

/// Text that Markdown takes as it is.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => out.push(' '),
            '|' | '*' | '_' | '`' | '<' | '>' | '[' | ']' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(shown(c)),
        }
    }
    out
}

fn code(text: &str) -> String {
    text.replace('`', "'").replace(['\n', '\r'], " ").chars().map(shown).collect()
}
