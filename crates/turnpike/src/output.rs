//! What people and programs read on the terminal: aligned tables, records, sentences; or one JSON
//! document.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};

use serde_json::Value;

use crate::config::Environment;

/// Where a command's answer goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Out {
    /// Whether programs read it.
    pub(crate) json: bool,
    colour: bool,
    /// Columns of the terminal; what is piped is never wrapped.
    columns: Option<usize>,
}

/// How a text is painted. Colour only repeats what the words say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Style {
    /// As it is.
    #[default]
    Plain,
    /// A heading, or what was asked for.
    Bold,
    /// What stands behind.
    Dim,
    /// As it should be.
    Good,
    /// To be looked at.
    Warn,
    /// Wrong.
    Bad,
}

impl Out {
    /// The standard output: colours only on a terminal whose user has not declined them.
    pub(crate) fn new(json: bool, environment: &Environment) -> Out {
        let terminal = !json && std::io::stdout().is_terminal();
        let columns = terminal.then(terminal_size::terminal_size).flatten().map(|(width, _)| usize::from(width.0));
        Out { json, colour: terminal && wants_colour(environment), columns }
    }

    /// The data of an answer as one JSON document.
    pub(crate) fn data(self, data: &Value) {
        print(&format!("{data:#}\n"));
    }

    /// A sentence, or a line of one's own making.
    pub(crate) fn line(self, text: impl AsRef<str>) {
        print(&format!("{}\n", text.as_ref()));
    }

    /// A hint of what may be done next.
    pub(crate) fn hint(self, text: impl AsRef<str>) {
        print(&format!("{}\n", self.paint(Style::Dim, text.as_ref())));
    }

    /// A table with its headings.
    pub(crate) fn table(self, table: &Table) {
        print(&table.render(self));
    }

    /// A page of a table that goes on: the headings stand over the first page alone, and columns keep
    /// their places as long as what comes fits.
    pub(crate) fn table_page(self, table: &Table, layout: &mut Option<Layout>) {
        print(&table.render_page(self, layout));
    }

    /// A piece of a document that is printed as it comes.
    pub(crate) fn part(self, text: &str) {
        print(text);
    }

    /// Labels and values, one a line; values that are empty are left out.
    pub(crate) fn record(self, fields: &[(&str, Cell)]) {
        print(&render_record(fields, self));
    }

