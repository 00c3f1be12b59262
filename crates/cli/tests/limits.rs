//! Limits of rendering, in the process and apart: what runs away ends with its line, what does not is the same in
//! both, and a process that misbehaves is told of.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the finding")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use sandbox::{Answer, Mode, Sources, Task};
use spec::{Diagnostic, Files, MemoryFiles};
use testkit::{CaseFile, GitRepo};

#[path = "../../render/tests/support/mod.rs"]
mod support;

const MIMEO: &str = env!("CARGO_BIN_EXE_mimeo");
const SPEC: &str = "apiVersion: mimeo.dev/v1alpha1\nkind: EnvironmentSpec\nmetadata: {name: qa}\nspec:\n  components:\n    web: {template: web}\n";
const TEMPLATE: &str = "apiVersion: mimeo.dev/v1alpha1\nkind: Template\nmetadata: {name: web}\nspec: {}\n";
const MANIFEST: &str = "templates/web/manifests/all.yaml";
const MODES: [&[&str]; 2] = [&[], &["--sandbox"]];

fn repo(manifest: &str) -> GitRepo {
    let repo = GitRepo::new().unwrap();
    repo.write("environments/qa.yaml", SPEC).unwrap();
    repo.write("templates/web/template.yaml", TEMPLATE).unwrap();
    repo.write(MANIFEST, manifest).unwrap();
    repo.commit("Begin").unwrap();
    repo
}

