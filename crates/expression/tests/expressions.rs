//! What expressions answer about objects, what is refused before, and what they may cost.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use expression::{Expression, LONGEST, Scope, Unanswered};
use serde_json::{Value, json};

fn topic() -> Value {
    json!({
        "apiVersion": "kafka.example.com/v1", "kind": "KafkaTopic",
        "metadata": {"name": "flights", "generation": 3, "labels": {"tier": "gold"}},
        "spec": {"partitions": 12, "config": {"retention.ms": "600000"}},
        "status": {
            "replicas": 3, "ratio": 0.5, "large": 18_446_744_073_709_551_615_u64, "nothing": null, "done": [],
            "conditions": [
                {"type": "Ready", "status": "True", "message": "all partitions\nhave a leader"},
                {"type": "Warning", "status": "False"},
            ],
        },
    })
}

fn holds(source: &str) -> Result<bool, Unanswered> {
    Expression::compile(source).unwrap().holds(&Scope::of(&topic()))
}

#[test]
fn it_reads_the_object() {
    for source in [
        "status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')",
        "status.conditions.filter(c, c.type == 'Ready').all(c, c.status == 'True')",
        "object.kind == 'KafkaTopic' && metadata.name.startsWith('fli')",
        "status.replicas == 3 && status.replicas >= 2 && status.replicas + 1 == 4",
        "status.ratio > 0.4 && status.ratio < 1",
        "metadata.generation == 3 && size(status.conditions) == 2",
        "spec.config['retention.ms'].matches('^[0-9]+$')",
        "has(status.replicas) && !has(status.leader) && !has(spec.config.other)",
        "'gold' in ['gold', 'silver'] && metadata.labels.tier == 'gold'",
        "status.nothing == null && status.done == []",
        "status.large > 1u && type(status.replicas) == int",
        "status.?leader.orValue('none') == 'none'",
        "status.conditions.map(c, c.type) == ['Ready', 'Warning']",
        "(status.replicas > 2 ? 'many' : 'few') == 'many'",
    ] {
        assert_eq!(holds(source), Ok(true), "{source}");
    }
}

#[test]
fn what_is_missing_is_told_from_what_is_wrong() {
    for (source, missing) in [
        ("status.leader == 'x'", "leader"),
        ("status.conditions[0].reason == 'x'", "reason"),
        ("status.done[0] == 'x'", "an element of a list"),
        ("spec.config['other'] == 'x'", "other"),
    ] {
        assert_eq!(holds(source), Err(Unanswered::Missing(missing.to_owned())), "{source}");
    }
    for source in [
        "status.replicas > 'three'",
        "status.conditions.startsWith('x')",
        "status.ratio + 'x' == ''",
        "status.replicas / 0 == 1",
        "9223372036854775807 + status.replicas > 0",
        "status.replicas",
        "'yes'",
        "metadata.name",
    ] {
        assert!(matches!(holds(source), Err(Unanswered::Wrong(_))), "{source}: {:?}", holds(source));
    }
    // An object that no controller has seen.
    let fresh = Scope::of(&json!({"kind": "KafkaTopic", "metadata": {"name": "x"}}));
    let ready = Expression::compile("status.conditions.exists(c, c.type == 'Ready')").unwrap();
    assert_eq!(ready.holds(&fresh), Err(Unanswered::Missing("conditions".to_owned())));
    let odd = Scope::of(&json!({"status": "broken"}));
    assert_eq!(ready.holds(&odd), Err(Unanswered::Missing("conditions".to_owned())));
}

#[test]
fn no_value_of_the_object_is_in_an_error() {
    let secret =
        Scope::of(&json!({"status": {"word": "hunter2", "list": ["hunter2"], "map": {"a": "hunter2"}}}));
    for source in [
        "status.word > 1",
        "status.word + 1 == 2",
        "status.list[status.word] == 1",
        "status.map < 3",
        "status.word",
        "status.word.matches(status.word + '(')",
        "int(status.word) == 1",
        "status.word.exists(c, c == 1)",
        "{status.word: 1, status.word: 2} == {}",
        "-status.word == 1",
        "!status.word",
        "status.list == 1 || status.word",
    ] {
        let answer = Expression::compile(source).unwrap().holds(&secret);
        assert!(!format!("{answer:?}").contains("hunter2"), "{source}: {answer:?}");
    }
}

#[test]
fn text_is_one_line_of_bounded_length() {
    let text = |source: &str| Expression::compile(source).unwrap().text(&Scope::of(&topic()));
    assert_eq!(text("status.conditions[0].message"), Ok("all partitions have a leader".to_owned()));
    assert_eq!(text("'replicas: ' + string(status.replicas)"), Ok("replicas: 3".to_owned()));
    assert!(matches!(text("status.replicas"), Err(Unanswered::Wrong(_))));
    let long = json!({"status": {"message": "x".repeat(1_000_000)}});
    let message = Expression::compile("status.message").unwrap().text(&Scope::of(&long)).unwrap();
    assert_eq!(message.len(), 1024);
}

