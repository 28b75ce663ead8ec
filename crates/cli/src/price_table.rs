//! Tables of prices as people edit them: TOML, with every key there and none that is not known.

use std::{fmt::Display, io::Read, path::Path};

use afterimage::{
    plan::Prices,
    storage::{Provider, open_input},
};
use toml::{Table, Value};

use crate::failure::Failure;

/// Bytes of the largest table.
const BYTES_MAX: u64 = 64 << 10;

/// What a provider asks for, as of a day.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PriceTable {
    pub(crate) name: String,
    pub(crate) provider: Provider,
    pub(crate) currency: String,
    pub(crate) date: jiff::civil::Date,
    /// Where the prices are from.
    pub(crate) source: String,
    pub(crate) prices: Prices,
}

impl PriceTable {
    /// Reads a table. An error names file and key.
    pub(crate) fn read(path: &Path) -> Result<PriceTable, Failure> {
        let file = path.display();
        let failed = |what: &dyn Display| Failure::invalid(format!("{file}: {what}"));
        let mut text = String::new();
        open_input(path)
            .and_then(|input| input.take(BYTES_MAX + 1).read_to_string(&mut text))
            .map_err(|error| failed(&format!("it cannot be read: {error}")))?;
        if u64::try_from(text.len()).is_ok_and(|bytes| bytes > BYTES_MAX) {
            return Err(failed(&"it is too large to be a table of prices"));
        }
        PriceTable::parse(&text).map_err(|what| failed(&what))
    }

    fn parse(text: &str) -> Result<PriceTable, String> {
        let table = text.parse::<Table>().map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.map_or(0, |before| before.matches('\n').count()) + 1;
            format!("line {line}: {}", error.message())
        })?;
        let mut top = Section {
            prefix: "",
            left: table,
        };
        let name = top.text("name")?;
        let provider = top.text("provider")?;
        let provider = match provider.as_str() {
            "s3" => Provider::S3,
            "azure" => Provider::Azure,
            "google" => Provider::Google,
            _ => return Err(format!("provider: {provider:?} is not s3, azure or google")),
        };
        let currency = top.text("currency")?;
        let date = top.text("date")?;
        let date = date
            .parse()
            .map_err(|_| format!("date: {date:?} is no date such as 2026-01-31"))?;
        let source = top.text("source")?;
        let mut below = Section {
            prefix: "prices.",
            left: match top.take("prices")? {
                Value::Table(table) => table,
                _ => return Err("prices: it is no table".to_owned()),
            },
        };
        top.end()?;
        let prices = Prices {
            per_requests: below.price("per_requests")?,
            puts: below.price("puts")?,
            gets: below.price("gets")?,
            heads: below.price("heads")?,
            lists: below.price("lists")?,
            deletes: below.price("deletes")?,
            stored_gib_month: below.price("stored_gib_month")?,
            cache_out_gib: below.price("cache_out_gib")?,
            target_out_gib: below.price("target_out_gib")?,
        };
        if prices.per_requests < 1.0 {
            return Err("prices.per_requests: it is below 1".to_owned());
        }
        below.end()?;
        Ok(PriceTable {
            name,
            provider,
            currency,
            date,
            source,
            prices,
        })
    }
}

/// A table of which keys are taken until none is left.
struct Section {
    prefix: &'static str,
    left: Table,
}

impl Section {
    fn take(&mut self, key: &str) -> Result<Value, String> {
        let value = self.left.remove(key);
        value.ok_or_else(|| format!("{}{key}: it is missing", self.prefix))
    }

    fn text(&mut self, key: &str) -> Result<String, String> {
        match self.take(key)? {
            Value::String(text) if !text.trim().is_empty() => Ok(text),
            other => Err(format!(
                "{}{key}: {other} is no text in quotes",
                self.prefix
            )),
        }
    }

    fn price(&mut self, key: &str) -> Result<f64, String> {
        let value = self.take(key)?;
        let number = match &value {
            Value::Float(number) => Some(*number),
            Value::Integer(number) => u32::try_from(*number).ok().map(f64::from),
            _ => None,
        };
        let number = number.filter(|number| (0.0..1e9).contains(number));
        number.ok_or_else(|| {
            format!(
                "{}{key}: {value} is no number from 0 to a billion",
                self.prefix
            )
        })
    }

    fn end(&self) -> Result<(), String> {
        match self.left.keys().next() {
            None => Ok(()),
            Some(key) => Err(format!("{}{key}: there is no such key", self.prefix)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S3: &str = include_str!("../../../docs/prices/s3.toml");

    fn complaint(from: &str, to: &str) -> String {
        assert!(S3.contains(from), "{from}");
        PriceTable::parse(&S3.replace(from, to)).unwrap_err()
    }

    #[test]
    fn the_examples_can_be_read() {
        for (text, provider) in [
            (S3, Provider::S3),
            (
                include_str!("../../../docs/prices/azure.toml"),
                Provider::Azure,
            ),
            (
                include_str!("../../../docs/prices/google.toml"),
                Provider::Google,
            ),
        ] {
            let table = PriceTable::parse(text).unwrap();
            assert_eq!(table.provider, provider);
            assert!(table.source.contains("example"), "{}", table.source);
        }
    }

    #[test]
    fn what_is_wrong_is_named_by_its_key() {
        for (from, to, expected) in [
            ("name = ", "nome = ", "name: it is missing"),
            ("puts = ", "pust = ", "prices.puts: it is missing"),
            (
                "[prices]",
                "[prices]\nputts = 1",
                "prices.putts: there is no such key",
            ),
            (
                "[prices]",
                "note = \"x\"\n[prices]",
                "note: there is no such key",
            ),
            (
                "\"s3\"",
                "\"s4\"",
                "provider: \"s4\" is not s3, azure or google",
            ),
            ("\"USD\"", "\"\"", "currency: \"\" is no text in quotes"),
            ("\"USD\"", "5", "currency: 5 is no text in quotes"),
            (
                "puts = 0.005",
                "puts = \"0.005\"",
                "prices.puts: \"0.005\" is no number from 0 to a billion",
            ),
            (
                "puts = 0.005",
                "puts = -1",
                "prices.puts: -1 is no number from 0 to a billion",
            ),
            (
                "puts = 0.005",
                "puts = nan",
                "prices.puts: nan is no number from 0 to a billion",
            ),
            (
                "per_requests = 1000",
                "per_requests = 0",
                "prices.per_requests: it is below 1",
            ),
        ] {
            assert_eq!(complaint(from, to), expected);
        }
        let date = S3.lines().find(|line| line.starts_with("date")).unwrap();
        let wrong = complaint(date, "date = \"May\"");
        assert_eq!(wrong, "date: \"May\" is no date such as 2026-01-31");
        let broken = PriceTable::parse("name = \"x\"\nprovider =\n").unwrap_err();
        assert!(broken.starts_with("line 2: "), "{broken}");
    }
}
