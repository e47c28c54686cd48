//! Queries as clients make them, and answers as the `domain` crate reads them.

use domain::base::iana::Class;
use domain::base::{Message, MessageBuilder, Name, Rtype};
use domain::rdata::AllRecordData;
use fata_dns::{ANSWER_MAX, Transport, Zone, answer};
use std::rc::Rc;

/// A query of class IN, without EDNS.
pub fn query(name: &str, kind: &str) -> Vec<u8> {
    query_with(name, kind, Class::IN, None)
}

/// With EDNS, if there is a size and whether DNSSEC is wanted.
pub fn query_with(name: &str, kind: &str, class: Class, edns: Option<(u16, bool)>) -> Vec<u8> {
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_id(0x1234);
    builder.header_mut().set_rd(true);
    let mut builder = builder.question();
    let name: Name<Vec<u8>> = name.parse().unwrap();
    let kind: Rtype = kind.parse().unwrap();
    builder.push((name, kind, class)).unwrap();
    let mut builder = builder.additional();
    if let Some((size, dnssec)) = edns {
        builder
            .opt(|opt| {
                opt.set_udp_payload_size(size);
                opt.set_dnssec_ok(dnssec);
                Ok(())
            })
            .unwrap();
    }
    builder.finish()
}

/// What an answer says: its flags and code, and the records of each section in words.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    pub rcode: String,
    pub flags: String,
    pub answer: Vec<String>,
    pub authority: Vec<String>,
    pub additional: Vec<String>,
}

pub fn respond(zones: &[Rc<Zone>], query: &[u8], transport: Transport) -> Option<Vec<u8>> {
    let mut out = vec![0xee; ANSWER_MAX];
    let reply = answer(zones, query, transport, &mut out)?;
    out.truncate(reply.len);
    Some(out)
}

/// Reads a whole message.
pub fn said(bytes: &[u8]) -> Said {
    let message = Message::from_octets(bytes.to_vec()).unwrap();
    let header = message.header();
    assert!(header.qr() && !header.ra() && !header.ad() && !header.cd() && !header.z());
    let mut flags = String::new();
    flags += if header.aa() { "aa " } else { "" };
    flags += if header.tc() { "tc " } else { "" };
    flags += if header.rd() { "rd" } else { "" };
    let (_, answer, authority, additional) = message.sections().unwrap();
    let rcode = message.opt_rcode().to_string();
    let section = |section: domain::base::message::RecordSection<'_, Vec<u8>>| {
        section
            .map(|record| {
                let record = record.unwrap().into_any_record::<AllRecordData<_, _>>().unwrap();
                let ttl = record.ttl().as_secs();
                if record.rtype() == Rtype::OPT {
                    return format!("OPT {} {:08x}", record.class().to_int(), ttl);
                }
                let owner = format!("{}.", record.owner());
                without_dots(&format!("{owner} {ttl} {} {}", record.rtype(), record.data()))
            })
            .collect()
    };
    let [answer, authority, additional] = [answer, authority, additional].map(section);
    Said { rcode, flags: flags.trim().into(), answer, authority, additional }
}

pub fn ask(zones: &[Rc<Zone>], name: &str, kind: &str) -> Said {
    said(&respond(zones, &query(name, kind), Transport::Udp).unwrap())
}

/// Names without the dot at their end.
pub fn without_dots(line: &str) -> String {
    let words =
        line.split(' ').map(|word| word.strip_suffix('.').filter(|word| !word.is_empty()).unwrap_or(word));
    words.collect::<Vec<_>>().join(" ")
}
