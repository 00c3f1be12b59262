//! Further repositories as people use them: real repositories, a server that counts who asks, the program itself.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the finding")]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;
use testkit::{GitDaemon, GitRepo};

const TEMPLATE: &str = "apiVersion: mimeo.dev/v1alpha1\nkind: Template\nmetadata: {name: web}\nspec:\n  parameters: {code: {type: string}}\n";
const MANIFEST: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"{{ name }}\"}\ndata:\n  all: {{ files(glob=params.code ~ \"/*\") | to_json | quote }}\n";

/// A repository of specs, one of code behind a server, and one machine.
struct World {
    specs: GitRepo,
    code: GitRepo,
    daemon: GitDaemon,
    home: TempDir,
}

impl World {
    /// With a spec that reads `code:flights`, not locked yet.
    fn new() -> Self {
        let code = GitRepo::new().unwrap();
        code.write("flights/a.sql", "select 1\n").unwrap().commit("Begin").unwrap();
        let daemon = GitDaemon::serve(code.path().parent().unwrap()).unwrap();
        let world = Self { specs: GitRepo::new().unwrap(), code, daemon, home: TempDir::new().unwrap() };
        world.specs.write("templates/web/template.yaml", TEMPLATE).unwrap();
        world.specs.write("templates/web/manifests/all.yaml", MANIFEST).unwrap();
        world.specs.write("flights/a.sql", "of the specs\n").unwrap();
        world.spec(
            &format!("{{name: code, url: \"{}\", ref: main}}", world.daemon.url("work")),
            "code:flights",
        );
        world
    }

    /// Commits a spec with these sources, whose one component reads a path.
    fn spec(&self, sources: &str, path: &str) {
        let text = format!(
            "apiVersion: mimeo.dev/v1alpha1\nkind: EnvironmentSpec\nmetadata: {{name: qa}}\nspec:\n  sources: [{sources}]\n  \
             components: {{web: {{template: web, values: {{code: \"{path}\"}}}}}}\n"
        );
        self.specs.write("environments/qa.yaml", &text).unwrap().commit("Write the spec").unwrap();
    }

    /// Runs the program on this machine.
    fn run(&self, arguments: &[&str]) -> Output {
        self.run_at(self.specs.path(), self.home.path(), arguments)
    }

    fn run_at(&self, repository: &Path, home: &Path, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_mimeo"))
            .args(arguments)
            .args(["--repo", repository.to_str().unwrap()])
            .env_clear()
            .envs([("HOME", home.to_str().unwrap()), ("NO_COLOR", "1")])
            .output()
            .unwrap()
    }

    /// Locks and commits the lock file.
    fn lock(&self) {
        says(&self.run(&["lock", "qa"]), 0, "is written, to be committed");
        self.specs.commit("Lock").unwrap();
    }

    fn rendered(&self) -> String {
        stdout(&self.run(&["render", "qa"]))
    }

    fn lock_file(&self) -> std::path::PathBuf {
        self.specs.path().join("environments/qa.lock.yaml")
    }

    /// Everything the program keeps on this machine, with sizes.
    fn kept(&self) -> Vec<String> {
        let (mut open, mut found) = (vec![self.home.path().to_owned()], Vec::new());
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                let about = entry.metadata().unwrap();
                if about.is_dir() {
                    open.push(entry.path());
                }
                found.push(format!(
                    "{} {} {:?}",
                    entry.path().display(),
                    about.len(),
                    about.modified().unwrap()
                ));
            }
        }
        found.sort();
        found
    }
}

fn stdout(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Exit code and a part of what was said; gives all of that.
fn says(output: &Output, code: i32, wanted: &str) -> String {
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(wanted), "{wanted:?} is missing: {said}");
    said
}

