//! A zone with something of everything.

use std::fmt::Write as _;

use crate::mutate::Random;

/// Its name.
pub(super) const NAME: &str = "lab.example";

const WORDS: [&str; 16] = [
    "a",
    "b",
    "ns",
    "mail",
    "www",
    "x",
    "deep",
    "Mixed",
    "very-long-label-that-is-still-not-too-long",
    "0",
    "_tcp",
    "_443",
    "ent",
    "z",
    "q\\.dot",
    "\\200bin",
];

/// Writes one with about so many names.
pub(super) fn text(random: &mut Random, names: usize) -> String {
    let mut out = format!(
        "$ORIGIN {NAME}.\n$TTL 3600\n@ SOA ns1 hostmaster 2026112501 7200 1800 1209600 300\n@ NS ns1\n@ NS ns2\n\
         @ NS ns.elsewhere.test.\n@ MX 10 mail\n@ MX 20 mail.elsewhere.test.\n@ TXT \"v=spf1 -all\" \"two\"\n\
         @ CAA 0 issue \"ca.example\"\n@ A 192.0.2.1\n@ AAAA 2001:db8::1\nns1 A 192.0.2.2\nns2 AAAA 2001:db8::2\n\
         mail A 192.0.2.3\nmail AAAA 2001:db8::3\n\
         _web._tcp SRV 1 2 80 www1\n_web._tcp SRV 1 2 80 mail\nsvc HTTPS 1 . alpn=h2,h3 port=8443\nsvc A 192.0.2.4\n\
         svcalias HTTPS 0 svc\n_53._dns SVCB 1 ns1 alpn=dot key667=hello\nodd TYPE4711 \\# 3 010203\n\
         big TXT {0} {0} {0} {0} {0} {0}\nbigger A 192.0.2.1\n{1}\
         loop1 CNAME loop2\nloop2 CNAME loop1\nto-nowhere CNAME not-there\nto-sub CNAME host.sub\n\
         long-chain CNAME chain0\n{2}chain9 A 192.0.2.9\n\
         sub NS ns.sub\nsub NS ns1\nsub NS ns.other\nsub NS ns.elsewhere.test.\nsub TYPE43 \\# 24 00010501000102030405060708090a0b0c0d0e0f10111213\n\
         ns.sub A 192.0.2.5\nns.sub AAAA 2001:db8::5\ndeep.host.sub A 192.0.2.66\n\
         other NS ns.other\nns.other A 192.0.2.6\nlone NS ns.elsewhere.test.\n\
         dname DNAME elsewhere.test.\ninner DNAME w1\n\
         a.*.star-ent A 192.0.2.7\n",
        format_args!("\"{}\"", "t".repeat(250)),
        (0..90).map(|n| format!("bigger A 192.0.3.{n}\n")).collect::<String>(),
        (0..9).map(|n| format!("chain{n} CNAME chain{}\n", n + 1)).collect::<String>(),
    );
    for n in 0..20 {
        let _ = write!(
            out,
            "*.w{n} A 192.0.2.{n}\n*.w{n} MX {n} mail\nhost.w{n} TXT here\nx.y.w{n} TXT there\n*.cw{n} CNAME www{n}\n\
             www{n} A 192.0.4.{n}\nalias{n} CNAME www{n}\n"
        );
    }
    for n in 0..names {
        let (a, b) = (n / 250, n % 250);
        let name = match random.below(4) {
            0 => format!("host{n}"),
            1 => format!("h{n}.{}", word(random)),
            2 => format!("h{n}.{}.{}", word(random), word(random)),
            _ => format!("{}.n{n}", word(random)),
        };
        let record = match random.below(9) {
            0 | 1 => format!("A 10.0.{a}.{b}"),
            2 => format!("AAAA 2001:db8:{a:x}::{b:x}"),
            3 => format!("A 10.1.{a}.{b}\n{name} A 10.2.{a}.{b}\n{name} AAAA 2001:db8:1::{n:x}"),
            4 => format!("MX {b} mail\n{name} MX {a} host{}", random.below(n + 1)),
            5 => format!("TXT \"text {n}\""),
            6 => format!("CNAME host{}", random.below(names)),
            7 => format!("SRV 1 {a} {b} host{}", random.below(names)),
            _ => format!("PTR host{n}\n{name} CAA 0 issue \"ca{n}.example\""),
        };
        let _ = writeln!(out, "{name} {record}");
    }
    out
}

fn word(random: &mut Random) -> &'static str {
    WORDS[random.below(WORDS.len())]
}
