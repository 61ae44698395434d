//! The table of what was measured, and the same as JSON.

use std::path::Path;

use serde_json::{Value, json};

use crate::settings::Args;
use crate::stats::{median, real};

/// What a value is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
}

impl Target {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtMost(most) => format!("≤ {}", short(most)),
            Self::AtLeast(least) => format!("≥ {}", short(least)),
        }
    }
}

struct Row {
    scenario: String,
    what: String,
    unit: &'static str,
    /// One for each run.
    values: Vec<f64>,
    target: Option<Target>,
}

pub(crate) struct Report {
    rows: Vec<Row>,
    setting: Value,
}

impl Report {
    /// An empty one.
    pub(crate) fn of_this_machine(args: &Args) -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let processors = std::thread::available_parallelism().map_or(0, usize::from);
        let kernel = read("/proc/sys/kernel/osrelease").trim().to_owned();
        let load = read("/proc/loadavg");
        let load = load.split(' ').next().unwrap_or_default();
        println!("{processors} processors, Linux {kernel}, load {load} at the start.");
        println!("Medians of {} runs; bodies of {} bytes.", args.runs, crate::client::BODY);
        let log = args.log.as_deref().unwrap_or("as by default, a line for each request");
        println!("The server logs to a file: {log}.");
        if cfg!(debug_assertions) {
            println!("NOT THE RELEASE PROFILE: these figures say nothing.");
        }
        let setting = json!({
            "processors": processors,
            "kernel": kernel,
            "load_at_start": load.parse::<f64>().unwrap_or_default(),
            "runs": args.runs,
            "log": log,
            "release": !cfg!(debug_assertions),
        });
        Self { rows: Vec::new(), setting }
    }

    /// Adds a row, with a value for each run, and prints it.
    pub(crate) fn row(
        &mut self,
        scenario: &str,
        what: &str,
        unit: &'static str,
        values: &[f64],
        target: Option<Target>,
    ) {
        let (scenario, what) = (scenario.to_owned(), what.to_owned());
        let row = Row { scenario, what, unit, values: values.to_vec(), target };
        println!("{}", row.line());
        self.rows.push(row);
    }

    /// A row of the quotients of what belongs to the same run.
    pub(crate) fn ratio(
        &mut self,
        scenario: &str,
        what: &str,
        of: &[f64],
        to: &[f64],
        target: Target,
    ) {
        let ratios: Vec<f64> = of.iter().zip(to).map(|(of, to)| of / to).collect();
        self.row(scenario, what, "×", &ratios, Some(target));
    }

    /// Prints all rows that have a target, and writes all rows as JSON.
    pub(crate) fn finish(&self, file: Option<&Path>) {
        println!("\n==> Targets");
        for row in self.rows.iter().filter(|row| row.target.is_some()) {
            println!("{}", row.line());
        }
        if let Some(file) = file {
            let rows: Vec<Value> = self.rows.iter().map(Row::json).collect();
            let whole = json!({"setting": self.setting, "rows": rows});
            std::fs::write(file, format!("{whole:#}\n")).expect("the file can be written");
        }
    }
}

impl Row {
    fn line(&self) -> String {
        let Self { scenario, what, unit, values, target } = self;
        let value = median(values);
        let amount = format!("{} {unit}", short(value));
        let judged = target.map_or_else(String::new, |target| {
            let word = if target.is_met(value) { "met" } else { "MISSED" };
            format!("{:<9}{word}", target.text())
        });
        let spread = if values.len() > 1 {
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            format!("({} to {})", short(least), short(most))
        } else {
            String::new()
        };
        format!("{scenario:<18} {what:<58} {amount:>13} {spread:<20} {judged}")
    }

    fn json(&self) -> Value {
        let value = median(&self.values);
        let (at_most, at_least) = match self.target {
            Some(Target::AtMost(most)) => (Some(most), None),
            Some(Target::AtLeast(least)) => (None, Some(least)),
            None => (None, None),
        };
        json!({
            "scenario": self.scenario,
            "what": self.what,
            "unit": self.unit,
            "median": value,
            "runs": self.values,
            "at_most": at_most,
            "at_least": at_least,
            "met": self.target.map(|target| target.is_met(value)),
        })
    }
}

/// Three digits or more.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size < 10.0 => format!("{value:.2}"),
        size if size < real(100) => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