    /// The text in its style.
    pub(crate) fn paint(self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Bold => "1",
            Style::Dim => "2",
            Style::Good => "32",
            Style::Warn => "33",
            Style::Bad => "31",
            Style::Plain => return text.to_owned(),
        };
        if self.colour && !text.is_empty() { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Whether colours are wanted, where there is a terminal (no-color.org).
pub(crate) fn wants_colour(environment: &Environment) -> bool {
    environment.get("NO_COLOR").is_none() && environment.get("TERM") != Some("dumb")
}

/// Nobody may be reading any more (`| head`), and that is no error.
fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// A text with its style. What came from elsewhere cannot steer the terminal: control characters
/// are shown as a placeholder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A text in a style.
    pub(crate) fn new(text: impl AsRef<str>, style: Style) -> Cell {
        let text = text.as_ref().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        Cell { text, style }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::new(text, Style::Plain)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell::new(text, Style::Plain)
    }
}

/// Rows under headings. Numbers stand below each other by their decimal points; a last column of words
/// is wrapped where the terminal ends.
#[derive(Debug)]
pub(crate) struct Table {
    headings: Vec<(&'static str, Side)>,
    rows: Vec<Vec<Cell>>,
}

/// How a table was laid out, for the page that goes on with it.
#[derive(Debug)]
pub(crate) struct Layout {
    shown: Vec<usize>,
    decimals: Vec<usize>,
    widths: Vec<usize>,
}

/// On which side of its column a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Words.
    Left,
    /// Numbers and amounts.
    Right,
}

/// Between columns.
const GAP: &str = "  ";

/// A last column narrower than this is not worth wrapping into.
const WRAP_MIN: usize = 24;

impl Table {
    /// A table with these headings.
    pub(crate) fn new(headings: impl IntoIterator<Item = (&'static str, Side)>) -> Table {
        Table { headings: headings.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row, with a cell for each heading.
    pub(crate) fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        debug_assert_eq!(N, self.headings.len(), "a row has a cell for every heading");
        self.rows.push(cells.into());
    }

    fn render(&self, out: Out) -> String {
        self.render_page(out, &mut None)
    }

    /// What was laid out before goes on without headings; a column that had been empty until then brings
    /// them again.
    fn render_page(&self, out: Out, before: &mut Option<Layout>) -> String {
        let columns = 0..self.headings.len();
        // A column that nothing stands in says nothing.
        let filled = |column: usize| self.rows.iter().any(|row| !row[column].text.is_empty());
        let was_shown = |column: usize| before.as_ref().is_some_and(|layout| layout.shown.contains(&column));
        let shown: Vec<usize> = columns.clone().filter(|column| filled(*column) || was_shown(*column)).collect();
        let goes_on = before.as_ref().is_some_and(|layout| layout.shown == shown);
        let least = |column: usize| before.as_ref().map_or((0, 0), |layout| (layout.decimals[column], layout.widths[column]));
        let decimals: Vec<usize> = columns.clone().map(|column| self.decimals(column).max(least(column).0)).collect();
        let headings: Vec<Cell> = self.headings.iter().map(|(heading, _)| Cell::new(heading, Style::Dim)).collect();
        let mut rows = if goes_on { Vec::new() } else { vec![headings] };
        rows.extend(self.rows.iter().map(|row| row.iter().zip(&decimals).map(|(cell, decimals)| cell.padded(*decimals)).collect()));
        let widths: Vec<usize> =
            columns.map(|column| rows.iter().map(|row| row[column].width()).max().unwrap_or(0).max(least(column).1)).collect();
        let text = self.render_rows(out, &rows, &shown, &widths);
        *before = Some(Layout { shown, decimals, widths });
        text
    }

    fn render_rows(&self, out: Out, rows: &[Vec<Cell>], shown: &[usize], widths: &[usize]) -> String {
        let mut text = String::new();
        for row in rows {
            let (mut line, mut written) = (String::new(), 0);
            for (at, column) in shown.iter().copied().enumerate() {
                let (cell, padding) = (&row[column], " ".repeat(widths[column] - row[column].width()));
                let gap = if at == 0 { "" } else { GAP };
                let is_last = at + 1 == shown.len();
                let painted = match out.columns {
                    Some(columns) if is_last => out.paint(cell.style, &wrap(&cell.text, columns, written + gap.len())),
                    _ => out.paint(cell.style, &cell.text),
                };
                written += gap.len() + widths[column];
                // Writing into a String does not fail.
                let _ = match self.headings[column].1 {
                    Side::Left => write!(line, "{gap}{painted}{padding}"),
                    Side::Right => write!(line, "{gap}{padding}{painted}"),
                };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// The most decimals of a column of numbers.
    fn decimals(&self, column: usize) -> usize {
        if self.headings[column].1 == Side::Left {
            return 0;
        }
        self.rows.iter().map(|row| after_point(&row[column].text)).max().unwrap_or(0)
    }
}

impl Cell {
    /// With room after it for as many decimals as others of its column have.
    fn padded(&self, decimals: usize) -> Cell {
        let room = decimals - after_point(&self.text).min(decimals);
        if self.text.is_empty() { self.clone() } else { Cell { text: format!("{}{}", self.text, " ".repeat(room)), style: self.style } }
    }
}

/// Characters from the decimal point on.
fn after_point(text: &str) -> usize {
    text.find('.').map_or(0, |point| text.len() - point)
}

/// A text from column `begin` on, broken between words where the terminal ends.
fn wrap(text: &str, columns: usize, begin: usize) -> String {
    let room = columns.saturating_sub(begin);
    if room < WRAP_MIN || text.chars().count() <= room {
        return text.to_owned();
    }
    let (mut wrapped, mut used) = (String::new(), 0);
    for word in text.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > room {
            wrapped.push('\n');
            wrapped.push_str(&" ".repeat(begin));
            used = 0;
        } else if used > 0 {
            wrapped.push(' ');
            used += 1;
        }
        wrapped.push_str(word);
        used += length;
    }
    wrapped
}

fn render_record(fields: &[(&str, Cell)], out: Out) -> String {
    let width = fields.iter().filter(|(_, cell)| !cell.text.is_empty()).map(|(label, _)| label.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (label, cell) in fields.iter().filter(|(_, cell)| !cell.text.is_empty()) {
        let padding = " ".repeat(width - label.chars().count());
        let value = out.columns.map_or_else(|| cell.text.clone(), |columns| wrap(&cell.text, columns, width + GAP.len()));
        let _ = writeln!(text, "{}{padding}{GAP}{}", out.paint(Style::Dim, label), out.paint(cell.style, &value));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Out = Out { json: false, colour: false, columns: None };
    const PAINTED: Out = Out { json: false, colour: true, columns: None };

    fn wallets() -> Table {
        let mut table = Table::new([("wallet", Side::Left), ("available", Side::Right), ("note", Side::Left), ("state", Side::Left)]);
        table.row(["Acme".into(), "9.50".into(), "".into(), Cell::new("ok", Style::Good)]);
        table.row(["Çiçek & Söhne".into(), "1234.00".into(), "".into(), Cell::new("low", Style::Warn)]);
        table
    }

    #[test]
    fn a_table_is_aligned_and_leaves_empty_columns_out() {
        let expected = "\
wallet         available  state
Acme                9.50  ok
Çiçek & Söhne    1234.00  low
";
        assert_eq!(wallets().render(PLAIN), expected);
    }

    #[test]
    fn amounts_stand_below_each_other_by_their_points() {
        let mut table = Table::new([("market", Side::Left), ("price", Side::Right), ("of", Side::Right)]);
        table.row(["turkey".into(), "0.0109".into(), "1".into()]);
        table.row(["other".into(), "12.06".into(), "20".into()]);
        table.row(["none".into(), "".into(), "3".into()]);
        assert_eq!(table.render(PLAIN), "market    price  of\nturkey   0.0109   1\nother   12.06    20\nnone              3\n");
    }

    #[test]
    fn a_table_goes_on_under_its_headings_until_a_column_is_new() {
        let table = |rows: &[[&str; 3]]| {
            let mut table = Table::new([("name", Side::Left), ("amount", Side::Right), ("note", Side::Left)]);
            rows.iter().for_each(|row| table.row(row.map(Cell::from)));
            table
        };
        let mut layout = None;
        assert_eq!(table(&[["Acme", "10.25", ""]]).render_page(PLAIN, &mut layout), "name  amount\nAcme   10.25\n");
        assert_eq!(table(&[["B", "7", ""]]).render_page(PLAIN, &mut layout), "B       7\n");
        let again = table(&[["C", "1.5", "late"]]).render_page(PLAIN, &mut layout);
        assert_eq!(again, "name  amount  note\nC       1.5   late\n");
        assert_eq!(table(&[["D", "1.5", ""]]).render_page(PLAIN, &mut layout), "D       1.5\n");
    }

    #[test]
    fn long_words_are_wrapped_where_the_terminal_ends_and_not_in_a_pipe() {
        let mut table = Table::new([("id", Side::Left), ("claim", Side::Left)]);
        table.row(["I1".into(), "every entry debits one account and credits another".into()]);
        assert_eq!(table.render(PLAIN), "id  claim\nI1  every entry debits one account and credits another\n");
        let narrow = Out { columns: Some(34), ..PLAIN };
        assert_eq!(
            table.render(narrow).lines().map(str::trim_end).collect::<Vec<_>>(),
            ["id  claim", "I1  every entry debits one account", "    and credits another",]
        );
    }

    #[test]
    fn colours_do_not_move_columns() {
        let painted = wallets().render(PAINTED);
        let mut bare = String::new();
        let mut rest = painted.as_str();
        while let Some((before, after)) = rest.split_once('\u{1b}') {
            bare.push_str(before);
            rest = after.split_once('m').map_or("", |(_, rest)| rest);
        }
        bare.push_str(rest);
        let trimmed: Vec<&str> = bare.lines().map(str::trim_end).collect();
        assert_eq!(trimmed.join("\n") + "\n", wallets().render(PLAIN));
    }

    #[test]
    fn a_record_leaves_out_what_is_not_there() {
        let fields = [("Name", "Acme".into()), ("Number", "".into()), ("Application", "shop".into())];
        assert_eq!(render_record(&fields, PLAIN), "Name         Acme\nApplication  shop\n");
    }

    #[test]
    fn a_name_cannot_steer_the_terminal() {
        let fields = [("Name", Cell::from("Acme\u{1b}[2J\n"))];
        assert_eq!(render_record(&fields, PLAIN), "Name  Acme\u{fffd}[2J\u{fffd}\n");
    }

    #[test]
    fn colours_are_declined_by_no_color_and_by_dumb_terminals() {
        assert!(wants_colour(&Environment::of([("TERM", "xterm")])));
        assert!(!wants_colour(&Environment::of([("TERM", "xterm"), ("NO_COLOR", "1")])));
        assert!(!wants_colour(&Environment::of([("TERM", "dumb")])));
    }
}
