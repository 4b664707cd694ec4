//! The behaviours that have a name: the list that a client's test walks through.
//!
//! Each has a number too, by which a magic recipient asks for it. Numbers are
//! never given twice: a test out there may have written one down.

use std::sync::LazyLock;

use super::{Behaviour, How, LastStream, ResetReason, Stage};

/// A behaviour with a name.
#[derive(Debug, Clone)]
pub struct Named {
    /// The name, as scripts use it.
    pub name: &'static str,
    /// The number, as magic recipients use it: `15550103NN`.
    pub number: u8,
    /// What it does.
    pub behaviour: Behaviour,
    /// What it does, in one line.
    pub summary: &'static str,
}

/// Long enough to be seen by a test, short enough not to slow it.
const SHORT_DELAY_MS: u64 = 200;

const EDGE_PAGE: &str = "<!DOCTYPE html><html><head><title>Sorry, something went wrong</title></head>\
<body><h1>Sorry, something went wrong.</h1><p>We're working on getting this fixed as soon as we can.</p></body></html>";

/// All of them, in the order of their numbers.
pub(super) fn all() -> &'static [Named] {
    static ALL: LazyLock<Vec<Named>> = LazyLock::new(build);
    &ALL
}

fn build() -> Vec<Named> {
    let named = |number, name, behaviour, summary| Named { name, number, behaviour, summary };
    vec![
        named(1, "answer", Behaviour::Answer, "answers as Meta would"),
        // Waiting.
        named(2, "delay_before_reading", delay(Stage::Head), "waits 200 ms between head and body, then answers"),
        named(3, "delay_before_answer", delay(Stage::Body), "waits 200 ms, then answers"),
        named(4, "delay_mid_head", delay(Stage::AnswerHead), "waits 200 ms in the middle of the answer's head"),
        named(5, "delay_mid_body", delay(Stage::AnswerBody), "waits 200 ms in the middle of the answer's body"),
        named(6, "hang_on_accept", Behaviour::Hang { at: Stage::Accept }, "accepts the connection and never reads"),
        named(7, "hang_before_reading", Behaviour::Hang { at: Stage::FirstByte }, "sees bytes and never reads them"),
        named(8, "hang_after_head", Behaviour::Hang { at: Stage::Head }, "reads the head, then nothing more"),
        named(9, "hang", Behaviour::Hang { at: Stage::Body }, "reads all and never answers"),
        named(10, "hang_mid_head", Behaviour::Hang { at: Stage::AnswerHead }, "stops in the answer's head"),
        named(11, "hang_mid_body", Behaviour::Hang { at: Stage::AnswerBody }, "stops in the answer's body"),
        // Cut connections.
        named(12, "close_on_accept_fin", close(Stage::Accept, How::Fin), "accepts, then closes"),
        named(13, "close_on_accept_rst", close(Stage::Accept, How::Rst), "accepts, then resets (may look like a failed connect)"),
        named(14, "close_before_reading_fin", close(Stage::FirstByte, How::Fin), "closes when bytes come, unread"),
        named(15, "close_before_reading_rst", close(Stage::FirstByte, How::Rst), "resets when bytes come, unread"),
        named(16, "close_after_head_fin", close(Stage::Head, How::Fin), "closes after the head"),
        named(17, "close_after_head_rst", close(Stage::Head, How::Rst), "resets after the head"),
        named(18, "close_after_body_fin", close(Stage::Body, How::Fin), "reads all, closes without an answer"),
        named(19, "close_after_body_rst", close(Stage::Body, How::Rst), "reads all, resets without an answer"),
        named(20, "close_mid_head_fin", close(Stage::AnswerHead, How::Fin), "closes in the answer's head"),
        named(21, "close_mid_head_rst", close(Stage::AnswerHead, How::Rst), "resets in the answer's head"),
        named(22, "close_mid_body_fin", close(Stage::AnswerBody, How::Fin), "closes in the answer's body"),
        named(23, "close_mid_body_rst", close(Stage::AnswerBody, How::Rst), "resets in the answer's body"),
        // Answers that do not say what they should.
        named(24, "empty_200", reply(200, JSON, ""), "200 without a body"),
        named(25, "empty_204", reply(204, JSON, ""), "204"),
        named(26, "invalid_json_200", reply(200, JSON, "{\"messaging_product\":whatsapp"), "200, and not JSON"),
        named(27, "no_messages_200", reply(200, JSON, NO_MESSAGES), "200 and JSON, but no `messages`"),
        named(28, "html_200", reply(200, HTML, EDGE_PAGE), "200 with an HTML page"),
        named(29, "cut_json_200", Behaviour::CutJson, "200 whose JSON breaks off, framed as if whole"),
        named(30, "content_length_too_long", Behaviour::WrongLength { by: 64 }, "promises more body than comes"),
        named(31, "content_length_too_short", Behaviour::WrongLength { by: -16 }, "more body comes than promised"),
        named(32, "chunked_cut", Behaviour::ChunkedCut { how: How::Fin }, "a chunked answer without its end, closed"),
        named(33, "chunked_cut_rst", Behaviour::ChunkedCut { how: How::Rst }, "a chunked answer without its end, reset"),
        named(34, "continue_then_answer", interim(100, None), "100, then the true answer"),
        named(35, "early_hints_then_answer", interim(103, None), "103, then the true answer"),
        named(36, "continue_then_cut", interim(100, Some(How::Fin)), "100, then closes"),
        named(37, "processing_then_cut", interim(102, Some(How::Rst)), "102, then resets"),
        named(38, "garbage", Behaviour::Garbage, "bytes that are not HTTP"),
        named(39, "repeat_wamid", Behaviour::RepeatWamid, "the id of the number's previous message once more"),
        named(40, "answer_twice", Behaviour::AnswerTwice, "the answer twice on one connection (HTTP/1.1)"),
        // Servers and edges that broke.
        named(41, "error_1", graph(1, Some(500)), "500 with Graph error 1"),
        named(42, "error_2", graph(2, Some(503)), "503 with Graph error 2"),
        named(43, "error_131000", graph(131_000, Some(500)), "500 with Graph error 131000"),
        named(44, "error_131016", graph(131_016, Some(500)), "500 with Graph error 131016"),
        named(45, "html_500", reply(500, HTML, EDGE_PAGE), "500 with an HTML page"),
        named(46, "html_502", reply(502, HTML, EDGE_PAGE), "502 with an HTML page"),
        named(47, "html_503", reply(503, HTML, EDGE_PAGE), "503 with an HTML page"),
        named(48, "html_504", reply(504, HTML, EDGE_PAGE), "504 with an HTML page"),
        named(49, "empty_500", reply(500, HTML, ""), "500 without a body"),
        named(50, "html_400", reply(400, HTML, EDGE_PAGE), "400 with an HTML page, not Meta's error object"),
        named(51, "redirect_302", redirect(302), "302 to another address"),
        named(52, "redirect_307", redirect(307), "307 to another address"),
        // Meta says no.
        named(53, "error_100", graph(100, None), "400: invalid parameter"),
        named(54, "error_190", graph(190, None), "401: the token is not good"),
        named(55, "error_10", graph(10, None), "403: permission denied"),
        named(56, "error_368", graph(368, None), "403: barred for policy violations"),
        named(57, "error_131031", graph(131_031, None), "403: account locked"),
        named(58, "error_4", graph(4, None), "429: too many calls of the app"),
        named(59, "error_613", graph(613, None), "400: too many calls"),
        named(60, "error_80007", graph(80_007, None), "429: too many calls to the WABA"),
        named(61, "error_130429", graph(130_429, None), "429: the number's throughput"),
        named(62, "error_131056", graph(131_056, None), "429: the pair rate"),
        named(63, "error_131048", graph(131_048, None), "429: the spam limit"),
        named(64, "error_130429_as_400", graph(130_429, Some(400)), "the number's throughput under HTTP 400"),
        named(65, "error_unlisted", graph(999_999, Some(400)), "a code that nobody has heard of"),
        // HTTP/2.
        named(66, "refused_stream", reset(Stage::Head, ResetReason::RefusedStream), "h2: REFUSED_STREAM, unread"),
        named(67, "reset_internal_before", reset(Stage::Head, ResetReason::InternalError), "h2: INTERNAL_ERROR, unread"),
        named(68, "reset_cancel_before", reset(Stage::Head, ResetReason::Cancel), "h2: CANCEL, unread"),
        named(69, "reset_internal_after", reset(Stage::Body, ResetReason::InternalError), "h2: INTERNAL_ERROR after reading"),
        named(70, "reset_cancel_after", reset(Stage::Body, ResetReason::Cancel), "h2: CANCEL after reading"),
        named(71, "reset_mid_body", reset(Stage::AnswerBody, ResetReason::InternalError), "h2: INTERNAL_ERROR in the answer"),
        named(72, "goaway_below", goaway(LastStream::Below), "h2: GOAWAY that leaves the request out"),
        named(73, "goaway_covering", goaway(LastStream::This), "h2: GOAWAY that covers it, and no answer"),
        named(74, "goaway_after_answer", goaway(LastStream::After), "h2: the answer, then GOAWAY"),
        named(75, "reset_calm_after", reset(Stage::Body, ResetReason::EnhanceYourCalm), "h2: ENHANCE_YOUR_CALM after reading"),
        named(76, "drip", Behaviour::Drip { ms: 1 }, "the true answer byte by byte, 1 ms apart"),
        named(77, "flood_200", Behaviour::Flood { mib: 4 }, "the true answer and 4 MiB of white space"),
    ]
}

