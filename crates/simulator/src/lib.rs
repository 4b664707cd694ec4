//! The other side: WhatsApp as the gateway sees it.
