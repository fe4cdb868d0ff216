//! A page for people: lines and tables, laid out only when it is known where they go.

use crate::printable::printable;

/// Whether escape sequences may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Text alone.
    Plain,
    /// A terminal that wants colour.
    Coloured,
}

impl Style {
    /// The text in an SGR code (`1` is bold), where there may be one.
    pub(crate) fn paint(self, code: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Coloured => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        }
    }
}

/// What a person reads.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Page(Vec<Block>);

#[derive(Clone, Debug, PartialEq)]
enum Block {
    Verbatim(String),
    Line(String),
    Table(Table),
}

impl Page {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Text that is laid out already, with its line ends.
    pub(crate) fn verbatim(text: String) -> Self {
        Self(vec![Block::Verbatim(text)])
    }

    /// With one more line; control characters in it are escaped.
    pub(crate) fn line(mut self, text: impl AsRef<str>) -> Self {
        self.0.push(Block::Line(printable(text.as_ref())));
        self
    }

    /// With a table.
    pub(crate) fn table(mut self, table: Table) -> Self {
        self.0.push(Block::Table(table));
        self
    }

    /// The text, each line ended.
    pub(crate) fn render(&self, style: Style) -> String {
        let mut text = String::new();
        for block in &self.0 {
            match block {
                Block::Verbatim(block) => text += block,
                Block::Line(line) => text += &format!("{line}\n"),
                Block::Table(table) => table.render(style, &mut text),
            }
        }
        text
    }
}

/// Aligned columns under a heading.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Table {
    heading: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(heading: &[&'static str]) -> Self {
        Self { heading: heading.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; an empty cell is shown as `-`, so that columns can be counted.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        let cell = |cell: String| if cell.is_empty() { "-".to_owned() } else { printable(&cell) };
        self.rows.push(cells.into_iter().map(cell).collect());
    }

    fn render(&self, style: Style, text: &mut String) {
        let heading: Vec<_> = self.heading.iter().map(|cell| (*cell).to_owned()).collect();
        let mut widths = vec![0; heading.len()];
        for row in std::iter::once(&heading).chain(&self.rows) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        *text += &style.paint("1", &aligned(&heading, &widths));
        text.push('\n');
        for row in &self.rows {
            *text += &aligned(row, &widths);
            text.push('\n');
        }
    }
}

fn aligned(row: &[String], widths: &[usize]) -> String {
    let cells: Vec<_> =
        row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
    cells.join("  ").trim_end().to_owned()
}

/// A cell of something that may be unknown.
pub(crate) fn cell(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_no_line_ends_in_spaces() {
        let mut table = Table::new(&["NAME", "PHASE", "PID"]);
        table.row(["web1".into(), "live".into(), "4711".into()]);
        table.row(["größer-als".into(), "defined".into(), String::new()]);
        let text = Page::new().table(table).render(Style::Plain);
        assert_eq!(
            text,
            "NAME        PHASE    PID\nweb1        live     4711\ngrößer-als  defined  -\n"
        );
    }

    #[test]
    fn colour_is_only_written_where_it_was_allowed() {
        let page = Page::new().table(Table::new(&["NAME"])).line("a\u{1b}[0m");
        assert_eq!(page.render(Style::Plain), "NAME\na\\u{1b}[0m\n");
        assert_eq!(page.render(Style::Coloured), "\u{1b}[1mNAME\u{1b}[0m\na\\u{1b}[0m\n");
    }
}