const JSON: &str = "application/json; charset=UTF-8";
const HTML: &str = "text/html; charset=utf-8";
const NO_MESSAGES: &str = r#"{"messaging_product":"whatsapp","contacts":[]}"#;

fn delay(at: Stage) -> Behaviour {
    Behaviour::Delay { at, ms: SHORT_DELAY_MS }
}

fn close(at: Stage, how: How) -> Behaviour {
    Behaviour::Close { at, how }
}

fn interim(status: u16, then: Option<How>) -> Behaviour {
    Behaviour::Interim { status, then }
}

fn reset(at: Stage, reason: ResetReason) -> Behaviour {
    Behaviour::ResetStream { at, reason }
}

fn goaway(last_stream: LastStream) -> Behaviour {
    Behaviour::GoAway { last_stream }
}

fn graph(code: u32, status: Option<u16>) -> Behaviour {
    Behaviour::GraphError { code, status, subcode: None, details: None }
}

fn reply(status: u16, content_type: &str, body: &str) -> Behaviour {
    Behaviour::Reply { status, content_type: content_type.to_owned(), location: None, body: body.to_owned() }
}

fn redirect(status: u16) -> Behaviour {
    Behaviour::Reply {
        status,
        content_type: HTML.to_owned(),
        location: Some("https://www.facebook.com/unsupportedbrowser".to_owned()),
        body: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_and_numbers_are_given_once_and_every_named_behaviour_is_possible() {
        let names: HashSet<&str> = all().iter().map(|named| named.name).collect();
        let numbers: HashSet<u8> = all().iter().map(|named| named.number).collect();
        assert_eq!(names.len(), all().len());
        assert_eq!(numbers.len(), all().len());
        for named in all() {
            assert_eq!(named.behaviour.check(), Ok(()), "{}", named.name);
            assert!(named.number < 100, "magic recipients have two digits for {}", named.name);
        }
    }

    #[test]
    fn a_behaviour_survives_its_json() {
        for named in all() {
            let json = serde_json::to_string(&named.behaviour).expect("a behaviour becomes JSON");
            let again: Behaviour = serde_json::from_str(&json).expect("and comes back");
            assert_eq!(again, named.behaviour, "{json}");
        }
    }
}
