//! Asking time servers (RFC 4330).
//!
//! A question names nothing but a number that was drawn for it, and comes from a port that was: somebody who does not see
//! it cannot answer it. Several servers are asked at the same time, and what most of them agree upon is believed.

use crate::clock::Clock;
use crate::packet::{Answer, LEN, Question, Refused, agreed};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::Poll;
use core::time::Duration;
use fata_netstack::{IpEndpoint, Random, Stack, udp};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(3);
/// A server must not be asked more often (RFC 4330 section 10).
const SHORTEST: Duration = Duration::from_secs(15);
/// And need not be asked more often, once it has answered: clocks drift by some milliseconds meanwhile.
const USUAL: Duration = Duration::from_secs(1024);
const LONGEST: Duration = Duration::from_secs(16 * 1024);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Why a server did not tell the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// It did not answer in time.
    Silent,
    /// It cannot be asked.
    Socket(fata_netstack::Error),
    /// Its answer is not believed.
    Refused(Refused),
    /// Most servers do not agree with most servers.
    Disagree,
    /// There are no servers.
    Nobody,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silent => "the server does not answer",
            Self::Socket(error) => return error.fmt(f),
            Self::Refused(refused) => return refused.fmt(f),
            Self::Disagree => "the servers do not agree",
            Self::Nobody => "there is no server to ask",
        })
    }
}

impl core::error::Error for Error {}

/// Asks one server, once.
pub async fn ask(stack: &Stack, random: &Random, server: IpEndpoint) -> Result<Answer, Error> {
    let rt = stack.rt();
    match rt.timeout(PATIENCE, exchange(stack, random, server)).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::Silent),
    }
}

async fn exchange(stack: &Stack, random: &Random, server: IpEndpoint) -> Result<Answer, Error> {
    // Room for what others send as well.
    let options = udp::Options { datagrams: 32, bytes: 4096 };
    let socket = stack.udp(0, options).map_err(Error::Socket)?;
    let question = Question { nonce: random.number(), sent_ns: stack.rt().now_ns() };
    socket.send(&question.packet(), server).await.map_err(Error::Socket)?;
    loop {
        let mut packet = [0; LEN];
        let (len, from) = socket.receive(&mut packet).await;
        if from.endpoint != server {
            continue;
        }
        match question.answer(&packet[..len.min(LEN)], stack.rt().now_ns()) {
            // Anybody may have sent that.
            Err(Refused::NoAnswer) => {}
            answer => return answer.map_err(Error::Refused),
        }
    }
}

/// What came of asking: what was believed, and by how many nanoseconds the clock stepped forward, if it knew the time before.
pub type Outcome = Result<(Answer, Option<i64>), Error>;

/// Asks all of them at once, and sets the clock if they agree.
pub async fn set(stack: &Stack, random: &Random, servers: &[IpEndpoint], clock: &Clock) -> Outcome {
    let told = ask_all(stack, random, servers).await;
    let answers: Vec<_> = told.iter().filter_map(|told| told.ok()).collect();
    let error = told.into_iter().find_map(Result::err).filter(|_| answers.is_empty());
    // An error of a server says more than that there is nothing to believe.
    believe(&answers, clock).map_err(|nothing| error.unwrap_or(nothing))
}

fn believe(answers: &[Answer], clock: &Clock) -> Outcome {
    let answer = agreed(answers).ok_or(if answers.is_empty() { Error::Nobody } else { Error::Disagree })?;
    Ok((answer, clock.set(answer.epoch_ns, answer.error_ns)))
}

async fn ask_all(stack: &Stack, random: &Random, servers: &[IpEndpoint]) -> Vec<Result<Answer, Error>> {
    type Asking<'a> = Pin<Box<dyn Future<Output = Result<Answer, Error>> + 'a>>;
    let mut asking: Vec<(Asking<'_>, Option<_>)> =
        servers.iter().map(|server| (Box::pin(ask(stack, random, *server)) as Asking<'_>, None)).collect();
    poll_fn(|cx| {
        let mut done = true;
        for (asking, told) in asking.iter_mut().filter(|(_, told)| told.is_none()) {
            match asking.as_mut().poll(cx) {
                Poll::Ready(answer) => *told = Some(answer),
                Poll::Pending => done = false,
            }
        }
        if done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    asking.into_iter().filter_map(|(_, told)| told).collect()
}

/// One of the servers that a clock is kept by.
struct Server {
    endpoint: IpEndpoint,
    /// What it said last, and when.
    last: Option<(Answer, u64)>,
    /// How long it is left alone once it was asked.
    interval: Duration,
    /// When it may be asked again.
    due_ns: u64,
    /// It wants no questions.
    denies: bool,
}

impl Server {
    fn learn(&mut self, told: &Result<Answer, Error>, now_ns: u64) {
        self.interval = match told {
            Ok(answer) => {
                self.last = Some((*answer, now_ns));
                USUAL
            }
            // From the usual it goes down first, since an answer may have been lost.
            Err(Error::Silent) if self.interval == USUAL => SHORTEST,
            Err(Error::Refused(Refused::TooOften)) => (self.interval * 4).min(LONGEST),
            Err(_) => (self.interval * 2).min(LONGEST),
        };
        self.denies = *told == Err(Error::Refused(Refused::Denied));
        self.due_ns = now_ns + self.interval.as_nanos() as u64;
    }

    /// What it said last, less sure by what clocks drift (RFC 5905: 15 in a million). None if that is a day ago.
    fn opinion(&self, now_ns: u64) -> Option<Answer> {
        let (answer, at_ns) = self.last?;
        let age_ns = now_ns.saturating_sub(at_ns);
        let aged = Answer { error_ns: answer.error_ns.saturating_add(age_ns / 65_536), ..answer };
        (age_ns < DAY.as_nanos() as u64).then_some(aged)
    }
}

/// Keeps a clock right for as long as there are servers: asks those whose turn it is, those that do not answer less and less
/// often, and those that want no questions never again. What each said last counts, so that none is believed alone. `told`
/// is given what came of it each time.
pub async fn keep(
    stack: &Stack,
    random: &Random,
    servers: &[IpEndpoint],
    clock: &Clock,
    mut told: impl FnMut(Outcome),
) {
    let rt = stack.rt();
    let server = |endpoint: &IpEndpoint| Server {
        endpoint: *endpoint,
        last: None,
        interval: SHORTEST / 2,
        due_ns: rt.now_ns(),
        denies: false,
    };
    let mut servers: Vec<Server> = servers.iter().map(server).collect();
    while let Some(due_ns) = servers.iter().filter(|server| !server.denies).map(|server| server.due_ns).min()
    {
        rt.sleep_until(due_ns).await;
        stack.up().await;
        let now_ns = rt.now_ns();
        let mut turn: Vec<_> =
            servers.iter_mut().filter(|server| !server.denies && server.due_ns <= now_ns).collect();
        let endpoints: Vec<_> = turn.iter().map(|server| server.endpoint).collect();
        let answers = ask_all(stack, random, &endpoints).await;
        let now_ns = rt.now_ns();
        turn.iter_mut().zip(&answers).for_each(|(server, answer)| server.learn(answer, now_ns));
        let opinions: Vec<_> = servers.iter().filter_map(|server| server.opinion(now_ns)).collect();
        told(match answers.iter().find_map(|answer| answer.err()) {
            Some(error) if !answers.iter().any(Result::is_ok) => Err(error),
            _ => believe(&opinions, clock),
        });
    }
}
