//! How many connections one address may have.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::client_address::{Networks, network};
use crate::metrics::ConnectionMetrics;

/// Connections from one address, beyond those that it may have, that are told so; the rest are closed at once.
const TOLD: u32 = 64;

/// Counts connections; cheap to clone. By default there is no limit.
#[derive(Debug, Clone, Default)]
pub struct Admission(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// 0: no limit.
    most: u32,
    exempt: Networks,
    counts: Mutex<HashMap<IpAddr, u32>>,
    metrics: ConnectionMetrics,
}

/// A connection that is counted until this is dropped.
#[derive(Debug)]
pub(super) struct Entry {
    admission: Admission,
    counted: Option<IpAddr>,
    too_many: bool,
}

impl Admission {
    /// At most so many from one address (0: no limit), but any number from those in `exempt`: behind a proxy
    /// there are many clients. IPv6 addresses count by their /64.
    pub fn new(most: u32, exempt: Networks, metrics: ConnectionMetrics) -> Self {
        Self(Arc::new(Inner { most, exempt, counts: Mutex::default(), metrics }))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection; `None` when it is to be closed without a word.
    pub(super) fn enter(&self, peer: IpAddr) -> Option<Entry> {
        let inner = &self.0;
        let mut too_many = false;
        let counted = (inner.most > 0 && !inner.exempt.contains(peer)).then(|| network(peer));
        if let Some(address) = counted {
            let mut counts = self.lock();
            let count = counts.entry(address).or_default();
            too_many = *count >= inner.most;
            if too_many {
                inner.metrics.refused.inc();
            }
            if *count >= inner.most.saturating_add(TOLD) {
                return None;
            }
            *count += 1;
        }
        inner.metrics.open.inc();
        Some(Entry { admission: self.clone(), counted, too_many })
    }
}

impl Entry {
    /// Whether its address has too many without it.
    pub(super) fn is_one_too_many(&self) -> bool {
        self.too_many
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.admission.0.metrics.open.dec();
        let Some(address) = self.counted else { return };
        let mut counts = self.admission.lock();
        if let Some(count) = counts.get_mut(&address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_counted_while_its_connections_last() {
        let metrics = ConnectionMetrics::default();
        let exempt = "10.0.0.0/8".parse().expect("a network");
        let admission = Admission::new(2, exempt, metrics.clone());
        let enter = |address: &str| admission.enter(address.parse().expect("an address"));
        let first = enter("2001:db8::1").expect("let in");
        let second = enter("2001:db8::2").expect("let in");
        assert!(!first.is_one_too_many() && !second.is_one_too_many());
        let told: Vec<_> = (0..TOLD).filter_map(|_| enter("2001:db8::3")).collect();
        assert_eq!(told.iter().filter(|entry| entry.is_one_too_many()).count(), 64);
        assert!(enter("2001:db8::3").is_none(), "no more words");
        assert!(!enter("2001:db8:0:1::1").expect("another network").is_one_too_many());
        let proxied: Vec<_> = (0..10).filter_map(|_| enter("10.1.1.1")).collect();
        assert!(proxied.iter().all(|entry| !entry.is_one_too_many()));
        assert_eq!((metrics.open.get(), metrics.refused.get()), (76, 65));
        drop((first, second, told, proxied));
        assert!(!enter("2001:db8::1").expect("room again").is_one_too_many());
        assert_eq!(metrics.open.get(), 0);
        assert!(admission.lock().is_empty(), "nothing is kept");
    }
}
