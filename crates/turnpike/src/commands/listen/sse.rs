//! Server-sent events, read as their standard says (WHATWG HTML §9.2), as far as a program needs it.

/// An event larger than this is none of a gateway's: theirs are mostly below 20 KB.
const EVENT_MAX_BYTES: usize = 8 * 1024 * 1024;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// Its id.
    pub(super) id: String,
    /// What it is.
    pub(super) name: String,
    /// Its data.
    pub(super) data: String,
    /// The message that it is about, which stands in a comment.
    pub(super) message: Option<String>,
}

/// Takes bytes as they come, and gives events.
#[derive(Debug, Default)]
pub(super) struct Reader {
    line: Vec<u8>,
    after_return: bool,
    event: Event,
    has_data: bool,
    bytes: usize,
}

impl Reader {
    /// Reads on; `Err` where this cannot be a gateway's stream.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<Vec<Event>, &'static str> {
        let mut events = Vec::new();
        for byte in bytes {
            // A line ends with LF, CR, or both.
            let second_half = std::mem::replace(&mut self.after_return, *byte == b'\r') && *byte == b'\n';
            match byte {
                b'\n' if second_half => {}
                b'\n' | b'\r' => {
                    let line = std::mem::take(&mut self.line);
                    events.extend(self.end_line(&String::from_utf8_lossy(&line)));
                }
                _ => {
                    self.line.push(*byte);
                    self.bytes += 1;
                    if self.bytes > EVENT_MAX_BYTES {
                        return Err("an event is larger than any that a gateway gives");
                    }
                }
            }
        }
        Ok(events)
    }

    fn end_line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            self.bytes = 0;
            let mut event = std::mem::take(&mut self.event);
            if !std::mem::take(&mut self.has_data) {
                return None;
            }
            event.data.pop();
            return Some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => value.clone_into(&mut self.event.id),
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                self.has_data = true;
                self.event.data.push_str(value);
                self.event.data.push('\n');
            }
            "" => self.event.message = value.strip_prefix("message ").map(str::to_owned).or_else(|| self.event.message.take()),
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&str]) -> Vec<Event> {
        let mut reader = Reader::default();
        pieces.iter().flat_map(|piece| reader.take(piece.as_bytes()).expect("a gateway's stream")).collect()
    }

    fn event(id: &str, name: &str, data: &str) -> Event {
        Event { id: id.to_owned(), name: name.to_owned(), data: data.to_owned(), message: None }
    }

    #[test]
    fn an_event_is_read_however_its_bytes_are_cut() {
        let whole =
            ": hello\nretry: 2000\n\n:\n\nid: msg_1\nevent: read\ndata: {\"ü\":1}\n\nid: msg_2\nevent: messages\ndata: a\ndata: b\n\n";
        let expected = vec![event("msg_1", "read", "{\"ü\":1}"), event("msg_2", "messages", "a\nb")];
        assert_eq!(read(&[whole]), expected);
        let mut reader = Reader::default();
        let byte_by_byte: Vec<Event> = whole.bytes().flat_map(|byte| reader.take(&[byte]).expect("a gateway's stream")).collect();
        assert_eq!(byte_by_byte, expected);
        assert_eq!(read(&[&whole.replace('\n', "\r\n")]), expected, "a proxy may write other line ends");
    }

    #[test]
    fn a_comment_names_the_message_of_the_event_behind_it() {
        let events = read(&[": message 0197\nid: 1\ndata: x\n\nid: 2\ndata: y\n\n"]);
        assert_eq!(events[0].message.as_deref(), Some("0197"));
        assert_eq!(events[1].message, None);
    }

    #[test]
    fn an_event_that_breaks_off_is_none() {
        assert_eq!(read(&["id: msg_1\nevent: read\ndata: {\"a\""]), []);
        assert!(Reader::default().take(&vec![b'x'; EVENT_MAX_BYTES + 1]).is_err());
    }
}
