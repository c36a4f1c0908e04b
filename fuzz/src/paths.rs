//! A path as a policy writes it, a line end, and a document: what is found in it lies in it, and a path says itself again.

use tollgate::policy::action::json::{self, PathSet};
use tollgate::policy::action::{JsonValue, Path, Target};

pub fn run(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (path, document) = data.split_at(at);
    let document = document.get(1..).unwrap_or_default();
    let Ok(path) = std::str::from_utf8(path) else { return };
    if let Ok(target) = Target::parse(path) {
        assert_eq!(Target::parse(&target.to_string()).as_ref(), Ok(&target));
    }
    let Ok(path) = Path::parse(path) else { return };
    let mut spans = Vec::new();
    let found = PathSet::new([&path]).find(document, &mut spans);
    let value = json::value(document, &path);
    let Ok(text) = found else {
        assert!(value.is_err());
        return;
    };
    let mut before = 0;
    for span in &spans {
        assert!(span.start <= span.end && text.get(span.start..span.end).is_some());
        assert!(before <= span.start, "found in the order of the document");
        before = span.start;
        let _ = JsonValue::of(text, span).as_text();
    }
    assert_eq!(value.expect("it was found above").is_some(), !spans.is_empty());
}
