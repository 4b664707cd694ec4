//! What reading a message promises.

use super::*;

fn read_text(body: &str) -> Result<NewMessage, Refusal> {
    parse(Bytes::copy_from_slice(body.as_bytes()), MetaEndpoint::Messages)
}

#[test]
fn a_text_goes_out_as_it_came_but_for_recipient_and_token() {
    let body = "{ \"messaging_product\": \"whatsapp\", \"to\" : \"905321234567\",\n \"type\":\"text\", \"text\":{\"body\":\"Merhaba \\u00e7\", \"x\":1.50} }";
    let message = read_text(body).expect("a sound text");
    assert_eq!(message.kind(), MessageKind::Text);
    assert_eq!(message.recipient().map(Recipient::as_str), Some("905321234567"));
    let expected = body
        .replace("\"905321234567\"", "\"+905321234567\"")
        .replace("1.50} }", "1.50},\"biz_opaque_callback_data\":\"tp1.abc\" }");
    assert_eq!(String::from_utf8(message.outgoing("tp1.abc")).expect("UTF-8"), expected);
}