#[test]
fn mistakes_are_found_before_any_object() {
    for (source, cause, help) in [
        ("", "", None),
        ("status.ready ==", "character", None),
        ("status.ready = true", "character", None),
        ("{{ status.ready }}", "character", None),
        ("status.conditions.exists(c)", "exists", None),
        ("stauts.ready", "no name `stauts`", Some("did you mean `status`?")),
        ("conditions.exists(c, c.type == 'Ready')", "no name `conditions`", Some("known are")),
        ("status.conditions.exists(c, d.type == 'x')", "no name `d`", None),
        ("status.conditions.exists(c, true) && c.type == 'x'", "no name `c`", None),
        ("status.name.startWith('x')", "no function `startWith`", Some("did you mean `startsWith`?")),
        ("timestamp(metadata.creationTimestamp) < now()", "no function", None),
    ] {
        let mistake = Expression::compile(source).expect_err(source);
        assert!(mistake.cause.contains(cause), "{source}: {mistake:?}");
        if let Some(help) = help {
            assert!(mistake.help.as_deref().unwrap_or("").starts_with(help), "{source}: {mistake:?}");
        }
    }
    let long = format!("status.x == '{}'", "x".repeat(LONGEST));
    assert!(Expression::compile(&long).unwrap_err().cause.contains("longer than"));
}

/// No text may bring the program down: neither its parser nor its evaluation.
#[test]
fn deep_and_odd_texts_are_refused() {
    let deep = |open: &str, close: &str, n: usize| format!("{}1{}", open.repeat(n), close.repeat(n));
    for source in [
        deep("(", ")", 60),
        deep("[", "]", 60),
        deep("{1:", "}", 60),
        deep("size(", ")", 60),
        deep("!(", ")", 60),
        format!("{}true{}", "status.a.all(b,".repeat(60), ")".repeat(60)),
        format!("status{}", "[0]".repeat(60)),
        format!("1{}", "+1".repeat(400)),
        format!("1{}", "?1:1".repeat(200)),
        format!("status{}", ".a".repeat(400)),
        format!("true{}", "&&true".repeat(200)),
        format!("1{}", "<1".repeat(400)),
        deep("-", "", 400),
        deep("(", ")", 1000),
        deep("[", "]", 1000),
        deep("{1:", "}", 500),
        deep("-", "", 2000),
        deep("!", "", 2000),
        format!("status{}", ".a".repeat(1000)),
        format!("status{}", "[0]".repeat(600)),
        format!("1{}", "+1".repeat(1000)),
        format!("1{}", "?1:1".repeat(400)),
        "'".repeat(2000),
        "\\".repeat(2000),
        "\u{0}".repeat(100),
        "\u{202e}status".to_owned(),
        format!("true{}", "&&true".repeat(300)),
    ] {
        if let Ok(expression) = Expression::compile(&source) {
            let _ = expression.holds(&Scope::of(&topic()));
        }
    }
}

#[test]
fn what_would_take_too_long_is_not_begun() {
    let list = |n: usize| json!({"status": {"a": vec!["x"; n]}});
    let nested = "status.a.all(b, status.a.all(c, status.a.all(d, b + c + d != '')))";
    let expression = Expression::compile(nested).unwrap();
    assert_eq!(expression.holds(&Scope::of(&list(10))), Ok(true));
    assert!(matches!(expression.holds(&Scope::of(&list(2_000))), Err(Unanswered::Wrong(_))));
    // One look at every condition of a large object is no matter.
    let once = Expression::compile("status.a.exists(b, b == 'y') || size(status.a) > 1").unwrap();
    assert_eq!(once.holds(&Scope::of(&list(20_000))), Ok(true));
    // Lists that the expression itself makes longer.
    let grown = format!("status.a.map(x, 1){}.all(b, status.a.all(c, true))", "+status.a".repeat(50));
    let grown = Expression::compile(&format!("({grown})").replace("1)+", "'x')+")).unwrap();
    assert!(matches!(grown.holds(&Scope::of(&list(400))), Err(Unanswered::Wrong(_))));
    let text = json!({"status": {"a": vec!["x"; 1000], "t": "x".repeat(1_000_000)}});
    let looking = Expression::compile("status.a.all(b, status.t.contains('y') || true)").unwrap();
    assert!(matches!(looking.holds(&Scope::of(&text)), Err(Unanswered::Wrong(_))));
}
