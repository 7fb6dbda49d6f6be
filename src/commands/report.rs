//! `lutsim report`: the page of a saved run.

use std::path::PathBuf;

use clap::Args;
use lutsim_host::model::Model;
use lutsim_record::Record;
use lutsim_reports::details::Details;
use lutsim_reports::quantity::digits;
use lutsim_reports::report_html;
use lutsim_reports::table::{Align, Table};

use crate::doublings::{self, Again};
use crate::failure::{Failure, UserError};
use crate::progress::Count;
use crate::{model_file, output, records, resolve};

/// Write the page of a run: report.html, one file without network, and simulate what twice of each resource gives.
#[derive(Debug, Args)]
pub struct Report {
    /// The run's folder (`run --out`)
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The model, where it was a file and is no built-in one
    #[arg(long, value_name = "FILE|NAME")]
    model: Option<String>,
    /// Do not simulate what twice of each resource gives
    #[arg(long)]
    no_doublings: bool,
}

impl Report {
    pub(crate) fn execute(&self) -> Result<(), Failure> {
        if self.folder.is_file() {
            return Err(UserError::Refused {
                what: format!("`{}` is a file, not the folder of a run", self.folder.display()),
                help: "give the folder that `lutsim run --out` wrote".into(),
            }
            .into());
        }
        let record = records::read(&self.folder)?;
        let mut details = self.details(&record)?;
        if let Some(d) = details.as_mut().filter(|d| d.doublings.is_none() && !self.no_doublings)
            && let Some(again) = self.again(&record)?
        {
            let progress = Count::new("runs with twice of a resource", doublings::RUNS);
            d.doublings = Some(doublings::simulate(&again, || progress.one()));
            progress.finish();
            output::write_file(&self.folder.join("details.json"), d.to_json().as_bytes())?;
        }
        let path = self.folder.join("report.html");
        output::write_file(&path, report_html(&record, details.as_ref()).as_bytes())?;
        output::print(&text(&record, details.as_ref(), &path.display().to_string()))
    }

    /// What lies beside the record; none if the run is of a version that wrote none.
    fn details(&self, record: &Record) -> Result<Option<Details>, Failure> {
        let path = self.folder.join("details.json");
        if !path.exists() {
            return Ok(None);
        }
        let refuse = |e: String| UserError::Record { path: path.display().to_string(), why: e };
        let text = resolve::read_text(&path)?;
        let details = Details::from_json(&text, &record.provenance.config_hash);
        Ok(Some(details.map_err(|e| refuse(e.to_string()))?))
    }

    /// The run to be done again; none, and a word on stderr, if its model is a file that was not given.
    fn again(&self, record: &Record) -> Result<Option<Again>, Failure> {
        if let Some(name) = &self.model {
            if let Some(path) = model_file::weights(name) {
                return model_file::with_file(&path, |_, file| {
                    Again::of(record, file.model.clone()).map(Some)
                });
            }
            return Again::of(record, resolve::model(name)?).map(Some);
        }
        match Model::builtin(&record.workload.model).map(|model| Again::of(record, model)) {
            Ok(Ok(again)) => Ok(Some(again)),
            _ => {
                output::say(&format!(
                    "what twice of each resource gives is not simulated: `{}` is no built-in model, give its file with --model",
                    record.workload.model
                ));
                Ok(None)
            }
        }
    }
}

fn text(record: &Record, details: Option<&Details>, path: &str) -> String {
    let mut out = String::new();
    if let Some(doublings) = details.and_then(|d| d.doublings.as_ref()) {
        let mut table = Table::new(&[
            ("twice of", Align::Left),
            ("prefill tokens/s", Align::Right),
            ("decode tokens/s", Align::Right),
        ]);
        let now = |phase: &str| record.phases().find(|p| p.0 == phase).map(|p| p.1.tokens_per_second);
        let cell = |x: Option<f64>, phase: &str| match (x, now(phase)) {
            (Some(x), Some(now)) => format!("{} ({} x)", digits(x), digits(x / now)),
            _ => "-".into(),
        };
        table.row(["nothing".to_owned(), cell(now("prefill"), "prefill"), cell(now("decode"), "decode")]);
        for d in doublings {
            match &d.refused {
                Some(why) => table.row([d.resource.clone(), format!("not possible: {why}")]),
                None => table.row([
                    d.resource.clone(),
                    cell(d.prefill_tokens_per_second, "prefill"),
                    cell(d.decode_tokens_per_second, "decode"),
                ]),
            }
        }
        out.push_str(&table.render());
    }
    out + path + "\n"
}
