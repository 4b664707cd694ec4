//! What the record keeps: to the letter, durably, bounded, and without whoever is forgotten.

use std::io::Write as _;

use super::*;

fn parsed(json: &[u8]) -> Vec<RecordedRequest> {
    serde_json::from_slice(json).expect("the record is a JSON array of requests")
}

#[test]
fn a_line_keeps_the_body_to_the_letter() {
    let headers = [("accept".to_owned(), "a".to_owned()), ("accept".to_owned(), "b".to_owned())];
    let kept = line("t", "POST", "/v23.0/1/messages", "", &headers, b"{\"z\": 1.50,\n\"a\": 2}");
    let text = String::from_utf8(kept).expect("a record line is UTF-8");
    assert_eq!(text, r#"{"at":"t","method":"POST","path":"/v23.0/1/messages","headers":{"accept":"a, b"},"body":{"z": 1.50, "a": 2}}"#);
}

#[test]
fn what_is_not_json_becomes_a_string() {
    let kept = line("t", "POST", "/", "a=1", &[], b"{\"cut\": \n\xff");
    let request: RecordedRequest = serde_json::from_slice(&kept).expect("the line is JSON");
    assert_eq!(request.body, Value::String("{\"cut\": \n\u{fffd}".to_owned()));
    assert_eq!(request.query, "a=1");
    for (depth, is_json) in [(100, true), (101, false)] {
        let deep = format!("{}\"[\\\"[\"{}", "[".repeat(depth), "]".repeat(depth));
        let request: RecordedRequest = serde_json::from_slice(&line("t", "POST", "/", "", &[], deep.as_bytes())).expect("the line is JSON");
        assert_eq!(request.body.is_array(), is_json, "{depth}");
    }
}

#[tokio::test]
async fn a_file_is_read_again_and_a_torn_line_is_cut_off() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("deep").join("record.jsonl");
    let config = Record::File(path.clone());
    let record = Recorder::open(&config, None).expect("a new record opens");
    for n in 0..3 {
        let kept = line("t", "POST", &format!("/{n}"), "", &[], b"");
        record.append(kept).await.expect("the record takes a line");
    }
    assert!(matches!(Recorder::open(&config, None), Err(RecordError::InUse { .. })));
    drop(record);
    let mut file = OpenOptions::new().append(true).open(&path).expect("the record's file");
    file.write_all(b"{\"at\":\"torn").expect("a torn write");
    drop(file);

    let record = Recorder::open(&config, None).expect("a dropped record is free again");
    assert_eq!(record.count(), 3);
    record.append(line("t", "POST", "/3", "", &[], b"")).await.expect("the record takes a line");
    let newest = parsed(&record.newest_json(2).expect("the record reads"));
    let paths: Vec<&str> = newest.iter().map(|request| request.path.as_str()).collect();
    assert_eq!(paths, ["/2", "/3"]);

    record.clear().await.expect("the record forgets");
    assert_eq!(record.newest_json(usize::MAX).expect("the record reads"), b"[]");
    record.append(line("t", "POST", "/4", "", &[], b"")).await.expect("the record takes a line");
    assert_eq!(parsed(&record.newest_json(10).expect("the record reads")).len(), 1);
}

/// The paths of what is kept.
fn paths(record: &Recorder) -> Vec<String> {
    parsed(&record.newest_json(usize::MAX).expect("the record reads")).into_iter().map(|request| request.path).collect()
}

#[tokio::test]
async fn a_bounded_record_keeps_the_newest_and_never_twice_as_many() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = Record::File(folder.path().join("record.jsonl"));
    for config in [Record::Memory, file.clone()] {
        let record = Recorder::open(&config, Some(10)).expect("a new record opens");
        for n in 1..=95 {
            record.append(line("t", "POST", &format!("/{n}"), "", &[], b"{}")).await.expect("the record takes a line");
            // The writer may still be about to cut behind the answer to the newest.
            assert!(record.count() <= 21, "{}", record.count());
            let newest = parsed(&record.newest_json(10.min(n)).expect("the record reads"));
            let wanted: Vec<String> = (n.saturating_sub(9).max(1)..=n).map(|n| format!("/{n}")).collect();
            assert_eq!(newest.into_iter().map(|request| request.path).collect::<Vec<_>>(), wanted);
        }
    }
    let record = Recorder::open(&file, Some(10)).expect("what was cut is opened again");
    let kept = paths(&record);
    assert_eq!(kept.last().map(String::as_str), Some("/95"));
    assert!((10..=20).contains(&kept.len()), "{kept:?}");
    assert!(matches!(Recorder::open(&file, None), Err(RecordError::InUse { .. })), "the shorter file is held, too");
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 1, "nothing is left beside it");
}

#[tokio::test]
async fn of_a_forgotten_user_a_husk_is_left_and_the_file_goes_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("record.jsonl");
    for config in [Record::Memory, Record::File(file.clone())] {
        let record = Recorder::open(&config, None).expect("a new record opens");
        for to in ["905321234567", "905321234568", "905321234567"] {
            let body = format!(r#"{{"to":"{to}"}}"#);
            record.append(line("t", "POST", "/1/messages", "", &[], body.as_bytes())).await.expect("the record takes a line");
        }
        let names = || Arc::new(Names::of(&crate::users::Users::default(), "905321234567"));
        assert_eq!(record.husk(names()).await.expect("husked"), 2);
        assert_eq!(record.husk(names()).await.expect("husked"), 0);
        record.append(line("t", "POST", "/2/messages", "", &[], b"{}")).await.expect("the record goes on");
        assert_eq!(paths(&record), ["/forgotten", "/1/messages", "/forgotten", "/2/messages"]);
    }
    let text = std::fs::read_to_string(&file).expect("text");
    assert!(!text.contains("905321234567") && text.contains("905321234568"), "{text}");
    // A crash while it was written anew.
    std::fs::write(folder.path().join("record.jsonl.cut"), "half").expect("written");
    let record = Recorder::open(&Record::File(file), None).expect("it opens");
    assert_eq!(record.husk(Arc::new(Names::of(&crate::users::Users::default(), "905321234568"))).await.expect("husked"), 1);
    assert_eq!(record.count(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_all_arrive_whole() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let record = Arc::new(Recorder::open(&Record::File(folder.path().join("r")), None).expect("a new record opens"));
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..1_000 {
        let record = Arc::clone(&record);
        writers.spawn(async move {
            let kept = line("t", "POST", &format!("/{n}"), "", &[], b"{}");
            record.append(kept).await.expect("the record takes a line");
        });
    }
    while let Some(done) = writers.join_next().await {
        done.expect("no writer panics");
    }
    let mut paths: Vec<String> = parsed(&record.newest_json(usize::MAX).expect("the record reads")).into_iter().map(|r| r.path).collect();
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), 1_000);
}
