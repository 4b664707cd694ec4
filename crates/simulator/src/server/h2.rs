//! HTTP/2, directly on `h2`, so that single streams can be reset and GOAWAY can
//! leave a request out.
//!
//! One task drives the connection; each stream has one of its own, which orders
//! from the driver what concerns the whole connection. What `h2` would never
//! send goes out through the [`Tap`] beneath it.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderValue, Request, Response, StatusCode};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::h1::{GARBAGE, body_max};
use super::stream::Stream;
use super::tap::Tap;
use crate::exchange::{Answer, Head, World};
use crate::faults::{Behaviour, How, LastStream, ResetReason, Stage};

/// Streams that a client may have open at once on one connection, as Meta's edge
/// allows.
const STREAMS_MAX: u32 = 100;

/// Large enough that no JSON waits for a window.
const WINDOW: u32 = 4 * 1024 * 1024;

/// What a stream orders from its connection's driver.
enum Order {
    /// Put everything that was sent so far on the wire, then say so.
    Flush(oneshot::Sender<()>),
    /// Send these bytes, then end the connection.
    Close { last_words: Bytes, how: How },
    /// Announce that no stream above `last` is processed, and drain.
    GoAway { last: u32 },
    /// Keep the stream open and silent. (Dropping its handle would reset it.)
    Park(Parked),
}

/// An open stream about which nothing more is done.
type Parked = (Option<RecvStream>, Option<SendResponse<Bytes>>, Option<SendStream<Bytes>>);

/// Which streams of a connection may be processed; decided under one lock, so
/// that a GOAWAY is never untrue.
#[derive(Default)]
struct Gate {
    inner: Mutex<GateState>,
}

#[derive(Default)]
struct GateState {
    /// The highest stream whose request was taken up.
    highest: u32,
    /// The last stream that a GOAWAY covers.
    last: Option<u32>,
}

impl Gate {
    /// Takes a stream up; not those behind a GOAWAY.
    fn enter(&self, id: u32) -> bool {
        let mut gate = self.lock();
        if gate.last.is_some_and(|last| id > last) {
            return false;
        }
        gate.highest = gate.highest.max(id);
        true
    }

    fn is_shut_for(&self, id: u32) -> bool {
        self.lock().last.is_some_and(|last| id > last)
    }

    /// Shuts out the stream and all behind it; gives the last one that is left.
    /// None of them was taken up yet, because heads are met in order.
    fn shut_below(&self, id: u32) -> u32 {
        let mut gate = self.lock();
        assert!(gate.highest < id, "stream {} was taken up before the head of {id} was met", gate.highest);
        let last = gate.last.map_or(id.saturating_sub(2), |last| last.min(id.saturating_sub(2)));
        gate.last = Some(last);
        last
    }

    /// Shuts out all behind the stream and behind those that were taken up.
    fn shut_behind(&self, id: u32) -> u32 {
        let mut gate = self.lock();
        let last = gate.last.unwrap_or_else(|| gate.highest.max(id));
        gate.last = Some(last);
        last
    }