#[test]
fn code_of_another_repository_is_read_at_the_commit_that_is_pinned() {
    let world = World::new();
    let refused = says(&world.run(&["render", "qa"]), 2, "error[LCK001]");
    assert!(refused.contains("environments/qa.yaml:5:"), "{refused}");
    assert!(refused.contains("run `mimeo lock qa` and commit the file"), "{refused}");
    assert_eq!(world.daemon.connections(), 0, "refused before anybody was asked");

    world.lock();
    let text = fs::read_to_string(world.lock_file()).unwrap();
    let head = world.code.git(&["rev-parse", "HEAD"]).unwrap();
    assert!(text.contains(&format!("revision: {}", head.trim())), "{text}");
    assert_eq!(world.daemon.connections(), 1);
    let first = world.rendered();
    assert!(first.contains("code:flights/a.sql") && first.contains("select 1"), "{first}");
    assert!(!first.contains("of the specs"), "{first}");
    says(&world.run(&["lock", "qa", "--check"]), 0, "");
    assert_eq!(world.daemon.connections(), 1, "only the check asked");

    // The branch moves; the rendering does not, and nobody is asked.
    world.code.write("flights/a.sql", "select 2\n").unwrap().commit("Move").unwrap();
    let before = world.kept();
    assert_eq!(world.rendered(), first);
    assert_eq!(world.kept(), before, "something was written");
    assert_eq!(world.daemon.connections(), 0);
    says(&world.run(&["lock", "qa", "--check"]), 1, "would change");
    let locked = world.run(&["lock", "qa"]);
    assert!(stdout(&locked).contains(&format!("code: main {} → ", &head[..12])), "{locked:?}");
    assert_eq!(world.rendered(), first, "the lock file is not committed yet");
    world.specs.commit("Lock").unwrap();
    assert!(world.rendered().contains("select 2"));

    // Back home by one line.
    world.spec("", "flights");
    says(&world.run(&["render", "qa"]), 2, "error[LCK002]");
    says(&world.run(&["lock", "qa"]), 0, "is removed");
    assert!(!world.lock_file().exists());
    world.specs.commit("Unlock").unwrap();
    assert!(world.rendered().contains("of the specs"));
}

#[test]
fn a_repository_is_fetched_once_for_all_its_sources() {
    let world = World::new();
    world.code.git(&["tag", "v1"]).unwrap();
    let url = world.daemon.url("work");
    let both = format!("{{name: code, url: \"{url}\", ref: main}}, {{name: old, url: \"{url}\", ref: v1}}");
    world.spec(&both, "old:flights");
    world.lock();
    assert_eq!(world.daemon.connections(), 1);
    let machine = TempDir::new().unwrap();
    let fresh = world.run_at(world.specs.path(), machine.path(), &["render", "qa"]);
    assert!(stdout(&fresh).contains("old:flights/a.sql"), "{fresh:?}");
    assert_eq!(world.daemon.connections(), 1);
    let again = world.run_at(world.specs.path(), machine.path(), &["render", "qa"]);
    assert_eq!(again.stdout, fresh.stdout);
    assert_eq!(world.daemon.connections(), 0);
}

#[test]
fn a_pin_is_found_in_the_history_and_missed_when_it_is_gone() {
    let world = World::new();
    world.lock();
    let first = world.rendered();
    for n in 2..5 {
        world.code.write("flights/a.sql", &format!("select {n}\n")).unwrap().commit("Move").unwrap();
    }
    let fresh = TempDir::new().unwrap();
    let elsewhere = world.run_at(world.specs.path(), fresh.path(), &["render", "qa"]);
    assert_eq!(stdout(&elsewhere), first, "an older commit of the branch");

    // A force push takes the history away: who has read the commit still has it, nobody else gets it.
    world.code.git(&["checkout", "--quiet", "--orphan", "new"]).unwrap();
    world.code.commit("Begin again").unwrap();
    world.code.git(&["branch", "--force", "main", "new"]).unwrap();
    world.code.git(&["branch", "--delete", "--force", "new"]).unwrap_or_default();
    assert_eq!(world.rendered(), first);
    let fresh = TempDir::new().unwrap();
    let refused = world.run_at(world.specs.path(), fresh.path(), &["render", "qa"]);
    let said = says(&refused, 2, "error[LCK006]: source `code`: commit ");
    assert!(said.contains("environments/qa.yaml:5:") && said.contains("force push"), "{said}");
}