fn mimeo(repo: &GitRepo, arguments: &[&str]) -> Command {
    let mut command = Command::new(MIMEO);
    command
        .args(arguments)
        .args(["--repo", &repo.arg(), "--repository", "git.example.com/team/flights"])
        .env_clear()
        .env("HOME", repo.path())
        .env("NO_COLOR", "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What a command said on standard error, without the line that names the commit.
fn said(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    text.lines().filter(|line| !line.starts_with("qa at ")).map(|line| format!("{line}\n")).collect()
}

/// One file of `tests/cases/limits`: a manifest, and what is said of it by every way to render it.
/// `UPDATE_EXPECT=1` rewrites what is expected.
fn runs_away(name: &str) {
    let case = CaseFile::all("limits").unwrap().into_iter().find(|case| case.name() == name).unwrap();
    let repo = repo(case.section(MANIFEST).unwrap());
    for mode in MODES {
        let output = mimeo(&repo, &[&["render", "qa"], mode].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{mode:?}: {}", said(&output));
        assert!(output.stdout.is_empty());
        if std::env::var_os("UPDATE_EXPECT").is_some() && mode.is_empty() {
            let text = fs::read_to_string(&case.path).unwrap();
            let given = text.split("-- diagnostics --\n").next().unwrap();
            fs::write(&case.path, format!("{given}-- diagnostics --\n{}", said(&output))).unwrap();
        } else {
            assert_eq!(said(&output), case.section("diagnostics").unwrap_or_default(), "{name} {mode:?}");
        }
    }
}

/// Where one spec runs away, `check` still says what it has found, in the format that is asked for.
#[test]
fn check_tells_of_what_ran_away() {
    let case =
        CaseFile::all("limits").unwrap().into_iter().find(|case| case.name() == "memory-one-step").unwrap();
    let repo = repo(case.section(MANIFEST).unwrap());
    repo.write("environments/zz.yaml", &SPEC.replace("name: qa", "name: zz")).unwrap();
    repo.commit("Another").unwrap();
    let output = mimeo(&repo, &["check", "-o", "json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["items"][0]["code"], "TPL014");
    assert_eq!(told["items"][0]["line"], 4);
    let specs = serde_json::json!([
        {"name": "qa", "objects": 0, "complete": false}, {"name": "zz", "objects": 0, "complete": false}
    ]);
    assert_eq!(told["specs"], specs);
}

#[test]
fn loops_in_loops() {
    runs_away("cpu-loops");
}

#[test]
fn a_step_that_never_ends() {
    runs_away("cpu-one-step");
}

#[test]
fn a_text_that_doubles() {
    runs_away("memory-loop");
}

#[test]
fn a_step_that_takes_all_memory() {
    runs_away("memory-one-step");
}

#[test]
fn every_case_is_run() {
    let cases = CaseFile::all("limits").unwrap();
    let names: Vec<&str> = cases.iter().map(CaseFile::name).collect();
    assert_eq!(names, ["cpu-loops", "cpu-one-step", "memory-loop", "memory-one-step"]);
}

/// `check` and `explain` end at the same line; other commands render as `render` does.
#[test]
fn other_commands_end_too() {
    let manifest = CaseFile::all("limits").unwrap().into_iter().find(|case| case.name() == "memory-loop");
    let repo = repo(manifest.unwrap().section(MANIFEST).unwrap());
    let output = mimeo(&repo, &["check", "qa", "--sandbox", "-o", "json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &said(&output);
    assert!(told.contains("TPL014") && told.contains(MANIFEST), "{told}");

    let value =
        "{% set_global t = '0123456789' %}{% for a in range(end=64) %}{% set_global t = t ~ t %}{% endfor %}";
    let spec = SPEC.replace("{template: web}", &format!("{{template: web, values: {{n: \"{value}\"}}}}"));
    repo.write("environments/qa.yaml", &spec).unwrap();
    repo.write("templates/web/template.yaml", &TEMPLATE.replace("{}", "{parameters: {n: {type: string}}}"))
        .unwrap();
    repo.commit("A value that grows").unwrap();
    for mode in MODES {
        let output = mimeo(&repo, &[&["explain", "qa"], mode].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        let told = said(&output);
        assert!(told.contains("TPL014") && told.contains("environments/qa.yaml:6"), "{mode:?}: {told}");
    }
}

/// Takes about a second of CPU time, as a debug build.
const SLOW: &str = "{%- for a in range(end=20) %}\n{%- for b in range(end=4000) %}\n{%- endfor %}\n{%- endfor %}\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"{{ name }}\"}\n";

fn signal(name: &str, process: u32) {
    assert!(Command::new("kill").args([name, &process.to_string()]).status().unwrap().success());
}

/// The processes that a process has made.
fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let process: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        let of: u32 = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        (of == parent).then_some(process)
    });
    processes.collect()
}

/// The process that renders for another one.
fn renderer(parent: u32) -> u32 {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let [child] = children(parent)[..] {
            return child;
        }
        assert!(Instant::now() < deadline, "no process renders");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn time_that_passes_is_no_cpu_time() {
    let repo = repo(SLOW);
    for mode in MODES {
        let running = mimeo(&repo, &[&["render", "qa"], mode].concat()).spawn().unwrap();
        let mut stopped = vec![running.id()];
        if !mode.is_empty() {
            stopped.push(renderer(running.id()));
        }
        stopped.iter().for_each(|process| signal("-STOP", *process));
        thread::sleep(Duration::from_secs(sandbox::CPU_SECONDS + 3));
        stopped.iter().for_each(|process| signal("-CONT", *process));
        let output = running.wait_with_output().unwrap();
        assert!(output.status.success(), "{mode:?}: {}", said(&output));
    }
}

#[test]
fn a_renderer_that_is_killed_is_told_of() {
    let loops = CaseFile::all("limits").unwrap().into_iter().find(|case| case.name() == "cpu-loops").unwrap();
    let repo = repo(loops.section(MANIFEST).unwrap());
    let running = mimeo(&repo, &["render", "qa", "--sandbox"]).spawn().unwrap();
    let child = renderer(running.id());
    // Not before it renders: its program has to be that of the parent first.
    thread::sleep(Duration::from_millis(300));
    signal("-KILL", child);
    let output = running.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("[TPL015]: the process that rendered was killed"), "{}", said(&output));
}

/// Nothing is left that computes when the one who asked is gone.
#[test]
fn a_renderer_ends_with_its_parent() {
    let loops = CaseFile::all("limits").unwrap().into_iter().find(|case| case.name() == "cpu-loops").unwrap();
    let repo = repo(loops.section(MANIFEST).unwrap());
    let mut running = mimeo(&repo, &["render", "qa", "--sandbox"]).spawn().unwrap();
    let child = renderer(running.id());
    thread::sleep(Duration::from_millis(300));
    running.kill().unwrap();
    running.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(2);
    while fs::read_to_string(format!("/proc/{child}/cmdline")).is_ok_and(|text| text.contains("__render")) {
        assert!(Instant::now() < deadline, "it goes on");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Where no branch was named, a commit is rendered apart: the program makes a process for it.
#[test]
fn a_commit_that_no_branch_was_named_for_is_rendered_apart() {
    let repo = repo(SLOW);
    let commit = repo.git(&["rev-parse", "HEAD"]).unwrap();
    repo.git(&["tag", "v1"]).unwrap();
    for (arguments, apart) in [
        (&["--rev", "main"][..], false),
        (&[][..], false),
        (&["--rev", "v1"][..], true),
        (&["--rev", commit.trim(), "--name", "x"][..], true),
        (&["--sandbox"][..], true),
    ] {
        let mut running = mimeo(&repo, &[&["render", "qa"], arguments].concat()).spawn().unwrap();
        let mut seen = false;
        while running.try_wait().unwrap().is_none() && !seen {
            seen = !children(running.id()).is_empty();
            thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(seen, apart, "{arguments:?}");
        assert!(running.wait_with_output().unwrap().status.success());
    }
}

/// A program that is started in place of the renderer.
fn script(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("renderer");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn what_a_process_answers_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = MemoryFiles::default();
    files.insert("environments/qa.yaml", SPEC);
    let sources = Sources { files: Arc::new(files), governor: None };
    let request = render::Request { spec: "qa".to_owned(), ..Default::default() };
    for (text, told) in [
        ("exit 3", "the process that rendered ended with exit code 3"),
        ("echo why >&2; exit 3", "the process that rendered ended with exit code 3 why"),
        ("exec 1>&-; exec sleep 60", "the process that rendered was killed"),
        ("echo 'no frame at all'", "gave an answer that is none: a message of 1852776550 bytes"),
        ("printf '\\000\\000\\000\\002{]'", "gave an answer that is none: key must be a string"),
        ("printf '\\000\\000\\000\\012{\"Done\":1}'", "gave an answer that is none"),
        ("printf '\\000\\000\\001\\002{'", "the process that rendered ended with exit code 0"),
        ("printf '\\000\\000\\000\\017{\"Unfit\":\"old\"}'", "there is no safe process to render in: old"),
        ("printf '\\000\\000\\000\\026{\"At\":[\"../shadow\",7]}'; exit 1", "ended with exit code 1"),
        (
            "printf '\\000\\000\\000\\041{\"At\":[\"environments/qa.yaml\",2]}'; kill -SEGV $$",
            "environments/qa.yaml:2:1: the process that rendered was ended by signal 11",
        ),
        ("kill -XCPU $$", "TPL003: environments/qa.yaml: rendering takes more than 5 s of CPU time"),
        ("echo 'memory allocation of 9 bytes failed' >&2; kill -ABRT $$", "TPL014"),
        (
            "echo 'thread has overflowed its stack' >&2; kill -ABRT $$",
            "the process that rendered has overflowed its stack",
        ),
        // It has no environment but what a shell makes itself.
        (
            "env | grep -v -e ^PWD= -e ^_= -e ^SHLVL= -e ^OLDPWD= >&2; exit 4",
            "TPL015: environments/qa.yaml: the process that rendered ended with exit code 4",
        ),
    ] {
        let mode = Mode::Apart(script(folder.path(), text));
        let finding = sandbox::run(Task::Render(request.clone()), &sources, &mode).unwrap_err();
        let said = format!("{finding} {}", finding.detail.join(" "));
        assert!(said.trim_end().contains(told), "{text}: {said}");
        assert!(!text.starts_with("env ") || finding.detail.is_empty(), "{said}");
    }
    let nothing = Mode::Apart(folder.path().join("none"));
    let finding = sandbox::run(Task::Render(request), &sources, &nothing).unwrap_err();
    assert!(finding.to_string().contains("TPL016"), "{finding}");
}

/// Everything that can be seen of an answer, and where its objects stand.
fn seen(answer: Result<Answer, Box<Diagnostic>>) -> String {
    let places = |rendered: &render::Rendered| {
        let name = ["metadata".to_owned(), "name".to_owned()];
        let mark = |object: &render::RenderedObject| object.mark(&name, Diagnostic::error("OBJ006", ""));
        rendered.objects.iter().map(mark).collect::<Vec<_>>()
    };
    let answer = answer.unwrap();
    let (bytes, places) = match &answer {
        Answer::Rendered(Ok((rendered, _))) => {
            (rendered.yaml_stream().unwrap().to_string(), places(rendered))
        }
        Answer::Checked(survey, _) => {
            (String::new(), survey.rendered.as_ref().map(places).unwrap_or_default())
        }
        _ => (String::new(), Vec::new()),
    };
    format!("{answer:#?}\n{bytes}\n{places:#?}")
}

#[test]
fn apart_is_the_same_as_here() {
    let apart = Mode::Apart(MIMEO.into());
    let soak = std::env::var_os("MIMEO_SOAK").is_some();
    let seed: usize = std::env::var("MIMEO_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut compared = 0;
    for folder in ["spec", "render"] {
        for (index, case) in support::cases(folder).iter().enumerate() {
            let endless = case.name().starts_with("runaway-");
            if endless || (!soak && !(index + seed).is_multiple_of(5)) {
                continue;
            }
            let files: Arc<dyn Files> = Arc::new(case.files());
            let governor = (index % 2 == 0).then(|| ("f".repeat(40), Arc::clone(&files)));
            let sources = Sources { files, governor };
            for task in [
                Task::Render(case.request()),
                Task::Check(case.request(), vec![check::Version::NEWEST]),
                Task::Explain(case.request()),
                Task::Templates(case.request().root),
            ] {
                let here = seen(sandbox::run(task.clone(), &sources, &Mode::Here));
                assert!(here == seen(sandbox::run(task, &sources, &apart)), "{}", case.path.display());
                compared += 1;
            }
        }
    }
    assert!(compared >= 100, "only {compared} compared");
}

/// The environments that are shipped, as bytes of the program.
#[test]
fn the_catalogue_is_the_same_apart() {
    let root = testkit::checkout();
    let repo = GitRepo::new().unwrap();
    for folder in ["environments", "templates", "pipelines"] {
        repo.copy_below(&root.join(folder), folder).unwrap();
    }
    repo.commit("The catalogue").unwrap();
    for spec in fs::read_dir(root.join("environments")).unwrap() {
        let spec = spec.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned();
        for arguments in [
            vec!["render", &spec],
            vec!["render", &spec, "--lock"],
            vec!["explain", &spec, "-o", "json"],
            vec!["check", &spec],
        ] {
            let [here, apart] =
                MODES.map(|mode| mimeo(&repo, &[&arguments, mode].concat()).output().unwrap());
            assert!(here.status.success(), "{arguments:?}: {}", said(&here));
            assert!(!here.stdout.is_empty());
            assert_eq!(here.stdout, apart.stdout, "{arguments:?}");
            assert_eq!(here.stderr, apart.stderr, "{arguments:?}");
        }
    }
}

#[test]
fn a_file_without_an_end_is_told_of_and_not_read() {
    let repo = repo("");
    for arguments in [
        &["up", "--plan", "/dev/zero"] as &[&str],
        &["render", "qa", "--values", "/dev/zero"],
        &["render", "qa", "--image-map", "/dev/zero"],
        &["render", "--lock", "/dev/zero"],
    ] {
        let output = Command::new("prlimit")
            .arg("--as=4294967296")
            .arg(MIMEO)
            .args(arguments)
            .args(["--repo", &repo.arg()])
            .env("NO_COLOR", "1")
            .output()
            .unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains("ARG015") && said.contains("/dev/zero"), "{arguments:?}: {said}");
    }
}
