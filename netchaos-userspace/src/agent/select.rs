//! Which pods a selector fits, and which of them a mode chooses. Pure, but for the dice it is
//! given.

use rand::{Rng, RngExt as _, seq::IteratorRandom as _};

use super::cluster::{Cluster, Id, Node, Pod, contains};
use crate::experiment::{Expression, Mode, Operator, Selector};

/// Fields of pods that `fieldSelectors` may name: those that the API server itself selects by.
pub const FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.nominatedNodeName",
    "status.phase",
    "status.podIP",
];

/// The pods that a selector fits, in the order of their names. Those that have come to an end are
/// not among them.
///
/// # Errors
/// The selector asks for a field that pods cannot be selected by.
pub fn fitting<'a>(
    selector: &Selector,
    own_namespace: &str,
    cluster: &'a Cluster,
) -> Result<Vec<&'a Id>, String> {
    let unknown = |field: &&String| !FIELDS.contains(&field.as_str());
    if let Some(field) = selector.field_selectors.keys().find(unknown) {
        return Err(format!(
            "fieldSelectors: {field} is no field that pods are selected by; there is {}",
            FIELDS.join(", ")
        ));
    }
    let fits = |(id, pod): &(&Id, &Pod)| {
        pod.lives()
            && if selector.pods.is_empty() {
                fits(selector, own_namespace, id, pod, cluster)
            } else {
                let names = selector.pods.get(&id.namespace);
                names.is_some_and(|names| names.contains(&id.name))
            }
    };
    let pods = cluster.pods.iter().filter(fits);
    Ok(pods.map(|(id, _)| id).collect())
}

fn fits(selector: &Selector, own_namespace: &str, id: &Id, pod: &Pod, cluster: &Cluster) -> bool {
    let node_name = pod.node.as_deref().unwrap_or_default();
    let in_namespace = if selector.namespaces.is_empty() {
        id.namespace == own_namespace
    } else {
        selector.namespaces.contains(&id.namespace)
    };
    let on_node = || {
        let node = cluster.node(node_name);
        let has_labels = |node: &Node| contains(&node.labels, &selector.node_selectors);
        (selector.nodes.is_empty() || selector.nodes.iter().any(|name| name == node_name))
            && (selector.node_selectors.is_empty() || node.is_some_and(has_labels))
    };
    let in_phase = || {
        let phases = &selector.pod_phase_selectors;
        phases.is_empty() || phases.contains(&pod.phase)
    };
    in_namespace
        && contains(&pod.labels, &selector.label_selectors)
        && contains(&pod.annotations, &selector.annotation_selectors)
        && selector
            .expression_selectors
            .iter()
            .all(|expression| holds(expression, pod))
        && selector
            .field_selectors
            .iter()
            .all(|(field, value)| field_of(field, id, pod) == *value)
        && on_node()
        && in_phase()
}

fn field_of(field: &str, id: &Id, pod: &Pod) -> String {
    match field {
        "metadata.name" => id.name.clone(),
        "metadata.namespace" => id.namespace.clone(),
        "spec.nodeName" => pod.node.clone().unwrap_or_default(),
        "spec.restartPolicy" => pod.restart_policy.clone(),
        "spec.schedulerName" => pod.scheduler.clone(),
        "spec.serviceAccountName" => pod.service_account.clone(),
        "status.nominatedNodeName" => pod.nominated_node.clone(),
        "status.phase" => pod.phase.clone(),
        _ => pod
            .addresses
            .first()
            .map_or_else(String::new, ToString::to_string),
    }
}

/// As Kubernetes' own label selectors: a label that is missing is in no list (apimachinery's
/// `labels.Requirement.Matches`).
fn holds(expression: &Expression, pod: &Pod) -> bool {
    let value = pod.labels.get(&expression.key);
    let is_listed = value.is_some_and(|value| expression.values.contains(value));
    match expression.operator {
        Operator::In => is_listed,
        Operator::NotIn => !is_listed,
        Operator::Exists => value.is_some(),
        Operator::DoesNotExist => value.is_none(),
    }
}

