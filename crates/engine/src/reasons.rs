//! Reasons that people give: who gave one stands before it, and is nobody's business but operators'.

/// What stands between the two.
const BETWEEN: &str = ": ";

/// A reason with who gave it, as the books keep it.
pub(crate) fn given_by(actor: &str, words: &str) -> String {
    // The first of these ends the name, so a name has none; without the spaces behind each, since two
    // of them would leave another.
    let name: Vec<&str> = actor.split(BETWEEN).map(str::trim_start).collect();
    format!("{}{BETWEEN}{words}", name.join(":"))
}

/// The reason alone.
pub(crate) fn words(kept: &str) -> &str {
    kept.split_once(BETWEEN).map_or(kept, |(_, words)| words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_name_is_in_the_words() {
        for (actor, expected) in [
            ("carol", "carol: asked Meta: lost"),
            ("support: carol", "support:carol: asked Meta: lost"),
            ("support:  carol", "support:carol: asked Meta: lost"),
        ] {
            let kept = given_by(actor, "asked Meta: lost");
            assert_eq!((kept.as_str(), words(&kept)), (expected, "asked Meta: lost"));
        }
    }
}
