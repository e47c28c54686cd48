//! Results: a line for each measure, with all its samples.

use serde::Serialize;

use super::work::Guest;
use crate::table;

/// All measures of a run.
#[derive(Serialize)]
pub(crate) struct Report {
    /// What was measured with what.
    setting: String,
    measures: Vec<Measure>,
    /// What numbers do not say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

/// One measure, of Fata and, where it makes sense, of the Linux guest.
#[derive(Clone, Serialize)]
pub(crate) struct Measure {
    /// What was measured.
    pub(crate) name: String,
    /// In what.
    pub(crate) unit: &'static str,
    /// No more than this is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) aim: Option<u64>,
    /// A sample for each repetition.
    pub(crate) fata: Vec<u64>,
    /// The same of the Linux guest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) linux: Vec<u64>,
}

impl Report {
    /// One without measures.
    pub(crate) fn new(setting: String) -> Self {
        Self { setting, measures: Vec::new(), notes: Vec::new() }
    }

    /// Says with what it was measured.
    pub(crate) fn set(&mut self, setting: String) {
        self.setting = setting;
    }

    /// Adds a sample of Fata to a measure.
    pub(crate) fn fata(&mut self, name: &str, unit: &'static str, aim: Option<u64>, sample: u64) {
        let measure = self.measure(name, unit);
        measure.aim = aim;
        measure.fata.push(sample);
    }

    /// Adds a sample of the Linux guest.
    pub(crate) fn linux(&mut self, name: &str, unit: &'static str, sample: u64) {
        self.measure(name, unit).linux.push(sample);
    }

    /// Adds a sample of either.
    pub(crate) fn add(
        &mut self,
        guest: Guest,
        name: &str,
        unit: &'static str,
        aim: Option<u64>,
        sample: u64,
    ) {
        match guest {
            Guest::Fata => self.fata(name, unit, aim, sample),
            Guest::Linux => self.linux(name, unit, sample),
        }
    }

    /// Wants no more than such a part of Linux's, where that was measured.
    pub(crate) fn aim_at_part(&mut self, name: &str, unit: &'static str, part: u64) {
        let measure = self.measures.iter_mut().find(|m| m.name == name && m.unit == unit);
        if let Some((measure, linux)) = measure.and_then(|m| median(&m.linux).map(|linux| (m, linux))) {
            measure.aim = Some(linux / part);
        }
    }

    /// Adds a sentence.
    pub(crate) fn note(&mut self, note: &str) {
        self.notes.push(note.to_owned());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.measures.is_empty() && self.notes.is_empty()
    }

    /// The medians of a measure, of Fata and of Linux.
    pub(crate) fn medians(&self, name: &str, unit: &str) -> Option<(u64, u64)> {
        let measure = self.measures.iter().find(|m| m.name == name && m.unit == unit)?;
        median(&measure.fata).zip(median(&measure.linux))
    }

    /// What was measured, each once.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.measures.iter().map(|m| m.name.as_str()).collect();
        names.dedup();
        names
    }

    fn measure(&mut self, name: &str, unit: &'static str) -> &mut Measure {
        let known = self.measures.iter().position(|m| m.name == name && m.unit == unit);
        let at = known.unwrap_or(self.measures.len());
        if known.is_none() {
            let (fata, linux) = (Vec::new(), Vec::new());
            self.measures.push(Measure { name: name.to_owned(), unit, aim: None, fata, linux });
        }
        &mut self.measures[at]
    }

    /// For people.
    pub(crate) fn to_table(&self) -> String {
        let rows: Vec<_> = self.measures.iter().map(Measure::row).collect();
        let table = table::render(
            ["measure", "unit", "Fata", "spread", "aim", "Linux", "spread", "Fata/Linux"],
            &rows,
        );
        let notes: String = self.notes.iter().map(|note| format!("{note}.\n")).collect();
        format!("{}\n\n{table}{notes}", self.setting)
    }
}

impl Measure {
    fn row(&self) -> [String; 8] {
        let aim = match (self.aim, median(&self.fata)) {
            (Some(aim), Some(is)) => format!("{} {}", grouped(aim), if is <= aim { "met" } else { "MISSED" }),
            (Some(aim), None) => grouped(aim),
            (None, _) => String::new(),
        };
        let value = |samples: &[u64]| median(samples).map(grouped).unwrap_or_default();
        [
            self.name.clone(),
            self.unit.to_owned(),
            format!("{:>13}", value(&self.fata)),
            spread(&self.fata),
            aim,
            format!("{:>13}", value(&self.linux)),
            spread(&self.linux),
            self.ratio(),
        ]
    }
}

impl Measure {
    /// Fata's median in Linux's.
    fn ratio(&self) -> String {
        match (median(&self.fata), median(&self.linux)) {
            (Some(fata), Some(linux)) if linux > 0 => percent(fata, linux),
            _ => String::new(),
        }
    }
}

/// One number in percent of another.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    let percent = part as f64 * 100.0 / whole as f64;
    format!("{percent:>8.*} %", if percent < 10.0 { 2 } else { 1 })
}

/// The middle sample; the lower of two.
pub(crate) fn median(samples: &[u64]) -> Option<u64> {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len().saturating_sub(1) / 2).copied()
}

/// How far the samples lie apart, in percent of the median.
fn spread(samples: &[u64]) -> String {
    let (Some(least), Some(most), Some(median)) =
        (samples.iter().min(), samples.iter().max(), median(samples))
    else {
        return String::new();
    };
    match most - least {
        0 if samples.len() == 1 => "one run".to_owned(),
        0 => "none".to_owned(),
        apart => format!("{:.2} %", apart as f64 * 100.0 / median.max(1) as f64),
    }
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_summed_up() {
        assert_eq!(["0", "999", "1,000", "1,234,567"], [0, 999, 1000, 1_234_567].map(grouped));
        assert_eq!((median(&[3, 1, 2]), median(&[4, 1]), median(&[])), (Some(2), Some(1), None));
        assert_eq!(spread(&[100, 101, 100]), "1.00 %");
        assert_eq!(
            (spread(&[5, 5]), spread(&[5]), spread(&[])),
            ("none".into(), "one run".into(), String::new())
        );
    }

    #[test]
    fn an_aim_may_be_a_part_of_linuxs() {
        let mut report = Report::new(String::new());
        report.fata("work", "instructions", None, 30);
        report.aim_at_part("work", "instructions", 3);
        assert!(!report.to_table().contains("met"));
        report.linux("work", "instructions", 99);
        report.aim_at_part("work", "instructions", 3);
        assert!(report.to_table().contains("33 met"), "{}", report.to_table());
    }

    #[test]
    fn the_table_says_whether_an_aim_is_met() {
        let mut report = Report::new("all of it".to_owned());
        report.fata("size", "bytes", Some(100), 90);
        report.linux("size", "bytes", 3000);
        report.fata("work", "instructions", Some(10), 11);
        let table = report.to_table();
        assert_eq!(table.lines().count(), 5, "{table}");
        assert!(
            table.contains("100 met") && table.contains("10 MISSED") && table.contains("3,000"),
            "{table}"
        );
    }
}
