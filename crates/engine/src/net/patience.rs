//! Waiting for an answer, and noticing that the other side says nothing at all.
//!
//! A host that dies, or a firewall that forgets a connection, often does so without a word: no end,
//! no reset, only silence. HTTP/2's ping finds it out after half a minute, HTTP/1.1 never does, and
//! meanwhile every request that is put on such a connection ends as unknown. A slow answer looks the
//! same to the one who waits for it, so nothing is concluded about *it*: it goes on waiting. Only
//! the next ones are kept from following it, which costs a new connection where we were wrong.
//!
//! *Says nothing* is asked of the socket: another request's answer, or a mere acknowledgement of
//! HTTP/2's, is a sign of life.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};

use super::wire::WireState;

/// How long one request waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// When it was put on its connection.
    pub(super) began: Instant,
    /// When it is given up.
    pub(super) deadline: Instant,
    /// How long the other side may be silent before `silent` is told.
    pub(super) silence: Duration,
}

impl Patience {
    /// Listens to `wire` from now on.
    pub(super) fn on(self, wire: &WireState) -> Listening<'_> {
        Listening { patience: self, wire, heard: wire.heard() }
    }
}

/// A request's patience, on its connection.
#[derive(Clone, Copy)]
pub(super) struct Listening<'a> {
    patience: Patience,
    wire: &'a WireState,
    /// How much had been heard when the request was put there. Counted from there also for the
    /// later parts of an answer: that its head came is a sign of life.
    heard: u64,
}

impl Listening<'_> {
    /// Waits for `answer` to its end or to the deadline. Tells `silent`, once, when nothing was
    /// heard for the time that this takes to be suspicious.
    pub(super) async fn until<F: Future>(self, answer: F, silent: impl FnOnce()) -> Result<F::Output, Elapsed> {
        let Listening { patience, wire, mut heard } = self;
        let mut answer = pin!(answer);
        let mut look_at = patience.began + patience.silence;
        // Nearly every answer comes before the first look, so this costs one timer as any wait does.
        while look_at < patience.deadline {
            if let Ok(output) = timeout_at(look_at, answer.as_mut()).await {
                return Ok(output);
            }
            let heard_since = wire.heard();
            if heard_since == heard {
                silent();
                break;
            }
            heard = heard_since;
            look_at = Instant::now() + patience.silence;
        }
        timeout_at(patience.deadline, answer).await
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::pending;

    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn patience() -> Patience {
        let began = Instant::now();
        Patience { began, deadline: began + 10 * SECOND, silence: 3 * SECOND }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_told_once_and_the_answer_is_waited_for_all_the_same() {
        let (wire, told) = (WireState::default(), Cell::new(0));
        let answer = async {
            sleep(9 * SECOND).await;
            assert_eq!(told.get(), 1);
            "late"
        };
        assert_eq!(patience().on(&wire).until(answer, || told.set(told.get() + 1)).await.expect("before the deadline"), "late");
    }

    #[tokio::test(start_paused = true)]
    async fn who_hears_something_suspects_nothing() {
        let (wire, told) = (WireState::default(), Cell::new(false));
        let chatter = async {
            for _ in 0..9 {
                sleep(SECOND).await;
                wire.hear(1);
            }
            pending::<()>().await;
        };
        let ended = patience().on(&wire).until(chatter, || told.set(true)).await;
        assert!(ended.is_err(), "the deadline holds");
        assert!(!told.get());
    }

    #[tokio::test(start_paused = true)]
    async fn silence_after_a_first_word_is_silence_too() {
        let (wire, told) = (WireState::default(), Cell::new(None));
        let began = Instant::now();
        let answer = async {
            sleep(SECOND).await;
            wire.hear(40);
            pending::<()>().await;
        };
        let _ = patience().on(&wire).until(answer, || told.set(Some(began.elapsed()))).await;
        assert_eq!(told.get(), Some(6 * SECOND), "found at the second look");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_began_late_is_not_silent_at_once() {
        let (wire, told) = (WireState::default(), Cell::new(None));
        let began = Instant::now();
        let listening = patience().on(&wire);
        sleep(5 * SECOND).await;
        wire.hear(40);
        // The head is there; its body never comes.
        let _ = listening.until(pending::<()>(), || told.set(Some(began.elapsed()))).await;
        assert_eq!(told.get(), Some(8 * SECOND));
    }
}
