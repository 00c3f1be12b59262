//! What was there before mimeo: adopted where the spec says so and nobody owns it, and the same for fields.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{Case, Environment, Fault, GitRepo, Outcome, Relay, in_plane};

use crate::program;

const SETTINGS: &str = "templates/notes/manifests/settings.yaml";

/// A namespace that somebody lends, and a repository whose environments live in it.
struct Lent<'a> {
    case: &'a Case<'a>,
    repo: GitRepo,
    namespace: String,
}

impl<'a> Lent<'a> {
    fn begin(case: &'a Case<'a>) -> Result<Self> {
        let namespace = format!("{}-lent", case.spec());
        case.cluster.lend(&namespace)?;
        let lent = Self { case, repo: case.repo("config")?, namespace };
        let settings =
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: ours, b: \"2\"}\n";
        lent.repo.write(SETTINGS, settings)?;
        lent.declare("")?;
        Ok(lent)
    }

    /// Commits a spec whose component says this as well.
    fn declare(&self, declared: &str) -> Result<()> {
        let spec = format!(
            "apiVersion: mimeo.dev/v1alpha1\nkind: EnvironmentSpec\nmetadata: {{name: {}}}\nspec:\n  \
             policy: {{namespace: {{borrowed: {}}}}}\n  components:\n    notes: {{template: notes{declared}}}\n",
            self.case.spec(),
            self.namespace
        );
        self.repo.write(&format!("environments/{}.yaml", self.case.spec()), &spec)?;
        self.repo.commit("Declare").map(drop)
    }

    fn path(&self) -> String {
        format!("/api/v1/namespaces/{}/configmaps/settings", self.namespace)
    }

    /// Makes the object that somebody else made, anew.
    fn theirs(&self, metadata: &Value) -> Result<Value> {
        let api = &self.case.cluster.api;
        if api.get(&self.path())?.is_some() {
            ensure!(api.delete(&self.path())?.is_ok(), "{} goes", self.path());
        }
        let mut map = json!({"metadata": metadata, "data": {"a": "theirs", "more": "kept"}});
        map["metadata"]["name"] = json!("settings");
        api.create(&format!("/api/v1/namespaces/{}/configmaps", self.namespace), &map)
    }

    fn live(&self) -> Result<Option<Value>> {
        self.case.cluster.api.get(&self.path())
    }

    fn run(&self, command: &str, code: i32) -> Result<Outcome> {
        self.case.mimeo(self.case.on(command, &self.repo, "main")).run()?.expect(code)
    }

    /// An `up` that goes through a relay.
    fn up_through(&self, fault: Fault) -> Result<Outcome> {
        let relay = Relay::start(self.case.cluster.api.config())?;
        relay.inject(fault);
        let path = self.case.home().join("relay.kubeconfig");
        let config = self.case.cluster.api.config();
        config.with_token(&self.case.account.token).by_way_of(&relay.url()).write(&path)?;
        self.case.mimeo(self.case.on("up", &self.repo, "main")).kubeconfig(&path).run()
    }

    fn down(&self) -> Result<()> {
        let environment = self.case.environment()?;
        self.case.mimeo(["down", &environment.name, "--yes"]).succeed().map(drop)
    }
}