#[test]
fn a_source_that_cannot_be_had_is_named_and_nothing_is_written() {
    let world = World::new();
    world.daemon.stop();
    for command in [&["lock", "qa"][..], &["render", "qa", "--update-lock"]] {
        let said = says(&world.run(command), 4, "error[GIT019]: source `code`: git://127.0.0.1:");
        assert!(said.contains("environments/qa.yaml:5:") && said.contains("check the network"), "{said}");
        assert!(!world.lock_file().exists());
    }
    world.spec("{name: code, url: /nowhere/at/all, ref: main}", "code:flights");
    says(&world.run(&["lock", "qa"]), 2, "error[GIT016]: source `code`: ");
    // A branch that is not there, with a name that is near.
    world.spec(&format!("{{name: code, url: \"{}\", ref: mian}}", world.code.arg()), "code:flights");
    let said =
        says(&world.run(&["lock", "qa"]), 2, "error[GIT001]: source `code`: revision `mian` not found");
    assert!(said.contains("did you mean `main`?"), "{said}");
    assert!(!world.lock_file().exists());
}

#[test]
fn check_asks_nobody() {
    let world = World::new();
    world.lock();
    let machine = TempDir::new().unwrap();
    let _ = world.daemon.connections();
    let output = world.run_at(world.specs.path(), machine.path(), &["check"]);
    let said = says(&output, 0, "warning[LCK005]: source `code` is not on this machine at ");
    assert!(said.contains("environments/qa.yaml:5:"), "{said}");
    assert_eq!(said.matches("LCK005").count(), 1, "{said}");
    assert!(stdout(&output).contains("components that could not be rendered"), "{output:?}");
    assert_eq!(world.daemon.connections(), 0);
    assert_eq!(fs::read_dir(machine.path()).unwrap().count(), 0, "nothing is written");
    let output = world.run(&["check"]);
    says(&output, 0, "");
    assert_eq!(stdout(&output), "qa: 1 objects\n0 errors, 0 warnings (Kubernetes 1.36)\n");
    // What the lock file lacks, it says like every other command.
    fs::remove_file(world.lock_file()).unwrap();
    world.specs.commit("Unlock").unwrap();
    let said = says(&world.run(&["check"]), 2, "error[LCK001]");
    assert!(!said.contains("LCK005") && !said.contains("TPL017"), "{said}");
    assert_eq!(world.daemon.connections(), 0);
}

#[test]
fn update_lock_reads_what_is_there_now_and_writes_it_down() {
    let world = World::new();
    let output = world.run(&["render", "qa", "--update-lock"]);
    says(&output, 0, "is written, to be committed");
    assert!(stdout(&output).contains("select 1"));
    assert_eq!(world.daemon.connections(), 1, "what was resolved is read from the cache");
    world.specs.commit("Lock").unwrap();
    assert_eq!(world.rendered(), stdout(&output));
    let text = fs::read_to_string(world.lock_file()).unwrap();
    // At another commit than the work tree's, the file is not this work tree's.
    world.code.write("flights/a.sql", "select 2\n").unwrap().commit("Move").unwrap();
    world.specs.git(&["branch", "other"]).unwrap();
    world.specs.write("README.md", "x").unwrap().commit("Go on").unwrap();
    let output = world.run(&["render", "qa", "--update-lock", "--rev", "other"]);
    says(&output, 0, "no work tree is at this commit");
    assert!(stdout(&output).contains("select 2"));
    assert_eq!(fs::read_to_string(world.lock_file()).unwrap(), text);
    let printed = world.run(&["lock", "qa", "--rev", "other"]);
    assert!(stdout(&printed).starts_with("# Written by `mimeo lock qa`"), "{printed:?}");
    // Through a link that stands in its place nothing is written.
    let target = world.home.path().join("target");
    fs::write(&target, "mine").unwrap();
    fs::remove_file(world.lock_file()).unwrap();
    std::os::unix::fs::symlink(&target, world.lock_file()).unwrap();
    says(&world.run(&["lock", "qa"]), 0, "is written");
    assert_eq!(fs::read_to_string(&target).unwrap(), "mine");
}

