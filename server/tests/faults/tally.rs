//! What went through a nemesis.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::nemesis::Fate;

#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    /// How many requests of a kind had which fate.
    pub(crate) fates: BTreeMap<(String, Fate), usize>,
    /// How often each batch was sent, and how often the engine saw it.
    batches: HashMap<String, [usize; 2]>,
}

impl Tally {
    pub(crate) fn note(&mut self, act: &str, fate: Fate, asked: &Value, passes: bool) {
        *self.fates.entry((act.to_owned(), fate)).or_default() += 1;
        if let Some(batch) = batch(asked) {
            let [sent, seen] = self.batches.entry(batch.to_owned()).or_default();
            *sent += 1;
            *seen += usize::from(passes);
        }
    }

    pub(crate) fn batches(&self) -> usize {
        self.batches.len()
    }

    /// Per batch, how often it was sent, and how often the engine saw it.
    #[expect(clippy::cast_precision_loss, reason = "small numbers are exact")]
    pub(crate) fn mean_attempts(&self) -> [f64; 2] {
        let sum = |place: usize| self.batches.values().map(|times| times[place]).sum::<usize>();
        [0, 1].map(|place| sum(place) as f64 / self.batches.len() as f64)
    }

    pub(crate) fn befell(&self, fate: Fate) -> usize {
        self.fates.iter().filter(|((_, of), _)| *of == fate).map(|(_, times)| times).sum()
    }
}

/// Which batch a request appends, if it does: it moves a head and puts one.
fn batch(asked: &Value) -> Option<&str> {
    let actions = asked["TransactItems"].as_array()?;
    actions.first()?["Update"]["Key"]["pk"]["S"].as_str()?.strip_prefix("head#")?;
    actions.iter().find_map(|action| action["Put"]["Item"]["batch_id"]["N"].as_str())
}
