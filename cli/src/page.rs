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
        let mut widths = Widths::of(&self.heading);
        self.rows.iter().for_each(|row| widths.fit(row));
        let mut line = String::new();
        widths.align(&self.heading, &mut line);
        *text += &style.paint("1", &line);
        text.push('\n');
        for row in &self.rows {
            widths.align(row, text);
            text.push('\n');
        }
    }
}

/// How wide the columns of a table are, in characters.
pub(crate) struct Widths(Vec<usize>);

impl Widths {
    /// As wide as their headings.
    pub(crate) fn of(heading: &[&str]) -> Self {
        Self(heading.iter().map(|cell| cell.chars().count()).collect())
    }

    /// At least as wide as these cells.
    pub(crate) fn fit(&mut self, row: &[impl AsRef<str>]) {
        for (width, cell) in self.0.iter_mut().zip(row) {
            *width = cell.as_ref().chars().count().max(*width);
        }
    }

    /// Appends the cells, each as wide as its column; no line ends in spaces.
    pub(crate) fn align(&self, row: &[impl AsRef<str>], line: &mut String) {
        for (width, cell) in self.0.iter().zip(row) {
            let cell = cell.as_ref();
            let gap = width - cell.chars().count() + 2;
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', gap));
        }
        line.truncate(line.trim_end_matches(' ').len());
    }
}

/// A cell of something that may be unknown.
pub(crate) fn cell(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// `unknown` where the kernel can't tell: that is not a no.
pub(crate) fn yes_or_no(value: Option<bool>) -> &'static str {
    match value {
        Some(true) => "yes",
        Some(false) => "no",
        None => "unknown",
    }
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
