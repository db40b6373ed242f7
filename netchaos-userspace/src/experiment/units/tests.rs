use std::time::Duration;

use super::*;

fn percent(text: &str) -> Percent {
    text.parse().unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn percentages_are_read_in_percent() {
    for (text, number, shown) in [
        ("25", 25.0, "25%"),
        ("25%", 25.0, "25%"),
        ("0.5", 0.5, "0.5%"),
        ("0", 0.0, "0%"),
        ("-0", 0.0, "0%"),
        ("100", 100.0, "100%"),
        ("1e1", 10.0, "10%"),
        (".5", 0.5, "0.5%"),
        ("33.333", 33.333, "33.333%"),
    ] {
        assert_eq!(percent(text).get(), number, "{text}");
        assert_eq!(percent(text).to_string(), shown, "{text}");
        assert_eq!(percent(shown), percent(text), "{text}");
    }
}

#[test]
fn percentages_out_of_range_are_refused() {
    for text in [
        "", "%", "-5", "150", "100.0001", "NaN", "inf", "ten", "25%%", "25 %", " 25", "1,5",
        "-0.0001",
    ] {
        let error = text.parse::<Percent>().expect_err(text).to_string();
        assert!(error.starts_with(&format!("{text:?} is ")), "{error}");
        assert!(error.contains("allowed: a number from 0 to 100"), "{error}");
    }
}

#[test]
fn percentages_become_the_numbers_that_tc_sends() {
    // As `tc qdisc add … netem loss P` encodes them: rint(P / 100 * 0xffffffff).
    for (text, expected) in [
        ("0", 0),
        ("100", u32::MAX),
        ("50", 2_147_483_648),
        ("25", 1_073_741_824),
        ("10", 429_496_730),
        ("1", 42_949_673),
        ("0.5", 21_474_836),
        ("0.00000001", 0),
    ] {
        assert_eq!(percent(text).as_probability_u32(), expected, "{text}");
    }
}

#[test]
fn percent_is_a_string_in_json() {
    assert_eq!(
        serde_json::to_string(&percent("12.5")).unwrap(),
        r#""12.5%""#
    );
    assert_eq!(
        serde_json::from_str::<Percent>(r#""12.5%""#).unwrap(),
        percent("12.5")
    );
    assert!(serde_json::from_str::<Percent>(r#""120""#).is_err());
}

#[test]
fn durations_follow_gos_grammar() {
    for (text, nanoseconds, shown) in [
        ("0", 0, "0s"),
        ("0s", 0, "0s"),
        ("00h0.000ms", 0, "0s"),
        ("1ns", 1, "1ns"),
        ("100ns", 100, "100ns"),
        ("1us", 1_000, "1us"),
        ("1\u{b5}s", 1_000, "1us"),
        ("1\u{3bc}s", 1_000, "1us"),
        ("50ms", 50_000_000, "50ms"),
        ("90ms", 90_000_000, "90ms"),
        ("1.5ms", 1_500_000, "1.5ms"),
        ("0.5s", 500_000_000, "500ms"),
        (".5s", 500_000_000, "500ms"),
        ("5.s", 5_000_000_000, "5s"),
        ("1.5s", 1_500_000_000, "1.5s"),
        ("1.000000001s", 1_000_000_001, "1.000000001s"),
        ("120s", 120_000_000_000, "2m"),
        ("2m", 120_000_000_000, "2m"),
        ("2m0s", 120_000_000_000, "2m"),
        ("1m30s", 90_000_000_000, "1m30s"),
        ("1h30m", 5_400_000_000_000, "1h30m"),
        ("1h1s", 3_601_000_000_000, "1h1s"),
        ("30m1h", 5_400_000_000_000, "1h30m"),
        ("120m", 7_200_000_000_000, "2h"),
        ("1h2m3.004005006s", 3_723_004_005_006, "1h2m3.004005006s"),
        // What is finer than a nanosecond is cut off.
        ("0.9ns", 0, "0s"),
        ("1.9999ns", 1, "1ns"),
        (
            "0.3333333333333333333333333333333h",
            1_199_999_999_999,
            "19m59.999999999s",
        ),
        // A float would give 100000000.00000001 and the like.
        ("0.1s", 100_000_000, "100ms"),
        ("2.3ms", 2_300_000, "2.3ms"),
        (
            "9223372036854775807ns",
            i64::MAX as u64,
            "2562047h47m16.854775807s",
        ),
    ] {
        let duration = parse_duration(text).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(duration, Duration::from_nanos(nanoseconds), "{text}");
        assert_eq!(format_duration(duration), shown, "{text}");
        assert_eq!(parse_duration(shown).unwrap(), duration, "{shown}");
    }
}

#[test]
fn what_is_no_duration_is_refused() {
    for (text, why) in [
        ("", "is not a duration"),
        ("5x", "is not a duration"),
        ("ms", "is not a duration"),
        (".s", "is not a duration"),
        ("-1ms", "is not a duration"),
        ("+1ms", "is not a duration"),
        ("50 ms", "is not a duration"),
        ("50ms ", "is not a duration"),
        ("1min", "is not a duration"),
        ("1MS", "is not a duration"),
        ("1,5s", "is not a duration"),
        ("1.2.3s", "is not a duration"),
        ("10", "has no unit"),
        ("1.5", "has no unit"),
        ("1m30", "has no unit"),
        ("9223372036854775808ns", "is too long"),
        ("3000000h", "is too long"),
        (
            "99999999999999999999999999999999999999999999h",
            "is too long",
        ),
    ] {
        assert_eq!(
            parse_duration(text).expect_err(text).to_string(),
            format!(
                "{text:?} {why}; allowed: a number with ns, us, ms, s, m or h, such as 50ms or 1m30s"
            )
        );
    }
}

#[test]
fn latency_and_jitter_have_bounds() {
    assert_eq!(parse_latency("1h").unwrap(), LONGEST_DELAY);
    assert_eq!(parse_latency("1ns").unwrap(), Duration::from_nanos(1));
    assert_eq!(parse_jitter("0").unwrap(), Duration::ZERO);
    assert_eq!(parse_jitter("2147483647ns").unwrap(), LONGEST_JITTER);
    for (result, expected) in [
        (
            parse_latency("0ms"),
            r#""0ms" would delay nothing; allowed: more than 0, at most 1h"#,
        ),
        (
            parse_latency("61m"),
            r#""61m" is too long; allowed: more than 0, at most 1h"#,
        ),
        (
            parse_jitter("2.2s"),
            r#""2.2s" is more than the kernel's netem can do; allowed: 0 to 2.147483647s"#,
        ),
        (
            parse_lifetime("0s"),
            r#""0s" would end at once; allowed: more than 0, or nothing at all to last until it is removed"#,
        ),
    ] {
        assert_eq!(result.unwrap_err().to_string(), expected);
    }
}
