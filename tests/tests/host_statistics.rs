//! The bounds that tests of rates rely on: true, not too wide, and able to tell right from wrong.

use netchaos_tests::{
    random::Random,
    statistics::{Chain, FALSE_ALARM, assert_bursts, deviation},
};

/// The chances of 0, 1, 2 … hits, by adding one packet after the other: exact, and slow.
fn distribution(chain: &Chain, count: usize) -> Vec<f64> {
    let bad = chain.worsen / (chain.worsen + chain.recover);
    // By the state that the next packet meets.
    let mut now = [vec![1.0 - bad], vec![bad]];
    for _ in 0..count {
        let mut next = [vec![0.0; now[0].len() + 1], vec![0.0; now[0].len() + 1]];
        for hits in 0..now[0].len() {
            for (state, hit, leave) in
                [(0, chain.good, chain.worsen), (1, chain.bad, chain.recover)]
            {
                let chance = now[state][hits];
                for (more, share) in [(0, 1.0 - hit), (1, hit)] {
                    next[state][hits + more] += chance * share * (1.0 - leave);
                    next[1 - state][hits + more] += chance * share * leave;
                }
            }
        }
        now = next;
    }
    now[0]
        .iter()
        .zip(&now[1])
        .map(|(good, bad)| good + bad)
        .collect()
}

const CHAINS: [Chain; 7] = [
    Chain::random(0.001),
    Chain::random(0.05),
    Chain::random(0.5),
    Chain::correlated(0.1, 0.25),
    Chain::correlated(0.01, 0.9),
    Chain {
        worsen: 0.05,
        recover: 0.2,
        bad: 0.8,
        good: 0.02,
    },
    Chain {
        worsen: 0.3,
        recover: 0.9,
        bad: 1.0,
        good: 0.0,
    },
];

#[test]
fn what_is_refused_is_less_likely_than_the_false_alarm_and_what_is_accepted_is_not_much_more() {
    for chain in CHAINS {
        for count in [10, 200, 2000] {
            let exact = distribution(&chain, count);
            let accepted = chain.accepted(count as u64);
            let (first, last) = (*accepted.start() as usize, *accepted.end() as usize);
            let tail = |from: usize, to: usize| exact[from.min(to)..to].iter().sum::<f64>();
            let refused = tail(0, first) + tail(last + 1, exact.len());
            assert!(
                refused < FALSE_ALARM,
                "{chain:?} {count}: {accepted:?}: {refused:e}"
            );
            // The exact bounds for the same chance of a false alarm.
            let mut low = 0;
            while tail(0, low + 1) < FALSE_ALARM / 2.0 {
                low += 1;
            }
            let mut high = count;
            while tail(high, exact.len()) < FALSE_ALARM / 2.0 {
                high -= 1;
            }
            let (width, exact_width) = (last - first, high - low);
            assert!(
                width <= exact_width + exact_width / 5 + 3,
                "{chain:?} {count}: {accepted:?} where {low}..={high} would do"
            );
        }
    }
}

/// Which of `count` packets a chain hits.
fn draw(random: &mut Random, chain: &Chain, count: u64) -> Vec<u64> {
    let mut chance = |share: f64| (random.next() >> 11) as f64 / (1_u64 << 53) as f64 - share < 0.0;
    let mut bad = false;
    let mut hit = Vec::new();
    for number in 0..count {
        if chance(if bad { chain.bad } else { chain.good }) {
            hit.push(number);
        }
        bad ^= chance(if bad { chain.recover } else { chain.worsen });
    }
    hit
}

#[test]
fn drawn_fates_are_accepted_and_those_of_another_rate_or_without_bursts_are_not() {
    let mut random = Random(1);
    for chain in CHAINS {
        let accepted = chain.accepted(5000);
        for _ in 0..200 {
            let hits = draw(&mut random, &chain, 5000).len() as u64;
            assert!(accepted.contains(&hits), "{chain:?}: {hits}, {accepted:?}");
        }
    }
    // What netem makes of `loss 10% 25%`: 1.8 % (measured).
    let asked = Chain::correlated(0.1, 0.25);
    let made = draw(&mut random, &Chain::random(0.018), 5000).len() as u64;
    assert!(!asked.accepted(5000).contains(&made));

    assert_bursts("right", &draw(&mut random, &asked, 6000), 6000, &asked);
    let apart = draw(&mut random, &Chain::random(0.1), 6000);
    let caught = std::panic::catch_unwind(|| assert_bursts("apart", &apart, 6000, &asked));
    assert!(caught.is_err(), "random loss was taken for bursts");
}

#[test]
fn a_sample_of_thousands_lies_near_its_distribution() {
    let mut random = Random(2);
    for _ in 0..100 {
        let mut sample: Vec<f64> = (0..3000)
            .map(|_| (random.next() >> 11) as f64 / (1_u64 << 53) as f64)
            .collect();
        sample.sort_by(f64::total_cmp);
        let above = sample
            .iter()
            .enumerate()
            .map(|(number, value)| (number + 1) as f64 / 3000.0 - value);
        assert!(above.fold(0.0, f64::max) < deviation(3000));
    }
    assert!((0.05..0.06).contains(&deviation(3000)));
}