    fn lock(&self) -> MutexGuard<'_, GateState> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves streams until the connection ends. `buffer` holds what was read already.
pub(super) async fn serve(stream: Stream, buffer: BytesMut, world: Arc<World>) {
    let tap = Tap::new(stream, buffer);
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(STREAMS_MAX).initial_window_size(WINDOW).initial_connection_window_size(WINDOW * 4);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(tap.clone()).await else { return };
    let how = drive(&mut connection, &tap, &world).await;
    // Parked streams were dropped just now. Their resets must stay unsaid, so the
    // connection is not driven again.
    let stream = tap.take();
    drop(connection);
    if let (Some(stream), Some(how)) = (stream, how) {
        stream.close(how).await;
    }
}

/// Drives the connection; gives how to end it, or `None` when the client did.
async fn drive(connection: &mut Connection<Tap, Bytes>, tap: &Tap, world: &Arc<World>) -> Option<How> {
    let gate = Arc::new(Gate::default());
    let (orders, mut ordered) = mpsc::unbounded_channel();
    let mut streams = JoinSet::new();
    let mut parked: Vec<Parked> = Vec::new();
    let mut draining = false;
    loop {
        tokio::select! {
            order = ordered.recv() => match order {
                Some(Order::Flush(done)) => {
                    flush(connection, tap).await;
                    // A stream that is gone needs no word.
                    let _ = done.send(());
                }
                Some(Order::Close { last_words, how }) => {
                    flush(connection, tap).await;
                    tap.inject(last_words);
                    flush(connection, tap).await;
                    return Some(how);
                }
                Some(Order::GoAway { last }) => {
                    tap.inject(goaway(last));
                    flush(connection, tap).await;
                    draining = true;
                }
                Some(Order::Park(stream)) => parked.push(stream),
                // We hold a sender ourselves.
                None => return None,
            },
            accepted = connection.accept() => match accepted {
                Some(Ok((request, respond))) => {
                    let served = Served {
                        world: Arc::clone(world),
                        gate: Arc::clone(&gate),
                        orders: orders.clone(),
                        id: u32::from(respond.stream_id()),
                    };
                    if let Some(taken_up) = served.take_up(request, respond) {
                        streams.spawn(taken_up);
                    }
                }
                Some(Err(_)) | None => return None,
            },
            _ = streams.join_next(), if !streams.is_empty() => {}
        }
        if draining && streams.is_empty() && ordered.is_empty() {
            flush(connection, tap).await;
            return Some(How::Fin);
        }
    }
}

/// Puts all that waits on the wire: `h2`'s frames, then what was injected.
async fn flush(connection: &mut Connection<Tap, Bytes>, tap: &Tap) {
    poll_fn(|cx| {
        // An error shows again when the connection is driven next.
        let _ = connection.poll_closed(cx);
        tap.poll_injected(cx)
    })
    .await;
}

/// A GOAWAY frame: NO_ERROR, nothing beyond `last` was or will be processed.
fn goaway(last: u32) -> Bytes {
    let mut frame = vec![0, 0, 8, 7, 0, 0, 0, 0, 0];
    frame.extend_from_slice(&last.to_be_bytes());
    frame.extend_from_slice(&0_u32.to_be_bytes());
    Bytes::from(frame)
}

/// The first half of the head of a HEADERS frame.
fn half_frame_head() -> Bytes {
    Bytes::from_static(&[0, 0, 64, 1, 4])
}

/// One stream in service.
struct Served {
    world: Arc<World>,
    gate: Arc<Gate>,
    orders: mpsc::UnboundedSender<Order>,
    id: u32,
}

impl Served {
    /// Meets the stream's head; gives what is left to do. Not in the stream's own
    /// task, because tasks run in any order: here it is the order in which the
    /// client opened its streams, so that the tenth send of a connection is the
    /// tenth for a rule, and no stream behind a GOAWAY was taken up before it.
    fn take_up(self, request: Request<RecvStream>, respond: SendResponse<Bytes>) -> Option<impl Future<Output = ()> + use<>> {
        let (head, body) = take_apart(request);
        if self.gate.is_shut_for(self.id) {
            self.park((Some(body), Some(respond), None));
            return None;
        }
        let struck = self.world.strike_head(&head);
        if let Some(Behaviour::GoAway { .. }) = struck {
            self.order(Order::GoAway { last: self.gate.shut_below(self.id) });
            self.park((Some(body), Some(respond), None));
            return None;
        }
        Some(self.serve(head, body, respond, struck))
    }

    async fn serve(self, head: Head, mut body: RecvStream, mut respond: SendResponse<Bytes>, struck: Option<Behaviour>) {
        match struck {
            Some(Behaviour::Close { how, .. }) => return self.close((Some(body), Some(respond), None), Bytes::new(), how),
            Some(Behaviour::Hang { .. }) => return self.park((Some(body), Some(respond), None)),
            Some(Behaviour::ResetStream { reason, .. }) => return respond.send_reset(code(reason)),
            Some(Behaviour::Delay { ms, .. }) => tokio::time::sleep(Duration::from_millis(ms)).await,
            _ => {}
        }
        let Some(bytes) = read(&mut body, body_max(&head.path)).await else { return };
        if !self.gate.enter(self.id) {
            return self.park((Some(body), Some(respond), None));
        }
        let planned = self.world.answer(&head, &bytes).await.seen_by(&head.method);
        // A client that reset the stream meanwhile gets nothing, and needs nothing.
        let _ = self.carry_out(planned.answer, planned.behaviour, respond).await;
    }

