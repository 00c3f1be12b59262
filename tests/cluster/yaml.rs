//! YAML against the lab's own kubectl: what is read is what kubectl reads, and what is written kubectl reads back.
//! No request is sent.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

/// Plain scalars that parsers disagree about.
const SCALARS: &str = "yes Yes YES no on On off Off y Y n N true True TRUE truE yEs ~ null Null NULL nil none \
    0 -0 +0 00 07 08 09 010 0644 -0644 +0644 0o17 0O17 0o8 0x1F 0X1f 0xG 0b11 0b2 -0b1 1_000 1__0 _1 1_ 0_7 \
    0x_1 1e3 1E3 1e+3 1e-3 1.e3 .5 5. -.5 +.5 . -. 1.5.0 1e 1e+ e3 1_0.5 0.1e2 00.5 01.5 08.5 \
    12:30:45 12:30 190:20:30 1:2 -1:30 2024-01-01 2024-1-1 2024-01-01T10:00:00Z 2024-13-45 \
    = <<x - -- --x ... .. -1 --1 +1 ++1 1+1 1-1 a:b ::x x:: #x# a#b @a `a a` %a a% !a& 9223372036854775807 \
    -9223372036854775808 9223372036854775808 18446744073709551615 0777777777777777777777 1e308 0x7fffffffffffffff \
    Infinity NaN inf nan .info .nano +.infx 1,000 1.000,5 0.0 -0.0 1.0 100000000000000000000000x 0xcafe 0XCAFE";

/// What `kubectl` makes of a manifest, without a server.
fn kubectl(manifest: &str) -> Result<Value> {
    let path = Command::new("make").args(["-s", "lab-kubectl"]).current_dir(testkit::checkout()).output()?;
    let path = String::from_utf8(path.stdout)?;
    let mut child = Command::new(path.trim())
        .args(["label", "--local", "-f", "-", "mimeo-test=yes", "-o", "json"])
        .env("KUBECONFIG", "/dev/null")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {path}"))?;
    child.stdin.take().context("no input")?.write_all(manifest.as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let line = said.split("line ").nth(1).and_then(|rest| rest.split(':').next()?.parse::<usize>().ok());
        let near = manifest.lines().skip(line.unwrap_or(1).saturating_sub(3)).take(6).collect::<Vec<_>>();
        bail!("kubectl: {said}\n{near:#?}");
    }
    Ok(serde_json::from_slice::<Value>(&output.stdout)?["data"].take())
}

fn manifest(data: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata:\n{data}")
}

fn ours(manifest: &str) -> Result<Value, Box<spec::Diagnostic>> {
    Ok(spec::yaml::documents("t", manifest)?.remove(0).value["data"].take())
}

/// `1000` and `1000.0` are the same number.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => {
            a == b || (a.as_f64() == b.as_f64() && (a.is_f64() || b.is_f64()))
        }
        _ => one == other,
    }
}

#[test]
fn scalars_are_read_as_kubectl_reads_them() -> Result<()> {
    let scalars: Vec<&str> = SCALARS.split_whitespace().collect();
    let (mut read, mut refused, mut wrong) = (0, Vec::new(), Vec::new());
    let mut lines = String::new();
    let mut kept = Vec::new();
    for scalar in &scalars {
        let line = format!("  k{}: {scalar}\n", kept.len());
        match ours(&manifest(&line)) {
            Ok(value) => {
                kept.push((*scalar, value[format!("k{}", kept.len())].clone()));
                lines.push_str(&line);
            }
            Err(finding) => refused.push(format!("{scalar}: {finding}")),
        }
    }
    let theirs = kubectl(&manifest(&lines))?;
    for (index, (scalar, ours)) in kept.iter().enumerate() {
        let theirs = &theirs[format!("k{index}")];
        read += 1;
        if !same(ours, theirs) {
            wrong.push(format!("{scalar}: {ours}, to kubectl {theirs}"));
        }
    }
    ensure!(wrong.is_empty(), "{}\n{} of {read} differ", wrong.join("\n"), wrong.len());
    ensure!(read > 100 && refused.len() < 15, "{read} read; refused: {}", refused.join("\n"));
    Ok(())
}

