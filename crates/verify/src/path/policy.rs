//! Certificate policies along a chain, which Go checks since 1.24 (RFC 5280, section 6.1, as a graph: RFC 9618).
//!
//! Source: Go src/crypto/x509/verify.go (`policiesValid`, `policyGraph`). The initial policy set is anyPolicy and
//! nothing is required or inhibited at the start, as crypto/tls calls it.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::x509::Certificate;

type Oid<'a> = &'a [u8];

/// anyPolicy, 2.5.29.32.0.
const ANY: Oid<'static> = &[0x55, 0x1d, 0x20, 0];

/// Whether the policies of a chain, leaf first, leave something that its CAs require.
pub(super) fn are_valid(chain: &[&Certificate<'_>]) -> bool {
    // The root's own policies do not count.
    let Some((_, below_root)) = chain.split_last() else {
        return true;
    };
    let Some(leaf) = below_root.first() else {
        return true;
    };
    let length = i64::try_from(below_root.len()).unwrap_or(i64::MAX);
    let mut graph = Some(Graph::new());
    let mut explicit_policy = length + 1;
    let mut policy_mapping = length + 1;
    let mut inhibit_any = length + 1;

    for (position, certificate) in below_root.iter().enumerate().rev() {
        let is_leaf = position == 0;
        let self_issued = certificate.issuer == certificate.subject;
        let extensions = &certificate.extensions;
        if extensions.policies.is_empty() {
            graph = None;
        }
        match &mut graph {
            None if explicit_policy == 0 => return false,
            None => {}
            Some(graph) => {
                graph.descend();
                graph.add_policies(&extensions.policies, inhibit_any > 0 || (!is_leaf && self_issued));
                if !is_leaf && !graph.map_policies(&extensions.policy_mappings, policy_mapping > 0) {
                    return false;
                }
            }
        }
        if is_leaf {
            continue;
        }
        if !self_issued {
            for counter in [&mut explicit_policy, &mut policy_mapping, &mut inhibit_any] {
                *counter = (*counter - 1).max(0);
            }
        }
        lower(&mut explicit_policy, extensions.require_explicit_policy);
        lower(&mut policy_mapping, extensions.inhibit_policy_mapping);
        lower(&mut inhibit_any, extensions.inhibit_any_policy);
    }
    explicit_policy = (explicit_policy - 1).max(0);
    if leaf.extensions.require_explicit_policy == Some(0) {
        explicit_policy = 0;
    }
    explicit_policy > 0 || graph.is_some_and(|graph| graph.has_valid_policy())
}

fn lower(counter: &mut i64, limit: Option<i64>) {
    if let Some(limit) = limit.filter(|limit| *limit >= 0) {
        *counter = (*counter).min(limit);
    }
}

struct Node<'a> {
    policy: Oid<'a>,
    expected: Vec<Oid<'a>>,
    parents: BTreeSet<usize>,
    children: usize,
}

/// One stratum of nodes for each certificate, the root's first; nodes are numbered.
struct Graph<'a> {
    nodes: Vec<Node<'a>>,
    strata: Vec<HashMap<Oid<'a>, usize>>,
    by_expected: HashMap<Oid<'a>, Vec<usize>>,
}

impl<'a> Graph<'a> {
    fn new() -> Self {
        let root = Node { policy: ANY, expected: vec![ANY], parents: BTreeSet::new(), children: 0 };
        Self { nodes: vec![root], strata: vec![HashMap::from([(ANY, 0)])], by_expected: HashMap::new() }
    }

    fn descend(&mut self) {
        self.by_expected.clear();
        let leaves: Vec<usize> =
            self.strata.last().map(|leaves| leaves.values().copied().collect()).unwrap_or_default();
        for index in leaves {
            let Some(node) = self.nodes.get(index) else {
                continue;
            };
            for expected in &node.expected {
                self.by_expected.entry(expected).or_default().push(index);
            }
        }
        self.strata.push(HashMap::new());
    }

    fn leaf(&self, policy: Oid<'_>) -> Option<usize> {
        self.strata.last()?.get(policy).copied()
    }

