use super::*;

/// The text with what is wrong with it: message, what is underlined, help.
fn wrong(text: &str) -> (String, String, String) {
    let error = SweepFile::parse(text).unwrap_err();
    let at = error.span.clone().map_or(String::new(), |s| text[s].to_owned());
    (error.message, at, error.help.unwrap_or_default())
}

const REST: &str = "[parameters.a]\nvalues = [1]\n";

#[test]
fn a_whole_file_is_read() {
    let file = SweepFile::parse(
        r#"
        method = "halton"
        description = "all there is"
        chip = "tiny"
        model = ["a", "b"]
        context = 512
        phases = ["decode"]
        run_cap = 10
        seed = 3
        columns = ["decode.events.macs"]
        every_step = true
        search = "quick"
        [set]
        lut.k = 4
        "dram.channels" = 2
        [parameters."lut.cores"]
        values = [1, 2]
        [parameters.scratchpad.bytes]
        min = 1
        max = 8
        [[metric]]
        name = "hours"
        formula = "1 / decode.seconds"
        goal = "maximize"
        [[constraint]]
        name = "area_mm2"
        max = 10
        "#,
    )
    .unwrap();
    assert_eq!(
        (file.method, file.prefill, file.decode, file.every_step),
        (Method::Halton, false, true, true)
    );
    let fixed: Vec<_> = file.fixed.iter().map(|f| (f.path.as_str(), f.value.to_string())).collect();
    let wanted = [("chip", "tiny"), ("context", "512"), ("lut.k", "4"), ("dram.channels", "2")];
    assert_eq!(fixed, wanted.map(|(path, value)| (path, value.to_owned())));
    let names: Vec<_> = file.parameters.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["model", "lut.cores", "scratchpad.bytes"]);
    assert_eq!(file.metrics[0].goal, Some(Goal::Maximize));
    assert!(
        file.constraints[0].holds(Some(10.0))
            && !file.constraints[0].holds(Some(10.1))
            && !file.constraints[0].holds(None)
    );
}

#[test]
fn what_is_wrong_is_underlined() {
    let cases = [
        (
            "method = \"gird\"\n",
            "`method` cannot be `gird`",
            "\"gird\"",
            "there are `grid`, `random`, `halton`, `nsga2`",
        ),
        ("", "missing key `method`", "", "there are `grid`, `random`, `halton`, `nsga2`"),
        (
            "method = \"grid\"\nphases = [\"decod\"]\n",
            "there is no phase `decod`",
            "\"decod\"",
            "phases are \"prefill\" and \"decode\"",
        ),
        ("method = \"grid\"\nphases = []\n", "`phases` is empty", "[]", "leave it out, or name one"),
        (
            "method = \"random\"\n",
            "`random` goes on for ever without `run_cap`",
            "",
            "for example `run_cap = 200`: so many points",
        ),
        ("method = \"grid\"\nrun_cap = 0\n", "`run_cap` is 0", "0", "at least 1"),
        (
            "method = \"grid\"\nparameter = {}\n",
            "unknown key `parameter`",
            "parameter",
            "did you mean `parameters`?",
        ),
    ];
    for (text, message, at, help) in cases {
        assert_eq!(wrong(&format!("{text}{REST}")), (message.into(), at.into(), help.into()));
    }
    let cases = [
        ("values = []", "`a` has no values", "[]", "name at least one"),
        ("values = [1, 2, 1]", "`a` has this value twice", "1", "keep one of them"),
        ("min = 4\nmax = 2", "`a`: the range from 4 to 2 is empty", "a", "`min` is the smaller"),
        (
            "min = 5\nmax = 6\nmultiple = 4",
            "`a`: the range from 5 to 6 holds no multiple of 4",
            "a",
            "widen it",
        ),
        ("min = 0\nmax = 6\nlog = true", "`a`: `log` and `min = 0` do not go together", "a", "begin above 0"),
        ("min = 5", "`a` needs `values`, or `min` and `max`", "a", "for example `values = [1, 2, 4]`"),
        ("value = [1]", "unknown key `value`", "value", "did you mean `values`?"),
        ("values = [1]\nmin = 2", "unknown key `min`", "min", "keys here are `values`"),
        ("min = \"a\"\nmax = 2", "`min` must be a number, found text", "\"a\"", ""),
        ("values = [1.0e999]", "a number out of range", "1.0e999", "64 bits are the most"),
    ];
    for (text, message, at, help) in cases {
        assert_eq!(
            wrong(&format!("method = \"grid\"\n[parameters.a]\n{text}\n")),
            (message.into(), at.into(), help.into())
        );
    }
    let cases = [
        ("[[metric]]\ngoal = \"maximize\"", "the metric has no `name`"),
        ("[[metric]]\nname = \"x\"\ngoal = \"more\"", "`goal` cannot be `more`"),
        (
            "[[metric]]\nname = \"x\"\nformula = \"1 +\"",
            "`1 +` is no formula: a number or a name is missing at the end",
        ),
        ("[[metric]]\nname = \"x\"\n[[metric]]\nname = \"x\"", "the metric `x` is there twice"),
        ("[[constraint]]\nname = \"x\"", "the constraint bounds nothing"),
        ("[[constraint]]\nmin = 3", "the constraint has no `name`"),
        (
            "[[constraint]]\nname = \"x\"\nmin = 3\nmax = 2",
            "constraints contradict each other: `x` at least 3 and at most 2",
        ),
        (
            "[[constraint]]\nname = \"x + 1\"\nmin = 3\n[[constraint]]\nname = \"x+1\"\nmax = 2",
            "constraints contradict each other: `x + 1` at least 3 and at most 2",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(wrong(&format!("method = \"grid\"\n{REST}{text}\n")).0, message);
    }
    assert_eq!(
        wrong("method = \"grid\"\n").0,
        "nothing differs from point to point: there are no parameters"
    );
    assert_eq!(wrong(&format!("method = \"grid\"\na = 3\n{REST}")).0, "`a` is set twice");
    assert_eq!(
        wrong(&format!("method = \"nsga2\"\nrun_cap = 5\n{REST}")).0,
        "`nsga2` has nothing to search for: no metric has a goal"
    );
}