#[test]
fn a_key_is_read_as_kubectl_reads_it_or_refused() -> Result<()> {
    let (mut same, mut refused, mut wrong) = (0, 0, Vec::new());
    let mut lines = String::new();
    let mut kept = Vec::new();
    for (index, key) in SCALARS.split_whitespace().enumerate() {
        let line = format!("  k{index}:\n    {key}: x\n");
        match ours(&manifest(&line)) {
            Ok(value) => {
                kept.push((key, index, value[format!("k{index}")].clone()));
                lines.push_str(&line);
            }
            Err(_) => refused += 1,
        }
    }
    let theirs = kubectl(&manifest(&lines))?;
    for (key, index, ours) in kept {
        let theirs = &theirs[format!("k{index}")];
        same += 1;
        if ours != *theirs {
            wrong.push(format!("{key}: {ours}, to kubectl {theirs}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    ensure!(same > 50 && refused > 30, "{same} read the same, {refused} refused");
    Ok(())
}

/// Strings made of what YAML is made of, the same ones every time.
fn nasty() -> Vec<String> {
    const PIECES: [&str; 44] = [
        "yes",
        "no",
        "on",
        "null",
        "~",
        "0644",
        "1e3",
        "1_000",
        ".inf",
        ".nan",
        "12:30:45",
        "2024-01-01",
        "<<",
        "=",
        "-",
        "---",
        "...",
        "- ",
        ": ",
        ":",
        " #",
        "#",
        "\n",
        "\n\n",
        "\t",
        "\r",
        " ",
        "  ",
        "'",
        "\"",
        "\\",
        "{{ x }}",
        "{",
        "[",
        "&a",
        "*a",
        "!!str",
        "|",
        ">",
        "%",
        "@",
        "é",
        "\u{1F600}",
        "\u{2028}",
    ];
    let mut state: u64 = 1;
    let mut below = |end: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap_or_default() % end
    };
    let mut all: Vec<String> = SCALARS.split_whitespace().map(str::to_owned).collect();
    all.extend(PIECES.map(str::to_owned));
    all.extend(
        ["", "\u{0}", "\u{7}", "\u{85}", "\u{a0}", "\u{200b}", "\u{202e}", "\u{feff}", "\u{fffe}"]
            .map(str::to_owned),
    );
    all.push("long ".repeat(60));
    while all.len() < 3000 {
        let parts = 1 + below(5);
        all.push(
            (0..parts).map(|_| if below(4) == 0 { "abc" } else { PIECES[below(PIECES.len())] }).collect(),
        );
    }
    all
}

#[test]
fn kubectl_reads_back_what_is_written() -> Result<()> {
    // An invisible character makes the whole document JSON: these are written on their own, as well.
    let (plain, invisible): (Vec<String>, Vec<String>) =
        nasty().into_iter().partition(|text| spec::yaml::check_characters("", text).is_ok());
    ensure!(plain.len() > 2000 && invisible.len() > 50, "{} and {}", plain.len(), invisible.len());
    for texts in [&plain, &invisible] {
        let values: serde_json::Map<String, Value> =
            texts.iter().enumerate().map(|(index, text)| (format!("k{index}"), json!(text))).collect();
        let keys: serde_json::Map<String, Value> =
            texts.iter().map(|text| (text.clone(), json!("x"))).collect();
        let data = json!({"values": values, "keys": keys, "list": texts, "nested": [{"a": [texts]}]});
        let written = spec::yaml::to_yaml(&json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data,
        }))
        .map_err(|finding| anyhow::anyhow!("{finding}"))?;
        let theirs = kubectl(&written)?;
        for (part, ours) in data.as_object().context("a mapping")? {
            if theirs[part] != *ours {
                let lines: Vec<String> = texts
                    .iter()
                    .filter(|text| !theirs[part].to_string().contains(&json!(text).to_string()))
                    .map(|text| format!("{text:?}"))
                    .collect();
                bail!("{part}: kubectl reads something else for {}", lines.join(" "));
            }
        }
    }
    Ok(())
}