    /// Does on the wire what was decided.
    async fn carry_out(&self, answer: Answer, behaviour: Behaviour, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
        let half = answer.body.len() / 2;
        match behaviour {
            Behaviour::Answer
            | Behaviour::GraphError { .. }
            | Behaviour::Reply { .. }
            | Behaviour::CutJson
            | Behaviour::Flood { .. }
            | Behaviour::RepeatWamid
            | Behaviour::AnswerTwice => send(&mut respond, answer, 0),
            Behaviour::Delay { at: Stage::AnswerBody, ms } => self.send_in_halves(respond, answer, Duration::from_millis(ms)).await,
            Behaviour::Delay { at, ms } => {
                // A delay before the body was read is over already; a head is one
                // frame here, so a delay in its middle is one before it.
                if at >= Stage::Body {
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                }
                send(&mut respond, answer, 0)
            }
            Behaviour::Drip { ms } => drip(respond, answer, Duration::from_millis(ms)).await,
            Behaviour::Close { at: Stage::AnswerHead, how } => {
                self.close((None, Some(respond), None), half_frame_head(), how);
                Ok(())
            }
            Behaviour::Close { at: Stage::AnswerBody, how } | Behaviour::ChunkedCut { how } => {
                let sending = send_part(&mut respond, &answer, half)?;
                self.close((None, Some(respond), Some(sending)), Bytes::new(), how);
                Ok(())
            }
            Behaviour::Close { how, .. } => {
                self.close((None, Some(respond), None), Bytes::new(), how);
                Ok(())
            }
            Behaviour::Hang { at: Stage::AnswerBody } => {
                let sending = send_part(&mut respond, &answer, half)?;
                self.park((None, Some(respond), Some(sending)));
                Ok(())
            }
            Behaviour::Hang { .. } => {
                self.park((None, Some(respond), None));
                Ok(())
            }
            Behaviour::WrongLength { by } => send(&mut respond, answer, by),
            Behaviour::Interim { status, then } => {
                let mut interim = Response::new(());
                *interim.status_mut() = status_code(status);
                respond.send_informational(interim)?;
                self.flushed().await;
                match then {
                    None => send(&mut respond, answer, 0),
                    Some(how) => {
                        self.close((None, Some(respond), None), Bytes::new(), how);
                        Ok(())
                    }
                }
            }
            Behaviour::Garbage => {
                self.close((None, Some(respond), None), Bytes::from_static(GARBAGE), How::Fin);
                Ok(())
            }
            Behaviour::ResetStream { at: Stage::AnswerBody, reason } => {
                let mut sending = send_part(&mut respond, &answer, half)?;
                // Resetting throws away what was not written yet.
                self.flushed().await;
                sending.send_reset(code(reason));
                Ok(())
            }
            Behaviour::ResetStream { reason, .. } => {
                respond.send_reset(code(reason));
                Ok(())
            }
            Behaviour::GoAway { last_stream: LastStream::After } => {
                send(&mut respond, answer, 0)?;
                self.flushed().await;
                self.order(Order::GoAway { last: self.gate.shut_behind(self.id) });
                Ok(())
            }
            Behaviour::GoAway { .. } => {
                self.order(Order::GoAway { last: self.gate.shut_behind(self.id) });
                self.park((None, Some(respond), None));
                Ok(())
            }
        }
    }

    /// Sends an answer whose body stops in its middle for so long.
    async fn send_in_halves(&self, mut respond: SendResponse<Bytes>, mut answer: Answer, pause: Duration) -> Result<(), h2::Error> {
        let half = answer.body.len() / 2;
        let mut sending = send_part(&mut respond, &answer, half)?;
        self.flushed().await;
        tokio::time::sleep(pause).await;
        sending.send_data(Bytes::from(answer.body.split_off(half)), true)
    }