fn on_lent(test: &str, body: impl Fn(&Lent<'_>) -> Result<()>) -> Result<()> {
    in_plane(test, program(), |cluster| Case::run(cluster, |case| body(&Lent::begin(case)?)))
}

#[test]
fn what_is_nobodys_becomes_the_environments_and_goes_with_it() -> Result<()> {
    on_lent("adopt::what_is_nobodys_becomes_the_environments_and_goes_with_it", |lent| {
        let theirs = lent.theirs(&json!({}))?;
        lent.run("up", 3)?.says(["OBJ019", "ConfigMap/settings", "`adopt`"])?;
        ensure!(lent.live()?.as_ref() == Some(&theirs), "it is untouched");
        lent.declare(", adopt: [ConfigMap/settings]")?;
        let shown = lent.run("diff", 1)?;
        let texts = [
            "adopt ConfigMap/settings",
            "data.a: theirs → ours",
            "takes .data.a",
            "deleted with it",
            "1 to adopt",
        ];
        shown.says(texts)?;

        // The plan that was shown is what runs: somebody changes what it did not even want to change.
        let file = lent.case.home().join("plan.json").display().to_string();
        lent.case.mimeo(lent.case.on("plan", &lent.repo, "main")).args(["-o", &file]).succeed()?;
        let answer = lent.case.cluster.api.merge(&lent.path(), &json!({"data": {"more": "changed"}}))?;
        ensure!(answer.is_ok(), "{}", answer.message());
        let run = lent.case.mimeo(["up", "--plan", &file, "--repo", &lent.repo.arg()]).run()?;
        run.expect(3)?.says(["PLN004", "ConfigMap/settings"])?;

        lent.run("up", 0)?.says(["1 adopted"])?;
        let live = lent.live()?.context("it is there")?;
        ensure!(live["metadata"]["uid"] == theirs["metadata"]["uid"], "the same object: {live}");
        ensure!(live["data"] == json!({"a": "ours", "b": "2", "more": "changed"}), "{live}");
        lent.run("diff", 0)?.says(["nothing changes"])?;
        let environment = lent.case.environment()?;
        let why = lent.case.mimeo(["why", &environment.name, "ConfigMap/settings"]).succeed()?;
        why.says(["Whose:       ours", "Health:      Healthy", "is deleted by its uid"])?;
        lent.down()?;
        ensure!(lent.live()?.is_none(), "it goes with the environment");

        // Where nothing is, there is nothing to adopt.
        lent.run("up", 0)?.says(["there is nothing to adopt", "created"])?;
        lent.down()
    })
}

#[test]
fn what_belongs_to_somebody_is_refused_and_untouched() -> Result<()> {
    on_lent("adopt::what_belongs_to_somebody_is_refused_and_untouched", |lent| {
        lent.declare(", adopt: [ConfigMap/settings]")?;
        let api = &lent.case.cluster.api;
        for (named, code, metadata) in [
            ("the Helm release db", "OBJ042", json!({"annotations": {"meta.helm.sh/release-name": "db"}})),
            (
                "the Argo CD application shop",
                "OBJ042",
                json!({"annotations": {"argocd.argoproj.io/tracking-id": "shop:/ConfigMap:n/settings"}}),
            ),
            ("apps of Flux", "OBJ042", json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}})),
            ("environment 0123", "OBJ042", json!({"labels": {"mimeo.dev/environment": "0123"}})),
            ("deleted", "OBJ024", json!({"finalizers": ["example.com/hold"]})),
        ] {
            lent.theirs(&metadata)?;
            if code == "OBJ024" {
                ensure!(api.delete(&lent.path())?.is_ok());
            }
            let before = lent.live()?;
            for command in ["diff", "up"] {
                lent.run(command, 3)?.says([code, named, "ConfigMap/settings"])?;
            }
            ensure!(lent.live()? == before, "{named}: it is untouched");
            ensure!(lent.case.environments()?.is_empty(), "{named}: nothing is left of what was refused");
            api.merge(&lent.path(), &json!({"metadata": {"finalizers": null}}))?;
        }
        // What would have to be deleted for it.
        lent.theirs(&json!({}))?;
        ensure!(api.merge(&lent.path(), &json!({"immutable": true}))?.is_ok());
        lent.run("up", 3)?.says(["OBJ043", "immutable"])?;
        ensure!(lent.live()?.context("it is there")?["data"]["a"] == "theirs");

        // A real environment beside this one.
        ensure!(api.delete(&lent.path())?.is_ok());
        lent.run("up", 0)?;
        let first: Environment = lent.case.environment()?;
        let ours = lent.live()?;
        lent.repo.branch("second")?;
        let other = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: second}\ndata: {a: b}\n";
        lent.repo
            .write("templates/notes/manifests/notes.yaml", other)?
            .commit("Another name for the rest")?;
        let second = lent.case.mimeo(lent.case.on("up", &lent.repo, "second")).run()?.expect(3)?;
        second.says(["OBJ042", &format!("environment {}", first.id)])?;
        ensure!(lent.live()? == ours, "it is untouched");
        lent.down()
    })
}

#[test]
fn an_adoption_that_is_cut_short_or_comes_late_harms_nobody() -> Result<()> {
    on_lent("adopt::an_adoption_that_is_cut_short_or_comes_late_harms_nobody", |lent| {
        lent.declare(", adopt: [ConfigMap/settings]")?;
        let write = || Fault::on("/configmaps/settings?").but("dryRun=").method("PATCH").times(1);
        // Noted, and never sent: it is nobody's. A teardown leaves it alone.
        let theirs = lent.theirs(&json!({}))?;
        lent.up_through(write().cut())?.expect(4)?;
        ensure!(lent.live()?.as_ref() == Some(&theirs), "it was not written");
        lent.down()?;
        ensure!(lent.live()?.as_ref() == Some(&theirs), "it is left alone");
        // The next run goes on.
        lent.up_through(write().cut())?.expect(4)?;
        lent.run("diff", 1)?.says(["adopt ConfigMap/settings"])?;
        lent.run("up", 0)?.says(["1 adopted"])?;
        lent.down()?;
        ensure!(lent.live()?.is_none(), "by then it is the environment's");
        // Written, and nobody heard of it.
        lent.theirs(&json!({}))?;
        lent.up_through(write().lost())?.expect(4)?;
        ensure!(lent.live()?.context("it is there")?["data"]["a"] == "ours", "it was written");
        lent.down()?;
        ensure!(lent.live()?.is_none(), "what was written is the environment's");

        // What changes hands between the look and the write is refused.
        let (api, path) = (lent.case.cluster.api.clone(), lent.path());
        let taken = json!({"metadata": {"annotations": {"meta.helm.sh/release-name": "db"}}});
        lent.theirs(&json!({}))?;
        let (own, at) = (api.clone(), path.clone());
        let claimed = lent.up_through(write().first(move || drop(own.merge(&at, &taken))))?;
        claimed.expect(3)?.says(["PLN003", "somebody changed what is to be adopted"])?;
        ensure!(lent.live()?.context("it is there")?["data"]["a"] == "theirs");
        let first = lent.theirs(&json!({}))?;
        let again = json!({"metadata": {"name": "settings"}, "data": {"a": "another"}});
        let maps = path.trim_end_matches("/settings").to_owned();
        let replaced = lent.up_through(write().first(move || {
            drop(api.delete(&path));
            drop(api.create(&maps, &again));
        }))?;
        replaced.expect(3)?.says(["PLN003", "deleted and made again"])?;
        let live = lent.live()?.context("it is there")?;
        ensure!(
            live["data"] == json!({"a": "another"}) && live["metadata"]["uid"] != first["metadata"]["uid"]
        );
        // Without the declaration it is a stranger again, whatever was noted; and forgotten when it is not wanted.
        lent.declare("")?;
        lent.run("up", 3)?.says(["OBJ019"])?;
        lent.repo.remove(SETTINGS)?.commit("Not needed")?;
        lent.run("up", 0)?;
        ensure!(lent.live()?.as_ref() == Some(&live), "it is untouched");
        let settled = lent.run("diff", 0)?;
        ensure!(!settled.all().contains("settings"), "nothing is remembered of it: {settled}");
        lent.down()
    })
}

