//! The forms of single values.

use super::{Vector, each, owned};

pub fn percentages() -> Vec<Vector> {
    let values = [
        "'150'", "'-5'", "'NaN'", "'inf'", "'10%'", "'much'", "' 5'", "25", "'100'", "'1e1'",
        "'1E1'", "'0.5'", "'.5'", "'5.'", "'+5'", "'-0'", "''", "'100.1'", "'1e'", "'.'", "'1_0'",
        "'0x1'",
    ];
    let mut vectors = each("loss", "{loss: @}", &values);
    for vector in &mut vectors {
        vector.changes.push(owned(("rate", "{rate: 1mbit}")));
    }
    // The same rule everywhere: a right and a wrong one are enough.
    for (field, template) in [
        ("delay", "{latency: 1s, correlation: @}"),
        ("delay", "{latency: 1s, reorder: {gap: 1, reorder: @}}"),
        (
            "delay",
            "{latency: 1s, reorder: {gap: 1, reorder: '1', correlation: @}}",
        ),
        ("loss", "{loss: '1', correlation: @}"),
        ("duplicate", "{duplicate: @}"),
        ("duplicate", "{duplicate: '1', correlation: @}"),
        ("corrupt", "{corrupt: @}"),
        ("corrupt", "{corrupt: '1', correlation: @}"),
    ] {
        vectors.extend(each(field, template, &["'25'", "'150'", "'10%'"]));
    }
    vectors
}

pub fn times() -> Vec<Vector> {
    let mut vectors = each(
        "delay",
        "{latency: @}",
        &[
            "90ms",
            "1.5s",
            "0.5s",
            "0.5ms",
            "0.001s",
            "05ms",
            "2m",
            "100ns",
            "1h",
            "60m",
            "61m",
            "2h",
            "3600000ms",
            "3600001ms",
            "-1ms",
            "10x",
            "''",
            "'10'",
            "'0'",
            "1m30s",
            ".5s",
            "5.s",
            "1µs",
            "99999999999h",
        ],
    );
    vectors.extend(each(
        "delay",
        "{latency: 5s, jitter: @}",
        &[
            "0us",
            "1ms",
            "2147483647ns",
            "2147483648ns",
            "3s",
            "''",
            "1m30s",
        ],
    ));
    vectors.extend(each(
        "duration",
        "@",
        &[
            "''",
            "120m",
            "1m30s",
            "'.5s'",
            "'5.s'",
            "1h1µs",
            "soon",
            "'10'",
            "'-1m'",
            "'0'",
            "0s",
            "0h0m",
            "60",
            "99999999999h",
            "1.5h",
            "'1 m'",
        ],
    ));
    vectors
}

pub fn rates() -> Vec<Vector> {
    let values = [
        "1mbps",
        "100kbps",
        "10 mbps",
        "'  10   mbPs  '",
        "1Gbit",
        "1.5mbit",
        "8bit",
        "7bit",
        "1bps",
        "'10'",
        "' 10 cpbs'",
        "''",
        "fast",
        "-1mbit",
        ".5mbit",
        "5.mbit",
        "1pbit",
        "0mbit",
        "0.0bit",
        "0.5bit",
        "99999999999999999999tbit",
    ];
    let mut vectors = each("rate", "{rate: @}", &values);
    vectors.extend(each("bandwidth", "{rate: @, limit: 1, buffer: 1}", &values));
    vectors
}

pub fn numbers() -> Vec<Vector> {
    let buckets = each(
        "bandwidth",
        "{rate: 10mbit, @}",
        &[
            "limit: 1, buffer: 4294967295",
            "limit: 0, buffer: 1",
            "limit: 1, buffer: 0",
            "limit: -1, buffer: 1",
            "limit: 4294967296, buffer: 1",
            "limit: 1.5, buffer: 1",
            "limit: '1', buffer: 1",
            "limit: 1, buffer: 1, minburst: -1",
            "limit: 1, buffer: 1, minburst: 4294967296",
            "limit: 1, buffer: 1, peakrate: 5mbit",
            "limit: 1, buffer: 1, peakrate: 0, minburst: 0",
            "limit: 1, buffer: 1, peakrate: 20000000",
            "limit: 1, buffer: 1, minburst: 1600",
            "limit: 1, buffer: 1, peakrate: 7, minburst: 1",
            "limit: 1, buffer: 1, peakrate: 10000000, minburst: 1600",
            "limit: 1, buffer: 1, peakrate: 10000008, minburst: 1600",
        ],
    );
    // What the action makes no use of is judged as well, but for what only its parts together can be.
    let used = |bucket: &Vector| {
        let mut changes = bucket.changes.clone();
        changes.push(owned(("action", "bandwidth")));
        Vector {
            changes,
            ..Vector::default()
        }
    };
    let mut vectors: Vec<Vector> = buckets.iter().map(used).collect();
    vectors.extend(buckets);
    vectors.extend(each(
        "delay",
        "{latency: 1s, reorder: {reorder: '1', gap: @}}",
        &["0", "4294967295", "4294967296", "-1", "1.5", "'1'", "many"],
    ));
    vectors
}

