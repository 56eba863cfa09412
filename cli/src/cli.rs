//! The command line as a whole: its subcommands and the help that opens it.

use clap::{Parser, Subcommand};

use crate::commands::{apps, demo, export, import, query, serve, watch};

/// Tercet: a Datalog database with live queries and local-first sync.
#[derive(Debug, Parser)]
#[command(name = "tercet", version, propagate_version = true)]
#[command(long_about = "\
Tercet: a Datalog database with live queries and local-first sync.

A server holds apps; an app holds facts (entity, attribute, value). Queries are Datalog, in the \
EDN notation that Datomic made known. `tercet demo` shows all of it in one minute, without any \
preparation.")]
#[command(after_long_help = "\
First steps:
  tercet demo                                      see a live query change, over real data
  tercet serve                                     start a server; its data is in ./tercet-data
  export TERCET_APP=$(tercet apps create blog)     make an app ...
  export TERCET_KEY=$(tercet apps key $TERCET_APP) ... and a key for it
  tercet import facts.ndjson                       fill it
  tercet query '[:find ?e ?name :where [?e :user/name ?name]]'

Exit codes: 0 it worked; 1 it did not, and standard error says why; 2 the command line is wrong.

The variable TERCET_LOG sets what is logged to standard error, for example `info` or \
`tercet_server=debug`.")]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The subcommands. Their help is on their options: a comment here would replace it.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(demo::Options),
    Serve(serve::Options),
    Apps(apps::Options),
    Import(import::Options),
    Export(export::Options),
    Query(query::Options),
    Watch(watch::Options),
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::{CommandFactory, Parser};

    use super::{Cli, Command};

    #[test]
    fn command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_subcommand_has_a_long_help_with_examples() {
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            assert!(command.get_long_about().is_some(), "{name} has no long help");
            let examples = command.get_after_long_help().map(ToString::to_string);
            assert!(examples.unwrap_or_default().contains("tercet"), "{name} has no examples");
        }
    }

    #[test]
    fn a_query_is_optional_and_inputs_repeat() {
        let cli = Cli::try_parse_from(["tercet", "query", "--input", "1", "--input", "x"]).unwrap();
        let Command::Query(options) = cli.command else { panic!("not a query: {cli:?}") };
        assert!(options.query.is_none());
        assert_eq!(options.inputs, ["1", "x"]);
    }

    #[test]
    fn an_unknown_format_is_refused_with_those_that_exist() {
        let error = Cli::try_parse_from(["tercet", "import", "x", "--format", "xml"]).unwrap_err();
        assert!(error.to_string().contains("ndjson"), "{error}");
    }
}
