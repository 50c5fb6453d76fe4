//! `--workload`: what the generator is to make.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use crate::arguments;

/// When the generator stops if nothing else says so.
const DURATION: Duration = Duration::from_secs(10);

/// Settings of the generator.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Workload {
    /// Keys in all.
    pub(super) documents: u64,
    /// Bytes of a value.
    pub(super) sizes: RangeInclusive<usize>,
    /// Part of the mutations that write a document again, 0 to 1.
    pub(super) updates: f64,
    /// Part of the mutations that delete a document, 0 to 1.
    pub(super) deletes: f64,
    /// Exponent of the Zipf law by which documents are picked; 0 picks evenly.
    pub(super) skew: f64,
    /// Mutations a second; `None` for as many as possible.
    pub(super) rate: Option<f64>,
    /// Mutations after which to stop.
    pub(super) mutations: Option<u64>,
    duration: Option<Duration>,
}

impl Default for Workload {
    fn default() -> Self {
        Workload {
            documents: 100_000,
            sizes: 100..=1000,
            updates: 0.80,
            deletes: 0.05,
            skew: 0.99,
            rate: None,
            mutations: None,
            duration: None,
        }
    }
}

impl Workload {
    /// Time after which to stop.
    pub(super) fn duration(&self) -> Option<Duration> {
        self.duration.or(Some(DURATION).filter(|_| self.mutations.is_none()))
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "documents" => self.documents = at_least_one(value)?,
            "sizes" => self.sizes = sizes(value)?,
            "updates" => self.updates = arguments::part(value)?,
            "deletes" => self.deletes = arguments::part(value)?,
            "skew" => self.skew = non_negative(value)?,
            "rate" => self.rate = Some(non_negative(value)?).filter(|rate| *rate > 0.0),
            "mutations" => self.mutations = Some(at_least_one(value)?),
            "duration" => self.duration = Some(arguments::duration(value)?),
            _ => return Err("no such setting".to_owned()),
        }
        Ok(())
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut workload = Workload::default();
        for setting in text.split(',').filter(|setting| !setting.is_empty()) {
            let (name, value) =
                setting.split_once('=').ok_or_else(|| format!("{setting}: name=value is meant"))?;
            let set = workload.set(name.trim(), value.trim());
            set.map_err(|what| format!("{setting}: {what}"))?;
        }
        if workload.updates + workload.deletes > 1.0 {
            return Err("updates and deletes are more than all mutations".to_owned());
        }
        Ok(workload)
    }
}

fn at_least_one(text: &str) -> Result<u64, String> {
    let number = text.replace('_', "").parse().map_err(|_| "not a number".to_owned())?;
    if number == 0 { Err("must be at least 1".to_owned()) } else { Ok(number) }
}

fn non_negative(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    let fine = number.is_finite() && number >= 0.0;
    if fine { Ok(number) } else { Err("must be 0 or more".to_owned()) }
}

fn sizes(text: &str) -> Result<RangeInclusive<usize>, String> {
    let (low, high) = text.split_once("..").unwrap_or((text, text));
    let bound = |text| {
        let bytes = arguments::bytes(text)?;
        let fits = usize::try_from(bytes).ok().filter(|bytes| *bytes <= 16 << 20);
        fits.ok_or_else(|| "more than 16 MiB".to_owned())
    };
    let (low, high) = (bound(low)?, bound(high)?);
    if low <= high { Ok(low..=high) } else { Err("the lower bound is the higher".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_and_defaults() {
        assert_eq!("".parse(), Ok(Workload::default()));
        let workload: Workload =
            "documents=1_000,sizes=1k..2k,updates=50,deletes=0.1,skew=0,rate=100,duration=2m"
                .parse()
                .unwrap();
        assert_eq!((workload.documents, workload.sizes.clone()), (1000, 1024..=2048));
        assert_eq!((workload.updates, workload.deletes, workload.skew), (0.5, 0.1, 0.0));
        assert_eq!((workload.rate, workload.duration()), (Some(100.0), Some(DURATION * 12)));
    }

    #[test]
    fn ends() {
        assert_eq!(Workload::default().duration(), Some(DURATION));
        let counted: Workload = "mutations=5".parse().unwrap();
        assert_eq!((counted.mutations, counted.duration()), (Some(5), None));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, what) in [
            ("documents", "documents: name=value is meant"),
            ("documents=0", "documents=0: must be at least 1"),
            ("colour=red", "colour=red: no such setting"),
            ("sizes=9..3", "sizes=9..3: the lower bound is the higher"),
            ("updates=90,deletes=20", "updates and deletes are more than all mutations"),
        ] {
            assert_eq!(text.parse::<Workload>(), Err(what.to_owned()));
        }
    }
}
