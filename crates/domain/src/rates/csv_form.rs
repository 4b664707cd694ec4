//! Rate cards as files: reading what an operator imports, naming every faulty line, and writing it.
//!
//! Lines are taken one by one, so that a fault always names the line that an editor shows.

use std::fmt;

use jiff::civil::Date;
use serde::Serialize;

use super::card::{CardId, RateCard, Row, date_of, place_of};
use crate::market::Market;
use crate::money::{Currency, Micros};
use crate::send::Category;

/// Something wrong in a rate card's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CsvFault {
    /// The line, from 1; for what is missing altogether, the last.
    pub line: usize,
    /// What is wrong there, as a sentence part.
    pub problem: String,
}

impl fmt::Display for CsvFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

/// More faults than this help nobody: the file is of another kind.
const FAULTS_MAX: usize = 100;

/// Above this an amount is a misplaced point: no message costs 100,000 units of any currency.
const AMOUNT_MAX: Micros = Micros(100_000 * crate::money::MICROS_PER_UNIT);

/// How the table's columns are laid out, by place.
enum Layout {
    /// `market,category,amount`: a line per price.
    Long { market: usize, category: usize, amount: usize },
    /// A line per market and a column per category.
    Wide { market: usize, columns: Vec<(usize, Category)> },
}

/// What has been read so far.
struct Reading {
    faults: Vec<CsvFault>,
    currency: Option<Currency>,
    effective: Option<Date>,
    source: String,
    layout: Option<Layout>,
    rows: Vec<Option<Row>>,
}

pub(super) fn parse(file_name: &str, text: &str) -> Result<RateCard, Vec<CsvFault>> {
    let mut reading = Reading {
        faults: Vec::new(),
        currency: None,
        effective: None,
        source: String::new(),
        layout: None,
        rows: vec![None; Market::ALL.len()],
    };
    let mut last = 1;
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        last = index + 1;
        let line = line.trim();
        if let Some(comment) = line.strip_prefix('#') {
            reading.comment(last, comment);
        } else if !line.is_empty() {
            reading.line(last, line);
        }
        if reading.faults.len() >= FAULTS_MAX || (reading.layout.is_none() && !reading.faults.is_empty() && !line.starts_with('#')) {
            return Err(reading.faults);
        }
    }
    reading.finish(file_name, last)
}

impl Reading {
    fn fault(&mut self, line: usize, problem: impl Into<String>) {
        self.faults.push(CsvFault { line, problem: problem.into() });
    }

    /// `currency: USD` and its like; any other comment is for people.
    fn comment(&mut self, line: usize, comment: &str) {
        let Some((name, value)) = comment.split_once(':') else { return };
        let value = value.trim();
        match name.trim().to_ascii_lowercase().as_str() {
            "currency" => match Currency::parse(value) {
                Some(currency) => self.currency = Some(currency),
                None => self.fault(line, format!("currency must be three capital letters such as USD ({value:?} given)")),
            },
            "effective" => match date_of(value) {
                Some(date) => self.effective = Some(date),
                None => self.fault(line, format!("effective must be a date such as 2026-10-01 ({value:?} given)")),
            },
            "source" => value.clone_into(&mut self.source),
            _ => {}
        }
    }

    fn line(&mut self, line: usize, text: &str) {
        let cells = match cells(text) {
            Ok(cells) => cells,
            Err(problem) => return self.fault(line, problem),
        };
        match self.layout.take() {
            None => self.header(line, &cells),
            Some(layout) => {
                match &layout {
                    Layout::Long { market, category, amount } => self.price_line(line, &cells, *market, *category, *amount),
                    Layout::Wide { market, columns } => self.market_line(line, &cells, *market, columns),
                }
                self.layout = Some(layout);
            }
        }
    }

    fn header(&mut self, line: usize, cells: &[String]) {
        let names: Vec<String> = cells.iter().map(|cell| cell.to_ascii_lowercase()).collect();
        let place = |name: &str| names.iter().position(|have| have == name);
        let columns: Vec<(usize, Category)> =
            names.iter().enumerate().filter_map(|(place, name)| category_of(name).map(|category| (place, category))).collect();
        let repeated = names.iter().enumerate().find(|(place, name)| !name.is_empty() && names[..*place].contains(name));
        if let Some((_, name)) = repeated {
            return self.fault(line, format!("the column {name} stands twice"));
        }
        match (place("market"), place("category"), place("amount")) {
            (Some(market), Some(category), Some(amount)) => self.layout = Some(Layout::Long { market, category, amount }),
            (Some(market), None, None) if !columns.is_empty() => self.layout = Some(Layout::Wide { market, columns }),
            _ => self.fault(
                line,
                "the first line must name the columns: market,category,amount, or market and one column per category (marketing, utility, authentication, authentication-international, service)",
            ),
        }
    }

    fn price_line(&mut self, line: usize, cells: &[String], market: usize, category: usize, amount: usize) {
        let cell = |place: usize| cells.get(place).map_or("", String::as_str);
        if cells.len() <= market.max(category).max(amount) {
            return self
                .fault(line, format!("has {} columns where the first line names {}", cells.len(), market.max(category).max(amount) + 1));
        }
        let Some(at) = Market::parse(cell(market)) else { return self.unknown_market(line, cell(market)) };
        let Some(kind) = category_of(cell(category)) else {
            return self.fault(
                line,
                format!(
                    "{:?} is not a category: marketing, utility, authentication, authentication-international or service",
                    cell(category)
                ),
            );
        };
        self.price(line, at, kind, cell(amount));
    }