pub fn targets() -> Vec<Vector> {
    let label = "a".repeat(63);
    let long_label = format!("'{label}a.example'");
    let long_name = format!("'{}example'", "abcdefg.".repeat(31));
    let longest_label = format!("'{label}.example'");
    let mut vectors = each(
        "externalTargets",
        "['@']",
        &[
            "1.1.1.1",
            "1.1.1.1:80",
            "1.1.1.1:0",
            "1.1.1.1:0443",
            "1.1.1.1:80,443",
            "1.1.1.1:8000-8100",
            "1.1.1.1:8100-8000",
            "1.1.1.1:22,8000-8100",
            "10.1.2.3/16",
            "10.1.2.3/16:443",
            "1.2.3.4/32",
            "example.com",
            "example.com:80",
            "DB.Example.com:5432",
            "db.example.com.",
            "db.example.com.:65535",
            "_ldap._tcp.example.com",
            "localhost",
            "3com.com",
            "1.2.3.4.nip.io",
            "xn--bcher-kva.example",
            "::1",
            "[::1]",
            "::1/128",
            "fd00::1",
            "[fd00::1]:80",
            "[2001:db8::/32]:443",
            "2001:DB8:0:0::1",
            "::ffff:1.2.3.4",
            "[::ffff:1.2.3.4]:80",
            "::ffff:10.1.2.3/104",
            "::ffff:0.0.0.0/96",
            "1.1.1.1:",
            "1.1.1.1:65535",
            "1.1.1.1:65536",
            "1.1.1.1:foo",
            "1.1.1.1:1,",
            "1.1.1.1:,1",
            "1.1.1.1:1-",
            "1.1.1.1:-1",
            "1.1.1.1:0-5",
            "1.1.1.1:1,0",
            "0.0.0.0/0",
            "1.2.3.4/0",
            "0.0.0.0/0:80",
            "::/0",
            "[::/0]:80",
            "",
            ":80",
            "1.2.3",
            "300.1.1.1",
            "1.2.3.4.5",
            "010.0.0.1",
            "443",
            "example.123",
            "1.2.3.4/33",
            "1.2.3.4/",
            "1.2.3/24",
            "example.com/24",
            "10.0.0.0/255.0.0.0",
            "::1/129",
            "2001:db8::/32:443",
            "2001:db8:::1",
            "1.2.3.4:80:90",
            "[1.2.3.4]:80",
            "[example.com]:80",
            "[::1",
            "[::1]80",
            "[2001:db8::]/32",
            "fe80::1%eth0",
            "[fe80::1%eth0]:80",
            "https://example.com",
            "https://example.com:443",
            "a b",
            "*.example.com",
            "-a.example",
            "a-.example",
            "a..example",
            ".",
            ".example",
            "bücher.example",
            "a_b.example",
            "a.example:http",
        ],
    );
    for target in [long_label, long_name, longest_label] {
        vectors.extend(each("externalTargets", "[@]", &[&target]));
    }
    // As many as there may be: rules have a budget.
    for form in [
        "10.1.2.3:80,443,8000-8100",
        "a-long-name.of-a-service.example.com:5432",
        "2001:db8:1:2:3:4:5:6",
    ] {
        let many = format!("[{}]", vec![format!("'{form}'"); 1024].join(", "));
        vectors.push(Vector::of(&[("externalTargets", &many)]));
    }
    // The second one is wrong.
    vectors.push(Vector::of(&[("externalTargets", "[a.example, '::/0']")]));
    vectors
}
