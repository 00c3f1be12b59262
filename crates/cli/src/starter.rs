//! The repository that `mimeo init` writes. Its templates are those of the catalogue.

/// A file: path and content.
pub type File = (String, String);

/// Ready-made jobs for CI, by the forge they are for: where the file belongs, and its content.
pub const JOBS: [(&str, &str, &str); 2] = [
    ("github", ".github/workflows/mimeo.yml", include_str!("../../../pipelines/ci/github.yml")),
    ("gitea", ".gitea/workflows/mimeo.yml", include_str!("../../../pipelines/ci/gitea.yml")),
];

macro_rules! catalogue {
    ($($path:literal),* $(,)?) => {
        /// The files of the catalogue that the starter uses.
        const CATALOGUE: &[(&str, &str)] = &[$(($path, include_str!(concat!("../../../", $path)))),*];
    };
}

catalogue![
    "templates/job/README.md",
    "templates/job/manifests/files.yaml",
    "templates/job/manifests/job.yaml",
    "templates/job/template.yaml",
    "templates/postgres/README.md",
    "templates/postgres/manifests/service.yaml",
    "templates/postgres/manifests/statefulset.yaml",
    "templates/postgres/manifests/volume.yaml",
    "templates/postgres/template.yaml",
];

/// The files of a new repository, or of a folder of one: `below` is that folder's path in it, or empty.
pub fn files(below: &str) -> Vec<File> {
    // Files of the commit are named from the root of the repository.
    let seed = spec::files::join(below, "jobs/seed");
    let own = [
        ("environments/README.md", include_str!("../starter/README.md")),
        ("environments/qa.yaml", include_str!("../starter/qa.yaml")),
        ("jobs/seed/seed.sql", include_str!("../starter/seed.sql")),
    ];
    let mut files: Vec<File> =
        own.iter().chain(CATALOGUE).map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    for (path, text) in &mut files {
        if *path == "environments/qa.yaml" {
            *text = text.replace("files: jobs/seed", &format!("files: {seed}"));
        }
    }
    for (kind, path) in
        [("EnvironmentSpec", "schemas/EnvironmentSpec.json"), ("Template", "schemas/Template.json")]
    {
        files.extend(spec::schema::of(kind).map(|schema| (path.to_owned(), format!("{schema:#}\n"))));
    }
    files
}

/// The job for a forge's CI, whose file belongs at the root of the repository: its path is from the folder `below`.
pub fn job(forge: &str, below: &str) -> Option<File> {
    let (_, path, text) = JOBS.into_iter().find(|(known, _, _)| *known == forge)?;
    let up = "../".repeat(below.split('/').filter(|step| !step.is_empty()).count());
    let text = if below.is_empty() { text.to_owned() } else { text.replace(PREVIEW, &preview(below)) };
    Some((format!("{up}{path}"), text))
}

/// How the jobs call mimeo.
const PREVIEW: &str = "run: mimeo preview --spec qa";

/// The same for a folder of the repository; what a shell or YAML would read otherwise is quoted for both.
fn preview(below: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    if below.chars().all(plain) {
        return format!("{PREVIEW} --path {below}");
    }
    let command = format!("mimeo preview --spec qa --path '{}'", below.replace('\'', "'\\''"));
    format!("run: {}", serde_json::Value::String(command))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path, sync::Arc};

    use spec::{Files, MemoryFiles};

    use super::*;

    #[test]
    fn whole_templates_are_taken() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut there = BTreeSet::new();
        for folder in
            ["templates/job", "templates/postgres", "templates/job/manifests", "templates/postgres/manifests"]
        {
            for entry in std::fs::read_dir(root.join(folder)).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    there.insert(format!("{folder}/{}", path.file_name().unwrap().to_str().unwrap()));
                }
            }
        }
        let taken: BTreeSet<String> = CATALOGUE.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(taken, there);
    }

    #[test]
    fn a_job_stands_at_the_root_and_names_the_folder() {
        for (forge, _, _) in JOBS {
            let (path, text) = job(forge, "").unwrap();
            assert!(
                path.starts_with('.') && !path.starts_with("..") && text.contains("--spec qa}\n"),
                "{text}"
            );
            let (path, text) = job(forge, "teams/shop").unwrap();
            assert!(path.starts_with(&format!("../../.{forge}/workflows/")), "{path}");
            assert!(text.contains("mimeo preview --spec qa --path teams/shop}\n"), "{text}");
            let (_, text) = job(forge, "our teams, \"x\"").unwrap();
            let node = spec::yaml::parse("job", &text).unwrap().to_value();
            let steps = node["jobs"]["mimeo"]["steps"].as_array().unwrap();
            assert_eq!(steps[2]["run"], "mimeo preview --spec qa --path 'our teams, \"x\"'");
        }
    }

    #[test]
    fn it_renders_without_a_finding() {
        for below in ["", "teams/shop"] {
            it_renders(below);
        }
    }

    fn it_renders(below: &str) {
        let mut memory = MemoryFiles::default();
        for (path, text) in files(below) {
            memory.insert(spec::files::join(below, &path), text);
        }
        let files: Arc<dyn Files> = Arc::new(memory);
        let request = render::Request {
            root: below.to_owned(),
            spec: "qa".to_owned(),
            repository: "git.example.com/team/new".to_owned(),
            ref_name: "main".to_owned(),
            revision: "0123456789abcdef0123456789abcdef01234567".to_owned(),
            ..render::Request::default()
        };
        let (rendered, warnings) = render::render(&request, &files).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        let kinds: Vec<&str> =
            rendered.objects.iter().filter_map(|object| object.manifest["kind"].as_str()).collect();
        assert_eq!(kinds, ["PersistentVolumeClaim", "Service", "StatefulSet", "ConfigMap", "Job"]);
    }
}
