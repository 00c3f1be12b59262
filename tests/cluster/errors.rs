//! Bad input: every error has a code, the place, the cause and what to do, and the right exit code.

use anyhow::{Context as _, Result, ensure};
use testkit::{Case, GitRepo, Kubeconfig};

use crate::on_lab;

/// One mistake and what is said about it.
struct Mistake {
    what: &'static str,
    /// Arguments after `up SPEC --repo REPO`.
    arguments: Vec<String>,
    code: i32,
    says: Vec<&'static str>,
}

fn mistake(what: &'static str, arguments: &[&str], code: i32, says: &[&'static str]) -> Mistake {
    Mistake {
        what,
        arguments: arguments.iter().map(|text| (*text).to_owned()).collect(),
        code,
        says: says.to_vec(),
    }
}

/// A branch whose tree holds the mistake.
fn broken(repo: &GitRepo, branch: &str, file: &str, from: &str, to: &str) -> Result<()> {
    repo.checkout("main")?.branch(branch)?.edit(file, from, to)?.commit(branch)?;
    Ok(())
}

#[test]
fn mistakes_in_the_repository_are_named_with_their_place() -> Result<()> {
    on_lab(|case| {
        let repo = case.repo("config")?;
        let spec_file = format!("environments/{}.yaml", case.spec());
        let manifest = "templates/notes/manifests/notes.yaml";
        repo.branch("feature/login")?;
        broken(&repo, "yaml", &spec_file, "  components:\n", "  components:\n   - ]\n")?;
        broken(&repo, "undefined", manifest, "params.text", "params.txet")?;
        broken(
            &repo,
            "undefined-in-if",
            manifest,
            "data:\n  text",
            "data:\n  {% if parms.text %}{% endif %}\n  text",
        )?;
        broken(&repo, "no-template", &spec_file, "template: notes", "template: nots")?;
        broken(&repo, "unknown-field", &spec_file, "  components:", "  komponents: {}\n  components:")?;
        broken(
            &repo,
            "other-namespace",
            manifest,
            "  name: {{ name }}\n",
            "  name: {{ name }}\n  namespace: kube-system\n",
        )?;
        let long = "n".repeat(300);
        let mistakes = [
            mistake(
                "an unknown branch",
                &["--rev", "feature/logn"],
                2,
                &["GIT001", "feature/logn", "feature/login"],
            ),
            mistake(
                "an unknown commit",
                &["--rev", "0123456789abcdef0123456789abcdef01234567"],
                2,
                &["GIT001"],
            ),
            mistake("a YAML error", &["--rev", "yaml"], 2, &[".yaml:7:"]),
            mistake(
                "an undefined variable",
                &["--rev", "undefined"],
                2,
                &["notes.yaml:6:", "params.txet", "text"],
            ),
            mistake(
                "an undefined name in if",
                &["--rev", "undefined-in-if"],
                2,
                &["notes.yaml:6:", "parms", "params"],
            ),
            mistake("an unknown template", &["--rev", "no-template"], 2, &[".yaml:7:", "nots", "notes"]),
            mistake(
                "an unknown field",
                &["--rev", "unknown-field"],
                2,
                &[".yaml:6:", "komponents", "components"],
            ),
            mistake("another namespace", &["--rev", "other-namespace"], 2, &["notes.yaml:", "kube-system"]),
            mistake(
                "a name that is too long",
                &["--rev", "main", "--name", &long],
                2,
                &["GIT020", "longer than"],
            ),
            mistake("an unknown parameter", &["--rev", "main", "--set", "dys=3"], 2, &["dys"]),
        ];
        for mistake in mistakes {
            check(case, &repo, &mistake)?;
        }
        let wrong = format!("{}x", case.spec());
        let outcome = case.mimeo(["up", &wrong, "--repo", &repo.arg(), "--rev", "main"]).run()?;
        outcome
            .expect(2)?
            .says(["SPC008", wrong.as_str(), case.spec()])
            .context("a spec that does not exist")?;
        ensure!(case.environments()?.is_empty(), "nothing was made");
        Ok(())
    })
}