    fn market_line(&mut self, line: usize, cells: &[String], market: usize, columns: &[(usize, Category)]) {
        let name = cells.get(market).map_or("", String::as_str);
        let Some(at) = Market::parse(name) else { return self.unknown_market(line, name) };
        if self.rows[at.index()].is_some() {
            return self.fault(line, format!("{at} stands twice"));
        }
        for (place, category) in columns {
            self.price(line, at, *category, cells.get(*place).map_or("", String::as_str));
        }
    }

    fn price(&mut self, line: usize, market: Market, category: Category, text: &str) {
        let text = text.strip_prefix('$').unwrap_or(text);
        if matches!(text.to_ascii_lowercase().as_str(), "" | "-" | "n/a") {
            return;
        }
        let amount = match text.parse::<Micros>() {
            Ok(amount) if amount.is_negative() => return self.fault(line, format!("{market} {category}: {text} is below zero")),
            Ok(amount) if amount > AMOUNT_MAX => {
                return self.fault(line, format!("{market} {category}: {text} is more than any message costs"));
            }
            Ok(amount) => amount,
            Err(problem) => return self.fault(line, format!("{market} {category}: {text:?} {problem}")),
        };
        let cell = &mut self.rows[market.index()].get_or_insert_default()[place_of(category)];
        if cell.is_some() {
            return self.fault(line, format!("{market} {category} has a price already"));
        }
        *cell = Some(amount);
    }

    fn unknown_market(&mut self, line: usize, name: &str) {
        self.fault(line, format!("{name:?} is not a market: a country (turkey) or a region (rest_of_africa, other)"));
    }

    fn finish(mut self, file_name: &str, last: usize) -> Result<RateCard, Vec<CsvFault>> {
        let named = file_name.strip_suffix(".csv").unwrap_or(file_name).parse::<CardId>().ok();
        let (said_currency, said_date) = (self.currency, self.effective);
        if let (Some(named), Some(currency), Some(date)) = (named, said_currency, said_date)
            && (named.currency, named.effective) != (currency, date)
        {
            self.fault(1, format!("the file is named {file_name}, but says that it is {currency} from {date} on"));
        }
        let readable = self.faults.is_empty();
        let currency = said_currency.or(named.map(|id| id.currency));
        let effective = said_date.or(named.map(|id| id.effective));
        if currency.is_none() && readable {
            self.fault(1, "the currency is missing: add a line such as '# currency: USD' before the table");
        }
        if effective.is_none() && readable {
            self.fault(1, "the date is missing: add a line such as '# effective: 2026-10-01' before the table");
        }
        if self.layout.is_none() && readable {
            self.fault(last, "there is no table: the first line must name the columns, market,category,amount");
        }
        let prices_service = self.rows.iter().flatten().any(|row| row[place_of(Category::Service)].is_some());
        if self.layout.is_some() {
            self.missing_prices(last, prices_service);
        }
        match (currency, effective) {
            (Some(currency), Some(effective)) if self.faults.is_empty() => {
                let id = CardId { currency, effective, edition: 1 };
                Ok(RateCard::of_rows(id, self.source, self.rows.into(), prices_service))
            }
            _ => {
                self.faults.truncate(FAULTS_MAX);
                Err(self.faults)
            }
        }
    }

    /// A card with holes would price some messages by guess.
    fn missing_prices(&mut self, last: usize, prices_service: bool) {
        for region in Market::regions() {
            if self.rows[region.index()].is_none() {
                self.fault(last, format!("{} ({region}) is missing: every region needs its prices", region.name()));
            }
        }
        let mut needed = vec![Category::Marketing, Category::Utility, Category::Authentication];
        if prices_service {
            needed.push(Category::Service);
        }
        for market in Market::ALL {
            let Some(row) = self.rows[market.index()] else { continue };
            for category in needed.iter().filter(|category| row[place_of(**category)].is_none()) {
                self.fault(last, format!("{market} has no price for {category}"));
            }
        }
    }
}

fn category_of(text: &str) -> Option<Category> {
    Category::parse(&text.trim().to_ascii_lowercase().replace([' ', '_'], "-"))
}

/// The cells of one line, without the space around them.
fn cells(line: &str) -> Result<Vec<String>, String> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).trim(csv::Trim::All).from_reader(line.as_bytes());
    match reader.records().next() {
        Some(Ok(record)) => Ok(record.iter().map(str::to_owned).collect()),
        Some(Err(error)) => Err(format!("is not a line of CSV: {error}")),
        None => Ok(Vec::new()),
    }
}

pub(super) fn write(card: &RateCard) -> String {
    let id = card.id();
    let source = card.source().replace(['\r', '\n'], " ");
    let mut text = format!("# currency: {}\n# effective: {}\n# source: {source}\nmarket,category,amount\n", id.currency, id.effective);
    for (market, category, amount) in card.prices() {
        if category != Category::Service || card.prices_service() {
            text.push_str(&format!("{market},{category},{amount}\n"));
        }
    }
    text
}