    fn insert(&mut self, policy: Oid<'a>, expected: Vec<Oid<'a>>, parents: &[usize]) {
        let parents: BTreeSet<usize> = parents.iter().copied().collect();
        for parent in &parents {
            if let Some(parent) = self.nodes.get_mut(*parent) {
                parent.children += 1;
            }
        }
        let index = self.nodes.len();
        self.nodes.push(Node { policy, expected, parents, children: 0 });
        if let Some(leaves) = self.strata.last_mut() {
            leaves.insert(policy, index);
        }
    }

    fn add_policies(&mut self, policies: &[Oid<'a>], any_counts: bool) {
        let above = self.strata.len().checked_sub(2);
        let any_parent = above.and_then(|above| self.strata.get(above)).and_then(|stratum| stratum.get(ANY)).copied();
        for &policy in policies.iter().filter(|policy| **policy != ANY) {
            let parents = match self.by_expected.get(policy) {
                Some(parents) => parents.clone(),
                None => any_parent.into_iter().collect(),
            };
            if !parents.is_empty() {
                self.insert(policy, vec![policy], &parents);
            }
        }
        if any_counts && policies.contains(&ANY) {
            let mut missing: Vec<(Oid<'a>, Vec<usize>)> = Vec::new();
            for (expected, parents) in &self.by_expected {
                if self.leaf(expected).is_none() {
                    missing.push((expected, parents.clone()));
                }
            }
            for (expected, parents) in missing {
                self.insert(expected, vec![expected], &parents);
            }
        }
        self.prune();
    }

    /// Whether the mappings are allowed; with `mapping_allowed` false the mapped policies are dropped.
    fn map_policies(&mut self, mappings: &[(Oid<'a>, Oid<'a>)], mapping_allowed: bool) -> bool {
        let mut targets: HashMap<Oid<'a>, Vec<Oid<'a>>> = HashMap::new();
        for &(issuer, subject) in mappings {
            if !mapping_allowed {
                self.delete_leaf(issuer);
            } else if issuer == ANY || subject == ANY {
                return false;
            } else {
                targets.entry(issuer).or_default().push(subject);
            }
        }
        self.prune();
        for (issuer, subjects) in targets {
            if let Some(node) = self.leaf(issuer).and_then(|leaf| self.nodes.get_mut(leaf)) {
                node.expected = subjects;
            } else if let Some(any) = self.leaf(ANY) {
                self.insert(issuer, subjects, &[any]);
            }
        }
        true
    }

    fn delete_leaf(&mut self, policy: Oid<'_>) {
        if let Some(index) = self.strata.last_mut().and_then(|leaves| leaves.remove(policy)) {
            self.release_parents(index);
        }
    }

    fn release_parents(&mut self, index: usize) {
        let parents = self.nodes.get(index).map(|node| node.parents.clone()).unwrap_or_default();
        for parent in parents {
            if let Some(parent) = self.nodes.get_mut(parent) {
                parent.children = parent.children.saturating_sub(1);
            }
        }
    }

    /// Drops, from below, the nodes between root and leaves that nothing follows.
    fn prune(&mut self) {
        for depth in (1..self.strata.len().saturating_sub(1)).rev() {
            let Some(stratum) = self.strata.get(depth) else {
                continue;
            };
            let childless: Vec<(Oid<'a>, usize)> = stratum
                .iter()
                .filter(|(_, index)| self.nodes.get(**index).is_some_and(|node| node.children == 0))
                .map(|(policy, index)| (*policy, *index))
                .collect();
            for (policy, index) in childless {
                self.release_parents(index);
                if let Some(stratum) = self.strata.get_mut(depth) {
                    stratum.remove(policy);
                }
            }
        }
    }

    /// Whether the authorities leave any policy: one that hangs below anyPolicy, or anyPolicy in the leaf.
    fn has_valid_policy(&self) -> bool {
        if self.leaf(ANY).is_some() {
            return true;
        }
        let alive: HashSet<usize> = self.strata.iter().flat_map(|stratum| stratum.values().copied()).collect();
        self.nodes.iter().enumerate().any(|(index, node)| {
            let mut parents = node.parents.iter();
            alive.contains(&index)
                && node.policy != ANY
                && matches!((parents.next(), parents.next()), (Some(parent), None) if self.nodes.get(*parent).is_some_and(|parent| parent.policy == ANY))
        })
    }
}