fn check(case: &Case<'_>, repo: &GitRepo, mistake: &Mistake) -> Result<()> {
    let up = case.mimeo(["up", case.spec(), "--repo", &repo.arg()]).args(&mistake.arguments);
    let outcome = up.run()?.expect(mistake.code).context(mistake.what)?;
    let outcome = outcome.says(mistake.says.iter().copied()).context(mistake.what)?;
    ensure!(outcome.stdout.is_empty(), "{}: errors go to stderr: {outcome}", mistake.what);
    let outcome = up.args(["-o", "json"]).run()?.expect(mistake.code).context(mistake.what)?;
    // Whatever is said besides stands on lines of its own.
    let json = outcome
        .stderr
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find(|line| line.is_object());
    let json = json.or_else(|| {
        outcome.stderr.find('{').and_then(|start| serde_json::from_str(&outcome.stderr[start..]).ok())
    });
    let json = json.with_context(|| format!("{}: no JSON error in {outcome}", mistake.what))?;
    for field in ["code", "file", "line", "column", "object", "cause", "help"] {
        ensure!(json.get(field).is_some(), "{}: the JSON error has no {field}: {json}", mistake.what);
    }
    let code = json["code"].as_str().unwrap_or_default();
    let digits = code.trim_start_matches(|c: char| c.is_ascii_uppercase());
    ensure!(digits.len() == 3 && (2..=4).contains(&(code.len() - 3)), "{}: {code} is no code", mistake.what);
    ensure!(
        json["help"].as_str().is_some_and(|help| !help.is_empty()),
        "{}: it says what to do: {json}",
        mistake.what
    );
    Ok(())
}

#[test]
fn repositories_that_cannot_be_used_say_why() -> Result<()> {
    on_lab(|case| {
        let empty = GitRepo::new()?;
        let up = |repo: &GitRepo| case.mimeo(["up", case.spec(), "--repo", &repo.arg()]);
        up(&empty)
            .run()?
            .expect(2)?
            .says(["GIT017", "no commits"])
            .context("a repository without commits")?;

        let repo = case.repo("config")?;
        let commit = repo.git(&["rev-parse", "HEAD"])?.trim().to_owned();
        repo.checkout(&commit)?;
        up(&repo).run()?.expect(2)?.says(["GIT003", "--name"]).context("a detached HEAD")?;
        up(&repo)
            .args(["--rev", &commit])
            .run()?
            .expect(2)?
            .says(["GIT003", "--name"])
            .context("a bare commit")?;
        let named =
            case.mimeo(["render", case.spec(), "--repo", &repo.arg(), "--rev", &commit, "--name", "by-hand"]);
        named.succeed()?.says(["notes-where", "by-hand"])?;

        let nowhere = case.mimeo(["up", case.spec(), "--repo", "/nonexistent/place"]).run()?;
        nowhere.expect(2)?.says(["GIT016", "/nonexistent/place"]).context("no repository")?;

        repo.checkout("main")?;
        repo.write("later.txt", "more")?.commit("Later")?;
        let home = tempfile::tempdir_in(case.home())?;
        let (url, shallow) = (format!("file://{}", repo.arg()), home.path().join("shallow"));
        repo.git(&["clone", "--quiet", "--depth=1", &url, &shallow.display().to_string()])?;
        let shallow = shallow.display().to_string();
        let first =
            case.mimeo(["up", case.spec(), "--repo", &shallow, "--rev", &commit, "--name", "old"]).run()?;
        first.expect(2)?.says(["GIT001", "shallow"]).context("a shallow clone without the commit")?;
        let unknown = case.mimeo(["render", case.spec(), "--repo", &shallow]).run()?;
        unknown.expect(2)?.says(["GIT018", "--repository"]).context("a shallow clone without identity")?;
        Ok(())
    })
}