#[test]
fn the_same_lock_gives_the_same_bytes_on_another_machine() {
    let world = World::new();
    world
        .specs
        .edit(
            "environments/qa.yaml",
            "  sources:",
            "  parameters: {days: {type: integer, default: 9}}\n  sources:",
        )
        .unwrap();
    world
        .specs
        .edit("templates/web/manifests/all.yaml", "data:\n", "data:\n  who: {{ env.name }}\n")
        .unwrap();
    world.specs.commit("Give it a parameter").unwrap();
    world.lock();
    let asked = ["render", "qa", "--set", "days=30"];
    let wanted = stdout(&world.run(&asked));
    let lock = stdout(&world.run(&[&asked[..], &["--lock"]].concat()));
    let head = world.code.git(&["rev-parse", "HEAD"]).unwrap();
    assert!(lock.contains(head.trim()) && lock.contains("days: 30"), "{lock}");

    // Another clone at another commit, another cache; the branches have moved.
    let clone = world.specs.clone_whole().unwrap();
    clone.git(&["checkout", "--quiet", "-b", "elsewhere"]).unwrap();
    clone.write("environments/qa.yaml", "broken: [").unwrap().commit("Break it").unwrap();
    world.code.write("flights/a.sql", "select 2\n").unwrap().commit("Move").unwrap();
    let machine = TempDir::new().unwrap();
    let file = machine.path().join("qa.lock").display().to_string();
    let again = |text: &str, more: &[&str]| {
        fs::write(&file, text).unwrap();
        world.run_at(clone.path(), machine.path(), &[&["render", "--lock", &file][..], more].concat())
    };
    assert_eq!(stdout(&again(&lock, &[])), wanted);

    // Whatever is not the same is named, and nothing is printed.
    let version = format!("tool: \"{}\"", env!("CARGO_PKG_VERSION"));
    for (from, to, said) in [
        (&*version, "tool: \"9.9.9\"", "tool: \"9.9.9\", now"),
        ("days: 30", "days: 31", "values: \""),
        ("ref: main\nrevision", "ref: other\nrevision", "manifests: \""),
    ] {
        let changed = lock.replacen(from, to, 1);
        assert_ne!(changed, lock, "{from} is not in {lock}");
        let output = again(&changed, &[]);
        says(&output, 2, "error[LCK008]");
        says(&output, 2, said);
        assert_eq!(output.stdout, b"", "{from}");
    }
    let says_json = stdout(&world.run(&[&asked[..], &["--lock", "-o", "json"]].concat()));
    assert_eq!(stdout(&again(&says_json, &[])), wanted, "JSON is YAML as well");
    let source = lock.replace("ref: main\n    revision", "ref: other\n    revision");
    assert_ne!(source, lock);
    says(&again(&source, &[]), 2, "error[LCK002]");
    says(&again(&lock.replacen("version: 2", "version: 3", 1), &[]), 2, "error[LCK007]");
    says(&again(&lock.replacen("version: 2", "version: 2\nextra: 1", 1), &[]), 2, "error[LCK007]");
    says(&again(&fs::read_to_string(world.lock_file()).unwrap(), &[]), 2, "error[LCK007]: ");
    says(&again(&lock, &["--set", "days=1"]), 2, "error[ARG014]");
    says(&again(&lock, &["--rev", "main"]), 2, "error[ARG014]");
    says(&world.run(&["render", "--lock"]), 2, "error[ARG014]");
}

