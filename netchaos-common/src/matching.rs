//! Which experiments want a packet.

use crate::{
    abi::{Commit, HostKey, PrefixKey, RULES, Rule, RuleSet},
    packet::Packet,
};

/// The maps, as matching reads them.
pub trait Tables {
    fn host(&self, key: &HostKey) -> Option<&RuleSet>;
    /// Value of the longest prefix that covers the address.
    fn prefix(&self, key: &PrefixKey) -> Option<&RuleSet>;
    fn rule(&self, index: u32) -> Option<&Rule>;
}

/// The slots that want the packet, a bit each. Excludes win, whatever the order.
#[inline(always)]
pub fn wanted<T: Tables>(tables: &T, commit: &Commit, packet: &Packet) -> u64 {
    let mut rules = commit.all;
    let mut key = HostKey {
        address: packet.peer,
        port: 0,
        family: packet.family,
    };
    if commit.lookups & Commit::HOSTS != 0
        && let Some(hit) = tables.host(&key)
    {
        add(&mut rules, hit);
    }
    if commit.lookups & Commit::PREFIXES != 0 {
        let prefix = PrefixKey {
            family: [0, 0, 0, packet.family as u8],
            address: packet.peer,
        };
        if let Some(hit) = tables.prefix(&prefix) {
            add(&mut rules, hit);
        }
    }
    let mut named = RuleSet::default();
    if commit.lookups & Commit::HOST_PORTS != 0
        && let Some(port) = packet.port
    {
        key.port = port;
        if let Some(hit) = tables.host(&key) {
            named = *hit;
            add(&mut rules, hit);
        }
    }
    judge(tables, commit, packet, &rules, &named)
}

#[inline(always)]
fn add(rules: &mut RuleSet, more: &RuleSet) {
    for (word, more) in rules.words.iter_mut().zip(&more.words) {
        *word |= more;
    }
}

/// Weighs the rules that the address brought. `named` are those of them that came by address and
/// port, so that the port has been asked for in words.
#[inline(always)]
fn judge<T: Tables>(
    tables: &T,
    commit: &Commit,
    packet: &Packet,
    rules: &RuleSet,
    named: &RuleSet,
) -> u64 {
    let mut want = 0;
    let mut except = 0;
    for word in 0..RULES / 64 {
        let mut bits = rules.words[word];
        // Counted, since the verifier must see an end.
        for _ in 0..64 {
            if bits == 0 {
                break;
            }
            let bit = bits.trailing_zeros();
            bits &= bits - 1;
            let Some(rule) = tables.rule(word as u32 * 64 + bit) else {
                break;
            };
            let slot = rule.slot as u32 & 63;
            let is_named = (named.words[word] >> bit) & 1 != 0;
            if !fits(rule, packet, is_named) {
                continue;
            }
            if rule.flags & Rule::EXCEPT != 0 {
                except |= 1 << slot;
            } else {
                want |= 1 << slot;
            }
        }
    }
    want & !except & commit.live
}

/// Whether the packet meets the rule's condition beyond the address.
#[inline(always)]
fn fits(rule: &Rule, packet: &Packet, is_named: bool) -> bool {
    if rule.names_a_port() {
        return match packet.port {
            Some(port) => port >= rule.port_low && port <= rule.port_high,
            None => false,
        };
    }
    !packet.vital || is_named || rule.flags & Rule::EXCEPT != 0
}

#[cfg(test)]
mod tests;
