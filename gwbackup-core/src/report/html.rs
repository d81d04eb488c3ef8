//! A document as one HTML page: no script, nothing fetched, readable on paper and on a phone.

use super::page::{Count, Page, Part, Said, Tone, shown, took};
use crate::restore::Phase;

/// The browser itself is told to fetch and run nothing.
const HEAD: &str = "<meta charset=\"utf-8\">\
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
<meta name=\"color-scheme\" content=\"light dark\">";

const STYLE: &str = include_str!("page.css");

/// The document as one page that stands by itself.
pub(crate) fn html(page: &Page) -> String {
    let mut out = Html(String::from("<!DOCTYPE html>\n<html lang=\"en\"><head>"));
    out.raw(HEAD);
    out.tag("title", "", |out| out.text(&format!("{}: {}", page.title, page.verdict.text)));
    out.tag("style", "", |out| out.raw(STYLE));
    out.raw("</head>\n<body>");
    out.tag("main", "", |out| {
        out.tag("header", class(page.verdict.tone), |out| {
            out.tag("h1", "", |out| out.text(&page.title));
            out.tag("p", "verdict", |out| out.text(&page.verdict.text));
        });
        for part in &page.parts {
            out.part(part);
            out.raw("\n");
        }
    });
    out.raw("</body></html>\n");
    out.0
}

fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Plain => "",
        Tone::Good => "good",
        Tone::Doubt => "doubt",
        Tone::Bad => "bad",
    }
}

/// A page being written. What comes from outside goes through [`text`](Self::text).
struct Html(String);

impl Html {
    /// Markup of ours.
    fn raw(&mut self, markup: &str) {
        self.0.push_str(markup);
    }

    /// Anything, as text: no character of it means something to the browser.
    fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.raw("&amp;"),
                '<' => self.raw("&lt;"),
                '>' => self.raw("&gt;"),
                '"' => self.raw("&quot;"),
                '\'' => self.raw("&#39;"),
                c => self.0.push(shown(c)),
            }
        }
    }

    fn tag(&mut self, name: &str, class: &str, within: impl FnOnce(&mut Self)) {
        self.raw("<");
        self.raw(name);
        if !class.is_empty() {
            self.raw(" class=\"");
            self.raw(class);
            self.raw("\"");
        }
        self.raw(">");
        within(self);
        self.raw("</");
        self.raw(name);
        self.raw(">");
    }

    fn said(&mut self, tag: &str, said: &Said) {
        self.tag(tag, class(said.tone), |out| out.text(&said.text));
    }

    fn part(&mut self, part: &Part) {
        match part {
            Part::Heading(text) => self.tag("h2", "", |out| out.text(text)),
            Part::Below(said) => self.said("h3", said),
            Part::Text(text) => self.tag("p", "", |out| out.text(text)),
            Part::List(lines) => self.tag("ul", "", |out| {
                for line in lines {
                    out.said("li", line);
                }
            }),
            Part::Facts(rows) => self.tag("dl", "", |out| {
                for (name, value) in rows {
                    out.tag("dt", "", |out| out.text(name));
                    out.said("dd", value);
                }
            }),
            Part::Counts(counts) => self.tag("ul", "counts", |out| {
                for count in counts {
                    out.count(count);
                }
            }),
            Part::Table { head, rows } => self.table(head, rows),
            Part::Changes { sides, changes } => {
                let cell = |text: &String| Said::from(text.as_str());
                let rows: Vec<Vec<Said>> = changes
                    .iter()
                    .map(|change| vec![cell(&change.at), cell(&change.from), cell(&change.to)])
                    .collect();
                self.table(&["field", sides[0], sides[1]], &rows);
            }
            Part::Timeline(phases) => self.timeline(phases),
        }
    }

    fn count(&mut self, count: &Count) {
        let tone = if count.value == 0 { "none" } else { class(count.tone) };
        self.tag("li", tone, |out| {
            out.tag("b", "", |out| out.text(&count.value.to_string()));
            out.raw(" ");
            out.tag("span", "", |out| out.text(count.name));
        });
    }

    /// A table; on a narrow screen each row becomes a block of its own.
    fn table(&mut self, head: &[&str], rows: &[Vec<Said>]) {
        self.tag("table", "", |out| {
            out.tag("thead", "", |out| {
                out.tag("tr", "", |out| {
                    for name in head {
                        out.tag("th", "", |out| out.text(name));
                    }
                });
            });
            out.tag("tbody", "", |out| {
                for row in rows {
                    out.tag("tr", "", |out| {
                        for (name, cell) in head.iter().zip(row) {
                            out.cell(name, cell);
                        }
                    });
                }
            });
        });
    }

    /// A cell that knows its column's name, for where the head is not shown.
    fn cell(&mut self, name: &str, said: &Said) {
        self.raw("<td data-of=\"");
        self.text(name);
        self.raw("\"");
        if said.tone != Tone::Plain {
            self.raw(&format!(" class=\"{}\"", class(said.tone)));
        }
        self.raw(">");
        self.text(&said.text);
        self.raw("</td>");
    }

    /// One bar for each phase, on one scale. Widths are shares, so that the text keeps its size.
    fn timeline(&mut self, phases: &[Phase]) {
        const ROW: usize = 40;
        let (Some(first), Some(last)) =
            (phases.iter().map(|p| p.started_at).min(), phases.iter().map(|p| p.ended_at).max())
        else {
            return;
        };
        let millis = |from, to: crate::clock::Timestamp| to.duration_since(from).as_millis().max(0);
        let whole = millis(first, last).max(1);
        // In hundredths of a percent; a run of many days fits by far.
        let share = |part: i128| (part * 10_000 / whole).clamp(0, 10_000);
        let percent = |share: i128| format!("{}.{:02}%", share / 100, share % 100);
        let height = phases.len() * ROW;
        self.raw(&format!("<svg role=\"img\" width=\"100%\" height=\"{height}\">"));
        self.tag("title", "", |out| out.text("Timeline of the run"));
        for (n, phase) in phases.iter().enumerate() {
            let left = share(millis(first, phase.started_at));
            let wide = share(millis(phase.started_at, phase.ended_at)).max(50).min(10_000 - left);
            let (left, wide) = if wide < 50 { (9_950, 50) } else { (left, wide) };
            let top = n * ROW;
            self.raw(&format!("<text x=\"0\" y=\"{}\">", top + 14));
            let took = took(phase.started_at, phase.ended_at);
            self.text(&format!("{}, {took}", phase.name));
            self.raw("</text>");
            self.raw(&format!(
                "<rect class=\"all\" x=\"0\" y=\"{0}\" width=\"100%\" height=\"10\" rx=\"3\"/>\
                 <rect x=\"{1}\" y=\"{0}\" width=\"{2}\" height=\"10\" rx=\"3\"/>",
                top + 21,
                percent(left),
                percent(wide)
            ));
        }
        self.raw("</svg>");
    }
}