#[test]
fn a_path_is_a_source_too_and_a_full_commit_id_a_ref() {
    let world = World::new();
    let head = world.code.git(&["rev-parse", "HEAD"]).unwrap().trim().to_owned();
    world.code.write("flights/a.sql", "select 2\n").unwrap().commit("Move").unwrap();
    for url in [world.code.arg(), world.daemon.url("work")] {
        world.spec(&format!("{{name: code, url: \"{url}\", ref: {head}}}"), "code:/flights");
        says(&world.run(&["lock", "qa"]), 0, "is written");
        world.specs.commit("Lock").unwrap();
        let text = world.rendered();
        assert!(text.contains("select 1") && text.contains("code:/flights/a.sql"), "{text}");
        says(&world.run(&["lock", "qa", "--check"]), 0, "");
    }
}

#[test]
fn a_part_of_a_commit_id_is_no_ref() {
    let world = World::new();
    let head = world.code.git(&["rev-parse", "HEAD"]).unwrap().trim().to_owned();
    for url in [world.code.arg(), world.daemon.url("work")] {
        world.spec(&format!("{{name: code, url: \"{url}\", ref: \"{}\"}}", &head[..8]), "code:/flights");
        let said = says(&world.run(&["lock", "qa"]), 2, "SPC028");
        assert!(said.contains(&format!("write all of it: {head}")), "{said}");
        assert!(!world.lock_file().exists());
    }
}

/// It is the spec that names a source, not the command line.
#[test]
fn a_source_that_is_no_repository_is_mended_in_the_spec() {
    let world = World::new();
    let nowhere = world.home.path().join("nowhere");
    world.spec(&format!("{{name: code, url: \"{}\", ref: main}}", nowhere.display()), "code:/flights");
    let said = says(&world.run(&["lock", "qa"]), 2, "GIT016");
    assert!(
        said.contains("environments/qa.yaml:5") && said.contains("correct `url` of the source"),
        "{said}"
    );
    assert!(!said.contains("--repo"), "{said}");
}

/// The shipped `dbt`, unchanged, with its project in the repository, in a folder of another one, and at its root.
#[test]
fn a_shipped_template_takes_its_code_from_anywhere_by_one_line() {
    let world = World::new();
    let shipped = testkit::checkout();
    for name in ["templates/dbt", "templates/postgres", "pipelines/flights"] {
        world.specs.copy_below(&shipped.join(name), name).unwrap();
    }
    world.code.copy_below(&shipped.join("pipelines/flights"), "pipelines/flights").unwrap();
    world.code.commit("Have the project").unwrap();
    let root = GitRepo::new().unwrap();
    root.copy(&shipped.join("pipelines/flights"), &[]).unwrap().commit("Begin").unwrap();
    let sources = format!(
        "{{name: code, url: \"{}\", ref: main}}, {{name: root, url: \"{}\", ref: main}}",
        world.daemon.url("work"),
        root.arg()
    );
    let rendered = |project: &str| {
        world.spec(&sources, "flights");
        let spec = "environments/qa.yaml";
        let components = format!(
            "warehouse: {{template: postgres, values: {{database: flights}}}}, transform: {{template: dbt, wires: {{target: \
             warehouse}}, values: {{image: \"dbt:1\", project: \"{project}\"}}}}"
        );
        world.specs.edit(spec, "web: {template: web, values: {code: \"flights\"}}", &components).unwrap();
        world.specs.commit("Switch").unwrap();
        if !world.lock_file().exists() {
            world.lock();
        }
        let text = stdout(&world.run(&["render", "qa"]));
        // The digest is over paths as well.
        let (kept, digests): (Vec<&str>, Vec<&str>) =
            text.lines().partition(|line| !line.contains("checksum/project"));
        assert_eq!(digests.len(), 1, "{text}");
        assert!(text.contains("dbt_project.yml"), "{text}");
        kept.join("\n")
    };
    let own = rendered("pipelines/flights");
    assert_eq!(rendered("code:pipelines/flights"), own);
    assert_eq!(rendered("root:"), own);
}