const OTHER: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\ndata: {a: b}\n";

fn web(replicas: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n{replicas}  \
         selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    \
         spec: {{containers: [{{name: main, image: \"registry.example.com/app:1\"}}]}}\n"
    )
}

#[test]
fn a_field_is_taken_where_the_spec_overrides_it_and_nowhere_else() -> Result<()> {
    on_lent("adopt::a_field_is_taken_where_the_spec_overrides_it_and_nowhere_else", |lent| {
        let file = "templates/notes/manifests/web.yaml";
        let path = format!("/apis/apps/v1/namespaces/{}/deployments/web", lent.namespace);
        let scale = |manager: &str, replicas: u32| {
            let place = format!("{path}/scale?fieldManager={manager}");
            let answer = lent.case.cluster.api.merge(&place, &json!({"spec": {"replicas": replicas}}))?;
            ensure!(answer.is_ok(), "{}", answer.message());
            Ok(())
        };
        let replicas = || {
            let live = lent.case.cluster.api.get(&path)?.context("no Deployment")?;
            Ok::<_, anyhow::Error>(live["spec"]["replicas"].clone())
        };
        lent.repo.write(file, &web("  replicas: 1\n"))?;
        lent.declare("")?;
        lent.run("up", 0)?;
        scale("kubectl", 2)?;
        lent.run("diff", 1)?.says(["takes back .spec.replicas"])?;
        // The template wants what it did not want when somebody else took the field.
        lent.repo.write(file, &web("  replicas: 0\n"))?;
        lent.declare("")?;
        let told = "overrides: {Deployment/web: [spec.replicas]}` in component notes";
        lent.run("up", 3)?.says(["OBJ017", "kubectl", told])?;
        // Whoever looks sees the rest of the plan, and what is in its way.
        lent.repo.write("templates/notes/manifests/other.yaml", OTHER)?.commit("One more")?;
        let file = lent.case.home().join("plan.json").display().to_string();
        let plan = lent.case.mimeo(lent.case.on("plan", &lent.repo, "main"));
        let marked = "Deployment/web in ";
        let conflict = "refused: another field manager owns .spec.replicas: conflict with \"kubectl\"";
        for outcome in
            [lent.run("diff", 3)?, plan.clone().run()?.expect(3)?, plan.args(["-o", &file]).run()?.expect(3)?]
        {
            let shown = [marked, conflict, "ConfigMap/other", "1 to create; 1 refused, so nothing is done"];
            ensure!(shown.iter().all(|text| outcome.stdout.contains(text)), "{outcome}");
            outcome.says(["OBJ017", told])?;
        }
        ensure!(!std::path::Path::new(&file).exists(), "what is refused is not kept");
        let json = lent
            .case
            .mimeo(lent.case.on("diff", &lent.repo, "main"))
            .args(["-o", "json"])
            .run()?
            .expect(3)?;
        ensure!(json.json()?["refused"][0]["code"] == "OBJ017", "{json}");
        lent.repo.remove("templates/notes/manifests/other.yaml")?.commit("One less")?;
        lent.declare(", overrides: {Deployment/web: [spec.template]}")?;
        lent.run("up", 3)?.says(["OBJ017", told])?;
        ensure!(replicas()? == 2, "it is untouched");
        lent.declare(", overrides: {Deployment/web: [spec.replicas]}")?;
        lent.run("diff", 1)?
            .says(["spec.replicas: 2 → 0", "takes .spec.replicas: conflict with \"kubectl\""])?;
        lent.run("up", 0)?;
        ensure!(replicas()? == 0);
        lent.run("diff", 0)?;
        // An autoscaler that goes on is shown, and undone.
        scale("horizontal-pod-autoscaler", 1)?;
        lent.run("diff", 1)?.says(["spec.replicas: 1 → 0", "takes back .spec.replicas"])?;
        lent.run("up", 0)?;
        ensure!(replicas()? == 0);
        lent.down()
    })
}
