//! What is made of results: answers in SQL, a job for a cluster, a page.

use super::*;

#[test]
fn results_answer_questions() {
    let folder = folder(SMALL);
    assert_eq!(lutsim(folder.path(), &["sweep", "a.toml"]).0, 0);
    let ask = |sql: &str| lutsim(folder.path(), &["sweep", "query", sql, "a.sweep", "--csv"]);
    let (code, said, _) =
        ask("select \"lut.cores\", count(*) as n from results where status = 'done' group by 1 order by 1");
    assert_eq!((code, said.as_str()), (0, "lut.cores,n\n1,8\n2,8\n4,8\n"));
    let (code, said, _) =
        lutsim(folder.path(), &["sweep", "query", "select max(area_mm2) > 1 as big from results", "a.sweep"]);
    assert_eq!((code, said.as_str()), (0, "  big\n    1\n"));
    let (code, _, stderr) = ask("select lut_cores from results");
    assert_eq!(code, 2);
    assert!(stderr.contains("no such column: lut_cores") && stderr.contains("\"lut.cores\""), "{stderr}");
    // A copy is changed, and nothing else.
    assert_eq!(ask("delete from results").0, 0);
    assert_eq!(ask("select count(*) as n from results").1, "n\n24\n");
}

#[test]
fn a_job_for_slurm_is_printed() {
    let folder = folder(SMALL);
    assert_eq!(lutsim(folder.path(), &["sweep", "plan", "a.toml"]).0, 0);
    let submit = ["sweep", "submit", "a.sweep", "--slurm", "--dry-run"];
    let args = [
        &submit[..],
        &["--point-seconds", "100", "--cores", "2", "--array-limit", "1000", "--", "--partition=long"],
    ]
    .concat();
    let (code, said, stderr) = lutsim(folder.path(), &args);
    assert_eq!((code, stderr.as_str()), (0, ""));
    for line in [
        "#SBATCH --array=0-1",
        "#SBATCH --requeue",
        "#SBATCH --partition=long",
        "#SBATCH --job-name=lutsim-a",
    ] {
        assert!(said.lines().any(|l| l == line), "{line}\n{said}");
    }
    // Without a time the next point is run, and kept.
    let (code, said, _) = lutsim(folder.path(), &[&submit[..], &["--array-limit", "1000"]].concat());
    assert_eq!(code, 0);
    assert!(said.contains("# 23 points of about "), "{said}");
    assert!(
        lutsim(folder.path(), &["sweep", "status", "a.sweep"])
            .1
            .starts_with("24 points: 1 done, 23 not run yet\n")
    );
}

/// The page in a browser: a point's details and report, filters, all drawn, nothing asked of a network.
#[test]
fn the_page_works_in_a_browser() {
    let browser = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| {
        Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    });
    let Some(browser) = browser else {
        eprintln!("SKIPPED: no chromium here (.ci/install.sh has it): the page of a sweep was not opened");
        return;
    };
    let folder = folder(SMALL);
    assert_eq!(lutsim(folder.path(), &["sweep", "a.toml"]).0, 0);
    let open = |hash: &str| {
        let page = folder.path().join("a.sweep/index.html");
        let profile = folder.path().join("profile");
        let args = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--dump-dom"];
        let output = Command::new(browser)
            .args(args)
            .arg("--host-resolver-rules=MAP * ~NOTFOUND")
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg(format!("file://{}#{hash}", page.display()))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let dom = open("point=5");
    let count = |what: &str| dom.matches(what).count();
    assert_eq!(
        (count("<circle"), count("class=\"path"), count("<tr data-i") + count("<tr class=")),
        (24, 24, 24),
        "{dom}"
    );
    assert!(dom.contains("<h2>Point 5</h2>") && dom.contains("lutsim run --config tiny"), "{dom}");
    let report = dom.split_once("id=\"report\">").expect("the report").1;
    assert!(report.starts_with("tiny-2l on tiny"), "{report}");
    assert!(dom.contains("24 of 24"), "{dom}");
    let dom = open("filter=lut.cores:%3E1&");
    assert!(dom.contains("16 of 24"), "{dom}");
    let off = dom
        .split("<circle")
        .skip(1)
        .filter(|tag| tag.split('>').next().is_some_and(|t| t.contains(" off")))
        .count();
    assert_eq!(off, 8, "{dom}");
}
