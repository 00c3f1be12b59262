//! The TTL rule: what is over is announced first, and goes in a later pass.

use jiff::Timestamp;

use super::finding::{Finding, time};
use super::{Announcement, Candidate, Memory, Next, Rule};

/// Strikes where an earlier pass announced exactly this end after it had come. An announcement from the
/// future means that the clock went back: it is made again.
pub(super) fn ttl(now: Timestamp, candidate: &Candidate, memory: &mut Memory) -> Finding {
    let Some(expires_at) = candidate.expires_at else {
        memory.announced = None;
        return Finding::keeps("it has no TTL".to_owned(), None);
    };
    if expires_at > now {
        memory.announced = None;
        let when = format!("at the second pass from {} on: the first one announces it", time(expires_at));
        let next = Next { rule: Rule::Ttl, at: Some(expires_at), when };
        return Finding::keeps(format!("its TTL ends at {}", time(expires_at)), Some(next));
    }
    let ended = format!("its TTL ended at {} (last up at {})", time(expires_at), time(candidate.last_up));
    let earlier = memory.announced.as_ref().filter(|announced| {
        announced.expires_at == expires_at && announced.at >= expires_at && announced.at < now
    });
    if let Some(announced) = earlier {
        return Finding::strikes(
            Rule::Ttl,
            format!("{ended}, and the pass at {} announced it", time(announced.at)),
        );
    }
    memory.announced = Some(Announcement { at: now, expires_at });
    let next = Next { rule: Rule::Ttl, at: None, when: "at the next pass".to_owned() };
    Finding::keeps(format!("{ended}: announced now, it goes at the next pass"), Some(next))
}