#[test]
fn clusters_that_cannot_be_used_say_why() -> Result<()> {
    on_lab(|case| {
        let repo = case.repo("config")?;
        let up = case.mimeo(case.on("up", &repo, "main"));
        let file = |name: &str, config: Kubeconfig| -> Result<_> {
            let path = case.home().join(name);
            config.write(&path)?;
            Ok(path)
        };
        let own = case.cluster.api.config().with_token(&case.account.token);
        let none = up.clone().kubeconfig(&case.home().join("not-there")).run()?;
        none.expect(4)?.says(["CLU001"]).context("no kubeconfig")?;
        let context = up.clone().args(["--context", "tset"]).run()?;
        context.expect(4)?.says(["CLU001", "tset", "test"]).context("a wrong context")?;
        let closed = Kubeconfig { server: "https://127.0.0.1:1".to_owned(), ..own.clone() };
        let closed = up.clone().kubeconfig(&file("closed", closed)?).run()?;
        ensure!(closed.took.as_secs() < 20, "an unreachable cluster is not waited for: {closed}");
        closed.expect(4)?.says(["CLU002", "127.0.0.1:1"]).context("an unreachable cluster")?;
        let token = up.clone().kubeconfig(&file("token", own.with_token("not.a.token"))?).run()?;
        token.expect(4)?.says(["CLU003", "token"]).context("a token nobody knows")?;

        // Somebody without any right, and somebody whose rights end in the middle.
        let stranger = case.cluster.stranger("default", case.spec(), case.home())?;
        let refused = up.clone().kubeconfig(&stranger.kubeconfig).run()?.expect(4)?;
        let outcome = refused.says(["CLU004", "leases", "mimeo-system", "get", "mimeo install --grant"]);
        let removed = case
            .cluster
            .api
            .delete(&format!("/api/v1/namespaces/default/serviceaccounts/{}", case.spec()))?;
        ensure!(removed.is_ok(), "the stranger goes again");
        outcome.context("an account without rights")?;
        let list = case.mimeo(["list"]).kubeconfig(&stranger.kubeconfig).run()?;
        list.expect(4)?;
        ensure!(case.environments()?.is_empty(), "nothing was made");
        Ok(())
    })
}

#[test]
fn an_object_the_server_rejects_is_named_with_component_file_and_field() -> Result<()> {
    on_lab(|case| {
        let repo = case.repo("config")?;
        let web = "templates/notes/manifests/web.yaml";
        let service = |spec: &str| {
            format!(
                "apiVersion: v1\nkind: Service\nmetadata: {{name: \"{{{{ name }}}}\"}}\nspec:\n  ports: [{{port: 80}}]\n{spec}\n"
            )
        };
        repo.write(web, &service("  clusterIPP: None"))?.commit("A field that no Service has")?;
        let outcome = case.mimeo(case.on("up", &repo, "main")).run()?.expect(7)?;
        outcome.says(["notes", "Service", &format!("{web}:6:"), "clusterIPP: None", "field not declared"])?;
        repo.write(web, &service("  type: LoadBalancr"))?.commit("A type that no Service has")?;
        let outcome = case.mimeo(case.on("up", &repo, "main")).run()?.expect(7)?;
        outcome.says(["notes", "Service", &format!("{web}:6:"), "type: LoadBalancr", "spec.type"])?;
        let environment = case.environment()?;
        let status = case.mimeo(["list", "-o", "json"]).succeed()?.json()?;
        let items = status["items"].as_array().cloned().unwrap_or_default();
        let state = items
            .iter()
            .find(|item| item["name"] == environment.name.as_str())
            .map(|item| item["state"].clone());
        ensure!(state == Some("Failed".into()), "the record says Failed: {state:?}");
        repo.remove("templates/notes/manifests/web.yaml")?.commit("Corrected")?;
        case.mimeo(case.on("up", &repo, "main")).succeed()?;
        case.mimeo(["down", &environment.name, "--yes"]).succeed()?;
        case.is_gone(&environment)
    })
}