    /// Waits until all that was sent so far is on the wire.
    async fn flushed(&self) {
        let (done, flushed) = oneshot::channel();
        self.order(Order::Flush(done));
        // Without a driver there is no wire either.
        let _ = flushed.await;
    }

    /// Ends the connection. The stream is parked first, since dropping it would
    /// say something about it.
    fn close(&self, stream: Parked, last_words: Bytes, how: How) {
        self.park(stream);
        self.order(Order::Close { last_words, how });
    }

    fn park(&self, stream: Parked) {
        self.order(Order::Park(stream));
    }

    fn order(&self, order: Order) {
        // A driver that is gone has ended the connection, and all orders with it.
        let _ = self.orders.send(order);
    }
}

fn take_apart(request: Request<RecvStream>) -> (Head, RecvStream) {
    let (parts, body) = request.into_parts();
    let mut headers: Vec<(String, String)> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    if let (Some(authority), None) = (parts.uri.authority(), parts.headers.get("host")) {
        headers.push(("host".to_owned(), authority.as_str().to_owned()));
    }
    let head = Head {
        method: parts.method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers,
    };
    (head, body)
}

/// The whole body; `None` when the client broke off or sent too much.
async fn read(body: &mut RecvStream, longest: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.ok()?;
        bytes.extend_from_slice(&chunk);
        if bytes.len() > longest {
            return None;
        }
        body.flow_control().release_capacity(chunk.len()).ok()?;
    }
    Some(bytes)
}

/// Sends the whole answer under a length that is wrong by so much.
fn send(respond: &mut SendResponse<Bytes>, answer: Answer, wrong_by: i32) -> Result<(), h2::Error> {
    let response = response(&answer, wrong_by);
    let empty = answer.body.is_empty();
    let mut sending = respond.send_response(response, empty)?;
    if empty { Ok(()) } else { sending.send_data(Bytes::from(answer.body), true) }
}

/// Sends the body byte by byte, so long apart.
async fn drip(mut respond: SendResponse<Bytes>, answer: Answer, apart: Duration) -> Result<(), h2::Error> {
    let mut sending = respond.send_response(response(&answer, 0), false)?;
    for byte in answer.body {
        sending.send_data(Bytes::copy_from_slice(&[byte]), false)?;
        tokio::time::sleep(apart).await;
    }
    sending.send_data(Bytes::new(), true)
}

/// Sends the head and the first bytes of the body, and leaves the stream open.
fn send_part(respond: &mut SendResponse<Bytes>, answer: &Answer, bytes: usize) -> Result<SendStream<Bytes>, h2::Error> {
    let mut sending = respond.send_response(response(answer, 0), false)?;
    sending.send_data(Bytes::copy_from_slice(&answer.body[..bytes]), false)?;
    Ok(sending)
}

fn response(answer: &Answer, wrong_by: i32) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status_code(answer.status);
    let headers = response.headers_mut();
    for (name, value) in &answer.headers {
        // Values are ours or were checked when a rule was set.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.append(*name, value);
        }
    }
    if !matches!(answer.status, 204 | 304) {
        headers.insert("content-length", HeaderValue::from(answer.length_wrong_by(wrong_by)));
    }
    response
}

fn status_code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).expect("statuses are checked to be 100 to 599 when a behaviour is made")
}

fn code(reason: ResetReason) -> Reason {
    match reason {
        ResetReason::RefusedStream => Reason::REFUSED_STREAM,
        ResetReason::InternalError => Reason::INTERNAL_ERROR,
        ResetReason::Cancel => Reason::CANCEL,
        ResetReason::EnhanceYourCalm => Reason::ENHANCE_YOUR_CALM,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goaway_never_leaves_out_what_was_taken_up() {
        let gate = Gate::default();
        assert!(gate.enter(1));
        assert!(gate.enter(5));
        assert_eq!(gate.shut_below(7), 5);
        assert!(!gate.enter(7));
        assert!(!gate.enter(9));
        assert!(gate.enter(3), "what a GOAWAY covers is processed to its end");
    }

    #[test]
    fn the_first_stream_can_be_left_out() {
        assert_eq!(Gate::default().shut_below(1), 0);
    }
}