/// Chooses some of what was found, as Chaos Mesh's modes do.
pub fn choose<T: Clone + Ord>(mode: Mode, found: &[T], dice: &mut impl Rng) -> Vec<T> {
    let share = |percent: u64| (found.len() as u64 * percent).div_ceil(100) as usize;
    let count = match mode {
        Mode::All => found.len(),
        Mode::One => 1,
        Mode::Fixed(count) => usize::try_from(count).unwrap_or(usize::MAX),
        Mode::FixedPercent(percent) => share(percent.into()),
        Mode::RandomMaxPercent(most) => share(dice.random_range(0..=most).into()),
    };
    let mut chosen = found.iter().cloned().sample(dice, count.min(found.len()));
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::super::cluster::tests::{id, labels as map, node};
    use super::*;

    fn cluster() -> Cluster {
        let pod = |node: &str, labels: &[(&str, &str)], phase: &str| Pod {
            node: Some(node.into()),
            labels: map(labels),
            phase: phase.into(),
            addresses: vec!["10.0.0.1".parse().unwrap()],
            ..Pod::default()
        };
        let pods = [
            (id("shop/web-1"), pod("n1", &[("app", "web")], "Running")),
            (id("shop/web-2"), pod("n2", &[("app", "web")], "Pending")),
            (id("shop/web-3"), pod("n2", &[("app", "web")], "Failed")),
            (
                id("shop/db"),
                pod("n2", &[("app", "db"), ("tier", "2")], "Running"),
            ),
            (id("other/web-1"), pod("n1", &[("app", "web")], "Running")),
        ];
        Cluster {
            pods: pods.into(),
            nodes: [node("n1", &[("zone", "a")]), node("n2", &[("zone", "b")])].into(),
            ..Cluster::default()
        }
    }

    fn found(selector: &Selector) -> Vec<String> {
        let cluster = cluster();
        let found = fitting(selector, "shop", &cluster).unwrap();
        found.into_iter().map(ToString::to_string).collect()
    }

    #[test]
    fn all_that_a_selector_says_has_to_hold() {
        let none = Selector::default();
        assert_eq!(found(&none), ["shop/db", "shop/web-1", "shop/web-2"]);
        let everywhere = Selector {
            namespaces: vec!["shop".into(), "other".into()],
            label_selectors: map(&[("app", "web")]),
            ..Selector::default()
        };
        assert_eq!(
            found(&everywhere),
            ["other/web-1", "shop/web-1", "shop/web-2"]
        );
        let running = Selector {
            pod_phase_selectors: vec!["Running".into()],
            ..everywhere.clone()
        };
        assert_eq!(found(&running), ["other/web-1", "shop/web-1"]);
        let in_zone = Selector {
            node_selectors: map(&[("zone", "b")]),
            ..everywhere.clone()
        };
        assert_eq!(found(&in_zone), ["shop/web-2"]);
        let on_node = Selector {
            nodes: vec!["n1".into()],
            field_selectors: map(&[("metadata.namespace", "other")]),
            ..everywhere
        };
        assert_eq!(found(&on_node), ["other/web-1"]);
    }

    #[test]
    fn expressions_are_those_of_kubernetes() {
        let by = |key: &str, operator, values: &[&str]| {
            let expression = Expression {
                key: key.into(),
                operator,
                values: values.iter().map(|value| (*value).to_owned()).collect(),
            };
            found(&Selector {
                expression_selectors: vec![expression],
                ..Selector::default()
            })
        };
        assert_eq!(by("app", Operator::In, &["db", "x"]), ["shop/db"]);
        assert_eq!(
            by("tier", Operator::NotIn, &["2"]),
            ["shop/web-1", "shop/web-2"]
        );
        assert_eq!(by("tier", Operator::Exists, &[]), ["shop/db"]);
        assert_eq!(
            by("tier", Operator::DoesNotExist, &[]),
            ["shop/web-1", "shop/web-2"]
        );
    }

    #[test]
    fn names_of_pods_win_over_all_else() {
        let selector = Selector {
            label_selectors: map(&[("app", "db")]),
            pods: [(
                "other".to_owned(),
                vec!["web-1".to_owned(), "gone".to_owned()],
            )]
            .into(),
            ..Selector::default()
        };
        assert_eq!(found(&selector), ["other/web-1"]);
    }

    #[test]
    fn a_field_that_pods_have_not_is_refused() {
        let selector = Selector {
            field_selectors: map(&[("spec.hostname", "x")]),
            ..Selector::default()
        };
        let wrong = fitting(&selector, "shop", &cluster()).unwrap_err();
        assert!(
            wrong.contains("spec.hostname") && wrong.contains("status.phase"),
            "{wrong}"
        );
    }

    #[test]
    fn modes_choose_as_many_as_chaos_mesh() {
        let found: Vec<u32> = (0..10).collect();
        let mut dice = StdRng::seed_from_u64(1);
        let mut count = |mode| choose(mode, &found, &mut dice).len();
        assert_eq!(count(Mode::All), 10);
        assert_eq!(count(Mode::One), 1);
        assert_eq!(count(Mode::Fixed(3)), 3);
        assert_eq!(count(Mode::Fixed(30)), 10);
        assert_eq!(count(Mode::FixedPercent(11)), 2);
        let mut random = |_| count(Mode::RandomMaxPercent(50));
        let counts: Vec<usize> = (0..200).map(&mut random).collect();
        assert!(counts.iter().all(|count| *count <= 5), "{counts:?}");
        assert!((0..=5).all(|wanted| counts.contains(&wanted)), "{counts:?}");
        assert!(choose(Mode::One, &Vec::<u32>::new(), &mut dice).is_empty());
    }
}
