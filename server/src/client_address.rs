//! From which address a request comes: that of the connection, or what a proxy of the operator's says.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address that a request came from, in its extensions. Without it, guesses at passwords are counted by
/// login alone, and nothing is counted by address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// Addresses and networks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Whether an address is among them.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The same and this computer itself.
    #[must_use]
    pub fn and_loopback(&self) -> Self {
        let loopback = [IpNet::from(IpAddr::from(Ipv6Addr::LOCALHOST))].into_iter();
        let v4 = IpNet::new(IpAddr::from([127, 0, 0, 0]), 8).ok();
        Self(self.0.iter().copied().chain(loopback).chain(v4).collect())
    }

    /// Whose request this is, when these are the proxies that may say so: the right-most address in
    /// `X-Forwarded-For` that is none of them, since everything to the left of it may be made up. A list that
    /// is not one of addresses counts for nothing.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.contains(peer) {
            return peer;
        }
        let mut client = peer;
        for line in headers.get_all(X_FORWARDED_FOR).iter().rev() {
            let Ok(line) = line.to_str() else { return peer };
            for hop in line.rsplit(',') {
                let Some(hop) = address(hop.trim()) else { return peer };
                client = hop;
                if !self.contains(hop) {
                    return hop;
                }
            }
        }
        client
    }
}

impl FromStr for Networks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |item: &str| {
            let network = item.parse().or_else(|_| item.parse::<IpAddr>().map(IpNet::from));
            network.map_err(|_| {
                format!("{item:?} is neither an address nor a network such as 10.0.0.0/8")
            })
        };
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        items.map(parse).collect::<Result<_, _>>().map(Self)
    }
}

/// An address as proxies write it: alone, in brackets, or with a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))?;
    Some(address.to_canonical())
}

/// What limits count by: whoever has one IPv6 address has 2^64 of them.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => (address.to_bits() >> 64 << 64).to_be_bytes().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &[&str]) -> String {
        let proxies: Networks = "10.0.0.0/8, 2001:db8::1,192.0.2.1".parse().expect("networks");
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(X_FORWARDED_FOR, line.parse().expect("a header"));
        }
        proxies.client(peer.parse().expect("an address"), &headers).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        assert_eq!(client("198.51.100.7", &["203.0.113.9"]), "198.51.100.7");
        assert_eq!(client("10.1.2.3", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(client("::ffff:10.1.2.3", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(client("2001:db8::1", &["2001:db8::2"]), "2001:db8::2");
        assert_eq!(client("2001:db8::2", &["203.0.113.9"]), "2001:db8::2");
        assert_eq!(client("10.1.2.3", &[]), "10.1.2.3");
    }

    #[test]
    fn the_right_most_stranger_counts() {
        assert_eq!(client("10.1.2.3", &["1.1.1.1, 203.0.113.9, 10.9.9.9"]), "203.0.113.9");
        assert_eq!(client("10.1.2.3", &["1.1.1.1, 203.0.113.9", "192.0.2.1"]), "203.0.113.9");
        assert_eq!(client("10.1.2.3", &["10.0.0.5, 10.0.0.6"]), "10.0.0.5");
        assert_eq!(client("10.1.2.3", &["203.0.113.9:4711"]), "203.0.113.9");
        assert_eq!(client("10.1.2.3", &["[2001:db8::7]:443, 10.0.0.1"]), "2001:db8::7");
        assert_eq!(client("10.1.2.3", &["[2001:db8::7]"]), "2001:db8::7");
    }

    #[test]
    fn what_is_no_address_counts_for_nothing() {
        for junk in ["", "unknown", "203.0.113.9, _hidden", "203.0.113.9,", "1.2.3", "1.2.3.4/8"] {
            assert_eq!(client("10.1.2.3", &[junk]), "10.1.2.3", "{junk}");
        }
    }

    #[test]
    fn a_wrong_network_is_named() {
        let error = "10.0.0.0/8,10.0.0.0/33".parse::<Networks>().expect_err("refused");
        assert!(error.contains("\"10.0.0.0/33\""), "{error}");
        assert_eq!(" ".parse(), Ok(Networks::default()));
        let all = Networks::default().and_loopback();
        for address in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(all.contains(address.parse().expect("an address")), "{address}");
        }
        assert!(!all.contains(IpAddr::from([10, 0, 0, 1])));
    }

    #[test]
    fn addresses_of_one_network_count_as_one() {
        let of = |text: &str| network(text.parse().expect("an address")).to_string();
        assert_eq!(of("2001:db8:1:2:3::4"), "2001:db8:1:2::");
        assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1");
    }
}
