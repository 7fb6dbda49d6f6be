use super::*;
use proptest::prelude::*;

fn file(text: &str) -> SweepFile {
    SweepFile::parse(text).unwrap_or_else(|e| panic!("{e}"))
}

fn points(text: &str) -> Result<Vec<String>, String> {
    let file = file(text);
    let line = |row: Vec<Value>| row.iter().map(Value::to_string).collect::<Vec<_>>().join(" ");
    Ok(Space::of(&file.parameters).points(&file)?.into_iter().map(line).collect())
}

#[test]
fn a_grid_is_every_combination_the_last_parameter_fastest() {
    let text = "method = \"grid\"\n[parameters.a]\nvalues = [1, 2]\n[parameters.b]\nvalues = [\"x\", \"y\", \"z\"]\n";
    assert_eq!(points(text).unwrap(), ["1 x", "1 y", "1 z", "2 x", "2 y", "2 z"]);
    let capped = format!("run_cap = 3\n{text}");
    assert_eq!(points(&capped).unwrap(), ["1 x", "1 z", "2 y"]);
    assert_eq!(points(&format!("run_cap = 99\n{text}")).unwrap().len(), 6);
}

#[test]
fn ranges_of_a_grid() {
    let of = |rest: &str| points(&format!("method = \"grid\"\n[parameters.a]\n{rest}\n"));
    assert_eq!(of("min = 2\nmax = 5").unwrap(), ["2", "3", "4", "5"]);
    assert_eq!(of("min = 3\nmax = 30\nlog = true").unwrap(), ["3", "6", "12", "24"]);
    assert_eq!(of("min = 5\nmax = 40\nmultiple = 16").unwrap(), ["16", "32"]);
    assert_eq!(
        of("min = 0.5\nmax = 1.5\npoints = 3\nunit = \"GHz\"").unwrap(),
        ["0.5 GHz", "1.0 GHz", "1.5 GHz"]
    );
    assert_eq!(of("min = 1\nmax = 100\nlog = true\npoints = 3").unwrap(), ["1", "10", "100"]);
    assert_eq!(
        of("min = 0.5\nmax = 1.5").unwrap_err(),
        "`a`: a grid needs `points` to take numbers from a range"
    );
    assert!(of("min = 1\nmax = 9000000000000").unwrap_err().contains("a grid of 9000000000000 values"));
}

#[test]
fn keys_that_belong_together_change_together() {
    let text = "method = \"grid\"\n[parameters.shape]\nvalues = [{ lut.m = 2, lut.n = 64 }, { \"lut.m\" = 4, lut.k = 4 }]\n";
    let file = file(text);
    let space = Space::of(&file.parameters);
    assert_eq!(space.paths, ["lut.m", "lut.n", "lut.k"]);
    assert_eq!(points(text).unwrap(), ["2 64 ", "4  4"]);
}

#[test]
fn a_small_space_is_exhausted() {
    let text = "method = \"random\"\nrun_cap = 50\n[parameters.a]\nmin = 1\nmax = 4\n";
    let mut found = points(text).unwrap();
    found.sort();
    assert_eq!(found, ["1", "2", "3", "4"]);
}

#[test]
fn the_seed_is_the_sample() {
    let of = |method: &str, seed: u32| {
        points(&format!(
            "method = \"{method}\"\nrun_cap = 20\nseed = {seed}\n[parameters.a]\nmin = 0.0\nmax = 1.0\n"
        ))
        .unwrap()
    };
    for method in ["random", "halton"] {
        assert_eq!(of(method, 1), of(method, 1));
        assert_ne!(of(method, 1), of(method, 2));
        assert_eq!(of(method, 1).len(), 20);
    }
}

#[test]
fn powers_of_two_from_where_they_begin() {
    let interval = |min: f64, max: f64| Interval {
        min,
        max,
        log: false,
        grain: Grain::PowerOfTwo,
        unit: None,
        points: None,
    };
    assert_eq!(interval(3.0, 33.0).grid().unwrap(), [4, 8, 16, 32].map(Value::Int));
    assert!(interval(5.0, 7.0).check().is_err());
    assert!(interval(0.0, 1.0).check().is_ok());
}

proptest! {
    #[test]
    fn what_is_drawn_lies_within(min in -50i64..50, length in 0i64..100, step in 1i64..9, u in 0.0f64..1.0, log: bool) {
        let (min, max) = (min as f64, (min + length) as f64);
        let interval = Interval { min, max, log, grain: Grain::Multiple(step), unit: None, points: None };
        if interval.check().is_ok() {
            let Value::Int(n) = interval.at(u) else { panic!("whole") };
            prop_assert!(n % step == 0 && n as f64 >= min && n as f64 <= max, "{n} of {interval:?}");
        }
        let interval = Interval { grain: Grain::None, ..interval };
        if interval.check().is_ok() {
            let Value::Float(x) = interval.at(u) else { panic!("a fraction") };
            prop_assert!(x >= min - 1e-3 && x <= max + 1e-3);
        }
    }
}
