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

#[test]
fn rates_are_read_as_tc_reads_them() {
    for (text, bytes, shown) in [
        ("8bit", 1, "8bit"),
        ("1kbit", 125, "1kbit"),
        ("1mbit", 125_000, "1mbit"),
        ("1gbit", 125_000_000, "1gbit"),
        ("1tbit", 125_000_000_000, "1tbit"),
        ("1bps", 1, "8bit"),
        ("1kbps", 1_000, "8kbit"),
        ("1mbps", 1_000_000, "8mbit"),
        ("1gbps", 1_000_000_000, "8gbit"),
        ("1tbps", 1_000_000_000_000, "8tbit"),
        ("1.5mbit", 187_500, "1.5mbit"),
        ("10Mbit", 1_250_000, "10mbit"),
        // Chaos Mesh's webhook takes this one.
        ("  10   mbPs  ", 10_000_000, "80mbit"),
        ("1000kbit", 125_000, "1mbit"),
        ("12345678bit", 1_543_209, "12.345672mbit"),
        (
            "2305843009213693951bps",
            2_305_843_009_213_693_951,
            "18446744.073709551608tbit",
        ),
    ] {
        let rate: Rate = text.parse().unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(rate.bytes_per_second(), bytes, "{text}");
        assert_eq!(rate.to_string(), shown, "{text}");
        assert_eq!(shown.parse::<Rate>().unwrap(), rate, "{text}");
    }
    for (text, why) in [
        ("", "has no unit of a rate"),
        ("10", "has no unit of a rate"),
        (" 10 cpbs", "has no unit of a rate"),
        ("10 mb", "has no unit of a rate"),
        ("mbit", "is not a rate"),
        (".5mbit", "is not a rate"),
        ("5.mbit", "is not a rate"),
        ("-5mbit", "is not a rate"),
        ("1e3mbit", "is not a rate"),
        ("7bit", "is less than a byte per second"),
        ("0.0001bit", "is less than a byte per second"),
        ("0mbit", "is no rate; nothing would come through"),
        ("99999999999tbit", "is too fast"),
        ("99999999999999999999999999999999bps", "is too fast"),
    ] {
        let error = text.parse::<Rate>().expect_err(text);
        assert_eq!(
            (error.message.as_str(), error.value.as_deref()),
            (why, Some(text))
        );
    }
    assert_eq!(Rate::parse_or_none(" 0.00 mbit").unwrap(), None);
}

#[test]
fn sizes_are_read_as_tc_reads_them() {
    for (text, bytes) in [
        ("1", 1),
        ("1514", 1514),
        ("1514b", 1514),
        ("1k", 1 << 10),
        ("1KB", 1 << 10),
        ("1.5kb", 1536),
        ("2m", 2 << 20),
        ("2mb", 2 << 20),
        ("1g", 1 << 30),
        ("3gb", 3 << 30),
        ("8kbit", 1 << 10),
        ("1mbit", 1 << 17),
        ("1gbit", 1 << 27),
        ("4294967295", u32::MAX),
    ] {
        assert_eq!(
            parse_size(text).unwrap_or_else(|e| panic!("{e}")),
            bytes,
            "{text}"
        );
    }
    for (text, why) in [
        ("", "is not a size"),
        ("kb", "is not a size"),
        ("-1", "is not a size"),
        ("1 kb", "is not a size"),
        ("1kib", "is not a size"),
        ("1tb", "is not a size"),
        ("0", "holds nothing"),
        ("0.5", "holds nothing"),
        ("4294967296", "is too large"),
        ("4gb", "is too large"),
    ] {
        let error = parse_size(text).expect_err(text);
        assert_eq!(
            (error.message.as_str(), error.value.as_deref()),
            (why, Some(text))
        );
    }
}

#[test]
fn whole_numbers_have_no_sign_and_a_bound() {
    assert_eq!(
        parse_whole("18446744073709551615", u64::MAX).unwrap(),
        u64::MAX
    );
    assert_eq!(parse_gap("4294967295").unwrap(), u32::MAX);
    assert_eq!(parse_gap("007").unwrap(), 7);
    for (text, why) in [
        ("", "is not a whole number"),
        ("+1", "is not a whole number"),
        ("-1", "is not a whole number"),
        ("1.5", "is not a whole number"),
        ("4294967296", "is too large"),
        ("99999999999999999999999", "is too large"),
    ] {
        assert_eq!(parse_gap(text).expect_err(text).message, why);
    }
}
