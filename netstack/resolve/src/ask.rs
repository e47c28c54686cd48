//! One question to the servers, until one of them answers it.

use crate::error::Error;
use crate::follow::{End, LINKS, Step, follow};
use crate::message::{Fit, Question, rcode};
use crate::record::Record;
use crate::resolver::Inner;
use crate::transport::Failure;
use alloc::vec::Vec;
use fata_netstack::{IpAddress, IpEndpoint};

/// Ways that one server is asked, at most: one after the other, each is left for good.
const WAYS: u32 = 6;
/// Questions on the way from one name to the next.
const QUESTIONS: usize = 8;

/// What has become of a question.
pub(crate) struct Found {
    pub(crate) outcome: Result<Vec<Record>, Error>,
    pub(crate) ttl_s: u32,
    pub(crate) server: IpAddress,
    /// Other names were on the way to where there is nothing.
    pub(crate) by_alias: bool,
}

/// A way to ask.
#[derive(Clone, Copy)]
struct Way {
    mixed: bool,
    edns: bool,
    stream: bool,
}

impl Inner {
    /// Asks for a name, and then for those that it leads to.
    pub(crate) async fn find(&self, question: &Question) -> Result<Found, Error> {
        let mut question = question.clone();
        let (mut records, mut ttl_s) = (Vec::new(), u32::MAX);
        for _ in 0..QUESTIONS {
            let (step, server) = self.ask(&question).await?;
            records.extend(step.records);
            ttl_s = ttl_s.min(step.ttl_s);
            if records.len() > LINKS && step.end != End::Found {
                break;
            }
            let by_alias = !records.is_empty();
            let outcome = match step.end {
                End::Found => Ok(records),
                End::Nothing(Error::Loop) => break,
                End::Nothing(why) => Err(why),
                End::Elsewhere(name) => {
                    question.name = name;
                    continue;
                }
            };
            return Ok(Found { outcome, ttl_s, server: server.addr, by_alias });
        }
        Err(Error::Loop)
    }

    /// Asks the servers in turn.
    async fn ask(&self, question: &Question) -> Result<(Step, IpEndpoint), Error> {
        let mut why = None;
        for _ in 0..self.config.attempts.max(1) {
            for server in self.servers().await? {
                match self.ask_one(question, server).await {
                    Ok(step) => {
                        self.with_server(server, |server| server.spoke());
                        return Ok((step, server));
                    }
                    // What a server says tells more than silence.
                    Err(error) if error != Error::Timeout || why.is_none() => why = Some(error),
                    Err(_) => {}
                }
                self.count(|counts| counts.failures += 1);
            }
            // To ask again helps against silence only.
            if why != Some(Error::Timeout) {
                break;
            }
        }
        Err(why.unwrap_or(Error::Timeout))
    }

    /// Asks one server: by datagram unless that is of no use, and in simpler ways if it does not understand.
    async fn ask_one(&self, question: &Question, server: IpEndpoint) -> Result<Step, Error> {
        let known = self.with_server(server, |server| (server.changes_case, server.is_plain));
        let (changes_case, is_plain) = known.unwrap_or_default();
        let mut way = Way { mixed: self.config.mix_case && !changes_case, edns: !is_plain, stream: false };
        // A datagram came whose letters were in another case: the server changes them, or somebody guesses.
        let mut doubtful = false;
        for _ in 0..WAYS {
            let asked = Question { name: self.spelled(&question.name, way.mixed), kind: question.kind };
            self.count(|counts| counts.questions += 1);
            let limit = self.config.timeout * (1 + u32::from(way.stream));
            let reply = if way.stream {
                self.stack.rt().timeout(limit, self.tcp(&asked, way.edns, server)).await
            } else {
                self.stack.rt().timeout(limit, self.udp(&asked, way.edns, server)).await
            };
            let mut reply = match reply {
                Ok(Ok(reply)) => reply,
                Ok(Err(Failure::NoSocket)) => return Err(Error::NoSocket),
                Ok(Err(Failure::Corrupt)) => return Err(Error::Corrupt),
                Ok(Err(Failure::Guessed)) => {
                    way.stream = true;
                    continue;
                }
                // It cannot be asked whether it was the server.
                Ok(Err(Failure::Broken)) | Err(_) if doubtful => {
                    self.with_server(server, |server| server.changes_case = true);
                    doubtful = false;
                    (way.mixed, way.stream) = (false, false);
                    continue;
                }
                Ok(Err(Failure::Broken)) => return Err(Error::ServerFailed),
                Err(_) => {
                    let now_ns = self.now_ns();
                    self.with_server(server, |server| server.was_silent(now_ns));
                    return Err(Error::Timeout);
                }
            };
            reply.spell(&question.name);
            let message = reply.message();
            if reply.fit == Fit::OtherCase && way.mixed {
                if !way.stream {
                    (doubtful, way.stream) = (true, true);
                    continue;
                }
                self.with_server(server, |server| server.changes_case = true);
            } else if doubtful {
                self.count(|counts| counts.spoofed += 1);
            }
            if message.is_truncated() && reply.fit != Fit::Blunt {
                if way.stream {
                    return Err(Error::Corrupt);
                }
                self.count(|counts| counts.truncated += 1);
                way.stream = true;
                continue;
            }
            let rcode = if reply.fit == Fit::Blunt { Ok(rcode::NOT_UNDERSTOOD) } else { message.rcode() };
            match rcode.map_err(|_| Error::Corrupt)? {
                rcode::OK | rcode::NO_SUCH_NAME => {
                    return follow(&message, &question.name, question.kind).map_err(|_| Error::Corrupt);
                }
                rcode::REFUSED => return Err(Error::Refused),
                rcode::NOT_UNDERSTOOD | rcode::NOT_IMPLEMENTED | rcode::BAD_VERSION if way.edns => {
                    self.with_server(server, |server| server.is_plain = true);
                    way.edns = false;
                }
                _ => return Err(Error::ServerFailed),
            }
        }
        Err(Error::ServerFailed)
    }
}
